--- The mock service as a process: listens, records what it receives, lets the faults and Akool's
--- rules answer, and does what it is told over its control channel, which is either /_mock/VERB or
--- a pair of pipes to the program that started it.

local clip = require "akool.lipsync.mock.clip"
local faults = require "akool.lipsync.mock.faults"
local http = require "akool.lipsync.http"
local outbound = require "akool.lipsync.mock.outbound"
local service = require "akool.lipsync.mock.service"
local uv = require "akool.lipsync.uv"
local webhooks = require "akool.lipsync.mock.webhooks"

local KEPT_REQUESTS = 20000
local KEPT_BYTES = 64 * 1024 * 1024 -- of all requests together
local KEPT_EACH = 64 * 1024         -- of one request
local FETCH = "GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n"
local FETCH_SECONDS, FETCH_BYTES = 5, 300 * 1024 * 1024
local NO_FAULT = {}

local TYPES = {
  mp4 = "video/mp4", mov = "video/quicktime", wav = "audio/wav", mp3 = "audio/mpeg",
  m4a = "audio/mp4", json = "application/json", txt = "text/plain",
}

---@class akool.lipsync.mock.server
---@field url string
---@field port integer
local server = {}
server.__index = server

local function wall_clock()
  local seconds, micro = uv.gettimeofday()
  return seconds + micro / 1e6
end

--- The service's clock.
function server:now()
  local elapsed = self.manual and 0 or (uv.hrtime() - self.started) / 1e9
  return self.base + self.advanced + elapsed
end

-- What was received ------------------------------------------------------------------------

function server:forget_requests()
  self.records, self.first, self.last, self.bytes = {}, 1, 0, 0
  self.complete = { total = 0 }
end

function server:record(conn, request)
  self.last = self.last + 1
  local record = { n = self.last, at = request.at, connection = conn.number, request = request }
  self.records[self.last] = record
  return record
end

-- Keeps the bytes of a request of which no more will come; the oldest make room.
function server:settle(record)
  local request = record and record.request
  if not request or self.records[record.n] ~= record then return end
  record.request, record.complete = nil, request.complete
  record.raw, record.truncated = request.raw:sub(1, KEPT_EACH), #request.raw > KEPT_EACH
  self.bytes = self.bytes + #record.raw
  if record.complete then
    self.complete.total = self.complete.total + 1
    self.complete[record.at] = (self.complete[record.at] or 0) + 1
  end
  while self.last - self.first >= KEPT_REQUESTS or self.bytes > KEPT_BYTES do
    local oldest = self.records[self.first]
    self.bytes = self.bytes - #(oldest.raw or "")
    self.records[self.first], self.first = nil, self.first + 1
  end
end

local function describe(record)
  local raw = record.raw or record.request.raw
  local request = http.parse(raw:sub(1, KEPT_EACH))
  return {
    n = record.n, at = record.at, connection = record.connection, raw = request.raw,
    complete = record.complete or false, truncated = record.truncated or nil,
    method = request.method, target = request.target, path = request.path,
    query = request.query, headers = request.headers, body = request.body,
  }
end

-- Control ----------------------------------------------------------------------------------

local VERBS = {} -- each returns its result, or nil and what is wrong with the arguments

function VERBS.fail(self, order) return self.faults:order(order) end
function VERBS.clear(self) self.faults:clear() return true end
function VERBS.jobs(self) return self.service:jobs(self:now()) end
function VERBS.count(self, args) return self.complete[args.at or "total"] or 0 end
function VERBS.connections(self) return self.open end
function VERBS.expire_tokens(self) self.service:expire_tokens() return true end
function VERBS.up(self) return self:listen() end
function VERBS.deliver(self, event) return self.webhooks:order(event) end
function VERBS.deliveries(self) return self.webhooks:deliveries() end

function VERBS.requests(self, args)
  local list = {}
  for n = self.first, self.last do
    local record = self.records[n]
    if not args.at or args.at == record.at then list[#list + 1] = describe(record) end
  end
  return list
end

function VERBS.set(self, args)
  if type(args.fields) ~= "table" then return nil, "set needs the fields of a job as a table" end
  local bytes = args.fields.bytes
  if bytes ~= nil and (type(bytes) ~= "number" or bytes < 1 or bytes % 1 ~= 0) then
    return nil, "bytes must be a whole number from 1 on"
  end
  local ok, err = self.service:overwrite(args.id, args.fields, self:now())
  self.webhooks:look()
  return ok, err
end

function VERBS.advance(self, args)
  if type(args.seconds) ~= "number" then return nil, "advance needs a number of seconds" end
  self.advanced = self.advanced + args.seconds
  self.webhooks:look()
  return true
end

function VERBS.reset(self)
  self.service:reset()
  self.webhooks:reset()
  self.faults:clear()
  self:forget_requests()
  return true
end

-- The connection that asked stays: over it the service can be brought up again.
function VERBS.down(self, _, asking)
  if self.listener then self.listener:close() end
  self.listener = nil
  for conn in pairs(self.connections) do
    if conn ~= asking then conn:close() end
  end
  return true
end

--- Does what a verb says. The same for both channels.
---@param verb string
---@param args table
---@param asking? akool.lipsync.http.connection
---@return any result nil if it cannot be done
---@return string? err
function server:control(verb, args, asking)
  if not VERBS[verb] then return nil, ("there is no verb %q"):format(tostring(verb)) end
  return VERBS[verb](self, args, asking)
end

local LISTS = { requests = true, jobs = true, deliveries = true }
local READING = { requests = true, jobs = true, deliveries = true, count = true,
  connections = true }

function server:control_over_http(request, conn)
  local verb, args, err, result = request.path:match("^/_mock/(.*)$"), request.query, nil, nil
  if request.method == "POST" then
    args = service.decode(request.body == "" and "{}" or request.body)
    if type(args) ~= "table" then err = "the body is not a JSON object" end
  elseif request.method ~= "GET" or not READING[verb] then
    err = "POST it"
  end
  if not err then result, err = self:control(verb, args, conn) end
  local is_list = LISTS[verb] and not err
  return {
    status = err and 400 or 200, headers = { ["Content-Type"] = "application/json" },
    source = http.text(is_list and #result == 0 and "[]"
      or service.encode(err and { error = err } or result)),
  }
end

-- Files ------------------------------------------------------------------------------------

local function file_entity(folder, name)
  local safe = folder and not name:find("[/%z]") and name:sub(1, 1) ~= "."
  local stat = safe and uv.fs_stat(folder .. "/" .. name)
  if not stat or stat.type ~= "file" then return nil end
  return {
    source = http.file(folder .. "/" .. name, stat.size), modified = stat.mtime.sec,
    etag = ('"%x-%x-%x"'):format(stat.mtime.sec, stat.mtime.nsec, stat.size),
    type = TYPES[name:match("%.(%w+)$")] or "application/octet-stream",
  }
end

-- Gets a file from any plain http address; done(bytes), or done() if that did not work.
local function fetch(url, done)
  local request = { head = FETCH, seconds = FETCH_SECONDS, bytes = FETCH_BYTES }
  outbound.send(url, request, function(answer)
    local _, body = (answer or ""):match("^(HTTP/1%.%d 200.-\r\n\r\n)(.*)$")
    done(body ~= "" and body or nil)
  end)
end

-- The film of a job: its input where we can get that, else the clip; the same from then on.
function server:film(job, done)
  if job.film then return done(job.film) end
  local url = job.base.target_video
  local own = self.url .. "/files/"
  local name = url:sub(1, #own) == own and http.decode(url:sub(#own + 1):match("^[^?#]*"))
  local entity = name and file_entity(self.files, name)
  local function keep(source)
    job.film = job.film or source
    done(job.film)
  end
  if entity then return keep(entity.source) end
  if name or not url:find("^http://") then return keep(http.text(clip)) end
  fetch(url, function(bytes) keep(http.text(bytes or clip)) end)
end

function server:answer_file(request, fault, done)
  if fault.expired then return done(service.expired()) end
  local name = request.path:match("^/files/(.*)$")
  if name then
    local entity = file_entity(self.files, name)
    return done(entity and service.deliver(request, entity, fault) or service.absent())
  end
  local job, refused = self.service:result(request, self:now())
  if not job then return done(refused) end
  local function deliver(source)
    done(service.deliver(request, {
      source = source, modified = self.service:finished(job), type = "video/mp4",
      etag = ('"%s-%x"'):format(job.id, source.size),
    }, fault))
  end
  if job.set.bytes then return deliver(http.pattern(job.set.bytes)) end
  self:film(job, deliver)
end

-- A request and its answer -----------------------------------------------------------------

-- Breaks the connection if the fault says so for this moment.
local function broken(conn, fault, moment)
  local how = fault.reset == moment and "rst" or fault.close == moment and "fin"
    or fault.stall == moment and "hold"
  if how then conn:finish(how) end
  return how
end

local function deliver(conn, request, fault, answer)
  if conn.closed or broken(conn, fault, "after") then return end
  if fault == NO_FAULT then
    answer.source = answer.source or http.text(service.encode(answer.document))
  else
    faults.alter(fault, answer)
  end
  if not request.keep_alive then answer.headers.Connection = "close" end
  local source, finish = faults.frame(fault, answer, request.method == "HEAD")
  if finish == "keep" and not request.keep_alive then finish = "fin" end
  conn.stale = fault.stale
  local function send() conn:send(source, faults.pace(fault, finish)) end
  if fault.delay then conn:after(fault.delay, send) else send() end
end

local events = {} -- of the reader; `self` is { server =, conn = }
events.__index = events

function events:line(request)
  request.at = service.endpoint(request.path)
  if request.path:find("^/_mock/") then return end
  local conn = self.conn
  conn.record = self.server:record(conn, request)
  if conn.stale then return end
  request.fault = self.server.faults:take(request.at)
  broken(conn, request.fault or NO_FAULT, "before")
end

function events:head(request, more)
  if broken(self.conn, request.fault or NO_FAULT, "during") or not more then return end
  if (request.headers.expect or ""):lower() == "100-continue" then
    self.conn.socket:write("HTTP/1.1 100 Continue\r\n\r\n")
  end
end

function events:request(request)
  local owner, conn, fault = self.server, self.conn, request.fault or NO_FAULT
  local function done(answer) deliver(conn, request, fault, answer) end
  if request.path:find("^/_mock/") then return done(owner:control_over_http(request, conn)) end
  owner:settle(conn.record)
  if conn.stale then return conn:finish("fin") end
  if not faults.carries_out(fault) then return done(faults.refusal(fault)) end
  if request.at == "file" then return owner:answer_file(request, fault, done) end
  local made = #owner.service.list
  done(owner.service:answer(request, owner:now()))
  if #owner.service.list > made then owner.webhooks:watch(owner.service.list[made + 1]) end
end

function events:bad(status)
  local body = '{"code":1003,"msg":"This is not a request that the service understands"}'
  local head = http.head(status, { Connection = "close", ["Content-Type"] = "application/json",
    ["Content-Length"] = ("%d"):format(#body) })
  self.conn:send(http.text(head .. body), { finish = "fin" })
end

function server:accept()
  local socket = uv.new_tcp()
  if not self.listener:accept(socket) then return socket:close() end
  socket:nodelay(true)
  self.number, self.open = self.number + 1, self.open + 1
  local conn = http.connection(socket, self.number)
  conn.reader = http.reader(setmetatable({ server = self, conn = conn }, events))
  conn.on_close = function()
    self.connections[conn], self.open = nil, self.open - 1
    self:settle(conn.record)
  end
  self.connections[conn] = true
  socket:read_start(function(err, bytes)
    if err or not bytes then return conn:close() end
    conn.reader:feed(bytes)
  end)
end

--- Opens the listener, the first time on the port that was asked for.
---@return boolean? ok
---@return string? err
function server:listen()
  if self.listener then return true end
  local listener = uv.new_tcp()
  local ok, err = listener:bind("127.0.0.1", self.port)
  if ok then ok, err = listener:listen(1024, function() self:accept() end) end
  if not ok then
    listener:close()
    return nil, err
  end
  self.listener, self.port = listener, listener:getsockname().port
  return true
end

--- Starts to serve in luv's loop, which the caller runs.
---@param options table as in `akool.lipsync.mock`
---@return akool.lipsync.mock.server?
---@return string? err
function server.serve(options)
  local port = options.port or 0
  if port % 1 ~= 0 or port < 0 or port > 65535 then return nil, "a port is from 0 to 65535" end
  local self = setmetatable({
    port = port, files = options.files, manual = options.manual_clock,
    base = wall_clock(), started = uv.hrtime(), advanced = 0,
    connections = {}, open = 0, number = 0, faults = faults.new(),
  }, server)
  local pipe_signal = uv.new_signal() -- to write to a socket that is gone must not end us
  pipe_signal:start("sigpipe", function() end)
  pipe_signal:unref()
  self:forget_requests()
  local ok, err = self:listen()
  if not ok then return nil, err end
  self.url = ("http://127.0.0.1:%d"):format(self.port)
  self.service = service.new {
    url = self.url, api_key = options.api_key or "mock-api-key",
    client_id = options.client_id or "mock-client-id",
    client_secret = options.client_secret or "mock-client-secret-with-32-bytes",
    queue = options.queue or 0.5, process = options.process or 1.5,
    credits = options.credits or 1000,
  }
  self.webhooks = webhooks.new(self)
  return self
end

return server
