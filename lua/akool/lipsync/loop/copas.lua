-- copas, 1.1.7 to 4: its threads wait, each as if it read from a socket. Tasks that nobody waits for go
-- on in a thread of their own.

local compat = require "akool.lipsync.compat"
local copas = require "copas"

local known -- the engine that was waited for last: { engine =, fd =, closed = }

local function nothing() end

local function descriptor(engine)
  if not known or known.engine ~= engine then
    local this = { engine = engine, fd = engine:pollfd(), closed = false }
    engine:on_close(function() this.closed = true end)
    known = this
  end
  return known
end

--- What copas and LuaSocket's select take for a socket. It can be read, once, when the descriptor is
--- readable; or at once, when it is "dirty".
local function socket(state, at_once)
  local waited = false
  return {
    getfd = function() return state.fd end,
    dirty = function() return at_once or state.closed end,
    receive = function()
      if waited then return true end
      waited = true
      return nil, "timeout"
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
    copas.receive(socket(descriptor(engine), seconds == 0), 1)
  end,

  spawn = function(f)
    copas.addthread(function() f() end)
  end,
}
