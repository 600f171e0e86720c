-- receiver: a small web server on luv for deliveries, and who waits for what they say. It answers at
-- once and keeps everything bounded: bodies, connections, time, what it remembers.

local core = require "akool.lipsync.core"
local host = require "akool.lipsync.host"
local http = require "akool.lipsync.http"
local loop = require "akool.lipsync.loop"
local uv = require "luv"

local BODY_MAX = 64 * 1024
local REQUEST_SECONDS = 10        -- from a connection, or the last answer, to a whole request
local ENDS_KEPT = 1000            -- ended jobs that nobody waits for yet
local INSISTENCE = { 0, 1, 3, 7 } -- seconds after a delivery at which the service is asked again

---@class akool.lipsync.Receiver
---@field host string
---@field port integer
---@field url string? # what the service should call, if the program said so
local Receiver = {}
Receiver.__index = Receiver
Receiver.__name = "akool.lipsync.receiver"

-- Answering ------------------------------------------------------------------------------------

local connection = {}
connection.__index = connection

local function answer(self, status, headers)
  headers = headers or {}
  headers["Content-Length"] = "0"
  if status ~= 200 then headers.Connection = "close" end
  local keep = status == 200 and self.request and self.request.keep_alive
  self.conn:send(http.text(http.head(status, headers)), { finish = keep and "keep" or "fin" })
  if keep then self:limit() end
end

--- Whoever does not bring a whole request in time is let go.
function connection:limit()
  self.timer:start(REQUEST_SECONDS * 1000, 0, function()
    if not self.answered then answer(self, 408) end
    self.timer:start(1000, 0, function() self.conn:close() end)
  end)
end

function connection:line(request)
  self.request, self.answered = request, false
end

function connection:bad(status)
  self.answered = true
  answer(self, status)
end

function connection:head(request, more)
  if more and (request.headers.expect or ""):lower() == "100-continue" then
    self.conn.socket:write("HTTP/1.1 100 Continue\r\n\r\n")
  end
end

function connection:request_ended(request)
  local receiver = self.receiver
  self.answered = true
  if request.path ~= receiver.path then return answer(self, 404) end
  if request.method ~= "POST" then return answer(self, 405, { Allow = "POST" }) end
  local status, event = receiver.handle(request.body)
  answer(self, status)
  if event.kind == nil then receiver:tell(event) end
end

local function serve(receiver, socket)
  local self = setmetatable({ receiver = receiver, timer = uv.new_timer() }, connection)
  local conn = http.connection(socket, 0)
  self.conn = conn
  conn.reader = http.reader({
    line = function(_, request) self:line(request) end,
    head = function(_, request, more) self:head(request, more) end,
    request = function(_, request) self:request_ended(request) end,
    bad = function(_, status) self:bad(status) end,
  }, BODY_MAX)
  conn.on_close = function()
    self.timer:close()
    receiver.connections[self], receiver.count = nil, receiver.count - 1
  end
  receiver.connections[self], receiver.count = true, receiver.count + 1
  self:limit()
  socket:read_start(function(err, bytes)
    if err or not bytes then return conn:close() end
    conn.reader:feed(bytes)
  end)
end

-- Telling --------------------------------------------------------------------------------------

--- Have an op that follows this job learn of deliveries: it asks the service at once, or ends when
--- the receiver trusts them.
---@param id string
---@param op userdata
---@return { event: akool.lipsync.WebhookEvent?, stop: fun() } # `event`: what ended it
function Receiver:follow(id, op)
  local ops = self.followers[id] or setmetatable({}, { __mode = "k" })
  self.followers[id] = ops
  local hearing = { stop = function()
    ops[op] = nil
    if next(ops) == nil and self.followers[id] == ops then self.followers[id] = nil end
  end }
  ops[op] = hearing
  if self.ends[id] then self:hurry(id, self.ends[id]) end
  return hearing
end

--- Pass on to those who follow this job that it has ended.
function Receiver:hurry(id, event)
  for op, hearing in pairs(self.followers[id] or {}) do
    if self.trust then
      hearing.event = event
      op:cancel()
    else
      op:hurry()
    end
  end
end

--- The service may say "completed" to us sooner than to whoever asks, so it is asked a few times.
function Receiver:insist(id, event, count)
  self:hurry(id, event)
  local pause = INSISTENCE[count + 1]
  if self.trust or not pause or self.closed or not self.followers[id] then return end
  local timer = uv.new_timer()
  self.timers[timer] = true
  timer:start((pause - INSISTENCE[count]) * 1000, 0, function()
    self.timers[timer] = nil
    timer:close()
    self:insist(id, event, count + 1)
  end)
end

--- A delivery came. Those that are late, or out of order, change nothing: only ends are passed on.
function Receiver:tell(event)
  if event.status == "completed" or event.status == "failed" then
    self:keep(event)
    self:insist(event.id, event, 1)
  end
  if not self.on_event then return end
  local fine, why = pcall(self.on_event, event)
  if not fine then self.on_error(why) end
end

--- Remember an end for who comes later: of two generations, the older is forgotten.
function Receiver:keep(event)
  if self.kept >= ENDS_KEPT / 2 then
    self.older, self.newer, self.kept = self.newer, {}, 0
  end
  self.newer[event.id], self.kept = event, self.kept + 1
end

-- Life -----------------------------------------------------------------------------------------

--- Without a host that runs luv's loop, a task of ours does.
local function keep_turning(receiver)
  local current = host.current()
  if current and (current.name == "luv" or current.name == "neovim") then return end
  loop.spawn(function()
    while not receiver.closed do
      uv.run "nowait"
      loop.sleep(0.02)
    end
  end)
end

--- Close the port and all connections. Who waits for a job goes on by asking.
function Receiver:close()
  if self.closed then return end
  self.closed = true
  self.socket:close()
  for each in pairs(self.connections) do each.conn:close() end
  for timer in pairs(self.timers) do timer:close() end
  self.timers = {}
  if not uv.loop_mode() then uv.run "nowait" end -- luv must see handles closed before Lua ends
end

function Receiver:__tostring()
  return ("%s (%s)"):format(Receiver.__name, self.closed and "closed"
    or ("%s:%d%s"):format(self.host, self.port, self.path))
end

local function report(why)
  io.stderr:write("akool.lipsync: on_event of a webhook receiver raised: ", tostring(why), "\n")
end

local receiver = {}

--- Listen.
---@param handle fun(body: string): integer, table  # from webhook.handler
---@param opts table  # checked
---@return akool.lipsync.Receiver?
---@return akool.lipsync.Error?
function receiver.listen(handle, opts)
  local socket = uv.new_tcp()
  local self = setmetatable({ handle = handle, socket = socket, host = opts.host or "127.0.0.1",
    path = opts.path or "/", url = opts.url, trust = opts.trust, on_event = opts.on_event,
    on_error = opts.on_error or report, connections = {}, count = 0, timers = {}, newer = {},
    older = {}, kept = 0, followers = {} }, Receiver)
  self.ends = setmetatable({}, { __index = function(_, id)
    return self.newer[id] or self.older[id]
  end })
  local most = opts.max_connections or 100
  local fine, why = socket:bind(self.host, opts.port or 0)
  if fine then
    fine, why = socket:listen(128, function()
      local peer = uv.new_tcp()
      socket:accept(peer)
      if self.count >= most then return peer:close() end
      serve(self, peer)
    end)
  end
  if not fine then
    socket:close()
    return nil, core.error("webhook_listen",
      ("No webhook can be received at %s, port %d: %s."):format(self.host, opts.port or 0, why))
  end
  self.port = socket:getsockname().port
  keep_turning(self)
  return self
end

return receiver
