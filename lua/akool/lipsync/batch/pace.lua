-- pace: when a run may submit again after the service said that it is too much, and when there is no
-- use in going on. Pure arithmetic; the clock is passed in.

local PAUSE_MIN, PAUSE_MAX = 5, 300 -- seconds without a create
local RETRY_MAX = 60                -- seconds between two tries of anything else

---@class akool.lipsync.batch.Pace
---@field package patience number         # s
---@field package pause number?           # s, the last one
---@field package since number?           # when it was asked for
---@field package until_when number?      # nothing is submitted before
---@field package suffering_since number? # when the first of the failures was after which nothing worked
local Pace = {}
Pace.__index = Pace

--- Was the service asked before it asked for a pause? Then its answer says nothing about that.
local function is_older(self, began)
  return self.since ~= nil and began < self.since
end

--- The service does not want more for a while, each time a longer one.
---@param now number
---@param began number    # when the refused create began
---@param asked number?   # s, what the service asked for
---@return number seconds
function Pace:slow_down(now, began, asked)
  if not is_older(self, began) then
    self.pause, self.since = math.min(PAUSE_MAX, (self.pause or PAUSE_MIN / 2) * 2), now
  end
  local seconds = math.max(self.pause, math.min(asked or 0, PAUSE_MAX))
  self.until_when = math.max(self.until_when or 0, now + seconds)
  return seconds
end

--- A create went through.
---@param began number
---@return boolean resumed  # there was a pause before
function Pace:speed_up(began)
  self.suffering_since = nil
  if self.pause == nil or is_older(self, began) then return false end
  self.pause, self.since, self.until_when = nil, nil, nil
  return true
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
