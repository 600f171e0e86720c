-- server: the web server of a receiver, on luv. One request for each connection, answered at once, and
-- everything bounded: heads, bodies, connections, time. It knows nothing of jobs.

local http = require "akool.lipsync.http"
local uv = require "akool.lipsync.uv"

local HEAD_MAX = 8 * 1024
local BODY_MAX = 64 * 1024

-- A request -------------------------------------------------------------------------------------

---@class akool.lipsync.webhook.Exchange
local Exchange = {}
Exchange.__index = Exchange

--- Answer, once, and let go: what else the peer may say is not listened to.
---@param status integer
---@param headers table<string, string>?
function Exchange:answer(status, headers)
  if self.answered then return end
  self.answered = true
  self.conn.reader.stopped = true
  headers = headers or {}
  headers["Content-Length"], headers.Connection = "0", "close"
  self.conn:send(http.text(http.head(status, headers)), { finish = "fin" })
end

function Exchange.line() end

--- Where it goes is known before its body comes.
function Exchange:head(request, more)
  if request.path ~= self.server.path then return self:answer(404) end
  if request.method ~= "POST" then return self:answer(405, { Allow = "POST" }) end
  if more and (request.headers.expect or ""):lower() == "100-continue" then
    self.conn.socket:write "HTTP/1.1 100 Continue\r\n\r\n"
  end
end

function Exchange:request(request)
  self.server.take(request.body, function(status) self:answer(status) end)
end

function Exchange:bad(status)
  self:answer(status)
end

-- The server ------------------------------------------------------------------------------------

---@class akool.lipsync.webhook.Server
---@field port integer
---@field count integer # of connections
local Server = {}
Server.__index = Server

function Server:serve(socket)
  local timer, conn = uv.new_timer(), http.connection(socket, 0)
  local exchange = setmetatable({ server = self, conn = conn }, Exchange)
  conn.reader = http.reader(exchange, BODY_MAX, HEAD_MAX)
  conn.on_close = function()
    timer:close()
    self.connections[conn], self.count = nil, self.count - 1
  end
  self.connections[conn], self.count = true, self.count + 1
  timer:start(self.timeout, 0, function() exchange:answer(408) end)
  socket:read_start(function(err, bytes)
    if err or not bytes then return conn:close() end
    conn.reader:feed(bytes)
  end)
end

--- Close the port and all connections.
function Server:close()
  self.socket:close()
  for conn in pairs(self.connections) do conn:close() end
end

local server = {}

-- To write to a peer that is gone must not end the program. Whoever watches the signal changes that for
-- the whole process, so this stays when the server goes.
local sigpipe

local function endure_sigpipe()
  if sigpipe then return end
  sigpipe = uv.new_signal()
  sigpipe:start("sigpipe", function() end)
  sigpipe:unref()
end

--- Listen. `take(body, answer)` gets the body of each POST and calls `answer(status)`.
---@param where { host: string, port: integer, path: string, max_connections: integer, timeout: number }
---@param take fun(body: string, answer: fun(status: integer))
---@return akool.lipsync.webhook.Server?
---@return string? why
function server.listen(where, take)
  local socket = uv.new_tcp()
  local self = setmetatable({ socket = socket, path = where.path, take = take, connections = {},
    count = 0, timeout = math.ceil(where.timeout * 1000) }, Server)
  endure_sigpipe()
  local known, fine, why = pcall(socket.bind, socket, where.host, where.port) -- raises about addresses
  if not known then fine, why = nil, fine end
  if fine then
    fine, why = socket:listen(128, function(err)
      local peer = uv.new_tcp()
      if err or not socket:accept(peer) or self.count >= where.max_connections then
        return peer:close()
      end
      self:serve(peer)
    end)
  end
  if not fine then
    socket:close()
    return nil, why
  end
  self.port = socket:getsockname().port
  return self
end

return server
