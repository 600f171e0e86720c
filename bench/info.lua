-- The same work as floor.c, done through the library: info.lua URL CONCURRENCY REQUESTS
-- asks for the state of a job again and again and prints what that took as one line of JSON.

local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"

local url, concurrency, requests = arg[1], tonumber(arg[2]), tonumber(arg[3])
local id = "66160f989dfc997ac289037b"

local function peak_rss()
  for line in io.lines("/proc/self/status") do
    local kb = line:match("^VmHWM:%s*(%d+)")
    if kb then return tonumber(kb) end
  end
end

local client = assert(lipsync.new {
  api_key = "bench",
  base_url = url,
  max_connections = concurrency,
})
local list = {}
for i = 1, requests do list[i] = i end

local began, cpu = core.now(), os.clock()
lipsync.map(list, function()
  assert(client:info(id)) -- nothing is returned, so that the jobs do not pile up
end, { concurrency = concurrency })
local seconds = core.now() - began
cpu = os.clock() - cpu

print(("{\"requests\":%d,\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"peak_rss_kb\":%d}")
  :format(requests, seconds, cpu, peak_rss()))
