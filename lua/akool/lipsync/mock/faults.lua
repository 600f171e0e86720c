--- The faults that were ordered from the mock service: which of them takes a request, and what it
--- does to the answer and to the way the answer is sent. What needs a socket is in server.lua.

local http = require "akool.lipsync.http"
local service = require "akool.lipsync.mock.service"

local GATEWAY_PAGE = "<html>\r\n<head><title>%d</title></head>\r\n<body>\r\n"
  .. "<center><h1>%d</h1></center>\r\n<hr><center>gateway</center>\r\n</body>\r\n</html>\r\n"

-- What may be ordered ----------------------------------------------------------------------

local function one_of(...)
  local words = { ... }
  return function(value)
    for _, word in ipairs(words) do
      if value == word then return true end
    end
    return false, 'one of "' .. table.concat(words, '", "') .. '"'
  end
end

local function of_type(name)
  return function(value) return type(value) == name, "a " .. name end
end

local function number_from(low, whole)
  return function(value)
    local fits = type(value) == "number" and value >= low and value < 2 ^ 53
    local what = whole and "a whole number" or "a number"
    return fits and not (whole and value % 1 ~= 0), ("%s from %d on"):format(what, low)
  end
end

local count = number_from(0, true)
local seconds = number_from(0)
local text, flag, object = of_type "string", of_type "boolean", of_type "table"

local function times(value)
  return value == "always" or count(value), 'a whole number or "always"'
end

local function http_status(value)
  return number_from(200, true)(value) and value <= 599, "an HTTP status from 200 to 599"
end

local function headers(value)
  local fine = type(value) == "table"
  for name, content in pairs(fine and value or {}) do
    fine = fine and type(name) == "string" and type(content) == "string"
  end
  return fine, "a table of strings by name"
end

local function names(value)
  local fine = type(value) == "table"
  for i, name in pairs(fine and value or {}) do
    fine = fine and type(i) == "number" and type(name) == "string"
  end
  return fine, "a list of names"
end

local function drip(value)
  local fine = type(value) == "table"
  for name in pairs(fine and value or {}) do
    fine = fine and (name == "bytes" or name == "every")
  end
  return fine and number_from(1, true)(value.bytes or 1) and seconds(value.every or 0),
    "a table with bytes (from 1 on) and every (seconds)"
end

local function document(value)
  return value ~= nil, "a JSON document"
end

local MOMENT = one_of("before", "during", "after")

local DELIVERY = one_of("wrong_signature", "tampered", "forged", "stale", "number_nonce",
  "replayed", "reordered", "lost")

local function etag(value)
  return value == false or type(value) == "string", "a string or false"
end

-- The keys of an order, each with the check of its value, which also says what it wants.
local KEYS = {
  -- which requests, and whether they do their work (without a word: refused ones do not)
  at = one_of("create", "info", "token", "credits", "file", "other", "webhook", "*"), -- "*": all that
  -- come in, and what is meant without a word; "webhook": those that the service makes, which `delay`,
  -- `raw` and `delivery` are for
  -- a word: all that come in; "webhook" are those that the service makes, which only `delay`, `raw` and
  -- `delivery` change
  skip = count,            -- so many matching requests pass first
  times = times,           -- then so many fail: 1 without a word, 0 or "always" for all
  carry_out = flag,
  -- refusals, which are not carried out: a business code, a gateway's status, a redirect
  code = count, msg = text,
  code_as_string = flag,   -- "1005" for 1005; alone, it changes the usual answer
  status = http_status,
  retry_after = seconds, retry_after_date = seconds, -- as a number, or as a date so far from now
  body = text, content_type = text, headers = headers, redirect = text,
  -- a connection that breaks: `before` anything but the first line is read, `during` the request
  -- (after its headers), or `after` it was carried out, without an answer
  reset = MOMENT,          -- by RST
  close = MOMENT,          -- by FIN
  stall = one_of("before", "after"), -- not at all: nothing comes any more
  stale = flag,            -- a good answer; the next request on the connection gets only FIN
  cut = count, with = one_of("fin", "rst"), -- the answer ends after so many bytes of it
  stall_at = count,        -- or comes to a halt there
  drip = drip,             -- or comes `bytes` at a time, `every` so many seconds
  delay = seconds,         -- or comes late
  -- an answer that is not as documented
  raw = text, json = document,       -- in the place of its body
  data = object, drop = names,       -- fields of its data to overwrite, to remove
  top_drop = names,                  -- fields of the document to remove
  oversize = number_from(64, true),  -- padded to so many bytes
  depth = number_from(1, true),      -- with arrays nested so deep in its data
  framing = one_of("chunked", "none"),
  length = number_from(1, true),     -- announces so many bytes too many, and stays open
  header_flood = number_from(16, true), -- with so many more bytes of headers
  -- a webhook: sealed badly (`forged`: by somebody who knows the client id alone), sent twice, sent
  -- after the job's next one, or not at all
  delivery = DELIVERY,
  -- files
  expired = flag, etag = etag, norange = flag, wrong_range = flag,
}
local OF_WEBHOOKS = { delivery = true, raw = true, delay = true }
local CONDITIONS = { at = true, skip = true, times = true, with = true, carry_out = true }

local function check(order)
  if type(order) ~= "table" then return "a fault is a table" end
  local what
  for key, value in pairs(order) do
    local accepts = KEYS[key]
    if not accepts then return ("a fault has no %q"):format(tostring(key)) end
    local fine, wanted = accepts(value)
    if not fine then
      return ("%q of a fault must be %s, not %s"):format(key, wanted, tostring(value))
    end
    if order.at == "webhook" and not (CONDITIONS[key] or OF_WEBHOOKS[key])
      or order.at ~= "webhook" and key == "delivery" then
      return ("%q of a fault does not go with at = %q"):format(key, order.at or "*")
    end
    what = what or not CONDITIONS[key]
  end
  return not what and "a fault must say what goes wrong" or nil
end

-- The list ---------------------------------------------------------------------------------

---@class akool.lipsync.mock.faults
local faults = {}
faults.__index = faults

---@return akool.lipsync.mock.faults
function faults.new()
  return setmetatable({ list = {}, ordered = 0 }, faults)
end

--- Adds a fault after those that are there.
---@param order table
---@return integer? id
---@return string? err what is wrong with the order
function faults:order(order)
  local err = check(order)
  if err then return nil, err end
  local left = order.times or 1
  if left == 0 or left == "always" then left = math.huge end
  self.ordered = self.ordered + 1
  self.list[#self.list + 1] = {
    at = order.at or "*", skip = order.skip or 0, left = left, what = order,
  }
  return self.ordered
end

--- Returns the fault that takes this request, if one does: the first that matches and has let
--- enough requests pass. The others do not count the request that it takes.
---@param at string the endpoint
---@return table? what
function faults:take(at)
  for i, fault in ipairs(self.list) do
    if fault.at == at or fault.at == "*" and at ~= "webhook" then
      if fault.skip == 0 then
        fault.left = fault.left - 1
        if fault.left == 0 then table.remove(self.list, i) end
        return fault.what
      end
      fault.skip = fault.skip - 1
    end
  end
end

function faults:clear()
  self.list = {}
end

--- Says whether the request does its work: refusals do none, unless ordered otherwise.
---@param fault table
---@return boolean
function faults.carries_out(fault)
  if fault.carry_out ~= nil then return fault.carry_out end
  return not (fault.code or fault.status or fault.redirect)
end

-- Answers ----------------------------------------------------------------------------------

--- The answer to a request that is not carried out.
---@param fault table
---@return akool.lipsync.mock.answer
function faults.refusal(fault)
  return { status = 200, headers = { ["Content-Type"] = "application/json" },
    document = { code = 1000, msg = fault.msg or "OK" } }
end

local function put_header(list, name, value)
  for other in pairs(list) do
    if other:lower() == name:lower() then list[other] = nil end
  end
  list[name] = value
end

local function copy(list)
  local new = {}
  for name, value in pairs(list) do new[name] = value end
  return new
end

local function alter_document(fault, answer)
  local doc = copy(answer.document)
  if fault.code then
    doc = { code = fault.code, msg = fault.msg or ("mock error %d"):format(fault.code) }
  elseif fault.msg then
    doc.msg = fault.msg
  end
  if fault.data or fault.drop then doc.data = copy(doc.data or {}) end
  for name, value in pairs(fault.data or {}) do doc.data[name] = value end
  for _, name in ipairs(fault.drop or {}) do doc.data[name] = nil end
  for _, name in ipairs(fault.top_drop or {}) do doc[name] = nil end
  if fault.code_as_string and type(doc.code) == "number" then
    doc.code = ("%d"):format(doc.code)
  end
  answer.document = doc
end

-- Nested deeper than cjson would write it, so it goes into the text.
local function nest(body, depth)
  local nested = '"deep":' .. ("["):rep(depth) .. ("]"):rep(depth)
  local _, place = body:find('"data":{', 1, true)
  place = place or 1
  local comma = body:sub(place + 1, place + 1) == "}" and "" or ","
  return body:sub(1, place) .. nested .. comma .. body:sub(place + 1)
end

local function pad(body, size)
  local frame = ',"padding":""}'
  local filling = math.max(0, size - (#body - 1) - #frame)
  return body:sub(1, -2) .. ',"padding":"' .. ("x"):rep(filling) .. '"}'
end

local function body_of(fault, answer)
  if fault.json ~= nil then return service.encode(fault.json) end
  if fault.raw or fault.body then return fault.raw or fault.body end
  if not answer.document then return nil end
  local body = service.encode(answer.document)
  if fault.depth then body = nest(body, fault.depth) end
  if fault.oversize then body = pad(body, fault.oversize) end
  return body
end

-- A gateway in front of the service has spoken, or the body is what it would be without it.
local function alter_status(fault, answer)
  local status = fault.status or fault.redirect and 302
  if not status then return end
  answer.status = status
  if fault.json ~= nil or fault.raw or fault.code then return end
  put_header(answer.headers, "Content-Type", "text/html")
  answer.document, answer.source = nil, http.text(GATEWAY_PAGE:format(status, status))
end

local function alter_headers(fault, answer)
  if fault.content_type then put_header(answer.headers, "Content-Type", fault.content_type) end
  if fault.redirect then put_header(answer.headers, "Location", fault.redirect) end
  if fault.retry_after then
    put_header(answer.headers, "Retry-After", ("%d"):format(math.ceil(fault.retry_after)))
  elseif fault.retry_after_date then
    put_header(answer.headers, "Retry-After", http.date(os.time() + fault.retry_after_date))
  end
  for name, value in pairs(fault.headers or {}) do put_header(answer.headers, name, value) end
end

--- Changes an answer as a fault wants it. Afterwards its body, if it is JSON, is a source too.
---@param fault table
---@param answer akool.lipsync.mock.answer
function faults.alter(fault, answer)
  if answer.document then alter_document(fault, answer) end
  alter_status(fault, answer)
  alter_headers(fault, answer)
  local body = body_of(fault, answer)
  if body then answer.source = http.text(body) end
end

-- Header lines of 1024 bytes, the last one shorter or longer, that are `size` bytes together.
local function flood(size)
  local lines, name = {}, "x-flood: "
  while size > 0 do
    local line = size < 1040 and size or 1024
    lines[#lines + 1] = name .. ("f"):rep(line - #name - 2) .. "\r\n"
    size = size - line
  end
  return table.concat(lines)
end

--- Frames the body of an answer: which bytes are sent, head included, and how it ends.
---@param fault table
---@param answer akool.lipsync.mock.answer
---@param bodiless boolean the answer to HEAD
---@return akool.lipsync.http.source
---@return string finish "keep" or "fin"
function faults.frame(fault, answer, bodiless)
  local source, finish = answer.source, "keep"
  if fault.framing == "chunked" then
    answer.headers["Transfer-Encoding"] = "chunked"
    source = http.chunked(source)
  elseif fault.framing == "none" then
    answer.headers.Connection = "close"
    finish = "fin"
  else
    answer.headers["Content-Length"] = ("%d"):format(source.size + (fault.length or 0))
  end
  local extra = fault.header_flood and flood(fault.header_flood)
  local head = http.head(answer.status, answer.headers, extra)
  return bodiless and http.text(head) or http.join(head, source), finish
end

--- Says how the bytes are sent, and how the sending ends when nothing cuts it.
---@param fault table
---@param finish string
---@return { limit?: integer, bytes?: integer, every?: number, finish: string }
function faults.pace(fault, finish)
  local how = { finish = finish }
  if fault.cut then
    how.limit, how.finish = fault.cut, fault.with or "fin"
  elseif fault.stall_at then
    how.limit, how.finish = fault.stall_at, "hold"
  end
  if fault.drip then
    how.bytes, how.every = fault.drip.bytes or 1, fault.drip.every or 0.01
  end
  return how
end

return faults
