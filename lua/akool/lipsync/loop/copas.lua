-- copas, 1.1.7 to 4: its threads wait, each as if it read from a socket. Tasks that nobody waits for go
-- on in a thread of their own.

local compat = require "akool.lipsync.compat"
local copas = require "copas"
local socket = require "socket"

local ELSEWHERE = "copas cannot wait in a coroutine of your own: call it in a thread of copas, or "
  .. "inside lipsync.spawn(function() … end)."

-- What all share that wait for an engine. LuaSocket's select tells only one of several that have the
-- same descriptor, so whoever goes on while it is readable has the others told.
local shared -- { engine =, fd =, told = how often, closed = }

local function nothing() end

local function share(engine)
  if not shared or shared.engine ~= engine then
    local this = { engine = engine, fd = engine:pollfd(), told = 0, closed = false }
    engine:on_close(function() this.closed = true end)
    shared = this
  end
  return shared
end

--- Does select say now that the engine has news?
local function has_news(this)
  local alone = { getfd = function() return this.fd end }
  return not this.closed and #socket.select({ alone }, nil, 0) > 0
end

--- What copas and LuaSocket's select take for a socket. It can be read, once, when the descriptor is
--- readable; or at once, when it is "dirty". If select has never seen it, somebody else than copas has
--- resumed the coroutine.
local function waiter(this, at_once)
  local told, waited, seen = this.told, false, false
  return {
    getfd = function() return this.fd end,
    dirty = function()
      seen = true
      return at_once or this.closed or this.told > told
    end,
    receive = function()
      if not waited then
        waited = true
        return nil, "timeout"
      elseif not seen then
        return nil, ELSEWHERE
      end
      if has_news(this) then this.told = this.told + 1 end
      return true
    end,
    settimeout = nothing,
    close = nothing,
  }
end

---@type akool.lipsync.Host
return {
  name = "copas",

  wait = function(engine, seconds)
    if not compat.running() then
      return "Waiting here would block copas: call it in copas.addthread(function() … end)."
    end
    local _, problem = copas.receive(waiter(share(engine), seconds == 0), 1)
    return problem
  end,

  spawn = function(f)
    copas.addthread(function() f() end)
  end,
}
