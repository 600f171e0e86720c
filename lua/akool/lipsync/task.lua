-- task: what a program holds of a task: it can be joined and cancelled.

local core = require "akool.lipsync.core"
local compat = require "akool.lipsync.compat"
local driver = require "akool.lipsync.driver"
local host = require "akool.lipsync.host"
local scheduler = require "akool.lipsync.scheduler"

local Task = scheduler.Task
local unpack = compat.unpack

local task = {}

--- Wait until a task is done, however it ends. False when the waiting task was cancelled, unless it
--- waits `to_the_end`: for a task that has been cancelled too, so that the wait is short. Raises where
--- waiting is impossible; a task that was started for nothing but this wait is cancelled then.
---@param other akool.lipsync.Task
---@param to_the_end boolean?
---@param only_for_this boolean?
---@return boolean
function task.ended(other, to_the_end, only_for_this)
  local me, owner = scheduler.current()
  local drove = false
  other.joined = true
  if owner == other then error("a task cannot join itself", 3) end
  while not other.done do
    if owner and owner.cancelled and not to_the_end then return false end
    local waiter = driver.yielder(me)
    if waiter then
      other.waiters = other.waiters or {}
      other.waiters[#other.waiters + 1] = waiter
      scheduler.rest(waiter)
    elseif scheduler.is_stuck() and not host.current() then
      error("nothing can end this wait: every task waits for another one", 3)
    elseif scheduler.is_too_deep() then
      error("coroutines inside tasks are nested too deeply to join a task here", 3)
    else
      local problem = driver.drive()
      if problem and only_for_this then other:cancel() end
      if problem then error(problem, 0) end
      drove = true
    end
  end
  if drove then driver.hand_back() end
  return true
end

--- What a task that is done returned; what it raised is raised.
---@param other akool.lipsync.Task
---@return any ...
function task.outcome(other)
  scheduler.claim(other)
  if other.failed then error(other.failure, 0) end
  return unpack(other.results, 1, other.results.n)
end

--- What whoever waits for a task is told once he is cancelled himself.
---@return nil
---@return akool.lipsync.Error
function task.join_cancelled()
  return nil, core.error("cancelled", "While joining a task: it was cancelled.")
end

--- Wait for the task's end and return what it returned. What it raised is raised here.
---@return any ...  # nil and an error of kind "cancelled" if the joiner is cancelled
function Task:join()
  if not task.ended(self) then return task.join_cancelled() end
  return task.outcome(self)
end

--- End what the task waits for, and all it will wait for: its calls return nil and an error of
--- kind "cancelled". A task that has not begun never does.
function Task:cancel()
  if self.done then return end
  if self.arguments and not self.cancelled then
    scheduler.finish(self, true, nil,
      core.error("cancelled", "The task was cancelled before it began."))
    self.arguments = nil
  elseif not self.cancelled then
    scheduler.rouse(self)
  end
  self.cancelled = true
  if self.op then self.op:cancel() end
  host.wake()
end

function Task:__tostring()
  local word = self.failed and "failed" or self.done and "done" or "under way"
  return ("akool.lipsync.task (%s)"):format(word)
end

return task
