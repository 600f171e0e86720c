/*
** script: a target written in Lua. The file that FUZZ_SCRIPT names returns a function that takes the
** bytes; what it raises is a broken promise. A server of a few moods answers what the library asks.
*/
#include <lauxlib.h>
#include <math.h>   /* isfinite */
#include <stdio.h>  /* snprintf */
#include <string.h> /* memmem */
#include <unistd.h> /* chdir */

#include "check.h"
#include "core.h"
#include "harness.h"
#include "wire.h"

#define ID "66160f989dc5e2c8a9dbb8fb"

/* {====== The server ====== */

/* What it may say. The first four are fit for what was asked, in this order: a create, an info, a
** balance, a token; the fifth is a film. */
static const struct {
  const char *status, *body;
} answers[] = {
    {"200 OK", "{\"code\":1000,\"data\":{\"_id\":\"" ID "\",\"video_status\":1}}"},
    {"200 OK", "{\"code\":1000,\"data\":{\"_id\":\"" ID "\",\"video_status\":3,"
               "\"video\":\"http://127.0.0.1/out.mp4\",\"create_time\":1e12}}"},
    {"200 OK", "{\"code\":1000,\"data\":{\"credit\":12.0}}"},
    {"200 OK", "{\"code\":1000,\"token\":\"abcdefghijklmnop\"}"},
    {"200 OK", "a film"},
    {"200 OK", "{\"code\":1000,\"data\":{\"_id\":\"" ID "\",\"video_status\":2}}"},
    {"200 OK", "{\"code\":1000,\"data\":{\"_id\":\"" ID "\",\"video_status\":4}}"},
    {"200 OK", "{\"code\":1101,\"msg\":\"token\"}"},
    {"429 Too Many Requests", "{\"code\":1005}"},
    {"500 Internal Server Error", "<html>"},
    {"404 Not Found", ""},
    {"200 OK", "{"},
};
enum { ANSWERS = sizeof answers / sizeof answers[0], PLAIN = 128 };

static unsigned fit_for(const char *request, size_t size) {
  static const char *const paths[] = {"/video/lipsync ", "/infobymodelid", "/quota/info",
                                      "/getToken"};
  unsigned i = 0;
  while (i < 4 && memmem(request, size, paths[i], strlen(paths[i])) == NULL)
    i++;
  return i;
}

/* 'user' is its mood: below PLAIN it answers what fits, but for some requests. */
static void answer(void *user, unsigned number, const char *request, size_t size,
                   struct wire_reply *reply) {
  static char text[512];
  unsigned mood = *(const unsigned char *)user, turn = mood + number * 5;
  unsigned which = mood < PLAIN && turn % 4 != 3 ? fit_for(request, size) : turn % (ANSWERS + 1);
  reply->then = turn % 3 == 0 ? WIRE_CLOSE : WIRE_KEEP;
  if (which == ANSWERS) /* hang up without a word */
    return;
  int length =
      snprintf(text, sizeof text, "HTTP/1.1 %s\r\nETag: \"1\"\r\nContent-Length: %zu\r\n\r\n%s",
               answers[which].status, strlen(answers[which].body), answers[which].body);
  reply->bytes = text;
  reply->size = (size_t)length;
  reply->slice = mood % 16 == 1 ? 7 : 0;
}

/* ============================================================ }
** {====== The module "check", for scripts ====== */

/* check.must(holds, promise) */
static int check_must(lua_State *L) {
  fuzz_must(lua_toboolean(L, 1), "%s", luaL_checkstring(L, 2));
  return 0;
}

/* check.error(err, secret or nil) */
static int check_error(lua_State *L) {
  fuzz_check_error(L, 1, luaL_optstring(L, 2, NULL));
  return 0;
}

/* check.job(job) */
static int check_job(lua_State *L) {
  fuzz_check_job(L, 1, false);
  return 0;
}

/* check.settings(settings): what came of options is within what the core can work with. */
static int check_settings(lua_State *L) {
  const struct akl_settings *s = akl_core_check_settings(L, 1);
  fuzz_must(s->connect_timeout >= 0 && s->timeout >= 0 && s->create_timeout >= 0 &&
                s->stall_timeout >= 0 && s->wait_timeout >= 0,
            "times are not negative");
  fuzz_must(s->poll.first >= 0 && s->poll.max >= 0 && s->poll.factor >= 1 &&
                isfinite(s->poll.factor) && s->poll.jitter >= 0 && s->poll.jitter < 1,
            "a schedule goes forward");
  fuzz_must(s->max_bytes >= 1, "a download may have a byte");
  fuzz_must(s->max_retries <= 100, "retries are bounded");
  fuzz_must(s->max_connections >= 1 && s->max_connections <= 10000, "connections are bounded");
  fuzz_must(s->agent != NULL, "there is a user agent");
  return 0;
}

/* check.foreign(): a userdata of somebody else's. */
static int check_foreign(lua_State *L) {
  (void)memset(lua_newuserdatauv(L, sizeof(struct akl_op), 1), 0x55, sizeof(struct akl_op));
  return 1;
}

static int open_check(lua_State *L) {
  static const luaL_Reg functions[] = {{"must", check_must},       {"error", check_error},
                                       {"job", check_job},         {"settings", check_settings},
                                       {"foreign", check_foreign}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}

/* ============================================================ } */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static bool ready;
  struct fuzz_input in = {bytes, size};
  unsigned char mood = fuzz_byte(&in);
  if (!ready) {
    fuzz_clean_environment();
    fuzz_must(chdir(fuzz_folder()) == 0, "there is room for temporary files");
    ready = true;
  }
  int lowest = fuzz_lowest_descriptor();
  wire_reset(answer, &mood);
  lua_State *L = fuzz_lua();
  fuzz_lua_trace(L);
  luaL_requiref(L, "check", open_check, false);
  lua_settop(L, 0);
  fuzz_require(L, FUZZ_SCRIPT);
  lua_pushlstring(L, (const char *)in.at, in.left);
  fuzz_must(fuzz_call(L, 1, 0), "nothing raises: %s", luaL_tolstring(L, -1, NULL));
  if (FUZZ_STATE_PER_INPUT)
    fuzz_lua_close();
  fuzz_empty_folder();
  wire_reset(answer, &mood);
  fuzz_must(fuzz_lowest_descriptor() == lowest, "every descriptor is closed");
  return 0;
}
