-- interval: how long a host that cannot watch a descriptor may sleep before it has a look at the engine.

local BUSY = 0.005 -- seconds, while something is on its way
local IDLE = 0.1   -- while only time has to pass: somebody else may have news for us meanwhile

--- Seconds until the next look; 0 or more, and no more than `seconds`.
---@param engine akool.lipsync.core.Engine
---@param seconds number
---@return number
local function interval(engine, seconds)
  local most = engine:stats().running > 0 and BUSY or IDLE
  return math.min(seconds, most, engine:timeout() or most)
end

return interval
