--- exercise: what the library has to be able to do inside any host. It runs there, in a task or in a
--- coroutine of the host's, and leaves what it found out in the file "facts"; `support.host` reads it.
---
---   lipsync.spawn(exercise.run, function() return ticks end)

local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"

local exercise = {}

local VIDEO, AUDIO = "https://example.com/clip.mp4", "https://example.com/voice.wav"
local UNKNOWN = "66160f989dfc997ac289037b"

--- How many descriptors this process has open. (Through a pipe it would sometimes be one more.)
local function descriptors()
  os.execute "ls /proc/$PPID/fd >descriptors"
  local count = 0
  for _ in io.lines "descriptors" do count = count + 1 end
  return count
end

--- The same without those that the host has for a moment: what is left behind stays. The engine that
--- the pauses need is among them, each time.
local function kept_descriptors()
  local least = math.huge
  for _ = 1, 5 do
    lipsync.sleep(0.02)
    least = math.min(least, descriptors())
  end
  return least
end

local function kind(value, err)
  return value and "no error" or err.kind
end

local function write(facts)
  local file = assert(io.open("facts", "w"))
  for name, value in pairs(facts) do file:write(name, "=", tostring(value), "\n") end
  file:close()
end

--- Ten jobs from their creation to their film.
local function ten_films(client, facts)
  local list = {}
  for i = 1, 10 do list[i] = ("film-%d.mp4"):format(i) end
  local films, errors = lipsync.map(list, function(name)
    return client:generate({ video_url = VIDEO, audio_url = AUDIO }, name)
  end, { concurrency = 10 })
  facts.films, facts.errors = 0, ""
  for i in ipairs(list) do
    if films[i] then facts.films = facts.films + 1 end
    if errors[i] then facts.errors = facts.errors .. tostring(errors[i]) end
  end
end

--- A task that waits for a server that never says anything.
local function stuck(mute)
  local task = lipsync.spawn(function() return mute:info(UNKNOWN) end)
  lipsync.sleep(0.05)
  return task
end

--- All of it.
---@param ticks fun(): integer  # how often a timer of the host's own has come around
function exercise.run(ticks)
  local poll = { first = 0.02, max = 0.05, factor = 1, jitter = 0 }
  local client = assert(lipsync.new { poll = poll })
  local mute = assert(lipsync.new { base_url = os.getenv "SILENT_URL", poll = poll })
  core.engine():close()
  local facts, before = {}, kept_descriptors()

  local began = ticks()
  ten_films(client, facts)
  facts.ticks = ticks() - began

  local task = stuck(mute)
  task:cancel()
  facts.cancelled = kind(task:join())
  facts.deadline = kind(mute:wait(UNKNOWN, { wait_timeout = 0.1 }))

  task = stuck(mute)
  core.engine():close()
  facts.closed = kind(task:join())
  core.engine():close()
  facts.left = kept_descriptors() - before

  local job = assert(client:create { video_url = VIDEO, audio_url = AUDIO })
  facts.again = assert(client:wait(job)).status
  write(facts)
end

return exercise
