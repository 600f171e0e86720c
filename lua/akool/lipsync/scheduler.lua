-- scheduler: tasks, which of them waits for which op, and which goes on next. This is the only place
-- that resumes, and with `loop.next` the only one that yields. Nothing here lets time pass: that is
-- `driver.lua`.

local compat = require "akool.lipsync.compat"
local host = require "akool.lipsync.host"

local running = coroutine.running
local create, resume, yield, status = compat.create, compat.resume, compat.yield, compat.status
local unpack = compat.unpack

local scheduler = {}

-- A coroutine of the program's that waits inside a task keeps that task's stack busy, so tasks that
-- are run from there nest. Deeper than this (Lua has room for 200 calls through C) only the engine
-- goes on, until the innermost wait is over.
local DEEPEST = 16

-- Small, because there may be a hundred thousand: what is not so is absent.
---@class akool.lipsync.Task
---@field package co thread?          # until it ends
---@field package arguments table?   # until it begins: { n = …, … }
---@field package op userdata?       # what it waits for
---@field package resting true?      # it waits for another task, or in a group
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
scheduler.Task = Task

local tasks = {}     -- coroutine → its task, while it lives
local alive = 0
local waiting, waits = {}, 0 -- slot of an op → the task that waits for it; how many there are
local gathered = setmetatable({}, { __mode = "v" }) -- slot of an op → the group that it is in
local generation = 0 -- of what these two say; in a new one groups look at their ops themselves
local runnable, first, last = {}, 1, 0 -- tasks to resume, in order: from `first` to `last`
local orphans = {}   -- tasks that failed while nobody had joined them
local depth = 0
local active         -- the task that was resumed last, while it runs
local ended = false  -- a task has, which one of those may be waiting for that are no tasks
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

--- A task that rests goes on; once, however many rouse it.
---@param task akool.lipsync.Task
local function rouse(task)
  if not task.resting then return end
  make_runnable(task)
  task.resting = nil
end
scheduler.rouse = rouse

-- Life -----------------------------------------------------------------------------------------

--- A new task, for whoever drives the loop.
---@param f function
---@param ... any  # its arguments
---@return akool.lipsync.Task
function scheduler.new(f, ...)
  local task = setmetatable({ co = create(f), arguments = pack(...) }, Task)
  runnable[last + 1] = task -- a place, before it counts
  tasks[task.co] = task
  alive, last = alive + 1, last + 1
  return task
end

--- The coroutine that is running as a task, for as long as it waits.
---@return akool.lipsync.Task
function scheduler.adopt()
  local task = setmetatable({ co = running(), adopted = true }, Task)
  tasks[task.co], alive = task, alive + 1
  return task
end

--- A coroutine of the program's does not wait any more.
local function disown(task)
  tasks[task.co], alive = nil, alive - 1
  task.op, task.resting = nil, nil
end

--- A task no longer waits for what it waited for, though there is no news of it.
local function forget(task)
  for slot, waiter in pairs(waiting) do
    if waiter == task then waiting[slot], waits = nil, waits - 1 end
  end
end

--- Take down a task's end. Should memory run out on the way, `recover` finds it and does it again.
---@param task akool.lipsync.Task
---@param ok boolean
---@param ... any  # what it returned or raised
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
  for _, waiter in ipairs(task.waiters or {}) do rouse(waiter) end
  ended = true
  tasks[task.co], alive = nil, alive - 1
  task.co, task.op = nil, nil -- a coroutine that raised still holds its locals
end
scheduler.finish = finish

--- Somebody takes what the task raised.
---@param task akool.lipsync.Task
function scheduler.claim(task)
  for i, orphan in ipairs(orphans) do
    if orphan == task then table.remove(orphans, i) break end
  end
end

--- The next task that failed and that nobody joined, and how many are left.
---@return { failure: any }? task
---@return integer left
function scheduler.take_orphan()
  local orphan = table.remove(orphans, 1)
  return orphan, #orphans
end

-- Running --------------------------------------------------------------------------------------

-- All that status may say of a task stands here and in `recover`: Lua has these words, then, and
-- needs no memory to say them.
local function resumed(task, ok, ...)
  local state = status(task.co)
  if task.adopted then -- whatever it does now is the program's affair, unless it raised
    if not ok then orphans[#orphans + 1] = { failure = (...) } end
  elseif state == "dead" then
    finish(task, ok, ...)
  elseif state == "suspended" and not task.op and not task.resting then
    if select("#", ...) > 0 and host.suspends() then return finish(task, false, NOT_HERE) end
    make_runnable(task) -- the program yielded by itself: let the others go on, then come back
  end
end

--- A task's arguments, once.
local function hand_over(task, ...)
  task.arguments = nil
  return ...
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

--- Run every task that can go on. What went wrong, if memory ran out.
---@return any problem
function scheduler.run()
  local outer, level = active, depth
  depth = level + 1
  local fine, why = pcall(run_tasks, last)
  active, depth = outer, level
  if not fine then
    broken = true
    return why
  end
  if depth == 0 and first > last then first, last = 1, 0 end -- numbers that stay small stay cheap
end

--- Nobody of ours is below whoever drives the tasks now, whatever an interrupt may have left.
function scheduler.unnest()
  depth, active = 0, nil
end

-- Waiting --------------------------------------------------------------------------------------

--- What yielded goes on: it is whatever it was before.
---@param task akool.lipsync.Task
local function resume_as_before(task)
  if not task.adopted then return end
  if task.op then forget(task) end -- not the loop resumed it, but the program
  disown(task)
end
scheduler.resume_as_before = resume_as_before

--- There is news of the op in this slot: whoever waits for it goes on.
---@param slot integer
---@param op userdata?  # nil: of the one that had the slot before
local function wake(slot, op)
  local task, group = waiting[slot], gathered[slot]
  if task then
    waiting[slot], task.op, waits = nil, nil, waits - 1
    make_runnable(task)
  end
  if group then
    gathered[slot] = nil
    group:hear(op)
  end
end
scheduler.wake = wake

--- A task waits for news of the op in this slot: it yields next, and then is as before.
---@param task akool.lipsync.Task  # whoever runs now
---@param op userdata
---@param slot integer
function scheduler.expect(task, op, slot)
  local before = waiting[slot]
  if before ~= task then -- it may have been resumed for nothing
    if before or gathered[slot] then wake(slot) end -- who waits in an engine that was closed
    broken = true
    waiting[slot], task.op, waits = task, op, waits + 1
    broken = false
  end
end

--- Let a group hear when there is news of the op in this slot.
---@param group akool.lipsync.Group
---@param slot integer
function scheduler.gather(group, slot)
  if gathered[slot] == group then return end -- it was heard of twice
  if waiting[slot] or gathered[slot] then wake(slot) end
  gathered[slot] = group
end

--- Yield until somebody rouses the task.
---@param task akool.lipsync.Task  # whoever runs now
function scheduler.rest(task)
  task.resting = true
  yield()
  resume_as_before(task)
end

--- Those whose op ended with an engine that was closed go on: it told nobody.
function scheduler.wake_ended()
  generation = generation + 1
  for slot, task in pairs(waiting) do
    if task.op:over() then wake(slot) end
  end
  for slot in pairs(gathered) do wake(slot) end
end

-- Running out of memory ------------------------------------------------------------------------

--- Begin anew with all that is certain once memory ran out at any point: which tasks there are. One
--- that is resumed for nothing waits again.
local function recover()
  runnable, first, last, waiting, waits = {}, 1, 0, {}, 0
  generation = generation + 1
  for co, task in pairs(tasks) do
    local state = status(co)
    if state == "dead" then
      finish(task, false, "not enough memory")
    elseif state ~= "running" and state ~= "normal" then
      task.op, task.resting = nil, nil
      make_runnable(task)
    end
  end
  broken = false
end

--- Changes begin that are only whole with `commit`: if that is not called, the next `begin` recovers.
---@return boolean recovered  # somebody's wait may be over
function scheduler.begin()
  local was_broken = broken
  if was_broken then recover() end
  broken = true
  return was_broken
end

function scheduler.commit()
  broken = false
end

-- What is so -----------------------------------------------------------------------------------

--- The task that is running now, or nil; and the one on whose behalf: a coroutine of the program's
--- waits for the task that resumed it.
---@return akool.lipsync.Task? task
---@return akool.lipsync.Task? owner
function scheduler.current()
  local co = running()
  local task = co and tasks[co]
  return task, task or active
end

--- Did a task resume the coroutine that is running now, which is none?
---@return boolean
function scheduler.is_inside()
  return active ~= nil and active.co ~= running()
end

--- How many tasks are not through yet.
---@return integer
function scheduler.alive()
  return alive
end

--- Can a task go on?
---@return boolean
function scheduler.has_runnable()
  return first <= last
end

--- Is there something to do at once?
---@return boolean
function scheduler.is_pressing()
  return first <= last or broken
end

--- Is no task able to go on, nor waiting for something that will happen?
---@return boolean
function scheduler.is_stuck()
  return first > last and waits == 0 and not broken and next(gathered) == nil
end

--- Are tasks nested so deeply that none can be run here?
---@return boolean
function scheduler.is_too_deep()
  return depth > DEEPEST
end

--- Has a task ended since this was asked last?
---@return boolean
function scheduler.take_ended()
  local has = ended
  ended = false
  return has
end

--- How many tasks failed while nobody had joined them.
---@return integer
function scheduler.orphans()
  return #orphans
end

--- Changes when groups have to look at their ops themselves.
---@return integer
function scheduler.generation()
  return generation
end

return scheduler
