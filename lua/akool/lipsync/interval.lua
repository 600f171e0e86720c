-- interval: how long a coroutine may sleep before it looks at the engine, in a host that cannot watch a
-- descriptor. Many that wait look more rarely, so that all of them together do not keep the host busy.

local core = require "akool.lipsync.core"

local BUSY = 0.005  -- seconds, while something is on its way
local IDLE = 0.1    -- while only time has to pass: somebody else may have news for us meanwhile
local WINDOW = 0.1  -- seconds in which looks are counted
local AFFORDED = 500 -- looks in a window; 5000 in a second cost a few hundredths of a processor
local SLOWEST = 200 -- times BUSY

local looks, since, slower = 0, 0, 1

--- How many times slower than BUSY everybody has to be.
local function count_look()
  looks = looks + 1
  local now = core.now()
  local passed = now - since
  if passed >= WINDOW then
    local share = looks / (AFFORDED * passed / WINDOW)
    slower = math.min(SLOWEST, math.max(1, slower * share))
    looks, since = 0, now
  end
  return slower
end

--- Seconds until the next look; 0 or more, and no more than `seconds`.
---@param engine akool.lipsync.core.Engine
---@param seconds number
---@return number
local function interval(engine, seconds)
  local most = engine:stats().running > 0 and BUSY or IDLE
  local least = BUSY * (count_look() - 1)
  return math.min(seconds, math.max(least, math.min(most, engine:timeout() or most)))
end

return interval
