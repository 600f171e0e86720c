-- origin: the service that is asked: one nginx per way to reach it, pinned to the first processor.

local uv = require "luv"

package.path = "spec/?.lua;" .. package.path
local certs = require "support.certs"
local nginx = require "support.nginx"

local ANSWER = '{"code":1000,"msg":"OK","data":{"_id":"$arg_video_model_id",'
  .. '"create_time":1712720702523,"uid":100002,"type":9,"from":2,"target_video":'
  .. '"https://example.com/media/clip.mp4","faceswap_quality":2,"video_id":'
  .. '"d5a1c9b4-9c0f-4b1c-8f7e-0a5c3c5d1f10","video_status":STATUS,"video_lock_duration":11.7,'
  .. '"deduction_lock_duration":20,"external_video":"","video":"VIDEO","storage_loc":1,'
  .. '"input_audio":"https://example.com/media/voice.wav","webhookUrl":"","task_id":"",'
  .. '"lipsync":true,"__v":0}}'

-- /ending/ says of every hundredth request on a connection that the job is completed, so that most
-- polls of a job bring what the last one brought. /batch/ makes jobs that are completed when they are
-- asked about, and /waiting/ such that never are. With HTTP/2 asked for, nothing else is answered.
local SERVER = [[
  default_type application/json;
  map $connection_requests $state { default 2; ~00$ 3; }
  map $connection_requests $result { default ''; ~00$ 'https://example.com/media/film.mp4'; }
  log_format polls '$msec $arg_video_model_id';
  sendfile on;
  tcp_nopush on;
  server {
    listen 127.0.0.1:PORT TLS backlog=1024;
    ONLY
    location / { return 200 'BUSY'; }
    location /ending/ { return 200 'ENDING'; }
    location /batch/ { return 200 'READY'; }
    location ~ ^/(batch|waiting)/.*/lipsync$ { return 200 'MADE'; }
    location /waiting/ { access_log DIR/polls.log polls buffer=256k; return 200 'BUSY'; }
    location /media/ { default_type video/mp4; alias DIR/; }
  }
  server {
    listen unix:DIR/status.sock;
    location / { stub_status; }
  }
]]

local TLS = [[
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate CERT;
    ssl_certificate_key KEY;
]]

local HTTP2 = [[if ($http2 != "h2") { return 505; } ]]

local origin = {}

--- The words of a command, on one processor if there is more than one: the service has the first and
--- the client the second.
function origin.pinned(processor, words)
  if #uv.cpu_info() < 2 then return words end
  return { "taskset", "-c", tostring(processor), table.unpack(words) }
end

---@class bench.Origin
---@field url string
---@field dir string       # what /media/ serves
---@field ca_file string?  # what a client must trust
local Origin = {}
Origin.__index = Origin

--- What the service counted: connections accepted and requests answered, this one not among them.
function Origin:counted()
  local pipe, said, over = uv.new_pipe(false), {}, false
  pipe:connect(self.dir .. "/status.sock", function(err)
    assert(not err, err)
    pipe:read_start(function(_, data)
      if data then said[#said + 1] = data else over = true end
    end)
    pipe:write("GET /status HTTP/1.0\r\n\r\n")
  end)
  while not over do uv.run("once") end
  pipe:close()
  uv.run("nowait")
  local connections, requests = table.concat(said):match("requests%s+(%d+)%s+%d+%s+(%d+)")
  self.looks = self.looks + 1
  return { connections = connections - self.looks, requests = requests - self.looks }
end

--- The moments (s) at which jobs were polled: a list for each job, in order. Empties the log.
function Origin:polls()
  self.server.process:kill("sigusr1") -- nginx writes what it has, and opens the log anew
  uv.sleep(500)
  local moments = {}
  local path = self.dir .. "/polls.log"
  for line in io.lines(path) do
    local moment, job = line:match("^([%d.]+) (%x+)$")
    if moment then
      moments[job] = moments[job] or {}
      table.insert(moments[job], tonumber(moment))
    end
  end
  io.open(path, "w"):close()
  return moments
end

--- Puts a file of so many bytes where /media/ serves it, and returns its URL.
function Origin:serve(name, size)
  local file = assert(io.open(self.dir .. "/" .. name, "wb"))
  local chunk = ("0123456789abcdef"):rep(65536)
  for _ = 1, size // #chunk do assert(file:write(chunk)) end
  assert(file:close())
  return self.url .. "/media/" .. name
end

function Origin:stop()
  self.server:stop()
end

local function fill(template, values)
  return (template:gsub("%u%u%u+%d?", values))
end

--- Starts one. `directives` go into its server block.
---@param how { tls: boolean?, http2: boolean?, directives: string? }
---@return bench.Origin
function origin.start(how)
  local dir = assert(uv.fs_mkdtemp(origin.folder() .. "/akool-lipsync-bench-XXXXXX"))
  local made = how.tls and certs.make(dir)
  local only = (how.tls and fill(TLS, { CERT = made.good.cert, KEY = made.good.key }) or "")
    .. (how.http2 and HTTP2 or "") .. (how.directives or "")
  local http = fill(SERVER, {
    TLS = (how.tls and "ssl " or "") .. (how.http2 and "http2" or ""),
    DIR = dir,
    ONLY = only,
    BUSY = fill(ANSWER, { STATUS = 2, VIDEO = "" }),
    ENDING = fill(ANSWER, { STATUS = "$state", VIDEO = "$result" }),
    MADE = fill(ANSWER, { STATUS = 1, VIDEO = "" }):gsub("$arg_video_model_id", "$request_id"),
    READY = fill(ANSWER, { STATUS = 3, VIDEO = "http://$http_host/media/film.mp4" }),
  })
  local server = nginx.launch(http, { command = origin.pinned(0, { nginx.program }), dir = dir })
  local self = setmetatable({ server = server, dir = dir, looks = 0 }, Origin)
  self.url = how.tls and server.url:gsub("^http:", "https:") or server.url
  self.ca_file = made and made.ca_file
  return self
end

--- Where files go: in memory if the system has such a place, so that no disk decides.
function origin.folder()
  return uv.fs_access("/dev/shm", "W") and "/dev/shm" or uv.os_tmpdir()
end

return origin
