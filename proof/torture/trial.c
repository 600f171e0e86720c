/* trial: see trial.h. */
#include "trial.h"

#include <dirent.h> /* opendir */
#include <lauxlib.h>
#include <lualib.h>
#include <stdarg.h> /* va_list */
#include <stdio.h>  /* vsnprintf */
#include <string.h> /* strcmp */

int luaopen_akool_lipsync_core(lua_State *L);

static lua_State *service; /* lives as long as this process; nothing fails in it */

static struct { /* what is in use between two trials */
  bool known;
  long curl, core;
  int descriptors;
} baseline;

static void complain(struct trial *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void complain(struct trial *t, const char *format, ...) {
  size_t used = strlen(t->complaint);
  if (used > 0 && used + 2 < TRIAL_WORDS) {
    memcpy(t->complaint + used, "; ", 3);
    used += 2;
  }
  va_list args;
  va_start(args, format);
  (void)vsnprintf(t->complaint + used, TRIAL_WORDS - used, format, args);
  va_end(args);
}

/* {====== States ====== */

/* [-0, +0, e] The standard libraries, and the core as if it had been found in a file. */
static void furnish(lua_State *L) {
  luaL_openlibs(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_akool_lipsync_core);
  lua_setfield(L, -2, "akool.lipsync.core");
  lua_pop(L, 1);
}

/* [-0, +1, e] Push the field 'name' of the module 'module'. */
static void push_from(lua_State *L, const char *module, const char *name) {
  lua_getglobal(L, "require");
  lua_pushstring(L, module);
  lua_call(L, 1, 1);
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
}

/* [-0, +1, e] Copy the strings of the table on top of 'from': what the scenario is told. */
static void copy_context(lua_State *from, lua_State *to) {
  lua_newtable(to);
  lua_pushnil(from);
  while (lua_next(from, -2) != 0) {
    lua_pushstring(to, lua_tostring(from, -2));
    lua_pushstring(to, lua_tostring(from, -1));
    lua_rawset(to, -3);
    lua_pop(from, 1);
  }
}

/* ============================================================ }
** {====== The service's side ====== */

/* Call a function of service.lua whose arguments are on the stack above it. */
static bool call_service(int arguments, int results) {
  if (lua_pcall(service, arguments, results, 0) == LUA_OK)
    return true;
  (void)fprintf(stderr, "service.lua: %s\n", lua_tostring(service, -1));
  lua_pop(service, 1);
  return false;
}

static int open_service(lua_State *L) {
  furnish(L);
  push_from(L, "service", "open");
  lua_call(L, 0, 0);
  return 0;
}

bool trial_open(void) {
  service = lua_newstate(memory_for_service, NULL);
  if (service == NULL)
    return false;
  lua_pushcfunction(service, open_service);
  return call_service(0, 0);
}

void trial_close(void) {
  push_from(service, "service", "close");
  (void)call_service(0, 0);
  /* The state stays: what is leaked in a module that it loaded is to be reported by name. */
}

/* Let the service be as the scenario wants it, and leave on its stack what the scenario is told. */
static bool arrange(struct trial *t) {
  push_from(service, "service", "arrange");
  lua_pushstring(service, t->scenario);
  if (call_service(1, 1))
    return true;
  complain(t, "the service could not be arranged");
  return false;
}

/* Ask what the service has seen. 'note' is what the scenario says about its job. */
static void settle(struct trial *t, const char *note) {
  static const char *const words[] = {"completed", "failed", "raised"};
  push_from(service, "service", "settle");
  lua_pushstring(service, t->scenario);
  lua_pushstring(service, words[t->end]);
  lua_pushstring(service, note);
  if (!call_service(3, 1)) {
    complain(t, "the service could not be asked");
    return;
  }
  if (lua_isstring(service, -1))
    complain(t, "%s", lua_tostring(service, -1));
  lua_pop(service, 1);
}

const char **trial_scenarios(void) {
  static const char *names[64];
  static lua_State *L; /* keeps the names */
  L = lua_newstate(memory_for_service, NULL);
  if (L == NULL)
    return names;
  luaL_openlibs(L);
  push_from(L, "scenarios", "names");
  for (size_t i = 0; i + 1 < sizeof names / sizeof *names; i++) {
    lua_rawgeti(L, -1, (lua_Integer)i + 1);
    names[i] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return names;
}

/* ============================================================ }
** {====== The scenario's side ====== */

/* [-1, +2, e] From what the scenario is told to how it is judged and what it does. */
static int prepare(lua_State *L) {
  const char *name = lua_touserdata(L, 1);
  furnish(L);
  push_from(L, "scenarios", "prepare");
  lua_pushstring(L, name);
  copy_context(service, L);
  lua_call(L, 2, 2);
  return 2;
}

/* Do it, with the planned failure, and take down how it ended. 'note' holds 'room' bytes. Lua's collector
** only works in it when memory runs out: a finalizer that it could not even call then, for want of
** memory, would never be called again, and what its object holds be lost. */
static void act(lua_State *L, struct trial *t, char *note, size_t room) {
  static const enum trial_end ends[] = {TRIAL_COMPLETED, TRIAL_FAILED, TRIAL_RAISED};
  static const char *const words[] = {"completed", "failed", "raised"};
  lua_gc(L, LUA_GCSTOP);
  memory_arm(t->kind, t->mode, t->index);
  int status = lua_pcall(L, 0, LUA_MULTRET, 0);
  t->refused = memory_disarm();
  lua_gc(L, LUA_GCRESTART);
  t->asked = memory_asked();
  lua_pushboolean(L, status == LUA_OK);
  lua_insert(L, 2); /* below the results, above the judge */
  if (lua_pcall(L, lua_gettop(L) - 1, 2, 0) != LUA_OK) {
    complain(t, "%s", luaL_tolstring(L, -1, NULL));
    return;
  }
  for (int i = 0; i < TRIAL_ENDS; i++)
    if (strcmp(words[i], lua_tostring(L, -2)) == 0)
      t->end = ends[i];
  (void)snprintf(note, room, "%s", lua_tostring(L, -1));
}

static void run(struct trial *t, char *note, size_t room) {
  lua_State *L = lua_newstate(memory_for_lua, NULL);
  if (L == NULL) {
    complain(t, "no state");
    return;
  }
  lua_pushcfunction(L, prepare);
  lua_pushlightuserdata(L, (void *)t->scenario);
  if (lua_pcall(L, 1, 2, 0) == LUA_OK)
    act(L, t, note, room);
  else
    complain(t, "it could not be prepared: %s", lua_tostring(L, -1));
  lua_close(L);
}

/* ============================================================ }
** {====== What is left ====== */

static int count_descriptors(void) {
  int count = 0;
  DIR *folder = opendir("/proc/self/fd");
  while (folder != NULL && readdir(folder) != NULL)
    count++;
  if (folder != NULL)
    (void)closedir(folder);
  return count;
}

static void compare(struct trial *t, const char *what, long before, long after) {
  if (before != after)
    complain(t, "%+ld %s left behind", after - before, what);
}

/* Nothing of the trial may be left. The first one of a process only shows what libcurl and OpenSSL
** keep for ever. */
static void weigh(struct trial *t) {
  long curl = memory_live(MEMORY_CURL), core = memory_live(MEMORY_CORE);
  int descriptors = count_descriptors();
  compare(t, "blocks of Lua", 0, memory_live(MEMORY_LUA));
  if (baseline.known) {
    compare(t, "blocks of libcurl", baseline.curl, curl);
    compare(t, "blocks of the core", baseline.core, core);
    compare(t, "descriptors", baseline.descriptors, descriptors);
  }
  baseline.known = true;
  baseline.curl = curl;
  baseline.core = core;
  baseline.descriptors = descriptors;
}

/* ============================================================ } */

void trial_run(struct trial *t) {
  char note[64] = "";
  t->complaint[0] = '\0';
  t->refused = false;
  t->asked = 0;
  t->end = TRIAL_RAISED;
  if (!arrange(t))
    return;
  run(t, note, sizeof note);
  lua_pop(service, 1);
  if (t->complaint[0] == '\0')
    settle(t, note);
  weigh(t);
}
