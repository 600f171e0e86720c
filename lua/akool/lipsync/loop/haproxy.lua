-- HAProxy: its tasks, actions and services wait, each on its own, and it serves others meanwhile.
-- Tasks that nobody waits for go on in a task of its own.

local interval = require "akool.lipsync.interval"

local core = core -- luacheck: ignore 113
if not (core and core.msleep) then error("this is not HAProxy", 0) end

local ELSEWHERE = "HAProxy cannot wait here: call it in a task (core.register_task), an action or "
  .. "a service, and not in a coroutine of your own."
local LATER = 50 -- milliseconds until what was spawned begins, at most

local spawned = {}

-- HAProxy 2.6 crashes when a coroutine that it did not make registers a task, such as one of ours.
core.register_task(function()
  while true do
    while spawned[1] do core.register_task(table.remove(spawned, 1)) end
    core.msleep(LATER)
  end
end)

---@type akool.lipsync.Host
return {
  name = "HAProxy",

  wait = function(engine, seconds)
    local before = core.now()
    local milliseconds = math.max(1, math.ceil(1000 * interval(engine, seconds)))
    if not pcall(core.msleep, milliseconds) then return ELSEWHERE end
    local now = core.now() -- its clock is read once in a turn of its loop
    if now.sec == before.sec and now.usec == before.usec then return ELSEWHERE end
  end,

  spawn = function(f)
    spawned[#spawned + 1] = f
  end,
}
