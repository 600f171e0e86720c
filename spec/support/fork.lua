--- fork: a process that splits in two, which Debian has no module for on every Lua.
---
---   local fork = require("support.fork").load(t.path "fork")   -- nil without a C compiler

local shell = require "support.shell"

local fork = {}

-- No header is needed for so little. What Lua 5.1 calls an integer is shorter, in the same register.
local SOURCE = [[
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
typedef struct lua_State lua_State;
long long luaL_checkinteger(lua_State *L, int index);
void lua_pushinteger(lua_State *L, long long n);
int fork_fork(lua_State *L) { lua_pushinteger(L, fork()); return 1; }
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
int fork_exit(lua_State *L) {
  int status = (int)luaL_checkinteger(L, 1);
  /* What is the parent's is never freed here, which is for no leak checker to judge. */
  if (__lsan_do_recoverable_leak_check) _exit(status);
  exit(status);
}
int fork_wait(lua_State *L) {
  int status = -1;
  waitpid((pid_t)luaL_checkinteger(L, 1), &status, 0);
  lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  return 1;
}
]]

---@class spec.fork
---@field fork fun(): integer          # 0 in the child, its process id in the parent
---@field wait fun(pid: integer): integer  # its exit status; -1 if it died otherwise
---@field exit fun(status: integer)    # without closing the state

--- Compile and load it.
---@param path string  # of the files to write, without their endings
---@return spec.fork?
function fork.load(path)
  local source, library = path .. ".c", path .. ".so"
  local file = assert(io.open(source, "w"))
  file:write(SOURCE)
  file:close()
  if not shell.succeeds("cc -shared -fPIC -o %s %s", library, source) then return nil end
  return {
    fork = assert(package.loadlib(library, "fork_fork")),
    wait = assert(package.loadlib(library, "fork_wait")),
    exit = assert(package.loadlib(library, "fork_exit")),
  }
end

return fork
