-- webhook: what the service calls back with. Opening a delivery, sealing one as the service would, and
-- the answer that a web server should give. Facts: the Webhook page of Akool's documentation.

local core = require "akool.lipsync.core"
local credentials = require "akool.lipsync.credentials"
local options = require "akool.lipsync.options"
local seen = require "akool.lipsync.webhook.seen"

local webhook = {}

local BODY_MAX = 64 * 1024 -- bytes; a delivery has some hundred
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

local NAMES = { "client_id", "client_secret", "tolerance", "seen" }

--- Raise when options are none.
---@param given table
---@param level integer   # as for error(), seen from the function that calls this one
---@param more table<string, string>?  # names and types of further options
function webhook.check(given, level, more)
  local types = { client_id = "string", client_secret = "string", tolerance = "number" }
  if type(given) ~= "table" then
    error("webhook: a table of options expected, got " .. type(given), level + 1)
  end
  local names = {}
  for _, name in ipairs(NAMES) do names[#names + 1] = name end
  for name, kind in pairs(more or {}) do names[#names + 1], types[name] = name, kind end
  for name, value in pairs(given) do
    if name ~= "seen" and not types[name] then
      options.unknown("webhook option", name, names, level + 1)
    end
    if types[name] and type(value) ~= types[name] then
      error(("webhook option %s: a %s expected, got %s"):format(name, types[name], type(value)),
        level + 1)
    end
  end
  local tolerance = given.tolerance
  if tolerance and not (tolerance >= 0 and tolerance < math.huge) then
    error("webhook option tolerance: seconds expected, 0 or more", level + 1)
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
---@field sent_at number    # Unix time, seconds
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
  if #body > BODY_MAX then return nil end
  local fine, outer = pcall(core.decode, quote_numbers(body))
  if not fine then return nil end
  for _, name in ipairs { "signature", "dataEncrypt", "timestamp", "nonce" } do
    if type(outer[name]) ~= "string" then return nil end
  end
  local digits = outer.timestamp:match "^%d+$"
  return digits and #digits <= 16 and outer or nil
end

--- What was sealed, as an event, or nil when it makes no sense.
local function read_event(text, sent_at)
  local fine, data = pcall(core.decode, text)
  if not fine then return nil end
  local id, video = data._id, data.url
  local status = STATUSES[tonumber(data.status)]
  if type(id) ~= "string" or not id:find "^[%w_-]+$" or #id > 128 or not status then return nil end
  if status ~= "completed" or type(video) ~= "string" or not video:find "^https?://%S+$" then
    video = nil
  end
  return setmetatable({ id = id, status = status, video = video, sent_at = sent_at, data = data,
    type = type(data.type) == "string" and data.type or nil }, Event)
end

local function refuse()
  return nil, core.error("webhook_refused", "A webhook delivery was refused.")
end

--- Open a delivery: is it one that somebody sealed who knows the client secret, fresh, and new? The
--- signature alone proves little; see docs/webhooks.md.
---@param body string   # of the request, as it came
---@param opts akool.lipsync.WebhookOptions?
---@return akool.lipsync.WebhookEvent?
---@return akool.lipsync.Error?  # "webhook_refused" (auth) whatever is wrong with it, so that nobody can
--- find out by trying; "webhook_repeated" (duplicate); "webhook_credentials" (invalid)
function webhook.open(body, opts)
  if type(body) ~= "string" then
    error("open: the body as a string expected, got " .. type(body), 2)
  end
  opts = opts or {}
  webhook.check(opts, 2)
  local id, secret = pair(opts)
  if not id then return nil, secret end
  local outer = read_body(body)
  if not outer then return refuse() end
  local fine, text = core.open_delivery(id, secret, outer.timestamp, outer.nonce, outer.signature,
    outer.dataEncrypt)
  if fine == nil then return nil, core.error("out_of_memory", "A webhook was not opened.") end
  local sent_at = tonumber(outer.timestamp) / 1000
  local event = read_event(text, sent_at) -- of whatever it is, so that each refusal takes as long
  local tolerance = opts.tolerance or TOLERANCE
  local timely = tolerance == 0 or math.abs(os.time() - sent_at) <= tolerance
  if not (fine and event and timely) then return refuse() end
  if opts.seen and not opts.seen:add(outer.signature, 2 * tolerance) then
    return nil, core.error("webhook_repeated", ("A delivery about job %s came before."):format(
      event.id), { job = event:job() })
  end
  return event
end

--- A bounded memory for `seen`: of 10,000 deliveries, or as many as `capacity`.
---@param capacity integer?
---@return akool.lipsync.Seen
function webhook.seen(capacity)
  return seen.new(capacity or 10000)
end

-- Sealing --------------------------------------------------------------------------------------

---@class akool.lipsync.WebhookSeal: akool.lipsync.WebhookOptions
---@field timestamp number?      # milliseconds; default: now
---@field nonce string|number?   # default: random digits; a number is written as one

local function random_digits()
  return ("%d"):format(math.random(1000, 999999))
end

--- Seal a delivery as the service would: for tests of a receiver.
---@param event { id: string, status: string, video: string?, type: string? }
---@param given akool.lipsync.WebhookSeal
---@return string? body
---@return akool.lipsync.Error?  # "webhook_credentials"
function webhook.seal(event, given)
  local nonce = type(given) == "table" and given.nonce or random_digits()
  webhook.check(given, 2, { timestamp = "number", nonce = type(nonce) == "number" and "number"
    or "string" })
  local id, secret = pair(given)
  if not id then return nil, secret end
  local number
  for i, word in ipairs(STATUSES) do
    if event.status == word then number = i end
  end
  if not number then
    error("seal: event.status should be one of " .. table.concat(STATUSES, ", "), 2)
  end
  local timestamp = ("%.0f"):format(given.timestamp or os.time() * 1000)
  local written = type(nonce) == "number" and ("%.0f"):format(nonce) or nonce
  local text = core.encode { _id = event.id, status = number, type = event.type or "lipsync",
    url = event.video or "" }
  local signature, sealed = core.seal_delivery(id, secret, timestamp, written, text)
  if not signature then return nil, core.error("out_of_memory", "A webhook was not sealed.") end
  return ('{"signature":"%s","dataEncrypt":"%s","timestamp":%s,"nonce":%s}'):format(signature,
    sealed, timestamp, type(nonce) == "number" and written or core.encode(nonce))
end

-- Serving --------------------------------------------------------------------------------------

--- What a web server calls with the body of each POST, and the HTTP status it should answer with: 200
--- for a delivery and for one that came before, 400 for anything else.
---@param opts akool.lipsync.WebhookOptions
---@return (fun(body: string): integer, akool.lipsync.WebhookEvent|akool.lipsync.Error)?
---@return akool.lipsync.Error?  # "webhook_credentials"
function webhook.handler(opts)
  webhook.check(opts, 2)
  local id, secret = pair(opts)
  if not id then return nil, secret end
  local settings = { client_id = id, client_secret = secret, tolerance = opts.tolerance,
    seen = opts.seen or webhook.seen() }
  return function(body)
    local event, err = webhook.open(body, settings)
    if event then return 200, event end
    return err.kind == "duplicate" and 200 or 400, err
  end
end

---@class akool.lipsync.ListenOptions: akool.lipsync.WebhookOptions
---@field host string?            # default "127.0.0.1": a proxy with TLS stands in front
---@field port integer?           # default 0: any; see `receiver.port`
---@field path string?            # default "/"
---@field url string?             # what the service should call: `generate` passes it on
---@field trust boolean?          # believe a delivery without asking the service; default false
---@field max_connections integer? # default 100
---@field on_event (fun(event: akool.lipsync.WebhookEvent))?
---@field on_error (fun(why: any))? # what on_event raised; default: printed to stderr

local LISTEN_TYPES = { host = "string", port = "number", path = "string", url = "string",
  trust = "boolean", max_connections = "number", on_event = "function", on_error = "function" }

--- Receive deliveries, in luv's loop. Pass the receiver as the option `webhook` of `wait`, `poll` or
--- `generate`.
---@param opts akool.lipsync.ListenOptions
---@return akool.lipsync.Receiver?
---@return akool.lipsync.Error? # "webhook_credentials", "webhook_listen"
function webhook.listen(opts)
  webhook.check(opts, 2, LISTEN_TYPES)
  local handle, err = webhook.handler { client_id = opts.client_id, tolerance = opts.tolerance,
    client_secret = opts.client_secret, seen = opts.seen }
  if not handle then return nil, err end
  local receiver = require "akool.lipsync.webhook.receiver" -- needs luv, which the rest does not
  return receiver.listen(handle, opts)
end

return webhook
