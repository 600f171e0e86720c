-- worker.lua DSN FOLDER URL KEY ROWS CONCURRENCY LEASE: one run of a batch, as a process that may be
-- killed at any moment. It adds its rows, which are there already unless it is the first. Exit code 0
-- when nothing is left to do, 1 and why otherwise.

local batch = require "akool.lipsync.batch"
local lipsync = require "akool.lipsync"

local dsn, folder, url, key = arg[1], arg[2], arg[3], arg[4]
local rows, concurrency, lease = tonumber(arg[5]), tonumber(arg[6]), tonumber(arg[7])

local function check(value, err)
  if value then return value end
  io.stderr:write(tostring(err), "\n")
  os.exit(1)
end

local client = check(lipsync.new {
  api_key = key, base_url = url, poll = { first = 0.01, factor = 1, max = 0.02, jitter = 0.2 },
})
local work = check(batch.open(dsn, { client = client, output_dir = folder, lease = lease,
  concurrency = concurrency }))
local items = {}
for i = 1, rows do
  local name = ("row-%04d"):format(i)
  items[i] = { key = name, video_url = ("%s/files/%s.mp4"):format(url, name),
    audio_url = "https://example.com/voice.wav" }
end
check(work:add(items))
local summary = check(work:run())
check(not summary.stopped and not summary.interrupted, summary.stopped or summary.interrupted)
