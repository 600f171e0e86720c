-- pace: when a run may submit again after the service said that it is too much, and when there is no
-- use in going on. Pure arithmetic; the clock is passed in.

local PAUSE_MIN, PAUSE_MAX = 5, 300 -- seconds without a create
local RETRY_MAX = 60                -- seconds between two tries of anything else

---@class akool.lipsync.batch.Pace
---@field package patience number         # s
---@field package pause number?           # s, the last one
---@field package until_when number?      # nothing is submitted before
---@field package suffering_since number? # when the first of the failures was after which nothing worked
local Pace = {}
Pace.__index = Pace

--- The service does not want more for a while, each time a longer one.
---@param now number
---@param asked number?   # s, what the service asked for
---@return number seconds
function Pace:slow_down(now, asked)
  self.pause = math.min(PAUSE_MAX, (self.pause or PAUSE_MIN / 2) * 2)
  local seconds = math.max(self.pause, math.min(asked or 0, PAUSE_MAX))
  self.until_when = now + seconds
  return seconds
end

--- A create went through.
---@return boolean resumed  # there was a pause before
function Pace:speed_up()
  local paused = self.pause ~= nil
  self.pause, self.until_when, self.suffering_since = nil, nil, nil
  return paused
end

--- Seconds until something may be submitted.
---@param now number
---@return number
function Pace:left(now)
  return math.max(0, (self.until_when or 0) - now)
end

--- Something failed that has nothing to do with what was asked.
---@param now number
---@return boolean hopeless  # nothing has worked for as long as `patience`
function Pace:suffer(now)
  self.suffering_since = self.suffering_since or now
  return now - self.suffering_since >= self.patience
end

--- Something worked.
function Pace:prosper()
  self.suffering_since = nil
end

local pace = {}

--- Seconds until the next try of what failed so many times in a row.
---@param failures integer
---@return number
function pace.retry_wait(failures)
  return math.min(RETRY_MAX, 2 ^ math.min(failures, 10))
end

---@param patience number  # s
---@return akool.lipsync.batch.Pace
function pace.new(patience)
  return setmetatable({ patience = patience }, Pace)
end

return pace
