-- loop: how Lua waits for an op, and the tasks that wait side by side. This is the only place
-- that yields. Inside a task, waiting yields to the loop here; anywhere else (the main chunk, a
-- coroutine that is not a task) it drives the engine until there is news, and the tasks with it: in
-- the engine, or by letting the host's loop go on (`host.lua`). A coroutine of a host that calls back
-- yields like a task.

local compat = require "akool.lipsync.compat"
local core = require "akool.lipsync.core"
local host = require "akool.lipsync.host"

local running = coroutine.running
local create, resume, yield, status = compat.create, compat.resume, compat.yield, compat.status
local unpack = compat.unpack

local loop = {}

-- A coroutine of the program's that waits inside a task keeps that task's stack busy, so tasks that
-- are run from there nest. Deeper than this (Lua has room for 200 calls through C) only the engine
-- goes on, until the innermost wait is over.
local DEEPEST = 16

-- Small, because there may be a hundred thousand: what is not so is absent.
---@class akool.lipsync.Task
---@field package co thread?          # until it ends
---@field package arguments table?   # until it begins: { n = …, … }
---@field package op userdata?       # what it waits for
---@field package joining true?      # it waits for another task
---@field package waiters akool.lipsync.Task[]? # who waits for it
---@field package done true?
---@field package results table?     # { n = …, … } once it returned
---@field package failed true?
---@field package failure any        # what it raised
---@field package joined true?       # somebody took or takes the outcome
---@field package cancelled true?
---@field package adopted true?      # a coroutine of the program's, a task for as long as it waits
local Task = {}
Task.__index = Task
Task.__name = "akool.lipsync.task"

local tasks = {}     -- coroutine → its task, while it lives
local alive = 0
local waiting, waits = {}, 0 -- slot of an op → the task that waits for it; how many there are
local runnable, first, last = {}, 1, 0 -- tasks to resume, in order: from `first` to `last`
local orphans = {}   -- tasks that failed while nobody had joined them
local depth = 0
local active         -- the task that was resumed last, while it runs
local known          -- the engine of the last turn
local driving = 0    -- how many wait outside of tasks, for a host
local ended = false  -- a task has, which one of them may be waiting for
local driver         -- the coroutine of the host's that drives the tasks; true until it begins
local broken = false -- memory ran out while something above was changed: see `recover`

-- What a host's function that waits yields is for the host, which never gets it from a task.
local NOT_HERE = "a task cannot wait by the host's own means: use the library's, such as "
  .. "lipsync.sleep, or do it in a coroutine of the host's"

local function pack(...)
  return { n = select("#", ...), ... }
end

local function make_runnable(task)
  runnable[last + 1] = task -- first, since it may raise
  last = last + 1
end

--- The task that is running now, or nil.
local function current()
  local co = running()
  return co and tasks[co]
end

--- A task no longer waits for what it waited for, though there is no news of it.
local function forget(task)
  for slot, waiter in pairs(waiting) do
    if waiter == task then waiting[slot], waits = nil, waits - 1 end
  end
end

--- Take down a task's end. Should memory run out on the way, `recover` finds it and does it again.
local function finish(task, ok, ...)
  if ok then
    task.results = pack(...)
  elseif not (task.failed or task.done) then
    task.failure = (...)
    if not task.joined then orphans[#orphans + 1] = task end
    task.failed = true
  end
  task.done = true
  if task.op then forget(task) end -- it could not yield
  for _, waiter in ipairs(task.waiters or {}) do make_runnable(waiter) end
  ended = true
  tasks[task.co], alive = nil, alive - 1
  task.co, task.op = nil, nil -- a coroutine that raised still holds its locals
end

-- All that status may say of a task stands here and in `recover`: Lua has these words, then, and
-- needs no memory to say them.
local function resumed(task, ok, ...)
  local state = status(task.co)
  if task.adopted then -- whatever it does now is the program's affair, unless it raised
    if not ok then orphans[#orphans + 1] = { failure = (...) } end
  elseif state == "dead" then
    finish(task, ok, ...)
  elseif state == "suspended" and not task.op and not task.joining then
    if select("#", ...) > 0 and host.suspends() then return finish(task, false, NOT_HERE) end
    make_runnable(task) -- the program yielded by itself: let the others go on, then come back
  end
end

--- A task's arguments, once.
local function hand_over(task, ...)
  task.arguments = nil
  return ...
end

--- A coroutine of the program's does not wait any more.
local function disown(task)
  tasks[task.co], alive, task.op = nil, alive - 1, nil
end

--- Resume a task, with its arguments the first time.
local function run_task(task)
  local arguments = task.arguments
  if task.done or task.adopted and tasks[task.co] ~= task then return end
  if task.adopted and status(task.co) == "dead" then return disown(task) end -- the program closed it
  active = task
  if arguments then
    resumed(task, resume(task.co, hand_over(task, unpack(arguments, 1, arguments.n))))
  else
    resumed(task, resume(task.co))
  end
end

--- Run what is runnable up to `final`: what becomes so meanwhile has to wait for the next turn.
local function run_tasks(final)
  while first <= final and first <= last do -- a turn inside this one may take some of them
    local task = runnable[first]
    runnable[first], first = nil, first + 1
    run_task(task)
  end
end

--- Begin anew with all that is certain once memory ran out at any point: which tasks there are. One
--- that is resumed for nothing waits again.
local function recover()
  runnable, first, last, waiting, waits = {}, 1, 0, {}, 0
  for co, task in pairs(tasks) do
    local state = status(co)
    if state == "dead" then
      finish(task, false, "not enough memory")
    elseif state ~= "running" and state ~= "normal" then
      task.op, task.joining = nil, nil
      make_runnable(task)
    end
  end
  broken = false
end

--- There is news of the op in this slot: whoever waits for it goes on.
local function wake(slot)
  local task = waiting[slot]
  if not task then return end
  waiting[slot], task.op, waits = nil, nil, waits - 1
  make_runnable(task)
end

--- Does a coroutine of the host's drive the tasks? One that broke does not.
local function attended()
  return driver == true or driver ~= nil and status(driver) ~= "dead"
end

--- The engine wakes all who wait for a host when an op has news. Nor must they miss what came of it
--- in a turn of one of them.
local function tell_others()
  if (driving > 0 or attended()) and (ended or first <= last) then host.wake() end
  ended = false
end

--- One turn: let the engine work, wait up to `timeout` seconds if there is nothing to do, then run
--- every task that has news.
local function turn(timeout)
  -- What an interrupt may have left.
  if not compat.running() and driving == 0 then depth, active = 0, nil end
  if broken then
    recover()
    timeout = 0 -- somebody's wait may be over
  end
  broken = true
  local engine, too_deep = core.engine(), depth > DEEPEST
  if engine ~= known then -- what the last one had under way has ended, and nobody was told
    known = engine
    for slot, task in pairs(waiting) do
      if task.op:over() then wake(slot) end
    end
  end
  if engine then -- there may be no room for one; then no op lives, and only tasks can go on
    engine:step(first <= last and not too_deep and 0 or timeout)
    local op, slot = engine:ready()
    while op do
      wake(slot)
      op, slot = engine:ready()
    end
  end
  broken = false
  if too_deep then return end
  local outer, level = active, depth
  depth = level + 1
  local fine, why = pcall(run_tasks, last)
  active, depth = outer, level
  tell_others()
  if not fine then
    broken = true
    error(why, 0)
  end
  if depth == 0 and first > last then first, last = 1, 0 end -- numbers that stay small stay cheap
end

local function nothing_can_happen()
  return first > last and waits == 0 and not broken and not host.current()
end

local function rest_if_idle()
  if alive == 0 and driving == 0 and #orphans == 0 then host.rest() end
end

--- What is left to do after a turn. An error that nobody joined is raised by whoever drives the loop:
--- it must not get lost.
local function settle()
  local orphan = table.remove(orphans, 1)
  if first <= last or #orphans > 0 then host.wake() end
  rest_if_idle()
  if orphan then error(orphan.failure, 0) end
end

--- Was the engine of the last turn closed since? Then its news is there, and no descriptor tells.
local function engine_is_new()
  return core.engine() ~= known
end

--- A turn for a host that calls back. While somebody waits outside of tasks, an error of a task that
--- nobody joined has to wait, too: raised through that wait, it would end what is waited for.
local function host_turn()
  turn(0)
  if alive > 0 and engine_is_new() then
    host.attend(host_turn)
    host.wake()
  end
  if driving == 0 then
    settle()
  elseif first <= last then
    host.wake()
  end
end

--- Let the host go on until there may be something to do. What stands in the way, if anything does.
local function pause()
  return host.wait((first <= last or broken or engine_is_new()) and 0 or 3600)
end

--- Let time pass until there may be news of an op, or of a task. What stands in the way, if anything
--- does.
local function drive()
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
local function hand_back()
  if host.calls_back() and #orphans > 0 then host.wake() end
end

--- Drive the tasks, in a coroutine of the host's own.
local function drive_all()
  local problem
  driver = running()
  while alive > 0 do
    problem = pause()
    if problem then break end
    depth, active = 0, nil -- the host resumed us, so nothing of ours is below
    turn(0)
    for _ = 1, #orphans do host.spawn(settle) end
  end
  driver = nil
  if problem then error(problem, 0) end
end

--- See to it that a new task goes on although nobody waits for it, if the host has a way.
local function attend(task)
  local problem = host.attend(host_turn)
  if problem then
    task:cancel()
    error(problem, 0)
  end
  host.wake()
  if attended() then return end
  driver = true -- the host may run it at once
  if not host.spawn(drive_all) then driver = nil end
end

--- The coroutine that is running as a task, for as long as it waits; nil where the host cannot watch.
local function adopt()
  if host.attend(host_turn) then return nil end
  local task = setmetatable({ co = running(), adopted = true }, Task)
  tasks[task.co], alive = task, alive + 1
  return task
end

--- The task that may yield here, nil where the loop has to be driven instead. When the host calls
--- back, whoever resumed a coroutine goes on without it, so that it may wait like a task. Not if a
--- task resumed it: that one expects to be handed something.
local function yielder(task)
  if task or not host.calls_back() then return task and compat.can_yield() and task end
  local inside = active and active.co ~= running()
  return not inside and compat.can_yield() and adopt()
end

--- Yield, and be whatever it was before.
local function suspend(task)
  yield()
  if not task.adopted then return end
  if task.op then forget(task) end -- not the loop resumed it, but the program
  disown(task)
end

--- Wait for the next thing an op has to tell, and return it (see `op:next` in types/core.lua).
---@param op userdata
---@param its_end boolean?  # only its last word: "done" or "failed"
---@return string kind, any value, any extra
function loop.next(op, its_end)
  local task = current()
  local owner = task or active -- a coroutine of the program's waits for the task that resumed it
  local drove = false
  while true do
    if owner and owner.cancelled then op:cancel() end
    local kind, value, extra = op:next()
    local waiter = kind == nil and yielder(task)
    if waiter then
      wake(value) -- a task that waited in the same slot of an engine that was closed
      broken = true
      waiting[value], waiter.op, waits = waiter, op, waits + 1
      broken = false
      suspend(waiter)
    elseif kind == nil then
      if owner then owner.op = op end
      local problem = drive()
      if owner then owner.op = nil end
      if problem then
        op:cancel()
        error(problem, 0)
      end
      drove = true
    elseif not its_end or kind == "done" or kind == "failed" then
      if drove then hand_back() end
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

--- A new task, for whoever drives the loop.
local function new_task(f, ...)
  local task = setmetatable({ co = create(f), arguments = pack(...) }, Task)
  runnable[last + 1] = task -- a place, before it counts
  tasks[task.co] = task
  alive, last = alive + 1, last + 1
  return task
end

--- Start a task. It runs as soon as the loop does.
---@param f function
---@param ... any  # its arguments
---@return akool.lipsync.Task
function loop.spawn(f, ...)
  check_function("spawn", f)
  local task = new_task(f, ...)
  attend(task)
  return task
end

--- Wait until a task is done, however it ends. False when the waiting task was cancelled, unless it
--- waits `to_the_end`: for a task that has been cancelled too, so that the wait is short. Raises where
--- waiting is impossible; a task that was started for nothing but this wait is cancelled then.
---@param task akool.lipsync.Task
---@param to_the_end boolean?
---@param only_for_this boolean?
---@return boolean
function loop.ended(task, to_the_end, only_for_this)
  local me, drove = current(), false
  local owner = me or active
  task.joined = true
  if owner == task then error("a task cannot join itself", 3) end
  while not task.done do
    if owner and owner.cancelled and not to_the_end then return false end
    local waiter = yielder(me)
    if waiter then
      task.waiters = task.waiters or {}
      task.waiters[#task.waiters + 1] = waiter
      waiter.joining = true
      suspend(waiter)
      waiter.joining = nil
    elseif nothing_can_happen() then
      error("nothing can end this wait: every task waits for another one", 3)
    elseif depth > DEEPEST then
      error("coroutines inside tasks are nested too deeply to join a task here", 3)
    else
      local problem = drive()
      if problem and only_for_this then task:cancel() end
      if problem then error(problem, 0) end
      drove = true
    end
  end
  if drove then hand_back() end
  return true
end

--- Is whoever runs now part of a task that was cancelled?
---@return boolean
function loop.cancelled()
  local me = current() or active
  return me ~= nil and me.cancelled == true
end

local function join_cancelled()
  return nil, core.error("cancelled", "While joining a task: it was cancelled.")
end

local function outcome(task)
  for i, orphan in ipairs(orphans) do
    if orphan == task then table.remove(orphans, i) break end
  end
  if task.failed then error(task.failure, 0) end
  return unpack(task.results, 1, task.results.n)
end

--- Wait for the task's end and return what it returned. What it raised is raised here.
---@return any ...  # nil and an error of kind "cancelled" if the joiner is cancelled
function Task:join()
  if not loop.ended(self) then return join_cancelled() end
  return outcome(self)
end

--- End what the task waits for, and all it will wait for: its calls return nil and an error of
--- kind "cancelled". A task that has not begun never does.
function Task:cancel()
  if self.done then return end
  if self.arguments and not self.cancelled then
    finish(self, true, nil, core.error("cancelled", "The task was cancelled before it began."))
    self.arguments = nil
  elseif not self.cancelled and self.joining then
    make_runnable(self)
  end
  self.cancelled = true
  if self.op then self.op:cancel() end
  host.wake()
end

function Task:__tostring()
  local word = self.failed and "failed" or self.done and "done" or "under way"
  return ("akool.lipsync.task (%s)"):format(word)
end

--- Run `f` as a task and drive the loop until it ends. Other tasks go on meanwhile; those that are
--- not through by then go on whenever the loop is driven again.
---@param f function
---@param ... any
---@return any ...  # what `f` returns; what it raises is raised
function loop.run(f, ...)
  check_function("run", f)
  local task = new_task(f, ...)
  if not loop.ended(task, false, true) then
    task:cancel()
    loop.ended(task, true)
    return join_cancelled()
  end
  if not task.failed and not current() then settle() end
  return outcome(task)
end

--- Make progress without blocking longer than `timeout` seconds: for hosts with a frame loop.
---@param timeout number?  # default 0
---@return integer alive   # tasks that are not through yet
function loop.step(timeout)
  if timeout ~= nil and type(timeout) ~= "number" then
    error("step: a number of seconds expected, got " .. type(timeout), 2)
  end
  if current() then error("step drives the tasks, so it cannot be called inside one", 2) end
  turn(timeout or 0)
  settle()
  return alive
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
  host.use(given, options, alive > 0 or engine ~= nil and engine:stats().calls > 0)
end

return loop
