-- mpv: its scripts cannot watch a descriptor but have timers; one runs while there is something to
-- wait for.

local mp = require "mp"

local EVERY = 0.01 -- seconds; a step with nothing to do costs less than a microsecond

---@type akool.lipsync.Host
return {
  name = "mpv",

  watch = function(_, step)
    local timer = mp.add_periodic_timer(EVERY, function() step() end)
    return function() timer:kill() end
  end,
}
