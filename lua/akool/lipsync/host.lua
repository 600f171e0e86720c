-- host: whose loop it is that waits. Without a host it is ours, which blocks in the engine; with one,
-- the host's own loop goes on meanwhile, and an adapter says how. Those for known hosts are in `loop/`.

local compat = require "akool.lipsync.compat"
local core = require "akool.lipsync.core"

local host = {}

--- How a host's loop waits for the engine: a table with `watch`, `wait`, or both. The engine has news
--- when its descriptor `engine:pollfd()` is readable; `engine:timeout()` is the number of seconds
--- after which it will be in any case, nil if only a socket can tell.
---@class akool.lipsync.Host
---@field name string?    # for messages
---
--- For a host that calls back: from now on call `step()` whenever the descriptor is readable, or
--- every few milliseconds. Returns what ends that. It is called when nothing is left to wait for,
--- until `watch` is called again; and with `true` before the descriptor closes, which is then to be
--- let go of. `step` never blocks; what it raises is an error of a task that nobody joined.
---@field watch (fun(engine: akool.lipsync.core.Engine, step: fun()): fun(closing: boolean))?
---
--- For a host whose coroutines can wait: let the host's loop go on until the descriptor is readable,
--- or `seconds` have passed, or any moment before. Where that is impossible it returns a sentence that
--- says why. A host that calls back may have it, too, for the main chunk: it runs the host's loop once.
---@field wait (fun(engine: akool.lipsync.core.Engine, seconds: number): string?)?
---
--- Beside `wait`: call `f` in a new coroutine of the host's, for tasks that nobody waits for. Returns
--- false where that is impossible.
---@field spawn (fun(f: fun()): boolean?)?

local adapter          -- nil: our own loop
local watched, unwatch -- the engine that `adapter.watch` was given last, and what ends that
local watching = false -- it has not been ended

local function name_of(given)
  return type(given.name) == "string" and given.name or "the host"
end

--- The adapter of a known host. What it raises is seen from four levels up: from the program.
local function load_adapter(name, options)
  if not name:find "^%l+$" then
    error(("use: the name of a host expected, got %q"):format(name), 4)
  end
  local path = "akool.lipsync.loop." .. name
  local found, made = pcall(require, path)
  if not found and tostring(made):find(("module '%s' not found"):format(path), 1, true) then
    error(("use: there is no adapter for %q; docs/embedding.md shows how to write one"):format(
      name), 4)
  elseif not found then
    error(("use: %s cannot be joined here: %s"):format(name, tostring(made)), 4)
  end
  if type(made) == "function" then
    local fitted = made(options) -- not a tail call: levels are counted
    return fitted
  end
  if options ~= nil then error(("use: the adapter for %q takes no options"):format(name), 4) end
  return made
end

local function check_adapter(given)
  if type(given) ~= "table" then
    error("use: an adapter is a table, see docs/embedding.md; this one is a " .. type(given), 4)
  end
  for _, field in ipairs { "watch", "wait", "spawn" } do
    if given[field] ~= nil and type(given[field]) ~= "function" then
      error(("use: %s should be a function, not a %s"):format(field, type(given[field])), 4)
    end
  end
  if not given.watch and not given.wait then
    error("use: an adapter has a function 'watch' or 'wait', see docs/embedding.md", 4)
  end
end

--- Wait through a host's loop from now on.
---@param given string|akool.lipsync.Host|false  # a host's name, an adapter; false: our own loop again
---@param options any    # what the adapter of that name takes
---@param busy boolean   # something is under way
function host.use(given, options, busy)
  if given ~= false and type(given) ~= "string" and type(given) ~= "table" then
    error("use: the name of a host or an adapter expected, got " .. type(given), 3)
  elseif busy then
    error("use: something is under way and waits for the loop as it is; call it before", 3)
  elseif given and adapter then
    error(("use: this Lua state waits through %s already (`lipsync.use()` tells)"):format(
      name_of(adapter)), 3)
  end
  local chosen = given
  if type(given) == "string" then chosen = load_adapter(given, options) end
  if given then check_adapter(chosen) end
  host.leave()
  adapter = chosen or nil
end

--- The adapter in use, nil for our own loop.
---@return akool.lipsync.Host?
function host.current()
  return adapter
end

--- There is something to wait for: see to it that the host calls `step`.
---@param step fun()
---@return any problem  # why it cannot
function host.attend(step)
  if not (adapter and adapter.watch) then return nil end
  local engine, err = core.engine()
  if not engine then return tostring(err) end
  if watching and engine == watched then return nil end
  local fine, stop = pcall(adapter.watch, engine, step)
  if fine and type(stop) ~= "function" then
    fine, stop = false, "its watch returned no function that ends it, but a " .. type(stop)
  end
  if not fine then
    return ("%s cannot be waited for: %s"):format(name_of(adapter), tostring(stop))
  end
  watched, unwatch, watching = engine, stop, true
  engine:on_close(host.leave)
end

--- Nothing is left to wait for.
function host.rest()
  if not watching then return end
  watching = false
  unwatch(false)
end

--- The engine closes, or another host comes.
function host.leave()
  local stop = unwatch
  watched, unwatch, watching = nil, nil, false
  if stop then stop(true) end
end

--- Something can be done at once: have the host come by.
function host.wake()
  local engine = adapter and core.engine()
  if engine then engine:wake() end
end

--- Is the host one that calls back?
---@return boolean
function host.calls_back()
  return adapter ~= nil and adapter.watch ~= nil
end

--- Is it one whose coroutines wait?
---@return boolean
function host.suspends()
  return adapter ~= nil and adapter.watch == nil
end

--- Call `f` in a new coroutine of the host's. False if it has no way to, here or at all.
---@param f fun()
---@return boolean
function host.spawn(f)
  if not (adapter and adapter.spawn) then return false end
  return adapter.spawn(f) ~= false
end

--- Let the host's loop go on until there may be news, or `seconds` have passed.
---@param seconds number
---@return any problem  # why that is impossible here
function host.wait(seconds)
  local stuck = compat.running() ~= nil and not compat.can_yield()
  if stuck and not (adapter.watch and adapter.wait) then return compat.CANNOT_YIELD end
  if not adapter.wait then
    return ("Waiting here would block %s: do it inside lipsync.spawn(function() … end)."):format(
      name_of(adapter))
  end
  local engine = core.engine()
  if not engine then return nil end
  if not (adapter.watch or compat.pcall_yields) then return adapter.wait(engine, seconds) end
  local problem = select(2, pcall(adapter.wait, engine, seconds))
  return problem and stuck and compat.CANNOT_YIELD or problem
end

return host
