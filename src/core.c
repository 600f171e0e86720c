/*
** core: the module `akool.lipsync.core`, and the engine as Lua sees it. One engine per Lua state,
** made on first use and closed with the state. No lua_State is kept beyond a call.
*/
#include "core.h"

#include <curl/curl.h> /* curl_global_init */
#include <string.h>    /* strcmp */

#include "compat.h"
#include "protocol.h"

static const char ENGINE[] = "akool.lipsync.engine";
enum { OLDEST_LIBCURL = 0x074A00 }; /* 7.74.0 */

#ifndef AKL_EXPORT /* empty in the static library */
#define AKL_EXPORT __attribute__((visibility("default")))
#endif

void akl_core_class(lua_State *L, const char *name, const luaL_Reg *methods, const luaL_Reg *meta) {
  akl_lua_rawgetp(L, LUA_REGISTRYINDEX, name); /* there, if the module has been opened before */
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    lua_newtable(L);
  }
  akl_lua_register(L, meta);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 0); /* keeps __gc out of a program's hands */
  lua_setfield(L, -2, "__metatable");
  lua_newtable(L);
  akl_lua_register(L, methods);
  lua_setfield(L, -2, "__index");
  akl_lua_rawsetp(L, LUA_REGISTRYINDEX, name);
}

void akl_core_set_class(lua_State *L, const char *name) {
  akl_lua_rawgetp(L, LUA_REGISTRYINDEX, name);
  lua_setmetatable(L, -2);
}

void *akl_core_new(lua_State *L, size_t size, const char *name) {
  struct akl_object *object = akl_lua_newuserdata(L, size);
  memset(object, 0, size);
  object->class = name;
  akl_core_set_class(L, name);
  return object;
}

/* Raise: the value at 'index' is no object of this class of ours. */
static _Noreturn void refuse(lua_State *L, int index, const char *name) {
  const char *type = luaL_typename(L, index), *problem;
  if (luaL_getmetafield(L, index, "__name") && lua_type(L, -1) == LUA_TSTRING)
    type = lua_tostring(L, -1);
  if (strcmp(type, name) == 0)
    problem =
        lua_pushfstring(L, "%s of another copy of the core: this Lua state has loaded two", type);
  else
    problem = lua_pushfstring(L, "%s expected, got %s", name, type);
  for (;;) /* once: it does not come back, which no compiler knows */
    (void)luaL_argerror(L, index, problem);
}

void *akl_core_check(lua_State *L, int index, const char *name) {
  struct akl_object *object = lua_touserdata(L, index);
  if (object == NULL || akl_lua_size(L, index) < sizeof *object || object->class != name)
    refuse(L, index, name);
  return object;
}

/* {====== The engine ====== */

/* Their addresses are where the registry keeps the engine, and the function that a host wants to be
** called before the descriptor closes. As with the classes, another copy of the module has others. */
static const char INSTANCE[] = "engine";
static const char ON_CLOSE[] = "on_close";

/* [-0, +0, -] Whoever watches the descriptor was told, or is another process's host. */
static void forget_host(lua_State *L) {
  lua_pushnil(L);
  akl_lua_rawsetp(L, LUA_REGISTRYINDEX, ON_CLOSE);
}

/* [-0, +0, -] Let whoever watches the descriptor take his hands off it. */
static void tell_closing(lua_State *L) {
  int top = lua_gettop(L);
  akl_lua_rawgetp(L, LUA_REGISTRYINDEX, ON_CLOSE);
  if (lua_isfunction(L, -1)) {
    forget_host(L);
    (void)lua_pcall(L, 0, 0, 0); /* closing goes on, whatever it says */
  }
  lua_settop(L, top);
}

static void close_engine(struct akl_engine_box *box) {
  if (box->stepping) {
    box->to_close = true;
    return;
  }
  struct akl_engine *e = box->engine;
  box->engine = NULL;
  if (e == NULL)
    return;
  akl_calls_close(e);
  akl_engine_free(e);
}

static struct akl_engine_box *check_box(lua_State *L) {
  return akl_core_check(L, 1, ENGINE);
}

static struct akl_engine *check_open(lua_State *L) {
  struct akl_engine_box *box = check_box(L);
  if (box->engine == NULL)
    luaL_error(L, "attempt to use a closed engine");
  return box->engine;
}

static struct akl_engine *check_engine(lua_State *L) {
  struct akl_engine *e = check_open(L);
  if (akl_engine_foreign(e))
    luaL_error(L, "attempt to use an engine of another process: this one was forked from it and "
                  "has to ask for an engine of its own");
  return e;
}

/* [-0, +1 or 2, m] Push a new engine, or nil and an error; then NULL is returned. Born closed, so that
** an error on the way leaks nothing. */
static struct akl_engine_box *new_engine(lua_State *L) {
  struct akl_engine_box *box = akl_core_new(L, sizeof *box, ENGINE);
  lua_newtable(L);
  lua_newtable(L);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  akl_lua_setvalue(L, -2);
  box->engine = akl_engine_new(akl_call_admit);
  if (box->engine != NULL)
    return box;
  lua_pop(L, 1);
  (void)akl_core_refuse(L, AKL_CAUSE_NO_ENGINE, "The engine",
                        "cannot be made: memory or descriptors have run out");
  return NULL;
}

struct akl_engine_box *akl_core_instance(lua_State *L) {
  akl_lua_rawgetp(L, LUA_REGISTRYINDEX, INSTANCE);
  return lua_touserdata(L, -1);
}

struct akl_engine_box *akl_core_engine(lua_State *L) {
  struct akl_engine_box *box = akl_core_instance(L);
  if (box != NULL && box->engine != NULL) {
    if (!akl_engine_foreign(box->engine))
      return box;
    forget_host(L);
    close_engine(box);
  }
  lua_pop(L, 1);
  box = new_engine(L);
  if (box == NULL)
    return NULL;
  const struct akl_engine_box *last = akl_core_instance(L); /* a finalizer may have made one, too */
  box->number = last == NULL ? 1 : last->number + 1;
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  akl_lua_rawsetp(L, LUA_REGISTRYINDEX, INSTANCE);
  return box;
}

/* The state's engine, or nil and an error. */
static int core_engine(lua_State *L) {
  return akl_core_engine(L) != NULL ? 1 : 2;
}

/* engine:step(timeout): make progress; wait up to 'timeout' seconds (default 0) for it. Reading an
** answer makes Lua values, so finalizers of the program's run in here and may call anything; a step
** inside a step does nothing. */
static int engine_step(lua_State *L) {
  struct akl_engine *e = check_engine(L);
  struct akl_engine_box *box = lua_touserdata(L, 1);
  struct akl_transfer *t;
  akl_usec timeout = akl_seconds(luaL_optnumber(L, 2, 0));
  lua_settop(L, 1);
  lua_pushcfunction(L, akl_core_read);
  luaL_checkstack(L, LUA_MINSTACK, "a step");
  if (box->engine == NULL || box->stepping)
    return 0;
  box->stepping = true;
  akl_engine_step(e, timeout);
  akl_calls_take_signal(e);
  while ((t = akl_engine_ended(e)) != NULL)
    akl_core_finish(L, 1, t);
  akl_engine_settle(e);
  box->stepping = false;
  if (box->to_close) {
    box->to_close = false;
    close_engine(box);
  }
  return 0;
}

/* engine:ready(): the next op with news and its slot, or nil. */
static int engine_ready(lua_State *L) {
  struct akl_engine *e = check_open(L);
  struct akl_call *c;
  lua_settop(L, 1);
  while ((c = akl_calls_news(e)) != NULL) {
    akl_core_push_op(L, 1, c);
    if (!lua_isnil(L, -1)) {
      lua_pushinteger(L, (lua_Integer)c->slot);
      if (c->state == AKL_OVER)
        akl_core_release(L, 1, lua_touserdata(L, -2));
      return 2;
    }
    lua_settop(L, 1);
  }
  lua_pushnil(L);
  return 1;
}

/* engine:pollfd(): the one descriptor to watch for readability. */
static int engine_pollfd(lua_State *L) {
  lua_pushinteger(L, akl_engine_pollfd(check_engine(L)));
  return 1;
}

/* engine:events(): what to watch it for, in the words of cqueues. */
static int engine_events(lua_State *L) {
  (void)check_engine(L);
  lua_pushliteral(L, "r");
  return 1;
}

/* engine:timeout(): seconds until a step has work, nil when only the descriptor can tell. */
static int engine_timeout(lua_State *L) {
  akl_usec wait = akl_engine_timeout(check_engine(L));
  if (wait == AKL_NEVER)
    lua_pushnil(L);
  else
    lua_pushnumber(L, (lua_Number)wait / (lua_Number)AKL_SECOND);
  return 1;
}

/* engine:wake(): make the descriptor readable at once, so that a host that watches it comes by. */
static int engine_wake(lua_State *L) {
  akl_engine_wake(check_engine(L));
  return 0;
}

/* engine:on_close(f): call f() before the descriptor closes, instead of what was set before; but not
** when the state closes, nor in a forked child, where it is another process that watches. */
static int engine_on_close(lua_State *L) {
  (void)check_engine(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  akl_lua_rawsetp(L, LUA_REGISTRYINDEX, ON_CLOSE);
  return 0;
}

static lua_Integer ring_length(const struct akl_link *head) {
  lua_Integer n = 0;
  for (const struct akl_link *l = head->next; l != head; l = l->next)
    n++;
  return n;
}

static void set_count(lua_State *L, const char *name, lua_Integer n) {
  lua_pushinteger(L, n);
  lua_setfield(L, -2, name);
}

/* engine:stats(): how much there is of everything, for tests and diagnostics. */
static int engine_stats(lua_State *L) {
  lua_settop(L, 1);
  lua_createtable(L, 0, 6); /* before anything is looked at: a finalizer may close the engine */
  const struct akl_engine *e = check_engine(L);
  const lua_Integer calls = ring_length(&e->calls), running = ring_length(&e->running);
  const lua_Integer handles = e->handles, idle = e->idle_count;
  const lua_Integer timers = (lua_Integer)e->timers.count;
  lua_Integer queued = 0;
  for (int i = 0; i < AKL_LANES; i++)
    queued += ring_length(&e->lanes[i].queue);
  set_count(L, "calls", calls);
  set_count(L, "running", running);
  set_count(L, "queued", queued);
  set_count(L, "handles", handles);
  set_count(L, "idle", idle);
  set_count(L, "timers", timers);
  return 1;
}

/* engine:close(): end what is under way and free everything. Closing twice is fine. */
static int engine_close(lua_State *L) {
  const struct akl_engine_box *box = check_box(L);
  if (box->engine != NULL && akl_engine_foreign(box->engine))
    forget_host(L);
  else if (box->engine != NULL)
    tell_closing(L);
  close_engine(check_box(L));
  return 0;
}

/* The state closes. What a host watched with was born after the engine, so it is gone already. */
static int engine_gc(lua_State *L) {
  close_engine(check_box(L));
  return 0;
}

static int engine_tostring(lua_State *L) {
  struct akl_engine_box *box = check_box(L);
  lua_pushfstring(L, "akool.lipsync.engine (%s)", box->engine == NULL ? "closed" : "open");
  return 1;
}

/* ============================================================ } */

/* core.now(): the monotonic clock, in seconds. */
static int core_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)akl_now() / (lua_Number)AKL_SECOND);
  return 1;
}

static const luaL_Reg engine_methods[] = {
    {"step", engine_step},       {"ready", engine_ready},
    {"pollfd", engine_pollfd},   {"events", engine_events},
    {"timeout", engine_timeout}, {"stats", engine_stats},
    {"wake", engine_wake},       {"on_close", engine_on_close},
    {"close", engine_close},     {NULL, NULL},
};

static const luaL_Reg engine_meta[] = {
    {"__gc", engine_gc},
    {"__close", engine_close},
    {"__tostring", engine_tostring},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"engine", core_engine},
    {"now", core_now},
    {NULL, NULL},
};

AKL_EXPORT int luaopen_akool_lipsync_core(lua_State *L);

int luaopen_akool_lipsync_core(lua_State *L) {
  akl_lua_check(L);
  const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
  if (info->version_num < OLDEST_LIBCURL)
    luaL_error(L, "akool.lipsync needs libcurl 7.74 or later, but this is %s", info->version);
  /* Never undone: the host may use libcurl too. */
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    luaL_error(L, "libcurl cannot be initialised");
  akl_protocol_open(L);
  akl_core_class(L, ENGINE, engine_methods, engine_meta);
  akl_core_open_client(L);
  akl_core_open_op(L);
  akl_core_open_value(L);

  lua_newtable(L);
  akl_lua_register(L, functions);
  akl_lua_register(L, akl_core_client_functions);
  akl_lua_register(L, akl_core_file_functions);
  akl_lua_register(L, akl_core_start_functions);
  akl_lua_register(L, akl_core_value_functions);
  akl_lua_register(L, akl_core_webhook_functions);
  lua_pushliteral(L, AKL_VERSION);
  lua_setfield(L, -2, "_VERSION");
  lua_pushstring(L, info->version);
  lua_setfield(L, -2, "libcurl");
  lua_pushstring(L, info->ssl_version);
  lua_setfield(L, -2, "tls");
  return 1;
}
