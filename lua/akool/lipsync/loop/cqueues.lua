-- cqueues: each coroutine of a controller may wait; outside of all controllers a call waits by itself.
-- Tasks that nobody waits for go on in the controller that was running when they were spawned.

local cqueues = require "cqueues"

local known -- the engine that was waited for last

--- Those who wait for a descriptor that closes would never hear of it.
local function mind_its_end(engine)
  if engine == known then return end
  local fd = engine:pollfd()
  engine:on_close(function() cqueues.cancel(fd) end)
  known = engine
end

---@type akool.lipsync.Host
return {
  name = "cqueues",

  wait = function(engine, seconds)
    local controller, own = cqueues.running()
    if controller and not own then
      return "cqueues cannot wait in a coroutine of your own: call it in one that the controller "
        .. "wrapped, or inside lipsync.spawn(function() … end)."
    end
    mind_its_end(engine)
    cqueues.poll(engine, seconds)
  end,

  spawn = function(f)
    local controller = cqueues.running()
    return controller ~= nil and controller:wrap(f) ~= nil
  end,
}
