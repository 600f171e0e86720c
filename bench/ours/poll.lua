-- poll.lua URL CONCURRENCY JOBS: follows jobs to their end through the library, without a pause
-- between two polls, and prints what that took. A wait that rounds to none also keeps the pace of
-- the client out, which would let one job be asked about some thousand times a second.

package.path = "bench/?.lua;" .. package.path

local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"
local usage = require "usage"

local url, concurrency, jobs = arg[1], tonumber(arg[2]), tonumber(arg[3])
local id = "66160f989dfc997ac289037b"

local client = assert(lipsync.new {
  api_key = "bench",
  base_url = url,
  poll = { first = 1e-9, factor = 1, max = 1e-9, jitter = 0 },
})

local began, cpu = core.now(), os.clock()
lipsync.run(function()
  local tasks = {}
  usage.share_out(jobs, concurrency, function() assert(client:wait(id)) end,
    function(work) tasks[#tasks + 1] = lipsync.spawn(work) end)
  for _, task in ipairs(tasks) do task:join() end
end)
usage.report { seconds = core.now() - began, cpu = os.clock() - cpu, peak_kb = usage.peak_rss() }
