-- dub: makes one film while the frames of its host, the program of main.c, go on.
--
--   frames dub.lua [BASE_URL [VIDEO_URL AUDIO_URL [OUTPUT]]]
--
-- Without arguments the service is a mock on this machine: akool-lipsync-mock --port 8080
-- For another one the key comes from AKOOL_API_KEY; the real one is https://openapi.akool.com

local lipsync = require "akool.lipsync"

local base_url, video, audio, output = ...
local on_this_machine = not base_url or base_url:find "^http://127%."

local client = lipsync.assert(lipsync.new {
  base_url = base_url or "http://127.0.0.1:8080",
  api_key = not base_url and "mock-api-key" or nil,
  poll = on_this_machine and { first = 0.1 } or nil, -- a mock's jobs are done in moments
})
local frame = 0

local task = lipsync.spawn(function()
  return client:generate({
    video_url = video or "https://example.com/clip.mp4",
    audio_url = audio or "https://example.com/voice.wav",
  }, output or "dubbed.mp4", {
    on_status = function(status, job)
      print(("frame %d: %s is %s"):format(frame, job.id, status))
    end,
  })
end)

-- Called in each frame; returns what came of it all, once that is known.
return function()
  frame = frame + 1
  if lipsync.step(0) > 0 then return nil end
  local file = lipsync.assert(task:join())
  return ("%s: %d bytes, SHA-256 %s"):format(file.path, file.bytes, file.sha256)
end
