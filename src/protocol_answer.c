/*
** protocol, answers: from JSON to a job or an error. While an answer is read, the stack holds the
** document at 'doc' and its data at 'data'. See protocol.h.
*/
#include <math.h>   /* isfinite, floor */
#include <stdio.h>  /* snprintf */
#include <stdlib.h> /* strtol */
#include <string.h> /* strlen */

#include "compat.h"
#include "protocol.h"
#include "url.h"

enum {
  SUCCESS = 1000,      /* business code */
  TOKEN_MAX = 8192,    /* bytes */
  KEPT_FOR = 7 * 86400 /* seconds: how long results can be downloaded */
};

static bool is_null(lua_State *L, int index) {
  return lua_type(L, index) == LUA_TLIGHTUSERDATA;
}

/* [-1, +0, m] The value on top is a number or null in the table below its key: put in its place what a
** user should see. False when no number can hold it. */
static bool replace(lua_State *L) {
  bool is_number = lua_type(L, -1) == LUA_TNUMBER;
  lua_Number n = is_number ? lua_tonumber(L, -1) : 0;
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  if (is_number)
    akl_lua_pushwhole(L, n);
  else
    lua_pushnil(L);
  lua_rawset(L, -4); /* an existing key, so a traversal may go on */
  return isfinite(n);
}

bool akl_protocol_tidy(lua_State *L) {
  bool fine = true;
  luaL_checkstack(L, 4, "JSON");
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    switch (lua_type(L, -1)) {
    case LUA_TTABLE:
      fine = akl_protocol_tidy(L) && fine;
      lua_pop(L, 1);
      break;
    case LUA_TNUMBER:
    case LUA_TLIGHTUSERDATA:
      fine = replace(L) && fine;
      break;
    default:
      lua_pop(L, 1);
    }
  }
  return fine;
}

/* The field named 'field' is not what it has to be: say what it is instead. */
static void wrong(lua_State *L, struct akl_answer *a, const char *field, const char *expected,
                  int index) {
  char is[48];
  if (lua_type(L, index) == LUA_TNUMBER)
    (void)snprintf(is, sizeof is, "the number %.14g", lua_tonumber(L, index));
  else if (is_null(L, index))
    (void)snprintf(is, sizeof is, "null");
  else
    (void)snprintf(is, sizeof is, "%s%s", lua_isnil(L, index) ? "" : "a ",
                   lua_isnil(L, index) ? "missing" : luaL_typename(L, index));
  akl_error_set(&a->error, AKL_CAUSE_WRONG_FIELD, "The answer's field %s should be %s but is %s.",
                field, expected, is);
}

static bool is_good(const struct akl_answer *a) {
  return a->error.kind == AKL_KIND_NONE;
}

/* A whole number of a sane size. */
static bool to_int(lua_State *L, int index, int *out) {
  if (lua_type(L, index) != LUA_TNUMBER)
    return false;
  lua_Number n = lua_tonumber(L, index);
  if (!(n > -1e9 && n < 1e9) || n != floor(n))
    return false;
  *out = (int)n;
  return true;
}

/* The business code: a number, or a string of digits. */
static bool to_code(lua_State *L, int index, int *out) {
  if (lua_type(L, index) != LUA_TSTRING)
    return to_int(L, index, out);
  size_t size;
  const char *s = lua_tolstring(L, index, &size);
  if (size == 0 || size > 8 || strspn(s, "0123456789") != size)
    return false;
  *out = (int)strtol(s, NULL, 10);
  return true;
}

/* The service's words, cut, without control characters and credentials, into 'out'. */
static const char *message_of(lua_State *L, const struct akl_client *c, int doc, char *out,
                              size_t room) {
  lua_getfield(L, doc, "msg");
  if (lua_type(L, -1) != LUA_TSTRING) {
    lua_pop(L, 1);
    lua_getfield(L, doc, "message");
  }
  size_t size = 0;
  const char *s = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : "";
  if (size > room - 1) {
    size = room - 1;
    while (size > 0 && ((unsigned char)s[size] & 0xC0) == 0x80)
      size--; /* not in the middle of a character */
  }
  for (size_t i = 0; i < size; i++)
    out[i] = (char)((unsigned char)s[i] < 0x20 || s[i] == 0x7f ? ' ' : s[i]);
  out[size] = '\0';
  lua_pop(L, 1);
  akl_client_redact(c, out);
  return size == 0 ? NULL : out;
}

static bool is_success(const struct akl_transfer *t) {
  return t->status >= 200 && t->status < 300;
}

/* [-0, +1, m] Push the decoded document, or nil when the body is not a JSON object. */
static void decode(lua_State *L, const struct akl_transfer *t, struct akl_answer *a) {
  const char *body = t->answer.data;
  size_t size = t->answer.size, start = 0;
  while (start < size && (unsigned char)body[start] <= ' ')
    start++;
  lua_pushnil(L);
  if (start == size) {
    akl_error_set(&a->error, AKL_CAUSE_EMPTY_BODY, "The service answered with an empty body.");
  } else if (body[start] == '<') {
    akl_error_set(&a->error, AKL_CAUSE_HTML_BODY, "The service answered with a web page.");
  } else if (memchr(body, '\0', size) != NULL) { /* where lua-cjson would stop reading */
    akl_error_set(&a->error, AKL_CAUSE_BROKEN_JSON, "The answer has a zero byte in it.");
  } else {
    lua_pop(L, 1);
    akl_lua_rawgetp(L, LUA_REGISTRYINDEX, akl_json_decode);
    lua_pushlstring(L, body, size);
    int failed = lua_pcall(L, 1, 1, 0);
    if (failed == LUA_ERRMEM)
      lua_error(L);
    if (failed != 0 || !lua_istable(L, -1)) {
      akl_error_set(&a->error, AKL_CAUSE_BROKEN_JSON, "The answer is not a JSON object (%.80s).",
                    failed != 0 && lua_isstring(L, -1) ? lua_tostring(L, -1) : "something else");
      lua_pop(L, 1);
      lua_pushnil(L);
    }
  }
}

/* The id in data, if there is one that can be used. */
static void note_id(lua_State *L, int data, struct akl_answer *a) {
  size_t size;
  if (!lua_istable(L, data))
    return;
  lua_getfield(L, data, "_id");
  const char *id = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
  if (id != NULL && akl_protocol_bad_id(id, size) == NULL)
    memcpy(a->id, id, size + 1);
  lua_pop(L, 1);
}

/* Copy an optional number of data into the job on top: a whole number if it is one. */
static void optional_number(lua_State *L, int data, const char *from, const char *named,
                            const char *to, struct akl_answer *a) {
  lua_getfield(L, data, from);
  bool absent = lua_isnil(L, -1) || is_null(L, -1);
  if (!absent && (lua_type(L, -1) != LUA_TNUMBER || !isfinite(lua_tonumber(L, -1)))) {
    wrong(L, a, named, "a number", -1);
  } else if (!absent) {
    akl_lua_pushwhole(L, lua_tonumber(L, -1));
    lua_setfield(L, -3, to);
  }
  lua_pop(L, 1);
}

/* created_at and expires_at, from milliseconds. */
static void set_times(lua_State *L, int data, struct akl_answer *a) {
  lua_getfield(L, data, "create_time");
  bool absent = lua_isnil(L, -1) || is_null(L, -1);
  lua_Number ms = lua_tonumber(L, -1);
  if (!absent && (lua_type(L, -1) != LUA_TNUMBER || !(ms >= 0 && ms < 1e15))) {
    wrong(L, a, "data.create_time", "a time in milliseconds", -1);
  } else if (!absent) {
    akl_lua_pushwhole(L, floor(ms / 1000));
    lua_setfield(L, -3, "created_at");
    akl_lua_pushwhole(L, floor(ms / 1000) + KEPT_FOR);
    lua_setfield(L, -3, "expires_at");
  }
  lua_pop(L, 1);
}

static void set_status(lua_State *L, int data, bool may_be_new, struct akl_answer *a) {
  lua_getfield(L, data, "video_status");
  if (!to_int(L, -1, &a->number)) {
    wrong(L, a, "data.video_status", "a whole number", -1);
  } else if (a->number >= AKL_QUEUEING && a->number <= AKL_FAILED) {
    a->status = (enum akl_status)a->number;
  } else if (!may_be_new) {
    akl_error_set(&a->error, AKL_CAUSE_WRONG_FIELD,
                  "The answer's field data.video_status is %d, which is none of the documented 1 "
                  "to 4.",
                  a->number);
  }
  lua_pop(L, 1);
  lua_pushstring(L, akl_status_word(a->status));
  lua_setfield(L, -2, "status");
}

static void set_video(lua_State *L, int data, struct akl_answer *a) {
  size_t size = 0;
  lua_getfield(L, data, "video");
  bool absent = lua_isnil(L, -1) || is_null(L, -1);
  const char *url = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
  if (!absent && url == NULL) {
    wrong(L, a, "data.video", "a string", -1);
  } else if (size > 0) {
    const char *bad = akl_url_check(url, size, NULL);
    if (bad != NULL)
      akl_error_set(&a->error, AKL_CAUSE_WRONG_FIELD, "The answer's field data.video %s.", bad);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "video");
  } else if (a->status == AKL_COMPLETED) {
    akl_error_set(&a->error, AKL_CAUSE_NO_VIDEO_URL,
                  "Job %s is completed, but its result has no URL.", a->id);
  }
  lua_pop(L, 1);
}

/* [-0, +1, m] Push the job in 'data', complete or not at all (nil). */
static void read_job(lua_State *L, const struct akl_call *c, int data, struct akl_answer *a) {
  if (lua_isnil(L, data) || is_null(L, data)) {
    akl_error_set(&a->error, AKL_CAUSE_NO_DATA_YET, "The answer has no data about the job.");
    lua_pushnil(L);
    return;
  }
  lua_createtable(L, 0, 8);
  if (!lua_istable(L, data))
    wrong(L, a, "data", "an object", data);
  else if (a->id[0] == '\0') {
    lua_getfield(L, data, "_id");
    wrong(L, a, "data._id", "a job id", -1);
    lua_pop(L, 1);
  } else if (c->kind != AKL_CREATE && strcmp(a->id, c->job) != 0)
    akl_error_set(&a->error, AKL_CAUSE_WRONG_JOB, "The answer is about job %s.", a->id);
  if (is_good(a)) {
    lua_pushstring(L, a->id);
    lua_setfield(L, -2, "id");
    set_status(L, data, c->kind == AKL_POLL, a);
  }
  if (is_good(a))
    set_video(L, data, a);
  if (is_good(a))
    set_times(L, data, a);
  if (is_good(a))
    optional_number(L, data, "video_lock_duration", "data.video_lock_duration", "duration", a);
  if (is_good(a))
    optional_number(L, data, "deduction_lock_duration", "data.deduction_lock_duration", "credits",
                    a);
  if (is_good(a)) {
    lua_pushvalue(L, data);
    if (!akl_protocol_tidy(L))
      akl_error_set(&a->error, AKL_CAUSE_WRONG_FIELD,
                    "The answer's field data has a number in it that is too large to be one.");
    lua_setfield(L, -2, "data");
  }
  if (!is_good(a)) {
    lua_pop(L, 1);
    lua_pushnil(L);
  }
}

/* [-0, +1, m] Push { credits = the balance }, or nil. */
static void read_credits(lua_State *L, int data, struct akl_answer *a) {
  if (!lua_istable(L, data)) {
    wrong(L, a, "data", "an object", data);
    lua_pushnil(L);
    return;
  }
  lua_getfield(L, data, "credit");
  if (lua_type(L, -1) != LUA_TNUMBER || !isfinite(lua_tonumber(L, -1))) {
    wrong(L, a, "data.credit", "a number", -1);
    lua_pushnil(L);
  } else {
    lua_createtable(L, 0, 1);
    akl_lua_pushwhole(L, lua_tonumber(L, -2));
    lua_setfield(L, -2, "credits");
  }
  lua_remove(L, -2);
}

static void read_token(lua_State *L, int doc, struct akl_answer *a) {
  size_t size = 0;
  lua_getfield(L, doc, "token");
  const char *token = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
  bool fine = size > 0 && size <= TOKEN_MAX;
  for (size_t i = 0; fine && i < size; i++)
    fine = token[i] > 0x20 && token[i] < 0x7f;
  if (!fine)
    wrong(L, a, "token", "a token of printable characters", -1);
  else if ((a->token = strdup(token)) == NULL)
    akl_error_set(&a->error, AKL_CAUSE_OUT_OF_MEMORY, "While fetching a token, memory ran out.");
  lua_pop(L, 1);
}

/* The document says that the request was refused, or an HTTP status does. */
static void read_refusal(lua_State *L, const struct akl_call *c, int doc, int code,
                         const struct akl_transfer *t, struct akl_answer *a) {
  char words[256];
  const char *message = message_of(L, c->client, doc, words, sizeof words);
  if (is_success(t) || akl_code_entry(code) != NULL)
    akl_error_code(&a->error, code, message);
  else {
    akl_error_http(&a->error, t->status, t->retry_after, akl_call_doing(c));
    a->error.code = code;
    a->error.has_code = code != 0;
    a->error.server_message = message == NULL ? NULL : strdup(message);
  }
}

/* [-0, +1, m] */
static void read_document(lua_State *L, const struct akl_call *c, const struct akl_transfer *t,
                          int doc, struct akl_answer *a) {
  int code = 0;
  lua_getfield(L, doc, "data");
  int data = lua_gettop(L);
  lua_getfield(L, doc, "code");
  bool has_code = to_code(L, -1, &code);
  note_id(L, data, a);
  if (!is_success(t) && (!has_code || code == SUCCESS))
    read_refusal(L, c, doc, 0, t, a);
  else if (!has_code)
    wrong(L, a, "code", "a number", -1);
  else if (code != SUCCESS)
    read_refusal(L, c, doc, code, t, a);
  lua_pop(L, 1);
  if (!is_good(a))
    lua_pushnil(L);
  else if (c->kind == AKL_CREDITS)
    read_credits(L, data, a);
  else if (c->kind != AKL_TOKEN)
    read_job(L, c, data, a);
  else {
    read_token(L, doc, a);
    lua_pushnil(L);
  }
}

void akl_protocol_read(lua_State *L, const struct akl_call *c, const struct akl_transfer *t,
                       struct akl_answer *a) {
  int top = lua_gettop(L);
  luaL_checkstack(L, 12, "an answer");
  decode(L, t, a);
  if (lua_istable(L, -1)) {
    read_document(L, c, t, top + 1, a);
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
  } else if (!is_success(t)) {
    akl_error_http(&a->error, t->status, t->retry_after, akl_call_doing(c));
  }
  if (!is_good(a)) {
    a->error.http_status = t->status;
    if (a->error.retry_after <= 0 && t->retry_after > 0)
      a->error.retry_after = t->retry_after;
    if (a->error.message != NULL) /* it may quote a field, and any field may repeat the key */
      akl_client_redact(c->client, a->error.message);
  }
}
