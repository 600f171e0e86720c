/* harness: see harness.h. */
#include "harness.h"

#include <dirent.h> /* opendir */
#include <lauxlib.h>
#include <lualib.h>
#include <math.h>   /* NAN */
#include <stdarg.h> /* va_list */
#include <stdio.h>  /* fprintf */
#include <stdlib.h> /* abort */
#include <string.h> /* memcpy */
#include <unistd.h> /* dup */

int luaopen_akool_lipsync_core(lua_State *L);

void fuzz_broken(const char *promise, ...) {
  va_list args;
  (void)fputs("\nBROKEN PROMISE: ", stderr);
  va_start(args, promise);
  (void)vfprintf(stderr, promise, args);
  va_end(args);
  (void)fputc('\n', stderr);
  abort();
}

/* {====== Input ====== */

uint8_t fuzz_byte(struct fuzz_input *in) {
  if (in->left == 0)
    return 0;
  in->left--;
  return *in->at++;
}

unsigned fuzz_below(struct fuzz_input *in, unsigned bound) {
  unsigned n = fuzz_byte(in);
  if (bound > 256)
    for (int i = 0; i < 3; i++)
      n = n << 8 | fuzz_byte(in);
  return n % bound;
}

double fuzz_double(struct fuzz_input *in) {
  static const double known[] = {0,      -0.0, 1,   -1,       0.5,          1e-9,
                                 60,     3600, 1e9, 1e15,     9e18,         1.8446744073709552e19,
                                 1e308,  -5,   4e9, INFINITY, -INFINITY,    NAN,
                                 5e-324, 100,  101, 10000,    2147483648.0, 9007199254740993.0};
  enum { KNOWN = sizeof known / sizeof known[0] };
  unsigned which = fuzz_byte(in);
  if (which < KNOWN)
    return known[which];
  if (which < 128)
    return (double)fuzz_byte(in) / 4;
  double any = 0;
  for (size_t i = 0; i < sizeof any; i++)
    ((unsigned char *)&any)[i] = fuzz_byte(in);
  return any;
}

const char *fuzz_bytes(struct fuzz_input *in, size_t most, size_t *size) {
  size_t n = fuzz_byte(in);
  if (most > 255)
    n = n << 8 | fuzz_byte(in);
  n %= most + 1;
  if (n > in->left)
    n = in->left;
  const char *bytes = (const char *)in->at;
  in->at += n;
  in->left -= n;
  *size = n;
  return bytes;
}

char *fuzz_copy(const void *bytes, size_t size) {
  char *copy = malloc(size + 1);
  if (copy == NULL)
    abort();
  if (size > 0)
    memcpy(copy, bytes, size);
  copy[size] = '\0';
  return copy;
}

char *fuzz_string(struct fuzz_input *in, size_t most) {
  size_t size;
  const char *bytes = fuzz_bytes(in, most, &size);
  return fuzz_copy(bytes, strnlen(bytes, size));
}

int fuzz_lowest_descriptor(void) {
  int lowest = dup(STDERR_FILENO);
  (void)close(lowest);
  return lowest;
}

static char folder[128];

void fuzz_empty_folder(void) {
  char path[sizeof folder + 256];
  struct dirent *entry;
  DIR *open = opendir(folder);
  fuzz_must(open != NULL, "the folder for temporary files stays");
  while ((entry = readdir(open)) != NULL) {
    (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    (void)unlink(path); /* which . and .. refuse */
  }
  (void)closedir(open);
}

static void remove_folder(void) {
  fuzz_empty_folder();
  (void)rmdir(folder);
}

const char *fuzz_folder(void) {
  const char *where = getenv("TMPDIR");
  if (folder[0] != '\0')
    return folder;
  (void)snprintf(folder, sizeof folder, "%s/akool-fuzz-XXXXXX", where == NULL ? "/tmp" : where);
  fuzz_must(mkdtemp(folder) != NULL, "there is room for temporary files");
  (void)atexit(remove_folder);
  return folder;
}

void fuzz_clean_environment(void) {
  static const char *const names[] = {
      "http_proxy", "https_proxy",    "all_proxy",          "HTTPS_PROXY", "ALL_PROXY",
      "no_proxy",   "NO_PROXY",       "AKOOL_API_KEY",      "AKOOL_TOKEN", "AKOOL_CLIENT_ID",
      "AKOOL_LOG",  "AKOOL_BASE_URL", "AKOOL_CLIENT_SECRET"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    (void)unsetenv(names[i]);
}

/* ============================================================ }
** {====== Lua ====== */

enum { INPUTS_PER_STATE = 20000 };

static lua_State *state;

static void open_state(void) {
  static bool opened;
  if (!opened)
    (void)atexit(fuzz_lua_close); /* before leaks are looked for */
  opened = true;
  state = luaL_newstate();
  if (state == NULL)
    abort();
  luaL_openlibs(state);
  lua_getglobal(state, "package");
  lua_pushliteral(state, FUZZ_TREE "/lua/?.lua;" FUZZ_TREE "/proof/fuzz/?.lua");
  lua_setfield(state, -2, "path");
  lua_getfield(state, -1, "preload");
  lua_pushcfunction(state, luaopen_akool_lipsync_core);
  lua_setfield(state, -2, "akool.lipsync.core");
  lua_settop(state, 0);
}

lua_State *fuzz_lua(void) {
  static unsigned inputs;
  if (state != NULL && ++inputs % INPUTS_PER_STATE == 0)
    fuzz_lua_close();
  if (state == NULL)
    open_state();
  lua_settop(state, 0);
  return state;
}

/* libFuzzer looks for new values in this section as in the counters of its own. */
enum { LINES = 1 << 13 };
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t lines_seen[LINES];

static void on_line(lua_State *L, lua_Debug *ar) {
  static char file[LUA_IDSIZE]; /* the last one, since one line often follows another */
  static unsigned hash;
  (void)lua_getinfo(L, "S", ar);
  if (strcmp(ar->short_src, file) != 0) {
    memcpy(file, ar->short_src, sizeof file);
    hash = 2166136261U;
    for (const char *c = file; *c != '\0'; c++)
      hash = (hash ^ (unsigned char)*c) * 16777619U;
  }
  uint8_t *count = &lines_seen[(hash + (unsigned)ar->currentline) % LINES];
  *count += *count < UINT8_MAX;
}

void fuzz_lua_trace(lua_State *L) {
  lua_sethook(L, on_line, LUA_MASKLINE, 0);
}

void fuzz_lua_close(void) {
  if (state != NULL)
    lua_close(state);
  state = NULL;
}

bool fuzz_call(lua_State *L, int arguments, int results) {
  int status = lua_pcall(L, arguments, results, 0);
  fuzz_must(status == LUA_OK || status == LUA_ERRRUN, "memory suffices: pcall ends with %d",
            status);
  return status == LUA_OK;
}

void fuzz_require(lua_State *L, const char *module) {
  lua_getglobal(L, "require");
  lua_pushstring(L, module);
  fuzz_must(fuzz_call(L, 1, 1), "%s can be loaded: %s", module, lua_tostring(L, -1));
}

/* ============================================================ } */
