/*
** compat: the few places where Lua 5.1 to 5.4 and LuaJIT differ for us. Only rooms that know Lua
** include this. Names are our own, so that they never clash with a host's compatibility layer.
*/
#ifndef AKL_COMPAT_H
#define AKL_COMPAT_H

#include <lauxlib.h>
#include <lua.h>

/* [-0, +0, v] Raise if the Lua that calls is not the one whose functions we found. Only 5.2 and 5.3
** notice a second Lua in the process, and no 5.1 can tell anything. */
static inline void akl_lua_check(lua_State *L) {
#if LUA_VERSION_NUM >= 502
  luaL_checkversion(L);
#else
  (void)L;
#endif
}

/* [-0, +1, m] A new userdata with room for one value of ours beside it. */
static inline void *akl_lua_newuserdata(lua_State *L, size_t size) {
#if LUA_VERSION_NUM >= 504
  return lua_newuserdatauv(L, size, 1);
#else
  return lua_newuserdata(L, size);
#endif
}

/* [-0, +0, -] How many bytes the userdata at 'index' has; 0 for a pointer. */
static inline size_t akl_lua_size(lua_State *L, int index) {
#if LUA_VERSION_NUM >= 502
  return lua_rawlen(L, index);
#else
  return lua_objlen(L, index);
#endif
}

/* [-1, +0, -] Pop a table and keep it beside the userdata at 'index'. */
static inline void akl_lua_setvalue(lua_State *L, int index) {
#if LUA_VERSION_NUM >= 504
  (void)lua_setiuservalue(L, index, 1);
#elif LUA_VERSION_NUM >= 502
  lua_setuservalue(L, index);
#else
  (void)lua_setfenv(L, index);
#endif
}

/* [-0, +0, -] Let go of the table kept beside the userdata at 'index'. 5.1 insists on one: there it
** stays until the next. */
static inline void akl_lua_dropvalue(lua_State *L, int index) {
#if LUA_VERSION_NUM >= 502
  lua_pushvalue(L, index);
  lua_pushnil(L);
  akl_lua_setvalue(L, -2);
  lua_pop(L, 1);
#else
  (void)L;
  (void)index;
#endif
}

/* [-0, +1, -] Push the table kept beside the userdata at 'index'. Only to be asked when one was set:
** in 5.1 every userdata starts with the environment of the function that made it. */
static inline void akl_lua_getvalue(lua_State *L, int index) {
#if LUA_VERSION_NUM >= 504
  (void)lua_getiuservalue(L, index, 1);
#elif LUA_VERSION_NUM >= 502
  lua_getuservalue(L, index);
#else
  lua_getfenv(L, index);
#endif
}

/* [-0, +1, -] Push what the table at 'index' has for this address. */
static inline void akl_lua_rawgetp(lua_State *L, int index, const void *key) {
#if LUA_VERSION_NUM >= 502
  (void)lua_rawgetp(L, index, key);
#else
  lua_pushlightuserdata(L, (void *)(size_t)key);
  lua_rawget(L, index);
#endif
}

/* [-1, +0, m] Pop a value and keep it in the table at 'index' (not relative to the top) for this
** address. */
static inline void akl_lua_rawsetp(lua_State *L, int index, const void *key) {
#if LUA_VERSION_NUM >= 502
  lua_rawsetp(L, index, key);
#else
  lua_pushlightuserdata(L, (void *)(size_t)key);
  lua_insert(L, -2);
  lua_rawset(L, index);
#endif
}

/* [-0, +0, e] Register functions in the table on top of the stack. */
static inline void akl_lua_register(lua_State *L, const luaL_Reg *functions) {
#if LUA_VERSION_NUM >= 502
  luaL_setfuncs(L, functions, 0);
#else
  luaL_register(L, NULL, functions);
#endif
}

/* [-0, +1, -] Push a number that a caller should see as an integer if it is one. */
static inline void akl_lua_pushwhole(lua_State *L, lua_Number n) {
#if LUA_VERSION_NUM >= 503
  if (n >= -9007199254740992.0 && n <= 9007199254740992.0 && n == (lua_Number)(lua_Integer)n) {
    lua_pushinteger(L, (lua_Integer)n);
    return;
  }
#endif
  lua_pushnumber(L, n);
}

#endif
