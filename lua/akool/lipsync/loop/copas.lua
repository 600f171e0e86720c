-- copas, 1.1.7 to 4: its threads wait, each as if it read from a socket. Tasks that nobody waits for go
-- on in a thread of their own.

local compat = require "akool.lipsync.compat"
local copas = require "copas"

local ELSEWHERE = "copas cannot wait in a coroutine of your own: call it in a thread of copas, or "
  .. "inside lipsync.spawn(function() … end)."

local shared -- by all that wait for an engine: { engine =, fd =, closed =, told = how often }

local function nothing() end

local function share(engine)
  if not shared or shared.engine ~= engine then
    local this = { engine = engine, fd = engine:pollfd(), closed = false, told = 0 }
    engine:on_close(function() this.closed = true end)
    shared = this
  end
  return shared
end

--- What copas and LuaSocket's select take for a socket. It can be read, once, when the descriptor is
--- readable; or at once, when it is "dirty". Of several with the same descriptor select tells only one,
--- who has the others told. One that select has never seen was not resumed by copas.
local function socket(state, at_once)
  local told, waited, seen = state.told, false, false
  local function dirty() return at_once or state.closed or state.told > told end
  return {
    getfd = function() return state.fd end,
    dirty = function()
      seen = true
      return dirty()
    end,
    receive = function()
      if not waited then
        waited = true
        return nil, "timeout"
      elseif not seen then
        return nil, ELSEWHERE
      end
      if not dirty() then state.told = state.told + 1 end
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
    local _, problem = copas.receive(socket(share(engine), seconds == 0), 1)
    return problem
  end,

  spawn = function(f)
    copas.addthread(function() f() end)
  end,
}
