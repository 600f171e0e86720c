-- batch.lua ledger|map|commits|waiting URL FOLDER JOBS CONCURRENCY [COMMITS]: many jobs from their create to
-- their film. `ledger` does it as a batch, with an SQLite file; `map` sends the same requests and remembers
-- nothing; `commits` sends none, and has LuaDBI do so many transactions of one UPDATE each; `waiting` is a
-- batch in which all jobs are made and none ends, and measures what that takes while they wait.

package.path = "bench/?.lua;" .. package.path

local batch = require "akool.lipsync.batch"
local core = require "akool.lipsync.core"
local dbi = require "DBI"
local lipsync = require "akool.lipsync"
local usage = require "usage"

local how, url, folder = arg[1], arg[2], arg[3]
local jobs, concurrency, commits = tonumber(arg[4]), tonumber(arg[5]), tonumber(arg[6])
local LEDGER = folder .. "/jobs.db"

local soon = how == "waiting" and 60 or 1e-9 -- seconds
local client = assert(lipsync.new { api_key = "bench", base_url = url,
  poll = { first = soon, factor = 1, max = soon, jitter = 0 } })

local function item(i)
  return { key = ("row-%05d"):format(i), video_url = ("https://example.com/%d.mp4"):format(i),
    audio_url = "https://example.com/voice.wav" }
end

local function items(first, last)
  local list = {}
  for i = first, last do list[#list + 1] = item(i) end
  return list
end

--- Count what a ledger asks of its database: statements and, among them, what ends a transaction.
local function counted(db)
  local counts, methods = { statements = 0, commits = 0 }, getmetatable(db).__index
  for _, name in ipairs { "rows", "change" } do
    local call = methods[name]
    methods[name] = function(self, statement, ...)
      counts.statements = counts.statements + 1
      if not self.transacting and not statement:find "^SELECT" then
        counts.commits = counts.commits + 1
      end
      return call(self, statement, ...)
    end
  end
  local transaction = methods.transaction
  methods.transaction = function(...)
    counts.statements, counts.commits = counts.statements + 2, counts.commits + 1
    return transaction(...)
  end
  return counts
end

--- A batch with all jobs planned: added a few at a time, which leaves no room where jobs could hide.
local function planned()
  local work = assert(batch.open(LEDGER, { client = client, output_dir = folder,
    concurrency = concurrency }))
  for i = 1, jobs, 100 do assert(work:add(items(i, math.min(i + 99, jobs)))) end
  return work, counted(work.ledger.db)
end

local function settled(read)
  collectgarbage()
  collectgarbage()
  return read()
end

--- Seconds and CPU of f.
local function timed(f)
  local began, cpu = core.now(), os.clock()
  f()
  return { seconds = core.now() - began, cpu = os.clock() - cpu }
end

local ways = {}

function ways.ledger()
  local work, counts = planned()
  local numbers = timed(function() assert(assert(work:run()).done == jobs) end)
  numbers.statements, numbers.commits = counts.statements, counts.commits
  work:close()
  return numbers
end

function ways.map()
  return timed(function()
    local _, errors = lipsync.map(items(1, jobs), function(wanted)
      local path = ("%s/%s.mp4"):format(folder, wanted.key)
      local job, err = client:create { video_url = wanted.video_url, audio_url = wanted.audio_url }
      if job then job, err = client:wait(job) end
      if job then job, err = client:download(job, path) end
      return job, err
    end, { concurrency = concurrency })
    local _, err = next(errors)
    if err then error(err, 0) end
  end)
end

function ways.commits()
  local connection = assert(dbi.Connect("SQLite3", LEDGER))
  local function run(statement, ...)
    local handle = assert(connection:prepare(statement))
    assert(handle:execute(...))
    handle:fetch()
    handle:close()
  end
  connection:autocommit(true)
  run "PRAGMA journal_mode = WAL"
  run "PRAGMA synchronous = FULL"
  run "CREATE TABLE jobs (key INTEGER PRIMARY KEY, state TEXT)"
  run "CREATE INDEX states ON jobs (state)"
  run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
    .. "INSERT INTO jobs SELECT i, 'planned' FROM n", jobs)
  local update = assert(connection:prepare "UPDATE jobs SET state = ? WHERE key = ?")
  local numbers = timed(function()
    for i = 1, commits do
      assert(update:execute("state " .. i, i % jobs + 1))
      update:fetch()
    end
  end)
  connection:close()
  return numbers
end

function ways.waiting()
  local work, counts = planned()
  local memory, heap = settled(usage.rss), settled(function() return collectgarbage "count" end)
  local numbers
  local function all_made()
    local status = assert(work:status())
    return status.submitted + status.processing == jobs
  end
  lipsync.run(function()
    local running = lipsync.spawn(work.run, work)
    numbers = timed(function()
      repeat lipsync.sleep(0.1) until all_made()
    end)
    numbers.bytes = (settled(usage.rss) - memory) * 1024 / jobs
    numbers.lua_bytes = (settled(function() return collectgarbage "count" end) - heap) * 1024 / jobs
    work:stop()
    assert(running:join())
  end)
  numbers.statements = counts.statements
  return numbers
end

usage.report(ways[how]())
