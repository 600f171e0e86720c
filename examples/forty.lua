-- forty: one film in as many voices as a list has, tonight. Run it again after whatever happened.
--
--   lua5.4 examples/forty.lua LIST VIDEO_URL
--
-- LIST is a CSV file with the columns key and audio_url. Credentials come from the environment:
-- AKOOL_API_KEY (and AKOOL_BASE_URL for another service).

local batch = require "akool.lipsync.batch"

local list, video = arg[1], arg[2]
if not video then
  io.stderr:write "usage: forty.lua LIST VIDEO_URL\n"
  os.exit(2)
end

local rows = {}
for line in io.lines(list) do
  local key, voice = line:match "^([^,]+),(http[^,%s]+)"
  if key then rows[#rows + 1] = { key = key, video_url = video, audio_url = voice } end
end

local function say(...)
  io.stderr:write(os.date "%H:%M:%S  ", string.format(...), "\n")
end

local b = assert(batch.open("forty.db"))
say("%d rows, %d of them new", #rows, assert(b:add(rows)))

local summary = assert(b:run {
  on_event = function(event)
    if event.type == "progress" then return end
    say("%-4s %s %s", event.key or "", event.type, event.error and tostring(event.error) or "")
  end,
})

for _, row in ipairs(assert(b:rows())) do
  print(row.key, row.state, row.path or row.error and row.error.message or row.job_id or "")
end
say("%d of %d are done", summary.done, summary.total)
if summary.stopped then say("stopped: %s", tostring(summary.stopped)) end
os.exit(summary.done == summary.total and 0 or 1)
