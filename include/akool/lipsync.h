/*
** akool/lipsync.h: the client for Akool's LipSync service in a program in C that brings its own
** Lua. libakool_lipsync.a holds the C core and the Lua files; all work is done from Lua, so there is
** one function to call from C:
**
**   lua_State *L = luaL_newstate();
**   luaL_openlibs(L);
**   akool_lipsync_preload(L);
**   luaL_dostring(L, "local lipsync = require 'akool.lipsync' ...");
**
** Lua. The archive is made for one version of Lua (pkg-config --variable=lua akool-lipsync); the
** program is linked with that one, static or shared.
**
** JSON. `require "cjson"` must work in the state, and give lua-cjson: docs/embedding-c.md says how.
**
** Ownership. Whatever is made belongs to the Lua state. lua_close ends what is under way, without
** waiting for it, and frees it; jobs at the service go on. The program frees nothing. What libcurl
** keeps for the whole process (curl_global_init) is never undone, as the program may use it too.
**
** Threads. A state is for one thread at a time. States share nothing, so that each thread may have
** its own. With libcurl before 7.84, let one thread `require` the library before others begin to.
**
** Processes. A forked child leaves alone what its parent made, closing the state included, and gets
** an engine of its own when it asks for something.
**
** Unloading. A plugin is linked with -Wl,-z,nodelete: a thread of libcurl that looks up a name may
** outlive the state.
*/
#ifndef AKOOL_LIPSYNC_H
#define AKOOL_LIPSYNC_H

#ifdef __cplusplus
extern "C" {
#endif

struct lua_State;

/* [-0, +0, e] Make `require` find akool.lipsync, its Lua rooms (but for akool.lipsync.mock, which
** runs as a process of its own) and akool.lipsync.core inside the program, before any files.
** Nothing is loaded yet. Raises, as Lua does, when memory runs out or when the state has no package
** library (luaL_openlibs opens it). Returns 0, and so may be called by lua_pcall as a lua_CFunction;
** outside of a protected call, what it raises ends the program. */
int akool_lipsync_preload(struct lua_State *L);

#ifdef __cplusplus
}
#endif

#endif
