-- One life of a Lua state, led by eight of them at once, over and over: the state is opened, makes a
-- job and follows it to its film, and is closed; every other one while calls are still under way.
--
-- threads.c gives: url, api_key, folder, thread, round.

local url, api_key, folder, thread, round = ...

local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"

local client = assert(lipsync.new {
  base_url = url, api_key = api_key, poll = { first = 0.01, max = 0.02, factor = 1, jitter = 0 },
})
local media = { video_url = url .. "/files/clip.mp4", audio_url = url .. "/files/voice.wav" }
local job = assert(client:create(media))
assert(assert(client:info(job)).id == job.id)

local seen
for status, what in client:poll(job) do
  assert(status ~= "error", what)
  seen = status
end
assert(seen == "completed", seen)

local path = ("%s/%d-%d.mp4"):format(folder, thread, round)
local file = assert(client:download(job, path))
assert(file.bytes > 0 and #file.sha256 == 64)
assert(os.remove(path))

local function ask() return client:info(job) end
local told = lipsync.map({ 1, 2, 3, 4 }, ask, { concurrency = 4 })
for i = 1, 4 do assert(told[i].id == job.id) end

-- One of them all may wait for a signal at a time.
local op, taken = core.interruption()
if op then op:cancel() else assert(taken.name == "signals_taken", tostring(taken)) end

local wrong, err = client:info("66160f989dfc997ac289037b")
assert(not wrong and err.kind == "not_found", tostring(err))

if round % 2 == 0 then
  for _ = 1, 4 do lipsync.spawn(client.info, client, job) end
  lipsync.spawn(lipsync.sleep, 60)
  lipsync.step(0) -- what it sends is answered, or not, to nobody
end
