-- loop: how Lua waits for an op, and the tasks that wait side by side. Inside a task, waiting yields;
-- anywhere else (the main chunk, a coroutine that is not a task) it drives the engine until there is
-- news, and the tasks with it. A coroutine of a host that calls back yields like a task.

local compat = require "akool.lipsync.compat"
local core = require "akool.lipsync.core"
local driver = require "akool.lipsync.driver"
local host = require "akool.lipsync.host"
local scheduler = require "akool.lipsync.scheduler"
local task = require "akool.lipsync.task"

local current, expect, yielder = scheduler.current, scheduler.expect, driver.yielder
local yield = compat.yield

local loop = {
  ended = task.ended, -- wait until a task is done, however it ends
}

--- Wait for the next thing an op has to tell, and return it (see `op:next` in types/core.lua).
---@param op userdata
---@param its_end boolean?  # only its last word: "done" or "failed"
---@return string kind, any value, any extra
function loop.next(op, its_end)
  local me, owner = current()
  local drove = false
  while true do
    if owner and owner.cancelled then op:cancel() end
    local kind, value, extra = op:next()
    local waiter = kind == nil and yielder(me)
    if waiter then
      expect(waiter, op, value)
      yield() -- from here, since ten thousand may wait: a small stack is a third of what each takes
      scheduler.resume_as_before(waiter)
    elseif kind == nil then
      if owner then owner.op = op end
      local problem = driver.drive()
      if owner then owner.op = nil end
      if problem then
        op:cancel()
        error(problem, 0)
      end
      drove = true
    elseif not its_end or kind == "done" or kind == "failed" then
      if drove then driver.hand_back() end
      return kind, value, extra
    end
  end
end

--- Raise at the caller's caller when `f` is not something to call.
local function check_function(name, f)
  if type(f) ~= "function" then
    error(("%s: a function expected, got %s"):format(name, type(f)), 3)
  end
end

--- Start a task. It runs as soon as the loop does.
---@param f function
---@param ... any  # its arguments
---@return akool.lipsync.Task
function loop.spawn(f, ...)
  check_function("spawn", f)
  local made = scheduler.new(f, ...)
  driver.attend(made)
  return made
end

--- Is whoever runs now part of a task that was cancelled?
---@return boolean
function loop.cancelled()
  local _, owner = current()
  return owner ~= nil and owner.cancelled == true
end

--- Run `f` as a task and drive the loop until it ends. Other tasks go on meanwhile; those that are
--- not through by then go on whenever the loop is driven again.
---@param f function
---@param ... any
---@return any ...  # what `f` returns; what it raises is raised
function loop.run(f, ...)
  check_function("run", f)
  local made = scheduler.new(f, ...)
  if not task.ended(made, false, true) then
    made:cancel()
    task.ended(made, true)
    return task.join_cancelled()
  end
  if not made.failed and not current() then driver.settle() end
  return task.outcome(made)
end

--- Make progress without blocking longer than `timeout` seconds: for hosts with a frame loop.
---@param timeout number?  # default 0
---@return integer alive   # tasks that are not through yet
function loop.step(timeout)
  if timeout ~= nil and type(timeout) ~= "number" then
    error("step: a number of seconds expected, got " .. type(timeout), 2)
  end
  if current() then error("step drives the tasks, so it cannot be called inside one", 2) end
  driver.turn(timeout or 0)
  driver.settle()
  return scheduler.alive()
end

--- Wait.
---@param seconds number
---@return true?
---@return akool.lipsync.Error? err  # kind "cancelled"
function loop.sleep(seconds)
  if type(seconds) ~= "number" or seconds ~= seconds then
    error("sleep: a number of seconds expected, got " .. tostring(seconds), 2)
  end
  local op, err = core.sleep(seconds)
  if not op then return nil, err end
  local kind, value = loop.next(op)
  if kind == "failed" then return nil, value end
  return true
end

--- Wait through a host's loop from now on: nginx, Neovim, luv, … or one of your own.
---@param given string|akool.lipsync.Host|false|nil # its name, an adapter; false: the library's own loop again
---@param options any # what the adapter of that name takes
---@return string?    # without an argument: the name of the host in use
function loop.use(given, options)
  if given == nil then
    local adapter = host.current()
    return adapter and (adapter.name or "adapter") or nil
  end
  local engine = core.engine()
  host.use(given, options, scheduler.alive() > 0 or engine ~= nil and engine:stats().calls > 0)
end

return loop
