-- group: many ops, and one who waits for whichever of them has news, so that ten thousand need no
-- task each. What it costs for an op is its tag here and its place in the scheduler's list. An op is
-- either registered there or stands in our list of those that may have news.

local core = require "akool.lipsync.core"
local driver = require "akool.lipsync.driver"
local host = require "akool.lipsync.host"
local scheduler = require "akool.lipsync.scheduler"

local REMOVED = {} -- the tag of an op that was cancelled and is not told of

---@class akool.lipsync.Group
---@field private tags table<userdata, any>  # of each op
---@field private count integer              # ops in it that were not removed
---@field private heard userdata[]           # ops that may have news, from `first` to `last`
---@field private first integer
---@field private last integer
---@field private generation integer         # of the scheduler's list, when ours was made
---@field private waiter akool.lipsync.Task? # the one that waits in `next`
---@field private woken boolean?
local Group = {}
Group.__index = Group
Group.__name = "akool.lipsync.group"

local group = {}

--- A group without ops. One that nobody holds any more is collected with its ops, which cancels them.
---@return akool.lipsync.Group
function group.new()
  return setmetatable({
    tags = {}, count = 0, heard = {}, first = 1, last = 0, generation = scheduler.generation(),
  }, Group)
end

--- Whoever waits looks again.
local function rouse(self)
  if self.waiter then scheduler.rouse(self.waiter) end
end

--- Add an op. News that it has already is told, too.
---@param op akool.lipsync.core.Op  # not of a group yet, and nobody waits for it
---@param tag any?  # to know it by; without one the op itself
function Group:add(op, tag)
  if self.tags[op] ~= nil then error("add: the op is in the group already", 2) end
  self.heard[self.last + 1] = op
  self.last = self.last + 1
  self.tags[op] = tag == nil and op or tag
  self.count = self.count + 1
  rouse(self)
  host.wake()
end

--- For the scheduler: there may be news of an op. nil: of those that it told nobody of.
---@param op userdata?
function Group:hear(op)
  if op then
    self.heard[self.last + 1] = op
    self.last = self.last + 1
  else
    self.generation = nil
  end
  rouse(self)
end

--- Look at every op, since the scheduler's list is another one by now. Memory may run out on the way:
--- then it is done again.
local function look_at_all(self)
  local all, count = {}, 0
  for op in pairs(self.tags) do
    count = count + 1
    all[count] = op
  end
  self.heard, self.first, self.last = all, 1, count
  self.generation = scheduler.generation()
end

--- Forget the op at the head of the list.
local function drop(self, op)
  self.heard[self.first], self.first = nil, self.first + 1
  self.tags[op] = nil
end

--- The next news that is there; nil if there is none. An op without any is registered.
local function take(self)
  if self.generation ~= scheduler.generation() then look_at_all(self) end
  while self.first <= self.last do
    local op = self.heard[self.first]
    local tag = self.tags[op]
    if tag == nil or tag == REMOVED then
      drop(self, op)
    else
      local kind, value, extra = op:next()
      if kind == "done" or kind == "failed" then
        drop(self, op)
        self.count = self.count - 1
      elseif kind == nil then
        scheduler.gather(self, value)
        self.heard[self.first], self.first = nil, self.first + 1
      end
      if kind then return tag, kind, value, op, extra end
    end
  end
  self.first, self.last = 1, 0 -- numbers that stay small stay cheap
end

--- Wait until there may be news. Returns whether the loop was driven for it.
local function rest(self, task)
  local waiter = driver.yielder(task)
  if waiter then
    self.waiter = waiter
    scheduler.rest(waiter)
    self.waiter = nil
    return false
  end
  local problem = driver.drive()
  if problem then error(problem, 0) end
  return true
end

--- Wait until an op of the group has something to tell, and return it: all that it has, one after the
--- other, in the words of `op:next`. An op that told its last word is in the group no more. Without a
--- tag there is no news but "empty" when no op is left, "woken" after `wake`, or an error of kind
--- "cancelled": the waiting task was, and the ops go on.
---@return any tag
---@return string|akool.lipsync.Error kind # "status", "done", …
---@return any value
---@return akool.lipsync.core.Op? op
---@return any extra
function Group:next()
  if self.waiter and self.waiter.resting then
    error("next: somebody waits for this group already", 2)
  end
  local task, owner = scheduler.current()
  local drove = false
  while true do
    if owner and owner.cancelled then
      return nil, core.error("cancelled", "While waiting for a group: the task was cancelled.")
    end
    if self.woken then
      self.woken = nil
      return nil, "woken"
    end
    local tag, kind, value, op, extra = take(self)
    if not kind and self.count == 0 then kind = "empty" end
    if kind then
      if drove then driver.hand_back() end
      return tag, kind, value, op, extra
    end
    drove = rest(self, task) or drove
  end
end

--- End the wait in `next`, now or when it comes to that.
function Group:wake()
  self.woken = true
  rouse(self)
  host.wake()
end

--- Cancel an op and forget it: nothing more of it is told.
---@param op akool.lipsync.core.Op
function Group:remove(op)
  local tag = self.tags[op]
  if tag == nil or tag == REMOVED then return end
  self.tags[op] = REMOVED -- until the engine has told that it ended: then its place is free
  self.count = self.count - 1
  op:cancel()
end

return group
