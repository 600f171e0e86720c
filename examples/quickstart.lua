-- quickstart: one job, from two URLs to a file, with the progress shown while it waits.
--
--   lua5.4 examples/quickstart.lua VIDEO_URL AUDIO_URL OUTPUT
--   lua5.4 examples/quickstart.lua --continue JOB_ID OUTPUT
--
-- Credentials come from the environment: AKOOL_API_KEY (and AKOOL_BASE_URL for another service).

local lipsync = require "akool.lipsync"

local video, audio, output = arg[1], arg[2], arg[3]
if not output then
  io.stderr:write("usage: quickstart.lua VIDEO_URL AUDIO_URL OUTPUT | --continue JOB_ID OUTPUT\n")
  os.exit(2)
end

local started, status, id = os.time(), "creating the job", nil

local function say(...)
  io.stderr:write(("%4d s  "):format(os.difftime(os.time(), started)), string.format(...), "\n")
end

--- All of it, or what is left of it. The job's id is kept as soon as there is one.
local function make()
  local function on_status(word, job)
    if not id then say("job %s has been created", job.id) end
    id, status = job.id, word
    if word == "completed" then status = "downloading" end
  end
  if video ~= "--continue" then
    return lipsync.generate({ video_url = video, audio_url = audio }, output,
      { on_status = on_status })
  end
  id = audio
  local job, err = lipsync.wait(id, { on_status = on_status })
  if not job then return nil, err end
  return lipsync.download(job, output)
end

local ran, file, err = pcall(lipsync.run, function()
  local ticker = lipsync.spawn(function()
    repeat say("%s", status) until not lipsync.sleep(1)
  end)
  local made, problem = make()
  ticker:cancel()
  return made, problem
end)

if not (ran and file) then -- a job may have been paid: nothing of it is lost, Ctrl-C included
  say("%s", tostring(ran and err or file))
  if id then say("go on with: %s %s --continue %s %s", arg[-1], arg[0], id, output) end
  os.exit(1)
end
print(("%s: %d bytes, SHA-256 %s"):format(file.path, file.bytes, file.sha256))
