-- waiting: many jobs followed at once, a task each; while they wait and are polled, nothing grows, and
-- when they are cancelled everything is given back.

local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"
local usage = require "soak.usage"

local CONNECTIONS = 64 -- the library's default

return function(server, sizes, row)
  local jobs, period = sizes.jobs, sizes.period
  local client = assert(lipsync.new {
    api_key = "soak",
    base_url = server.url,
    wait_timeout = 1e6,
    poll = { first = period, factor = 1, max = period, jitter = 0.2 },
  })
  local function run_until(moment)
    repeat lipsync.step(math.max(0, moment - core.now())) until core.now() >= moment
  end

  lipsync.run(function() -- every connection and handle is there before the first job
    local asking = {}
    for i = 1, CONNECTIONS do
      asking[i] = lipsync.spawn(function() assert(client:info("66160f989dfc997ac289037b")) end)
    end
    for _, task in ipairs(asking) do task:join() end
  end)
  local tasks, began = {}, core.now()
  for i = 1, jobs do
    tasks[i] = lipsync.spawn(function()
      local _, err = client:wait(("%024x"):format(i))
      return err.kind
    end)
    local due = began + i * period / jobs -- spread over one period
    if due > core.now() then run_until(due) end
  end
  run_until(began + 1.5 * period) -- each was polled once

  local lua, memory, descriptors = usage.lua(), usage.memory(), usage.descriptors()
  local calls = core.engine():stats().calls
  run_until(core.now() + sizes.seconds)
  local lua_after, memory_after = usage.lua(), usage.memory()
  row("waiting", "memory, kB", memory, memory_after, "1 % more", memory_after <= memory * 1.01)
  row("waiting", "Lua's memory, bytes", lua, lua_after, "1 % more", lua_after <= lua * 1.01)
  local left = usage.descriptors()
  row("waiting", "descriptors", descriptors, left, "one per connection",
    left <= descriptors or left <= CONNECTIONS + 20)
  local stats = core.engine():stats()
  row("waiting", "jobs followed", calls, stats.calls, "all of them",
    calls == jobs and stats.calls == jobs)

  for _, task in ipairs(tasks) do task:cancel() end
  for _, task in ipairs(tasks) do assert(task:join() == "cancelled") end
  stats = core.engine():stats()
  row("waiting", "calls after cancelling", jobs, stats.calls, "none",
    stats.calls == 0)
end
