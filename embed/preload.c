/*
** preload: what a program in C calls, see akool/lipsync.h. The Lua files lie in the program as
** text; each is compiled when it is first required.
*/
#include "akool/lipsync.h"

#include <lauxlib.h>
#include <lua.h>

#include "sources.h"

int luaopen_akool_lipsync_core(lua_State *L);

/* The loader of one Lua file. Its upvalue says which. Passes on the module's name, as `require`
** does with a file. */
static int load_source(lua_State *L) {
  const struct akl_source *source = &akl_sources[lua_tointeger(L, lua_upvalueindex(1))];
  lua_settop(L, 1);
  if (luaL_loadbuffer(L, (const char *)source->text, source->size, source->chunk) != 0)
    return luaL_error(L, "error loading module '%s':\n\t%s", source->module, lua_tostring(L, -1));
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* [-0, +1, e] Push package.preload, whatever the global `package` has become. */
static void push_preload(lua_State *L) {
  static const char *const path[] = {"_LOADED", "package", "preload"};
  lua_pushvalue(L, LUA_REGISTRYINDEX);
  for (size_t i = 0; i < sizeof path / sizeof *path; i++) {
    lua_getfield(L, -1, path[i]);
    lua_remove(L, -2);
    if (!lua_istable(L, -1))
      luaL_error(L, "akool_lipsync_preload: the state has no package.preload; open Lua's package "
                    "library first");
  }
}

int akool_lipsync_preload(lua_State *L) {
  luaL_checkstack(L, LUA_MINSTACK, "akool_lipsync_preload");
  push_preload(L);
  for (size_t i = 0; i < akl_source_count; i++) {
    lua_pushinteger(L, (lua_Integer)i);
    lua_pushcclosure(L, load_source, 1);
    lua_setfield(L, -2, akl_sources[i].module);
  }
  lua_pushcfunction(L, luaopen_akool_lipsync_core);
  lua_setfield(L, -2, "akool.lipsync.core");
  lua_pop(L, 1);
  return 0;
}
