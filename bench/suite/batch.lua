-- batch: ten thousand jobs in one ledger, from their create to their film: what the ledger adds to the same
-- requests without any memory, and to a database that only commits as often. The ledger and the films lie
-- in memory where the system has such a place: what a disk takes for each commit comes on top.

local measure = require "measure"
local origin = require "origin"
local report = require "report"
local uv = require "luv"

local JOBS, CONCURRENCY, FILM = 10000, 1000, 10000 -- bytes

local function put_film(service)
  local file = assert(io.open(service.dir .. "/film.mp4", "wb"))
  file:write("\0\0\0\24ftypmp42", ("."):rep(FILM))
  assert(file:close())
end

--- Run one way, in a folder of its own that goes afterwards.
local function run(how, url, concurrency, commits)
  local folder = assert(uv.fs_mkdtemp(origin.folder() .. "/akool-lipsync-bench-XXXXXX"))
  local numbers, why = measure.run { "lua5.4", "bench/ours/batch.lua", how, url, folder,
    tostring(JOBS), tostring(concurrency), tostring(commits or 0) }
  os.execute(("rm -rf '%s'"):format(folder))
  return assert(numbers, why)
end

local function us(seconds) return ("%.0f"):format(seconds / JOBS * 1e6) end

return {
  title = "Batches",
  run = function(bench)
    local service = bench.start {}
    put_film(service)
    local commits
    local medians = measure.medians({
      { name = "ledger", run = function()
        local numbers = run("ledger", service.url .. "/batch", CONCURRENCY)
        commits = math.tointeger(numbers.commits)
        return numbers
      end },
      { name = "map", run = function()
        return run("map", service.url .. "/batch", CONCURRENCY)
      end },
      { name = "commits", run = function()
        return run("commits", service.url, CONCURRENCY, commits)
      end },
    }, bench.rounds)
    local ledger, map, bare = medians.ledger, medians.map, medians.commits
    report.table(("%d jobs, %d at once, plain HTTP"):format(JOBS, CONCURRENCY), { "", "us per job",
      "CPU us", "CPU ratio", "statements", "commits" })
    report.row { "lipsync.map, no ledger", us(map.seconds), us(map.cpu), "", "", "" }
    report.row { "LuaDBI, commits alone", us(bare.seconds), us(bare.cpu), "", "",
      ("%.2f"):format(commits / JOBS) }
    report.row { "batch", us(ledger.seconds), us(ledger.cpu),
      report.bar("batch, CPU against map and commits", ledger.cpu / (map.cpu + bare.cpu),
        { most = 2.5 }),
      report.bar("batch, statements per job", ledger.statements / JOBS, { most = 14 }, "%.1f"),
      ("%.2f"):format(ledger.commits / JOBS) }
    local waiting = run("waiting", service.url .. "/waiting", JOBS)
    report.table(("%d jobs, all at the service and none completed"):format(JOBS), { "",
      "us to submit one", "CPU us", "bytes per job", "Lua's" })
    report.row { "batch", us(waiting.seconds), us(waiting.cpu),
      report.bar("batch, bytes per waiting job", waiting.bytes, { most = 2048 }, "%.0f"),
      report.bar("batch, bytes in Lua", waiting.lua_bytes, { most = 768 }, "%.0f") }
    report.note("Resident memory holds the pages of the ledger that SQLite keeps, and the room "
      .. "that the collector has made.")
  end,
}
