/* check: see check.h. */
#include "check.h"

#include <lauxlib.h>
#include <math.h>   /* isfinite */
#include <string.h> /* strcmp */

#include "errors.h"
#include "harness.h"
#include "protocol.h"
#include "url.h"

enum { PIECE = 8 }; /* bytes of a credential that are too many */

void fuzz_check_text(const char *text, size_t size, const char *secret, const char *what) {
  for (size_t i = 0; i < size; i++)
    fuzz_must((unsigned char)text[i] >= 0x20 && text[i] != 0x7f,
              "no control characters: %s has byte %d at %zu", what, (unsigned char)text[i], i);
  if (secret == NULL)
    return;
  for (size_t i = 0; i + PIECE <= strlen(secret); i++)
    fuzz_must(memmem(text, size, secret + i, PIECE) == NULL,
              "no credential is told: %s is \"%.*s\"", what, (int)size, text);
}

/* {====== Jobs ====== */

/* A number as a program should get it: finite, and an integer if it is whole. */
static void check_number(lua_State *L, int index, const char *what) {
  lua_Number n = lua_tonumber(L, index);
  fuzz_must(isfinite(n), "numbers are finite: %s", what);
  bool exact = n >= -9007199254740992.0 && n <= 9007199254740992.0 && n == floor(n);
  fuzz_must(!exact || lua_isinteger(L, index), "whole numbers are integers: %s is %f", what, n);
}

/* [-0, +0, m] Data that the service sent: tables, strings, numbers, booleans. */
static void check_data(lua_State *L, int index) {
  luaL_checkstack(L, 4, "data");
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    int type = lua_type(L, -1), key = lua_type(L, -2);
    fuzz_must(key == LUA_TSTRING || key == LUA_TNUMBER, "keys of data are strings or numbers");
    fuzz_must(type == LUA_TTABLE || type == LUA_TSTRING || type == LUA_TNUMBER ||
                  type == LUA_TBOOLEAN,
              "data holds only plain values, not a %s", lua_typename(L, type));
    if (type == LUA_TTABLE)
      check_data(L, lua_gettop(L));
    else if (type == LUA_TNUMBER)
      check_number(L, -1, "data");
    lua_pop(L, 1);
  }
}

/* [-0, +1, -] Push a field; its type has to be 'type', or nil if it 'may_lack'. False if nil. */
static bool field(lua_State *L, int index, const char *name, int type, bool may_lack) {
  lua_pushstring(L, name);
  lua_rawget(L, index);
  fuzz_must(lua_type(L, -1) == type || (may_lack && lua_isnil(L, -1)), "%s is a %s, not a %s", name,
            lua_typename(L, type), luaL_typename(L, -1));
  return !lua_isnil(L, -1);
}

static void check_fields(lua_State *L, int index, const char *const names[]) {
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "a key of its own";
    int i = 0;
    while (names[i] != NULL && strcmp(names[i], key) != 0)
      i++;
    fuzz_must(names[i] != NULL, "only documented fields: %s", key);
    lua_pop(L, 1);
  }
}

static void check_times(lua_State *L, int index) {
  bool created = field(L, index, "created_at", LUA_TNUMBER, true);
  bool expires = field(L, index, "expires_at", LUA_TNUMBER, true);
  fuzz_must(created == expires, "created_at and expires_at come together");
  fuzz_must(!created || (lua_isinteger(L, -1) && lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 0),
            "times are integers, and not before 1970");
  lua_pop(L, 2);
}

static void check_video(lua_State *L, int index, bool completed) {
  size_t size;
  if (field(L, index, "video", LUA_TSTRING, !completed)) {
    const char *url = lua_tolstring(L, -1, &size);
    fuzz_must(akl_url_check(url, size, NULL) == NULL, "video is a URL that can be used");
  }
  lua_pop(L, 1);
}

/* The number of a status, which is a word from the one numbered 'first' on. */
static int check_status(lua_State *L, int index, int first) {
  (void)field(L, index, "status", LUA_TSTRING, false);
  const char *status = lua_tostring(L, -1);
  int word = first;
  while (word <= AKL_FAILED && strcmp(status, akl_status_word((enum akl_status)word)) != 0)
    word++;
  fuzz_must(word <= AKL_FAILED, "a status is one of the four words, not \"%s\"", status);
  lua_pop(L, 1);
  return word;
}

/* [-0, +0, m] The id, which has to be the one in the data as well. */
static void check_id(lua_State *L, int index) {
  size_t size;
  (void)field(L, index, "id", LUA_TSTRING, false);
  const char *id = lua_tolstring(L, -1, &size);
  fuzz_must(akl_protocol_bad_id(id, size) == NULL, "a job has an id that can be asked for");
  (void)field(L, index, "data", LUA_TTABLE, false);
  check_data(L, lua_gettop(L));
  (void)field(L, lua_gettop(L), "_id", LUA_TSTRING, false);
  fuzz_must(lua_rawequal(L, -1, -3), "the job's id is the one in its data");
  lua_pop(L, 3);
}

void fuzz_check_job(lua_State *L, int index, bool may_be_new) {
  static const char *const names[] = {"id",       "status",  "video", "created_at", "expires_at",
                                      "duration", "credits", "data",  NULL};
  index = lua_absindex(L, index);
  fuzz_must(lua_istable(L, index), "a job is a table");
  check_fields(L, index, names);
  check_id(L, index);
  int word = check_status(L, index, may_be_new ? AKL_UNKNOWN : AKL_QUEUEING);
  check_video(L, index, word == AKL_COMPLETED);
  check_times(L, index);
  if (field(L, index, "duration", LUA_TNUMBER, true))
    check_number(L, -1, "duration");
  if (field(L, index, "credits", LUA_TNUMBER, true))
    check_number(L, -1, "credits");
  lua_pop(L, 2);
}

void fuzz_check_event(lua_State *L, int index) {
  static const char *const names[] = {"id", "status", "video", "type", "sent_at", "data", NULL};
  size_t size;
  index = lua_absindex(L, index);
  fuzz_must(lua_istable(L, index), "an event is a table");
  check_fields(L, index, names);
  check_id(L, index);
  int word = check_status(L, index, AKL_QUEUEING);
  if (field(L, index, "video", LUA_TSTRING, true)) {
    const char *url = lua_tolstring(L, -1, &size);
    fuzz_must(word == AKL_COMPLETED && strncmp(url, "http", 4) == 0,
              "only what is completed has a result, at a web address");
    fuzz_check_text(url, size, NULL, "video");
  }
  (void)field(L, index, "type", LUA_TSTRING, true);
  (void)field(L, index, "sent_at", LUA_TNUMBER, false);
  check_number(L, -1, "sent_at");
  lua_pop(L, 3);
}

/* ============================================================ }
** {====== Errors ====== */

static void check_string(lua_State *L, int index, const char *name, bool may_lack,
                         const char *secret) {
  size_t size;
  if (field(L, index, name, LUA_TSTRING, may_lack)) {
    const char *text = lua_tolstring(L, -1, &size);
    fuzz_must(size > 0, "%s says something", name);
    fuzz_check_text(text, size, secret, name);
  }
  lua_pop(L, 1);
}

static void check_kind(lua_State *L, int index) {
  int kind = AKL_KIND_NONE + 1;
  (void)field(L, index, "kind", LUA_TSTRING, false);
  while (kind <= AKL_KIND_CANCELLED &&
         strcmp(lua_tostring(L, -1), akl_kind_word((enum akl_kind)kind)) != 0)
    kind++;
  fuzz_must(kind <= AKL_KIND_CANCELLED, "\"%s\" is a kind of error", lua_tostring(L, -1));
  lua_pop(L, 1);
}

static void check_numbers(lua_State *L, int index) {
  if (field(L, index, "code", LUA_TNUMBER, true))
    fuzz_must(lua_isinteger(L, -1), "code is an integer");
  if (field(L, index, "http_status", LUA_TNUMBER, true))
    fuzz_must(lua_isinteger(L, -1) && lua_tointeger(L, -1) > 0,
              "http_status is an integer, and not %s", lua_tostring(L, -1));
  if (field(L, index, "retry_after", LUA_TNUMBER, true))
    fuzz_must(lua_tonumber(L, -1) > 0 && isfinite(lua_tonumber(L, -1)),
              "retry_after is a length of time");
  lua_pop(L, 3);
}

/* What a program that prints the error shows, without what stands in it of the job. */
static void check_printed(lua_State *L, int index, const char *secret) {
  size_t size;
  lua_pushnil(L);
  lua_setfield(L, index, "job");
  const char *text = luaL_tolstring(L, index, &size);
  fuzz_check_text(text, size, secret, "the printed error");
  lua_pop(L, 1);
}

void fuzz_check_error(lua_State *L, int index, const char *secret) {
  static const char *const names[] = {"kind",        "name",           "message",   "code",
                                      "http_status", "server_message", "retryable", "maybe_created",
                                      "job",         "retry_after",    NULL};
  index = lua_absindex(L, index);
  fuzz_must(lua_istable(L, index), "an error is a table");
  check_fields(L, index, names);
  check_kind(L, index);
  check_string(L, index, "name", false, secret);
  check_string(L, index, "message", false, secret);
  check_string(L, index, "server_message", true, secret);
  check_numbers(L, index);
  (void)field(L, index, "retryable", LUA_TBOOLEAN, false);
  (void)field(L, index, "maybe_created", LUA_TBOOLEAN, false);
  fuzz_must(!lua_toboolean(L, -1) || !lua_toboolean(L, -2),
            "what may have been paid is not said to be repeatable");
  if (field(L, index, "job", LUA_TTABLE, true)) {
    (void)field(L, lua_gettop(L), "id", LUA_TSTRING, false);
    lua_pop(L, 1);
  }
  lua_pop(L, 3);
  check_printed(L, index, secret);
}

/* ============================================================ } */
