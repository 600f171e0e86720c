-- soak: does anything grow? Requests by the hundred thousand on kept connections, then the same mixed
-- with all that ends in other ways, then many jobs that wait. Memory, descriptors and Lua's own
-- memory are compared between the beginning and the end. Exit code 1 when something grew.

package.path = "proof/?.lua;spec/?.lua;" .. package.path

local nginx = require "support.nginx"

local USAGE = [[
usage: ./dev soak [--full] [--only requests|mixed|waiting] [--requests N] [--jobs N]

  --full        1,000,000 requests, 100,000 jobs for a minute; else 100,000, and 10,000 for 6 s
  --only NAME   one of the three alone
]]

local sizes = { requests = 100000, mixed = 20000, jobs = 10000, period = 2, seconds = 6 }
local FULL = { requests = 1000000, mixed = 200000, jobs = 100000, period = 60, seconds = 60 }
local NAMES = { "requests", "mixed", "waiting" }

local ANSWER = '{"code":1000,"msg":"OK","data":{"_id":"$arg_video_model_id",'
  .. '"create_time":1712720702523,"uid":100002,"type":9,"from":2,"target_video":'
  .. '"https://example.com/media/clip.mp4","faceswap_quality":2,"video_id":'
  .. '"d5a1c9b4-9c0f-4b1c-8f7e-0a5c3c5d1f10","video_status":STATUS,"video_lock_duration":11.7,'
  .. '"deduction_lock_duration":20,"external_video":"","video":"VIDEO","storage_loc":1,'
  .. '"input_audio":"https://example.com/media/voice.wav","webhookUrl":"","task_id":"",'
  .. '"lipsync":true,"__v":0}}'

-- Ids decide what is answered, so that one client meets everything. /cut/ ends the connection without
-- an answer, and a body of HTML comes from a gateway.
local SERVER = [[
  default_type application/json;
  map $connection_requests $state { default 2; ~0$ 3; }
  map $connection_requests $result { default ''; ~0$ 'https://example.com/media/film.mp4'; }
  server {
    listen 127.0.0.1:PORT backlog=1024;
    location / { return 200 'BUSY'; }
    location /ending/ { return 200 'ENDING'; }
    location /missing/ { return 200 '{"code":1008,"msg":"content does not exist"}'; }
    location /gateway/ { return 502 '<html>Bad Gateway</html>'; }
    location /broken/ { return 200 '{"code":1000,"data":{"_id":'; }
    location /cut/ { return 444; }
    location /short/ { keepalive_timeout 0; return 200 'BUSY'; }
    location = /media/film.mp4 { default_type video/mp4; return 200 'FILM'; }
  }
]]

local function fill(template, values)
  return (template:gsub("%u%u%u+", values))
end

local only
local at = 1
while arg[at] do
  local word, value = arg[at], arg[at + 1]
  if word == "--full" then
    for name, size in pairs(FULL) do sizes[name] = size end
  elseif word == "--only" and value then
    only, at = value, at + 1
  elseif (word == "--requests" or word == "--jobs") and tonumber(value) then
    sizes[word:sub(3)], at = math.tointeger(tonumber(value)), at + 1
  else
    io.stderr:write(USAGE)
    os.exit(2)
  end
  at = at + 1
end

local server = nginx.launch(fill(SERVER, {
  BUSY = fill(ANSWER, { STATUS = 2, VIDEO = "" }),
  ENDING = fill(ANSWER, { STATUS = "$state", VIDEO = "$result" }),
  FILM = "\0\0\0\24ftypmp42" .. ("."):rep(1000),
}))

local grown, seen = 0, 0

--- One thing that was compared.
local function row(scenario, what, first, last, limit, fine)
  seen = seen + 1
  if not fine then grown = grown + 1 end
  print(("%-9s %-22s %14.0f %14.0f   %-20s %s"):format(scenario, what, first, last, limit,
    fine and "ok" or "GREW"))
  io.flush()
end

print(("%-9s %-22s %14s %14s   %-20s %s"):format("scenario", "what", "beginning", "end", "may be",
  "result"))
local ok, why = pcall(function()
  for _, name in ipairs(NAMES) do
    if not only or only == name then require("soak." .. name)(server, sizes, row) end
  end
end)
server:stop()
if not ok then
  io.stderr:write(tostring(why), "\n")
  os.exit(1)
end
if seen == 0 then
  io.stderr:write(USAGE)
  os.exit(2)
end
print(grown == 0 and "\nNothing grew."
  or ("\n%d of %d grew. One scenario alone: ./dev soak --only NAME"):format(grown, seen))
os.exit(grown == 0)
