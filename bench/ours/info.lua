-- info.lua URL CONCURRENCY REQUESTS [CA_FILE]: asks for the state of a job again and again through
-- the library, as it is without any option, and prints what that took.

package.path = "bench/?.lua;" .. package.path

local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"
local usage = require "usage"

local url, concurrency, requests = arg[1], tonumber(arg[2]), tonumber(arg[3])
local id = "66160f989dfc997ac289037b"

local client = assert(lipsync.new { api_key = "bench", base_url = url, ca_file = arg[4] })

local began, cpu = core.now(), os.clock()
lipsync.run(function()
  local tasks = {}
  usage.share_out(requests, concurrency, function() assert(client:info(id)) end,
    function(work) tasks[#tasks + 1] = lipsync.spawn(work) end)
  for _, task in ipairs(tasks) do task:join() end
end)
usage.report { requests = requests, seconds = core.now() - began, cpu = os.clock() - cpu,
  peak_kb = usage.peak_rss() }
