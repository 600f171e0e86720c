-- driver: lets time pass until there is news, in the engine or by letting a host's loop go on
-- (`host.lua`), and runs the tasks that wait for it.

local compat = require "akool.lipsync.compat"
local core = require "akool.lipsync.core"
local host = require "akool.lipsync.host"
local scheduler = require "akool.lipsync.scheduler"

local running, status = coroutine.running, compat.status
local can_yield = compat.can_yield
local wake = scheduler.wake

local driver = {}

local known          -- the engine of the last turn
local driving = 0    -- how many wait outside of tasks, for a host
local attendant      -- the coroutine of the host's that drives the tasks; true until it begins

--- Does a coroutine of the host's drive the tasks? One that broke does not.
local function attended()
  return attendant == true or attendant ~= nil and status(attendant) ~= "dead"
end

--- The engine wakes all who wait for a host when an op has news. Nor must they miss what came of it
--- in a turn of one of them.
local function tell_others()
  local ended = scheduler.take_ended()
  if (driving > 0 or attended()) and (ended or scheduler.has_runnable()) then host.wake() end
end

--- One turn: let the engine work, wait up to `timeout` seconds if there is nothing to do, then run
--- every task that has news.
---@param timeout number
local function turn(timeout)
  if not compat.running() and driving == 0 then scheduler.unnest() end
  if scheduler.begin() then timeout = 0 end
  local engine, too_deep = core.engine(), scheduler.is_too_deep()
  if engine ~= known then -- what the last one had under way has ended, and nobody was told
    known = engine
    scheduler.wake_ended()
  end
  if engine then -- there may be no room for one; then no op lives, and only tasks can go on
    engine:step(scheduler.has_runnable() and not too_deep and 0 or timeout)
    local op, slot = engine:ready()
    while op do
      wake(slot, op)
      op, slot = engine:ready()
    end
  end
  scheduler.commit()
  if too_deep then return end
  local problem = scheduler.run()
  tell_others()
  if problem then error(problem, 0) end
end
driver.turn = turn

local function rest_if_idle()
  if scheduler.alive() == 0 and driving == 0 and scheduler.orphans() == 0 then host.rest() end
end

--- What is left to do after a turn. An error that nobody joined is raised by whoever drives the loop:
--- it must not get lost.
local function settle()
  local orphan, left = scheduler.take_orphan()
  if scheduler.has_runnable() or left > 0 then host.wake() end
  rest_if_idle()
  if orphan then error(orphan.failure, 0) end
end
driver.settle = settle

--- Was the engine of the last turn closed since? Then its news is there, and no descriptor tells.
local function engine_is_new()
  return core.engine() ~= known
end

--- A turn for a host that calls back. While somebody waits outside of tasks, an error of a task that
--- nobody joined has to wait, too: raised through that wait, it would end what is waited for.
local function host_turn()
  turn(0)
  if scheduler.alive() > 0 and engine_is_new() then
    host.attend(host_turn)
    host.wake()
  end
  if driving == 0 then
    settle()
  elseif scheduler.has_runnable() then
    host.wake()
  end
end

--- Let the host go on until there may be something to do. What stands in the way, if anything does.
local function pause()
  return host.wait((scheduler.is_pressing() or engine_is_new()) and 0 or 3600)
end

--- Let time pass until there may be news of an op, or of a task. What stands in the way, if anything
--- does.
---@return any problem
function driver.drive()
  if not host.current() then return turn(3600) end
  local problem = host.attend(host_turn)
  if not problem then
    driving = driving + 1
    problem = pause()
    driving = driving - 1
  end
  if not problem then turn(0) end
  rest_if_idle()
  return problem
end

--- A wait outside of tasks is over: now the host may hear of errors.
function driver.hand_back()
  if host.calls_back() and scheduler.orphans() > 0 then host.wake() end
end

--- Drive the tasks, in a coroutine of the host's own.
local function drive_all()
  local problem
  attendant = running()
  while scheduler.alive() > 0 do
    problem = pause()
    if problem then break end
    scheduler.unnest() -- the host resumed us
    turn(0)
    for _ = 1, scheduler.orphans() do host.spawn(settle) end
  end
  attendant = nil
  if problem then error(problem, 0) end
end

--- See to it that a new task goes on although nobody waits for it, if the host has a way.
---@param task akool.lipsync.Task
function driver.attend(task)
  local problem = host.attend(host_turn)
  if problem then
    task:cancel()
    error(problem, 0)
  end
  host.wake()
  if attended() then return end
  attendant = true -- the host may run it at once
  if not host.spawn(drive_all) then attendant = nil end
end

--- The task that may yield here, nil where the loop has to be driven instead. When the host calls
--- back, whoever resumed a coroutine goes on without it, so that it may wait like a task. Not if a
--- task resumed it: that one expects to be handed something.
---@param task akool.lipsync.Task?  # the one that is running now
---@return akool.lipsync.Task|false|nil
function driver.yielder(task)
  if task or not host.calls_back() then return task and can_yield() and task end
  if scheduler.is_inside() or not can_yield() or host.attend(host_turn) then return nil end
  return scheduler.adopt()
end

return driver
