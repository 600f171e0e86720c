-- webhook: what the service calls back with. Opening a delivery, sealing one as the service would, and
-- the answer that a web server should give. Facts: the Webhook page of Akool's documentation.

local core = require "akool.lipsync.load" -- first, since it knows what to say
local credentials = require "akool.lipsync.credentials"
local options = require "akool.lipsync.options"
local seen = require "akool.lipsync.webhook.seen"

local webhook = {}

local BODY_MAX = 64 * 1024 -- bytes; a delivery has some hundred
local TEXT_MAX = 4 * 1024  -- bytes of what is sealed here; JSON makes at most six of one
local TOLERANCE = 300      -- seconds
local STATUSES = { "queueing", "processing", "completed", "failed" }

-- Options --------------------------------------------------------------------------------------

---@class akool.lipsync.WebhookOptions
---@field client_id string?     # default AKOOL_CLIENT_ID
---@field client_secret string? # default AKOOL_CLIENT_SECRET; 16, 24 or 32 bytes
---@field tolerance number?     # seconds a delivery may be old, or early; default 300, 0 for any age
---@field seen akool.lipsync.Seen? # refuses a delivery that came before

--- Something that remembers deliveries for a while: `add(key, seconds)` is true if `key` is new.
---@class akool.lipsync.Seen
---@field add fun(self: akool.lipsync.Seen, key: string, seconds: number): boolean?

local TYPES = { client_id = "string", client_secret = "string", tolerance = "number", seen = "any" }

--- Raise when options are none.
---@param given table
---@param level integer   # as for error(), seen from the function that calls this one
---@param more table<string, string>?  # names and types of further options
local function check(given, level, more)
  if type(given) ~= "table" then
    error("webhook: a table of options expected, got " .. type(given), level + 1)
  end
  local types, names = {}, {}
  for _, each in ipairs { TYPES, more } do
    for name, kind in pairs(each) do names[#names + 1], types[name] = name, kind end
  end
  for name, value in pairs(given) do
    local kind = types[name]
    if not kind then
      options.unknown("webhook option", name, names, level + 1)
    elseif kind ~= "any" and type(value) ~= kind then
      error(("webhook option %s: a %s expected, got %s"):format(name, kind, type(value)), level + 1)
    end
  end
  local tolerance, seen_by = given.tolerance, type(given.seen)
  if tolerance and not (tolerance >= 0 and tolerance < math.huge) then
    error("webhook option tolerance: seconds expected, 0 or more", level + 1)
  end
  if given.seen ~= nil and seen_by ~= "table" and seen_by ~= "userdata" then
    error("webhook option seen: something like webhook.seen() expected, got " .. seen_by, level + 1)
  end
end

--- The pair that seals, or nil and what is wrong with it.
---@return string? client_id
---@return string|akool.lipsync.Error client_secret
local function pair(given)
  local id = given.client_id or credentials.environment "AKOOL_CLIENT_ID"
  local secret = given.client_secret or credentials.environment "AKOOL_CLIENT_SECRET"
  if not id or id == "" or not secret then
    return nil, core.error("webhook_credentials",
      ("There is no %s for webhooks."):format(secret and "client id" or "client secret"))
  elseif #secret ~= 16 and #secret ~= 24 and #secret ~= 32 then
    return nil, core.error("webhook_credentials",
      ("The client secret has %d bytes, but only one of 16, 24 or 32 can open deliveries."):format(
        #secret))
  end
  return id, secret
end

-- Opening --------------------------------------------------------------------------------------

---@class akool.lipsync.WebhookEvent
---@field id string         # of the job
---@field status "queueing"|"processing"|"completed"|"failed"
---@field video string?     # URL of the result, once completed
---@field type string?      # "lipsync"
---@field sent_at number    # Unix time, seconds; an integer if it is one
---@field data table        # everything that was in it
local Event = {}
Event.__index = Event
Event.__name = "akool.lipsync.webhook_event"

--- What it says of the job, for `client:download` and the like.
---@return akool.lipsync.Job
function Event:job()
  return { id = self.id, status = self.status, video = self.video, data = self.data }
end

function Event:__tostring()
  return ("%s (%s, %s)"):format(Event.__name, self.id, self.status)
end

--- JSON in which every number is a string, with the digits that were sent: a signature is over those.
local function quote_numbers(body)
  local out, at = {}, 1
  while true do
    local start = body:find('"', at, true)
    out[#out + 1] = body:sub(at, (start or 0) - 1):gsub("%-?%d[%d.eE+-]*", '"%0"')
    if not start then return table.concat(out) end
    local stop = start
    repeat
      stop = body:find('["\\]', stop + 1)
      local escape = stop and body:sub(stop, stop) == "\\"
      if escape then stop = stop + 1 end
    until not escape
    out[#out + 1] = body:sub(start, stop or -1)
    if not stop then return table.concat(out) end
    at = stop + 1
  end
end

--- The four fields of a body, as they were written, or nil.
local function read_body(body)
  if #body > BODY_MAX or not core.decode(body) then return nil end
  local outer = core.decode(quote_numbers(body))
  if not outer then return nil end
  for _, name in ipairs { "signature", "dataEncrypt", "timestamp", "nonce" } do
    if type(outer[name]) ~= "string" then return nil end
  end
  local digits = outer.timestamp:match "^%d+$"
  return digits and #digits <= 16 and outer or nil
end

--- A word for the number of a status, which may have been written as a string.
local function read_status(value)
  if type(value) == "string" then value = value:match "^%d$" end
  return STATUSES[tonumber(value)]
end

--- What was sealed, as an event, or nil when it makes no sense.
local function read_event(text, sent_at)
  local data = core.decode(text)
  if not data then return nil end
  local id, video, kind, status = data._id, data.url, data.type, read_status(data.status)
  if type(id) ~= "string" or not id:find "^[%w_-]+$" or #id > 128 or not status then return nil end
  if status ~= "completed" or type(video) ~= "string" or not video:find "^https?://[^%c%s]+$" then
    video = nil
  end
  return setmetatable({ id = id, status = status, video = video, sent_at = sent_at, data = data,
    type = type(kind) == "string" and kind or nil }, Event)
end

--- Seconds of a timestamp in milliseconds: an integer if they are whole, as Lua 5.3 would not have it.
local function seconds(timestamp)
  local exact = tonumber(timestamp) / 1000
  local whole = math.floor(exact)
  return whole == exact and whole or exact
end

local function refuse()
  return nil, core.error("webhook_refused", "A webhook delivery was refused.")
end

local function starve()
  return nil, core.error("out_of_memory", "While a webhook was opened, memory ran out.")
end

--- Open a delivery: is it one that somebody sealed who knows the client secret, fresh, and new? The
--- signature alone proves little; see docs/webhooks.md.
---@param body string   # of the request, as it came
---@param opts akool.lipsync.WebhookOptions?
---@return akool.lipsync.WebhookEvent?
---@return akool.lipsync.Error?  # "webhook_refused" (auth) whatever is wrong with it, so that nobody can
--- find out by trying; "webhook_repeated" (duplicate); "webhook_credentials" (invalid);
--- "out_of_memory" (io)
function webhook.open(body, opts)
  if type(body) ~= "string" then
    error("open: the body as a string expected, got " .. type(body), 2)
  end
  opts = opts or {}
  check(opts, 2)
  local id, secret = pair(opts)
  if not id then return nil, secret end
  local outer = read_body(body)
  if not outer then return refuse() end
  local fine, text = core.open_delivery(id, secret, outer.timestamp, outer.nonce, outer.signature,
    outer.dataEncrypt)
  if fine == nil then return starve() end
  local sent_at = seconds(outer.timestamp)
  local event = read_event(text, sent_at) -- of whatever it is, so that each refusal takes as long
  local tolerance = opts.tolerance or TOLERANCE
  local timely = tolerance == 0 or math.abs(os.time() - sent_at) <= tolerance
  if not (event and timely and fine) then return refuse() end -- what nobody can see comes last
  if opts.seen then
    -- Known by what was sealed: whoever knows the client id can sign that again.
    local key = core.sha256(outer.dataEncrypt)
    if not key then return starve() end
    if not opts.seen:add(key, 2 * tolerance) then
      return nil, core.error("webhook_repeated", ("A delivery about job %s came before."):format(
        event.id), { job = event:job() })
    end
  end
  return event
end

--- A bounded memory for `seen`: of 10,000 deliveries, or as many as `capacity`.
---@param capacity integer?
---@return akool.lipsync.Seen
function webhook.seen(capacity)
  if capacity ~= nil and not (type(capacity) == "number" and capacity >= 1) then
    error("seen: how many deliveries to remember expected, 1 or more", 2)
  end
  return seen.new(capacity or 10000)
end

-- Sealing --------------------------------------------------------------------------------------

---@class akool.lipsync.WebhookSeal: akool.lipsync.WebhookOptions
---@field timestamp number?      # milliseconds; default: now
---@field nonce string|number?   # default: random digits; a number is written as one

local SEAL_TYPES = { timestamp = "number", nonce = "any" }
local EVENT_FIELDS = { "id", "status", "video", "type" }

--- A whole number as decimal digits, as JavaScript and therefore the service writes it, or nil.
local function digits(number)
  if number >= 0 and number < 1e16 and number % 1 == 0 then return ("%.0f"):format(number) end
end

--- The number of an event's status. Raises when it is not an event.
local function check_event(event, level)
  if type(event) ~= "table" then
    error("seal: an event as a table expected, got " .. type(event), level + 1)
  end
  local size = 0
  for _, name in ipairs(EVENT_FIELDS) do
    local value = event[name]
    if type(value) ~= "string" and (value ~= nil or name == "id") then
      error(("seal: event.%s: a string expected, got %s"):format(name, type(value)), level + 1)
    end
    size = size + #(value or "")
  end
  if size > TEXT_MAX then error("seal: the event is too long", level + 1) end
  for number, word in ipairs(STATUSES) do
    if event.status == word then return number end
  end
  error("seal: event.status should be one of " .. table.concat(STATUSES, ", "), level + 1)
end

--- A timestamp and a nonce, both as they are signed, and the nonce as JSON.
local function stamps(given, level)
  local nonce = given.nonce or ("%d"):format(math.random(1000, 999999))
  local timestamp = digits(given.timestamp or os.time() * 1000)
  local written = type(nonce) == "number" and digits(nonce) or nonce
  if not timestamp then error("seal: timestamp: milliseconds expected", level + 1) end
  if type(written) ~= "string" or #written > TEXT_MAX then
    error("seal: nonce: a string or a whole number expected", level + 1)
  end
  return timestamp, written, type(nonce) == "number" and written or core.encode(nonce)
end

--- Seal a delivery as the service would: for tests of a receiver.
---@param event { id: string, status: string, video: string?, type: string? }
---@param given akool.lipsync.WebhookSeal?
---@return string? body
---@return akool.lipsync.Error?  # "webhook_credentials"
function webhook.seal(event, given)
  given = given or {}
  check(given, 2, SEAL_TYPES)
  local number = check_event(event, 2)
  local timestamp, nonce, nonce_json = stamps(given, 2)
  local id, secret = pair(given)
  if not id then return nil, secret end
  local text = core.encode { _id = event.id, status = number, type = event.type or "lipsync",
    url = event.video or "" }
  local signature, sealed = core.seal_delivery(id, secret, timestamp, nonce, text)
  if not signature then
    return nil, core.error("out_of_memory", "While a webhook was sealed, memory ran out.")
  end
  return ('{"signature":"%s","dataEncrypt":"%s","timestamp":%s,"nonce":%s}'):format(signature,
    sealed, timestamp, nonce_json)
end

-- Serving --------------------------------------------------------------------------------------

local ANSWERS = { duplicate = 200, auth = 400 } -- by the kind of an error

--- What a web server calls with the body of each POST (nil: it had none), and the HTTP status it should
--- answer with: 200 for a delivery and for one that came before, 400 for anything else, 500 when
--- memory ran out. Unless `seen` is given, it remembers deliveries in one of its own.
---@param opts akool.lipsync.WebhookOptions?
---@return (fun(body: string?): integer, akool.lipsync.WebhookEvent|akool.lipsync.Error)?
---@return akool.lipsync.Error?  # "webhook_credentials"
function webhook.handler(opts)
  opts = opts or {}
  check(opts, 2)
  local id, secret = pair(opts)
  if not id then return nil, secret end
  local settings = { client_id = id, client_secret = secret, tolerance = opts.tolerance,
    seen = opts.seen or webhook.seen() }
  return function(body)
    local event, err = webhook.open(body or "", settings)
    if event then return 200, event end
    return ANSWERS[err.kind] or 500, err
  end
end

---@class akool.lipsync.ListenOptions: akool.lipsync.WebhookOptions
---@field host string?            # default "127.0.0.1": a proxy with TLS stands in front
---@field port integer?           # default 0: any; see `receiver.port`
---@field path string?            # default "/"
---@field url string?             # what the service should call: `generate` passes it on
---@field trust boolean?          # believe a delivery without asking the service; default false
---@field max_connections integer? # default 100; more are closed at once
---@field timeout number?         # seconds that a peer may take for its request; default 10
---@field on_event (fun(event: akool.lipsync.WebhookEvent))? # in a coroutine of its own: it may wait
---@field on_error (fun(why: any))? # what on_event raised; default: printed to stderr

local LISTEN_TYPES = { host = "string", port = "number", path = "string", url = "string",
  trust = "boolean", max_connections = "number", timeout = "number", on_event = "function",
  on_error = "function" }

local function check_listen(opts, level)
  check(opts, level + 1, LISTEN_TYPES)
  local function whole(name, least, most)
    local value = opts[name]
    if value and not (value >= least and value <= most and value % 1 == 0) then
      error(("webhook option %s: a whole number from %d to %d expected, got %s"):format(name, least,
        most, tostring(value)), level + 2)
    end
  end
  whole("port", 0, 65535)
  whole("max_connections", 1, 10000)
  if opts.timeout and not (opts.timeout > 0 and opts.timeout <= 3600) then
    error("webhook option timeout: seconds expected, more than 0", level + 1)
  end
  if opts.path and not opts.path:find "^/[^?#%s]*$" then
    error(("webhook option path: one that begins with / expected, got %q"):format(opts.path),
      level + 1)
  end
end

--- Receive deliveries, in luv's loop. Pass the receiver as the option `webhook` of `wait`, `poll` or
--- `generate`.
---@param opts akool.lipsync.ListenOptions
---@return akool.lipsync.Receiver?
---@return akool.lipsync.Error? # "webhook_credentials", "webhook_listen"
function webhook.listen(opts)
  check_listen(opts, 2)
  local handle, err = webhook.handler { client_id = opts.client_id, tolerance = opts.tolerance,
    client_secret = opts.client_secret, seen = opts.seen }
  if not handle then return nil, err end
  local receiver = require "akool.lipsync.webhook.receiver" -- needs luv, which the rest does not
  return receiver.listen(handle, opts)
end

return webhook
