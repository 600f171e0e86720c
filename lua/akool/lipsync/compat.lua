-- compat: the few places where Lua 5.1 to 5.4 and LuaJIT differ for us.

local running, isyieldable = coroutine.running, coroutine.isyieldable -- luacheck: ignore 143

local compat = {}

compat.unpack = table.unpack or unpack -- luacheck: ignore 143 (Lua 5.1)

--- Lua's own function. Those that nginx has in its place bind a coroutine to the request that made
--- it; tasks outlive requests.
local function own(name)
  return coroutine["_" .. name] or coroutine[name]
end

compat.resume, compat.yield, compat.status = own "resume", own "yield", own "status"

--- A coroutine for a function. Lua 5.1 makes one only for a function written in Lua.
---@type fun(f: function): thread
compat.create = own "create"
if not pcall(compat.create, print) then
  local create = compat.create
  function compat.create(f)
    local made, co = pcall(create, f)
    if made then return co end
    return create(function(...) return f(...) end)
  end
end

local function what_is_above() return debug.getinfo(2, "S").what end
local function by_tail_call() return what_is_above() end

--- `error` with a level that counts functions. Lua 5.1 counts every tail call as well.
---@type fun(message: any, level: integer)
compat.error = error
if debug and by_tail_call() == "tail" then
  function compat.error(message, level)
    local at, functions = 1, 0
    while functions < level do
      at = at + 1
      local info = debug.getinfo(at, "S")
      if not info or info.what ~= "tail" then functions = functions + 1 end
    end
    error(message, level > 0 and at or 0)
  end
end

--- The coroutine that is running, or nil in the main one.
---@return thread?
function compat.running()
  local co, is_main = running() -- Lua 5.1 and LuaJIT: nil in the main one
  if not is_main then return co end
end

--- Can a coroutine yield inside pcall?
compat.pcall_yields = jit ~= nil or _VERSION ~= "Lua 5.1"

--- What to say where `can_yield` says no.
compat.CANNOT_YIELD = compat.pcall_yields
  and "Nothing can wait inside a callback such as that of string.gsub: do it outside."
  or "On Lua 5.1 nothing can wait inside pcall, the iterator of a for loop, or a callback such as "
    .. "that of string.gsub: do it outside."

-- Lua 5.1 cannot yield across a function in C that called us back, 5.2 and LuaJIT only across these.
local transparent = {}
if jit or _VERSION == "Lua 5.2" then transparent[pcall], transparent[xpcall] = true, true end
if _VERSION == "Lua 5.2" and dofile then transparent[dofile] = true end

--- Does anything between us and the start of this coroutine stand in a yield's way? Lua 5.1 and 5.2
--- cannot say, nor can LuaJIT inside nginx, so the functions that are being called are looked through.
--- (A metamethod of Lua 5.1 is not seen, and neither is an iterator that has left by a tail call.)
local function stack_is_open()
  local getinfo = debug and debug.getinfo
  if not getinfo then return true end
  local level = 3 -- who called `can_yield`
  while true do
    local info = getinfo(level, "nSf")
    if not info then return true end
    if info.what == "C" and not transparent[info.func]
      or not jit and _VERSION == "Lua 5.1" and info.name == "(for generator)" then return false end
    level = level + 1
  end
end

--- Can the function that calls this one yield? Not in the main coroutine, nor inside a callback of a
--- C function that has no way to go on afterwards: of string.gsub or table.sort on any Lua, of pcall
--- or a `for` loop's iterator on Lua 5.1.
---@type fun(): boolean
compat.can_yield = isyieldable or function() -- Lua 5.3, 5.4 and LuaJIT have one
  if not compat.running() then return false end
  local open = stack_is_open() -- not a tail call: levels are counted
  return open
end

return compat
