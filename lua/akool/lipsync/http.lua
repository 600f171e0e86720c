--- The HTTP/1.1 of our servers, the mock service and the receiver of webhooks: a reader that turns bytes
--- into requests, sources that bodies come from, and a connection that can send an answer in every way,
--- the broken ones included. It knows nothing of Akool.

local uv = require "akool.lipsync.uv"

local http = {}

local MAX_HEAD = 64 * 1024
local MAX_BODY = 4 * 1024 * 1024
local PIECE = 64 * 1024 -- what is sent at once, and so all that a large answer keeps in memory
local LINGER = 5        -- seconds we wait for the other side to close after us

local REASONS = {
  [200] = "OK", [206] = "Partial Content", [301] = "Moved Permanently", [302] = "Found",
  [303] = "See Other", [307] = "Temporary Redirect", [308] = "Permanent Redirect",
  [400] = "Bad Request", [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found",
  [405] = "Method Not Allowed", [408] = "Request Timeout", [413] = "Content Too Large",
  [415] = "Unsupported Media Type", [416] = "Range Not Satisfiable",
  [429] = "Too Many Requests", [431] = "Request Header Fields Too Large",
  [500] = "Internal Server Error", [501] = "Not Implemented", [502] = "Bad Gateway",
  [503] = "Service Unavailable", [504] = "Gateway Timeout",
}

-- Texts ------------------------------------------------------------------------------------

--- Undoes the percent encoding of a path or a query.
---@param text string
---@return string
function http.decode(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- Reads a query string; of a name that comes twice the last value stays.
---@param text string
---@return table<string, string>
function http.query(text)
  local query = {}
  for pair in text:gmatch("[^&]+") do
    local name, value = pair:gsub("%+", " "):match("^([^=]*)=?(.*)$")
    query[http.decode(name)] = http.decode(value)
  end
  return query
end

--- Writes a time as HTTP does.
---@param seconds number since 1970
---@return string
function http.date(seconds)
  return os.date("!%a, %d %b %Y %H:%M:%S GMT", math.floor(seconds)) --[[@as string]]
end

local date, date_of -- a second's worth of answers share one Date
local function now_date()
  local now = os.time()
  if now ~= date_of then date, date_of = http.date(now), now end
  return date
end

--- Writes the head of an answer, in the same order every time.
---@param status integer
---@param headers table<string, string>
---@param flood? string header lines to add as they are
---@return string
function http.head(status, headers, flood)
  local lines, names = {}, {}
  for name in pairs(headers) do
    if name ~= "Date" then names[#names + 1] = name end
  end
  table.sort(names)
  lines[1] = ("HTTP/1.1 %d %s"):format(status, REASONS[status] or "Status")
  lines[2] = "Date: " .. (headers.Date or now_date())
  for _, name in ipairs(names) do lines[#lines + 1] = name .. ": " .. headers[name] end
  return table.concat(lines, "\r\n") .. "\r\n" .. (flood or "") .. "\r\n"
end

local function parse_line(line)
  local method, target, version = line:match("^(%u+) (%S+) HTTP/(1%.[01])$")
  if not method then return nil end
  local path, query = target:gsub("^http://[^/?]*", ""):match("^([^?]*)%??(.*)$")
  return {
    method = method, target = target, path = http.decode(path), query = http.query(query),
    version = version, headers = {}, complete = false,
  }
end

local function parse_headers(text)
  local headers = {}
  for line in text:gmatch("([^\r\n]+)") do
    local name, value = line:match("^([^%s:]+):[ \t]*(.-)[ \t]*$")
    if not name then return nil end
    name = name:lower()
    headers[name] = headers[name] and headers[name] .. ", " .. value or value
  end
  return headers
end

-- The reader -------------------------------------------------------------------------------

---@class akool.lipsync.http.request
---@field method string
---@field target string as it was sent
---@field path string
---@field query table<string, string>
---@field headers table<string, string> by lower-case name
---@field body string
---@field raw string the bytes received of it so far
---@field complete boolean
---@field keep_alive boolean

---@class akool.lipsync.http.reader
local reader = {}
reader.__index = reader

--- Makes a reader. It calls `on:line(request)` once the first line is there, `on:head(request)`
--- after the headers, `on:request(request)` after the body, and `on:bad(status)` for what is not
--- HTTP. After a request it waits for `next`.
---@param on table
---@param max_body? integer bytes; a longer body is answered with 413
---@param max_head? integer bytes; a longer head is answered with 431
---@return akool.lipsync.http.reader
function http.reader(on, max_body, max_head)
  return setmetatable({ on = on, buffer = "", stage = "line", stopped = false,
    max_body = max_body or MAX_BODY, max_head = max_head or MAX_HEAD }, reader)
end

function reader:bad(status)
  self.stopped = true
  self.on:bad(status)
end

function reader:line()
  local last = self.buffer:find("\r\n", 1, true)
  if not last then
    if #self.buffer > self.max_head then self:bad(431) end
    return false
  end
  local request = parse_line(self.buffer:sub(1, last - 1))
  if not request then return self:bad(400) end
  request.raw = self.buffer
  self.request, self.line_end, self.stage = request, last, "head"
  self.on:line(request)
  return true
end

function reader:head()
  local request = self.request
  local last = self.buffer:find("\r\n\r\n", self.line_end, true)
  if (last or #self.buffer) > self.max_head then return self:bad(431) end
  if not last then return false end
  local headers = parse_headers(self.buffer:sub(self.line_end, last))
  if not headers then return self:bad(400) end
  local length = headers["content-length"] or "0"
  if headers["transfer-encoding"] then return self:bad(501) end
  if not length:find("^%d+$") then return self:bad(400) end
  if tonumber(length) > self.max_body then return self:bad(413) end

  local connection = (headers.connection or ""):lower()
  request.headers = headers
  request.keep_alive = not connection:find("close", 1, true)
    and (request.version == "1.1" or connection:find("keep-alive", 1, true) ~= nil)
  self.body_start, self.size, self.stage = last + 4, last + 3 + tonumber(length), "body"
  self.on:head(request, #self.buffer < self.size)
  return true
end

function reader:body()
  if #self.buffer < self.size then return false end
  local request = self.request
  request.raw = self.buffer:sub(1, self.size)
  request.body = request.raw:sub(self.body_start)
  request.complete = true
  self.stage = "answer"
  self.on:request(request)
  return true
end

function reader.answer() return false end -- nothing is read ahead of an answer

function reader:read()
  while not self.stopped and self[self.stage](self) do end
end

--- Takes in bytes from the socket.
---@param bytes string
function reader:feed(bytes)
  if self.stopped then return end
  self.buffer = self.buffer .. bytes
  if self.request and self.stage ~= "answer" then self.request.raw = self.buffer end
  self:read()
end

--- Goes on to what follows the request that has been answered.
function reader:next()
  self.buffer = self.buffer:sub(self.size + 1)
  self.request, self.stage = nil, "line"
  if self.buffer ~= "" then self:read() end
end

--- Reads a recorded request again, as far as it came.
---@param raw string
---@return akool.lipsync.http.request?
function http.parse(raw)
  local last = raw:find("\r\n", 1, true)
  local request = last and parse_line(raw:sub(1, last - 1))
  if not request then return nil end
  local head_end = raw:find("\r\n\r\n", last, true)
  request.headers = head_end and parse_headers(raw:sub(last, head_end)) or {}
  request.body = head_end and raw:sub(head_end + 4) or ""
  request.raw = raw
  return request
end

-- Sources ----------------------------------------------------------------------------------

---@class akool.lipsync.http.source
---@field size integer
---@field read fun(offset: integer, count: integer): string? bytes from `offset` on, from 0

---@param text string
---@return akool.lipsync.http.source
function http.text(text)
  return { size = #text, read = function(offset, count)
    return text:sub(offset + 1, offset + count)
  end }
end

--- A file, opened for each piece so that no descriptor outlives a connection.
---@param path string
---@param size integer
---@return akool.lipsync.http.source
function http.file(path, size)
  return { size = size, read = function(offset, count)
    local fd = uv.fs_open(path, "r", 0)
    if not fd then return nil end
    local bytes = uv.fs_read(fd, count, offset)
    uv.fs_close(fd)
    return bytes
  end }
end

--- A body of any length that is never held in memory: blocks that begin with their number.
---@param size integer
---@return akool.lipsync.http.source
function http.pattern(size)
  local filling = ("mock pattern 0123456789abcdef."):rep(PIECE / 16):sub(1, PIECE - 16)
  return { size = size, read = function(offset, count)
    local number = math.floor(offset / PIECE)
    local start = offset - number * PIECE
    local block = ("%015d\n"):format(number) .. filling
    return block:sub(start + 1, math.min(start + count, size - number * PIECE))
  end }
end

--- The bytes `first` to `last` (from 0, both included) of another source.
---@param source akool.lipsync.http.source
---@param first integer
---@param last integer
---@return akool.lipsync.http.source
function http.part(source, first, last)
  local size = last - first + 1
  return { size = size, read = function(offset, count)
    return source.read(first + offset, math.min(count, size - offset))
  end }
end

-- A source that ends early (a file that shrank) must not make a loop of us.
local function whole(source, offset, count)
  local parts = {}
  while count > 0 do
    local part = source.read(offset, count)
    if not part or part == "" then break end
    parts[#parts + 1] = part
    offset, count = offset + #part, count - #part
  end
  return table.concat(parts)
end

--- A source in the chunked transfer coding, in at least two chunks where there are two bytes.
---@param source akool.lipsync.http.source
---@return akool.lipsync.http.source
function http.chunked(source)
  local piece = math.min(PIECE, math.max(1, math.ceil(source.size / 2)))
  local frame = #("%x"):format(piece) + 4 + piece
  local full = math.floor(source.size / piece)
  local rest = source.size - full * piece
  local tail = "0\r\n\r\n"
  if rest > 0 then
    tail = ("%x\r\n"):format(rest) .. whole(source, full * piece, rest) .. "\r\n" .. tail
  end
  return { size = full * frame + #tail, read = function(offset, count)
    local number = math.floor(offset / frame)
    if number >= full then return tail:sub(offset - full * frame + 1):sub(1, count) end
    local chunk = ("%x\r\n"):format(piece) .. whole(source, number * piece, piece) .. "\r\n"
    return chunk:sub(offset - number * frame + 1):sub(1, count)
  end }
end

--- One source after a text.
---@param head string
---@param source akool.lipsync.http.source
---@return akool.lipsync.http.source
function http.join(head, source)
  return { size = #head + source.size, read = function(offset, count)
    if offset < #head then return head:sub(offset + 1, offset + count) end
    return source.read(offset - #head, count)
  end }
end

-- The connection ---------------------------------------------------------------------------

---@class akool.lipsync.http.connection
---@field number integer
---@field on_close fun()
local connection = {}
connection.__index = connection

---@param socket table a connected uv_tcp
---@param number integer
---@return akool.lipsync.http.connection
function http.connection(socket, number)
  return setmetatable({ socket = socket, number = number, closed = false }, connection)
end

--- Calls `f` later, unless the connection is gone by then.
---@param seconds number
---@param f fun()
function connection:after(seconds, f)
  local timer = self.timer or uv.new_timer()
  self.timer = timer
  timer:start(math.floor(seconds * 1000 + 0.5), 0, f)
end

function connection:forget()
  self.closed = true
  self.reader.stopped = true
  if self.timer then self.timer:close() end
  self.on_close()
end

--- Closes at once.
function connection:close()
  if self.closed then return end
  self:forget()
  self.socket:close()
end

--- Closes with RST.
function connection:reset()
  if self.closed then return end
  self:forget()
  if not self.socket:close_reset() then self.socket:close() end
end

--- Sends FIN and lets the other side close: to close with unread bytes would send RST instead.
function connection:shut()
  if self.closed then return end
  self.reader.stopped = true
  self.socket:shutdown(function() if not self.closed then self:after(LINGER, function()
    self:close()
  end) end end)
end

--- What becomes of the connection: "keep" reads on, "fin" and "rst" close, "hold" does nothing.
---@param how "keep" | "fin" | "rst" | "hold"
function connection:finish(how)
  if self.closed then return end
  if how == "keep" then return self.reader:next() end
  self.reader.stopped = true
  if how == "fin" then self:shut() elseif how == "rst" then self:reset() end
end

--- Sends a source, the next piece when the last has left us, then finishes.
---@param source akool.lipsync.http.source
---@param how { limit?: integer, bytes?: integer, every?: number, finish: string }
function connection:send(source, how)
  local limit = math.min(how.limit or source.size, source.size)
  local size, offset, step = how.bytes or PIECE, 0, nil
  local function sent(err)
    if err or self.closed then return self:close() end
    if offset < limit and how.every then return self:after(how.every, step) end
    step()
  end
  function step()
    if self.closed then return end
    if offset >= limit then return self:finish(how.finish) end
    local piece = source.read(offset, math.min(size, limit - offset))
    if not piece or piece == "" then return self:reset() end -- what was announced is not there
    offset = offset + #piece
    self.socket:write(piece, sent)
  end
  step()
end

return http
