/*
** core, values: errors, events and files as the Lua tables that a program sees.
*/
#include <lauxlib.h>
#include <stdlib.h> /* free */
#include <string.h> /* strcmp */

#include "compat.h"
#include "core.h"

static const char ERROR[] = "akool.lipsync.error";

static void set_string(lua_State *L, const char *field, const char *value) {
  if (value == NULL)
    return;
  lua_pushstring(L, value);
  lua_setfield(L, -2, field);
}

static void set_integer(lua_State *L, const char *field, lua_Integer value) {
  lua_pushinteger(L, value);
  lua_setfield(L, -2, field);
}

static void set_number(lua_State *L, const char *field, double value) {
  akl_lua_pushwhole(L, value);
  lua_setfield(L, -2, field);
}

static void set_boolean(lua_State *L, const char *field, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, field);
}

/* {====== Errors ====== */

void akl_core_push_error(lua_State *L, const struct akl_error *e, const char *job,
                         const char *status) {
  lua_createtable(L, 0, 8);
  set_string(L, "kind", akl_kind_word(e->kind));
  set_string(L, "name", e->name);
  set_string(L, "message", e->message != NULL ? e->message : e->advice);
  set_string(L, "server_message", e->server_message);
  set_boolean(L, "retryable", e->retryable);
  set_boolean(L, "maybe_created", e->maybe_created);
  if (e->has_code)
    set_integer(L, "code", e->code);
  if (e->http_status != 0)
    set_integer(L, "http_status", e->http_status);
  if (e->retry_after > 0)
    set_number(L, "retry_after", e->retry_after);
  if (job != NULL) {
    lua_createtable(L, 0, 2);
    set_string(L, "id", job);
    set_string(L, "status", status);
    lua_setfield(L, -2, "job");
  }
  akl_core_set_class(L, ERROR);
}

int akl_core_refuse(lua_State *L, enum akl_cause cause, const char *what, const char *problem) {
  struct akl_error e = {0};
  /* The text is made by Lua, so that running out of memory here leaks nothing of ours. */
  const struct akl_entry *entry = akl_cause_at((unsigned)cause);
  e.kind = entry->kind;
  e.name = entry->name;
  e.retryable = entry->retryable;
  lua_pushnil(L);
  akl_core_push_error(L, &e, NULL, NULL);
  lua_pushfstring(L, "%s %s. %s", what, problem, entry->advice);
  lua_setfield(L, -2, "message");
  return 2;
}

/* [-0, +1, e] The field 'name' of the table at 1 as a string, or NULL. Stays on the stack. */
static const char *field(lua_State *L, const char *name) {
  lua_pushstring(L, name);
  lua_rawget(L, 1);
  return lua_isnumber(L, -1) || lua_isstring(L, -1) ? lua_tostring(L, -1) : NULL;
}

/* "media/video_too_long (code 1204): The video … [job 66160f98…]" */
static int error_tostring(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  const char *kind = field(L, "kind"), *name = field(L, "name"), *message = field(L, "message");
  const char *code = field(L, "code"), *status = field(L, "http_status");
  const char *words = field(L, "server_message");
  const char *job = NULL;
  lua_pushliteral(L, "job");
  lua_rawget(L, 1);
  if (lua_istable(L, -1)) {
    lua_pushliteral(L, "id");
    lua_rawget(L, -2);
    job = lua_isstring(L, -1) ? lua_tostring(L, -1) : NULL;
  }
  luaL_checkstack(L, 10, "an error's text");
  int start = lua_gettop(L);
  lua_pushfstring(L, "%s/%s", kind == NULL ? "?" : kind, name == NULL ? "?" : name);
  if (code != NULL)
    lua_pushfstring(L, " (code %s)", code);
  else if (status != NULL)
    lua_pushfstring(L, " (HTTP %s)", status);
  lua_pushfstring(L, ": %s", message == NULL ? "no message" : message);
  if (words != NULL)
    lua_pushfstring(L, " (The service: \"%s\")", words);
  if (job != NULL)
    lua_pushfstring(L, " [job %s]", job);
  lua_concat(L, lua_gettop(L) - start);
  return 1;
}

/* "text" .. err, err .. "text" */
static int error_concat(lua_State *L) {
  for (int i = 1; i <= 2; i++) {
    lua_getglobal(L, "tostring");
    lua_pushvalue(L, i);
    lua_call(L, 1, 1);
  }
  lua_concat(L, 2);
  return 1;
}

/* [-0, +0, e] Copy the fields of the table at 'from' into the table on top. */
static void copy_fields(lua_State *L, int from) {
  lua_pushnil(L);
  while (lua_next(L, from) != 0) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
}

/* core.error(name, what_happened, fields): an error of one of our own causes, for the Lua rooms.
** 'fields' (optional) is copied over it. */
static int core_error(lua_State *L) {
  const struct akl_entry *entry = akl_cause_named(luaL_checkstring(L, 1));
  const char *what = luaL_checkstring(L, 2);
  if (entry == NULL)
    return luaL_argerror(L, 1, "not the name of a cause in errors.def");
  struct akl_error e = {.kind = entry->kind, .retryable = entry->retryable, .name = entry->name};
  lua_settop(L, 3);
  akl_core_push_error(L, &e, NULL, NULL);
  lua_pushfstring(L, "%s %s", what, entry->advice);
  lua_setfield(L, -2, "message");
  if (lua_istable(L, 3))
    copy_fields(L, 3);
  return 1;
}

static void push_entry(lua_State *L, const struct akl_entry *entry) {
  lua_createtable(L, 0, 6);
  if (entry->code != 0)
    set_integer(L, "code", entry->code);
  set_string(L, "kind", akl_kind_word(entry->kind));
  set_string(L, "name", entry->name);
  set_boolean(L, "retryable", entry->retryable);
  set_string(L, "meaning", entry->meaning);
  set_string(L, "advice", entry->advice);
}

/* core.explain(code): the row of one of Akool's codes, or nil. */
static int core_explain(lua_State *L) {
  lua_Number code = luaL_checknumber(L, 1);
  const struct akl_entry *entry =
      code >= 0 && code < 1e6 && code == (lua_Number)(int)code ? akl_code_entry((int)code) : NULL;
  if (entry == NULL)
    lua_pushnil(L);
  else
    push_entry(L, entry);
  return 1;
}

static int push_table(lua_State *L, const struct akl_entry *(*row)(unsigned)) {
  const struct akl_entry *entry;
  lua_newtable(L);
  for (unsigned i = 0; (entry = row(i)) != NULL; i++) {
    push_entry(L, entry);
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

/* core.codes(), core.causes(): the two halves of the error table, in its order. */
static int core_codes(lua_State *L) {
  return push_table(L, akl_code_at);
}

static int core_causes(lua_State *L) {
  return push_table(L, akl_cause_at);
}

/* ============================================================ }
** {====== Events ====== */

void akl_core_push_event(lua_State *L, const struct akl_event *event, const char *job) {
  static const char *const types[] = {"request", "answer", "retry", "status", "token"};
  lua_createtable(L, 0, 8);
  set_string(L, "type", types[event->type]);
  set_string(L, "op", akl_call_word(event->kind));
  set_number(L, "at", event->at);
  set_string(L, "job", job);
  switch (event->type) {
  case AKL_EV_REQUEST:
    set_string(L, "request", event->text);
    set_integer(L, "attempt", (lua_Integer)event->attempt);
    break;
  case AKL_EV_ANSWER:
    set_integer(L, "attempt", (lua_Integer)event->attempt);
    set_number(L, "seconds", event->seconds);
    set_string(L, "error", event->error);
    if (event->http_status != 0)
      set_integer(L, "http_status", event->http_status);
    if (event->date != (time_t)-1)
      set_integer(L, "date", (lua_Integer)event->date);
    if (event->code != 0)
      set_integer(L, "code", event->code);
    break;
  case AKL_EV_RETRY:
    set_integer(L, "attempt", (lua_Integer)event->attempt);
    set_number(L, "wait", event->seconds);
    set_string(L, "error", event->error);
    break;
  case AKL_EV_STATUS:
    set_integer(L, "number", event->status);
    set_string(L, "status",
               akl_status_word(event->status >= AKL_QUEUEING && event->status <= AKL_FAILED
                                   ? (enum akl_status)event->status
                                   : AKL_UNKNOWN));
    break;
  case AKL_EV_TOKEN:
    break;
  }
}

/* ============================================================ }
** {====== Files ====== */

void akl_core_push_file(lua_State *L, const char *path, int64_t size, const char *sha256) {
  lua_createtable(L, 0, 3);
  set_string(L, "path", path);
  set_number(L, "bytes", (double)size);
  set_string(L, "sha256", sha256);
}

/* ============================================================ } */

const luaL_Reg akl_core_value_functions[] = {
    {"error", core_error}, {"explain", core_explain},
    {"codes", core_codes}, {"causes", core_causes},
    {NULL, NULL},
};

static const luaL_Reg error_meta[] = {
    {"__tostring", error_tostring},
    {"__concat", error_concat},
    {NULL, NULL},
};

static const luaL_Reg no_methods[] = {{NULL, NULL}};

void akl_core_open_value(lua_State *L) {
  akl_core_class(L, ERROR, no_methods, error_meta);
}
