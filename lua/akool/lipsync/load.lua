-- load: the core, which is in C. Every door of the library asks for it here first, because this says
-- what to do where it cannot be had. Some hosts (VLC, OBS) keep their Lua to themselves, so that a
-- module in C does not find its functions; the system is then asked to show them.

local CORE = "akool.lipsync.core"
local VERSION = "0.1.0" -- of the Lua files; a core of another one speaks to others

local jit = rawget(_G, "jit")
local lua = jit and "LuaJIT" or _VERSION
local number = jit and "jit" or _VERSION:match "%d+%.%d+" -- of the Lua, as CMake wants it

--- Did the module come, but without what it needs of Lua?
local function misses_lua(why)
  return why:find(("error loading module '%s'"):format(CORE), 1, true) and why:find "symbol"
    and why:find "%f[%a]_?luaL?_%l"
end

--- The shared library with this Lua, as the file that this process has mapped. Only such a one is any
--- use: a second Lua beside the one that runs would be its end.
---@return string?
local function mapped_lua()
  local maps = io and io.open "/proc/self/maps"
  if not maps then return nil end
  local found
  for line in maps:lines() do
    local path = line:match "/.*"
    local name = path and path:match "[^/]*$" or ""
    if name:find "^liblua" and name:find(number, 1, true) then found = path end
  end
  maps:close()
  return found
end

--- The core, or nil and why not.
local function try()
  local fine, core = pcall(require, CORE)
  if fine then return core end
  return nil, tostring(core)
end

--- Why the core does not come, in words that help.
local function explain(why)
  local words
  if why:find(("module '%s' not found"):format(CORE), 1, true) then
    words = ("akool.lipsync: its core, which is in C, is not installed for %s. Every Lua has one "
      .. "of its own, in package.cpath."):format(lua)
  elseif misses_lua(why) then
    words = ("akool.lipsync: its core does not fit the Lua that runs here, %s. If it was built for "
      .. "another, build it for this one: cmake with -DAKL_LUA=%s, or luarocks with "
      .. "--lua-version=%s. If not, this program hides its Lua from modules in C: "
      .. "docs/embedding.md says what can be done."):format(lua, number, jit and "5.1" or number)
  elseif not why:find "^akool%.lipsync" then
    words = "akool.lipsync: its core cannot be loaded."
  end
  return words and words .. "\n" .. why or why
end

--- Where something of ours is found, for messages.
local function place(name, path)
  local found = package.searchpath and package.searchpath(name, package[path])
  return found or "somewhere in package." .. path
end

local core, why = try()
local shared = why and misses_lua(why) and mapped_lua()
if shared and package.loadlib(shared, "*") then core, why = try() end
if not core then error(explain(why), 0) end
if core._VERSION ~= VERSION then
  error(("akool.lipsync: its Lua files are of version %s (%s), but its core is of version %s (%s): "
    .. "two installations are mixed here, one of them has to go"):format(VERSION,
    place("akool.lipsync", "path"), tostring(core._VERSION), place(CORE, "cpath")), 0)
end
return core
