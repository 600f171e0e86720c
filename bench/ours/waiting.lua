-- waiting.lua URL ops|tasks JOBS PERIOD SECONDS: follows many jobs at once, each polled again a
-- period after its last answer: by ops held in a table, or by a task (a coroutine) for each. All are
-- there from the beginning and as old as one period, so that the library spreads their first polls
-- over the next; after that it is measured.

package.path = "bench/?.lua;" .. package.path

local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"
local usage = require "usage"

local url, how, jobs = arg[1], arg[2], tonumber(arg[3])
local period, seconds = tonumber(arg[4]), tonumber(arg[5])
local CONNECTIONS = 64

local client = assert(lipsync.new {
  api_key = "bench",
  base_url = url,
  wait_timeout = 1e6,
  poll = { first = period, factor = 1, max = period, jitter = 0 },
})

local function settled(read)
  collectgarbage()
  collectgarbage()
  return read()
end

local function id_of(i) return ("%024x"):format(i) end

-- Everything that does not grow with the jobs is there before the first of them. The service's log
-- of polls takes no notice of an id that is not a number.
lipsync.run(function()
  local tasks = {}
  usage.share_out(4 * CONNECTIONS, CONNECTIONS, function() assert(client:info("warm-up")) end,
    function(work) tasks[#tasks + 1] = lipsync.spawn(work) end)
  for _, task in ipairs(tasks) do task:join() end
end)

local function fail(err)
  io.stderr:write(tostring(err), "\n")
  os.exit(1)
end

--- By ops: the program turns the engine itself and looks at those that have news.
local function by_ops()
  local engine, ops = core.engine(), {}
  return {
    follow = function(i)
      ops[i] = assert(client.core:poll(client.settings, id_of(i), period))
    end,
    run_until = function(moment)
      repeat
        engine:step(math.max(0, moment - core.now()))
        local op = engine:ready()
        while op do
          repeat
            local kind, err = op:next()
            if kind == "failed" then fail(err) end
          until not kind
          op = engine:ready()
        end
      until core.now() >= moment
    end,
    held = ops,
  }
end

--- By tasks: each waits for its job's end.
local function by_tasks()
  local function wait(i)
    local _, err = client:wait { id = id_of(i), status = "processing",
      created_at = os.time() - period }
    fail(err)
  end
  return {
    follow = function(i) lipsync.spawn(wait, i) end,
    run_until = function(moment)
      repeat lipsync.step(math.max(0, moment - core.now())) until core.now() >= moment
    end,
  }
end

local followed = how == "ops" and by_ops() or by_tasks()
local memory, heap = settled(usage.rss), settled(function() return collectgarbage("count") end)

for i = 1, jobs do
  followed.follow(i)
  if i % 100 == 0 then followed.run_until(core.now()) end -- in which tasks begin
end
local began = core.now()
followed.run_until(began + period)

local cpu = os.clock()
followed.run_until(began + period + seconds)
cpu = os.clock() - cpu

usage.report {
  cpu = cpu,
  bytes = (settled(usage.rss) - memory) * 1024 / jobs,
  lua_bytes = (settled(function() return collectgarbage("count") end) - heap) * 1024 / jobs,
  alive = core.engine():stats().calls,
}
os.exit(true, false) -- with jobs under way: the system cleans up
