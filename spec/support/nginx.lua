--- Runs a real web server for a spec: nginx on a free port of 127.0.0.1, in a folder of its own
--- that goes when it stops. Nothing else needs to turn luv's loop: the waits here do it themselves.

local uv = require "luv"
local certs = require "support.certs"
local sockets = require "support.sockets"

local nginx = {}

--- The program. Debian keeps it where only root's PATH leads.
nginx.program = uv.fs_stat("/usr/sbin/nginx") and "/usr/sbin/nginx" or "nginx"

local ATTEMPTS = 5 -- at a port: another program may take it between our look and nginx's bind

local MAIN = [[
MODULES
daemon off;
master_process off;
pid nginx.pid;
events { worker_connections 4096; }
http {
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  keepalive_timeout 600s;
  keepalive_requests 100000000;
  client_max_body_size 0;
  access_log off;
HTTP
}
STREAM
]]

local PROXY = [[
  log_format spec '$server_protocol "$request" connection=$connection '
    'requests=$connection_requests tls=$ssl_protocol status=$status agent="$http_user_agent"';
  ssl_protocols TLSv1.2 TLSv1.3;
  proxy_http_version 1.1;
  proxy_set_header Host $http_host;
  proxy_set_header Connection "";
  proxy_redirect off;
  proxy_buffering off;
  proxy_request_buffering off;
  proxy_next_upstream off;
  proxy_read_timeout 600s;
  proxy_send_timeout 600s;
  server {
    listen 127.0.0.1:PORT ssl HTTP2;
    ssl_certificate CERT;
    ssl_certificate_key KEY;
    access_log access.log spec;
    DIRECTIVES
    location / { proxy_pass http://127.0.0.1:UPSTREAM; }
  }
]]

-- Debian keeps this module apart; elsewhere it may be part of the program.
local STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

-- TLS ends here and the bytes inside go on as they are, after a line that says whose they are.
local FORWARD = [[
stream {
  server {
    listen 127.0.0.1:PORT ssl;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate CERT;
    ssl_certificate_key KEY;
    proxy_pass 127.0.0.1:UPSTREAM;
    proxy_protocol on;
    proxy_timeout 600s;
  }
}
]]

--- Puts values in the place of the words in capitals that have one.
local function fill(template, values)
  return (template:gsub("%u[%u%d]+", values))
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  assert(file:close())
end

local function read(path)
  local file = io.open(path)
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return text
end

local function remove(path)
  for name, kind in uv.fs_scandir_next, assert(uv.fs_scandir(path)) do
    local inner = path .. "/" .. name
    if kind == "directory" then remove(inner) else os.remove(inner) end
  end
  uv.fs_rmdir(path)
end

---@class spec.nginx
---@field url string
---@field port integer
---@field pid integer
---@field ca_file? string what a client must trust
local server = {}
server.__index = server

--- The lines of the access log; waits until there are at least `count`, since nginx writes a line
--- only after the client has seen its answer end.
---@param count? integer
---@param word? string  # only lines that hold it
---@return string[]
function server:log(count, word)
  local lines
  sockets.turn_until(function()
    lines = {}
    for line in read(self.dir .. "/access.log"):gmatch("[^\n]+") do
      if not word or line:find(word, 1, true) then lines[#lines + 1] = line end
    end
    return #lines >= (count or 0)
  end)
  return lines
end

--- Stops nginx and removes its folder. Harmless when that has been done.
function server:stop()
  if self.process then
    self.process:kill("sigterm")
    if not sockets.turn_until(function() return self.exited end) then
      self.process:kill("sigkill")
      sockets.turn_until(function() return self.exited end)
    end
    self.process:close()
    self.process = nil
    uv.run("nowait")
  end
  if self.dir then
    remove(self.dir)
    self.dir = nil
  end
end

--- Starts the process; false if it did not come to listen.
local function run(self, command)
  local errors = assert(uv.fs_open(self.dir .. "/stderr", "w", tonumber("644", 8)))
  local args = { "-p", self.dir, "-c", "nginx.conf", "-e", "stderr" }
  for i = #command, 2, -1 do table.insert(args, 1, command[i]) end
  self.exited = false
  local process, pid = uv.spawn(command[1], { args = args, stdio = { nil, nil, errors } },
    function() self.exited = true end)
  uv.fs_close(errors)
  if not process then error("cannot start " .. command[1] .. ": " .. pid) end
  self.process, self.pid = process, pid

  -- nginx writes the file once it listens, so a connection after that is to nobody else.
  local ready = sockets.turn_until(function()
    return self.exited or read(self.dir .. "/nginx.pid"):find("%d")
  end)
  if ready and not self.exited and sockets.accepts(self.port) then
    process:unref() -- a spec's own uv.run must not wait for us
    return true
  end
  return false
end

--- Starts nginx with `http`, what stands in its http block, and perhaps with a `stream` block too;
--- PORT in there becomes the port.
---@param http string
---@param options? { command?: string[], dir?: string, stream?: string }
---@return spec.nginx
function nginx.launch(http, options)
  options = options or {}
  local dir = options.dir or assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/nginx-XXXXXX"))
  local self = setmetatable({ dir = dir }, server)
  for _ = 1, ATTEMPTS do
    self.port = sockets.free_port()
    local loads = options.stream and uv.fs_stat(STREAM_MODULE)
    write(dir .. "/nginx.conf", fill(MAIN, {
      MODULES = loads and ("load_module %s;"):format(STREAM_MODULE) or "",
      HTTP = fill(http, { PORT = self.port }),
      STREAM = fill(options.stream or "", { PORT = self.port }),
    }))
    if run(self, options.command or { nginx.program }) then
      self.url = "http://127.0.0.1:" .. self.port
      return self
    end
    local said = read(dir .. "/stderr")
    if not said:find("Address already in use", 1, true) then
      self:stop()
      error("nginx did not start:\n" .. said)
    end
    if not self.exited then self.process:kill("sigkill") end
    sockets.turn_until(function() return self.exited end)
    self.process:close()
  end
  self.process = nil
  self:stop()
  error("no free port was found for nginx")
end

--- Starts nginx in front of the server at the port `upstream`, as the TLS end of it.
---@param options { upstream: integer, cert?: string, http2?: boolean, directives?: string }
---@return spec.nginx
function nginx.start(options)
  local dir = assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/nginx-XXXXXX"))
  local made = certs.make(dir)
  local cert = assert(made[options.cert or "good"], "no such certificate")
  local self = nginx.launch(fill(PROXY, {
    CERT = cert.cert,
    KEY = cert.key,
    HTTP2 = options.http2 and "http2" or "",
    DIRECTIVES = options.directives or "",
    UPSTREAM = options.upstream,
  }), { dir = dir })
  self.url = "https://127.0.0.1:" .. self.port
  self.ca_file = made.ca_file
  return self
end

--- Starts nginx as the TLS end of whatever listens at the port `upstream`. It passes on bytes, not
--- requests: every connection begins with a line of the PROXY protocol, and ends as the other ends.
---@param upstream integer
---@return spec.nginx
function nginx.forward(upstream)
  local dir = assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/nginx-XXXXXX"))
  local made = certs.make(dir)
  local self = nginx.launch("", { dir = dir, stream = fill(FORWARD, {
    CERT = made.good.cert, KEY = made.good.key, UPSTREAM = upstream,
  }) })
  self.url = "https://127.0.0.1:" .. self.port
  self.ca_file = made.ca_file
  return self
end

return nginx
