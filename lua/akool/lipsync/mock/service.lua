--- Akool's rules, as far as its documentation and its callers tell them: who may call, what is a
--- valid request, how a job lives, what each answer says. Pure: no input or output, and every
--- function that needs the time is told it (seconds since 1970 on the service's clock).

local cjson = require "cjson"
local http = require "akool.lipsync.http"

local json = cjson.new()
json.decode_invalid_numbers(false)

local WEEK = 7 * 24 * 3600         -- a result can be downloaded for so long
local TOKEN_LIFE = 400 * 24 * 3600 -- "more than a year"
local VIDEO_SECONDS = 11.7         -- what every video is taken to last
local HELD_CREDITS = 20            -- and what a job therefore costs

local MESSAGES = {
  [1003] = "Parameter error or parameter can not be empty",
  [1008] = "The content you get does not exist",
  [1014] = "The resource does not exist",
  [1101] = "Invalid authorization or the request token has expired",
  [1102] = "Authorization cannot be empty",
  [1104] = "The credit balance is insufficient",
}

local ROUTES = {
  ["/api/open/v3/getToken"] = { at = "token", method = "POST", open = true },
  ["/api/open/v3/content/video/lipsync"] = { at = "create", method = "POST" },
  ["/api/open/v3/content/video/infobymodelid"] = { at = "info", method = "GET" },
  ["/api/open/v3/faceswap/quota/info"] = { at = "credits", method = "GET" },
}

local ANSWERS = {} -- by endpoint: function(service, body or query, now), for allowed requests

-- JSON -------------------------------------------------------------------------------------

-- The order in which the documentation shows the fields; others follow by name.
local ORDER = {
  "code", "msg", "token", "data", "create_time", "uid", "type", "from", "target_video",
  "faceswap_quality", "video_id", "video_status", "video_lock_duration",
  "deduction_lock_duration", "external_video", "video", "storage_loc", "input_audio", "webhookUrl",
  "task_id", "lipsync", "_id", "__v",
}
local RANK = {}
for i, name in ipairs(ORDER) do RANK[name] = i end

local function before(a, b)
  local x, y = RANK[a] or #ORDER + 1, RANK[b] or #ORDER + 1
  if x ~= y then return x < y end
  return a < b
end

--- Writes a document with its fields in a fixed order: equal documents are equal bytes.
---@param value any
---@return string
local function encode(value)
  if type(value) == "string" then return (json.encode(value):gsub("\\/", "/")) end
  if type(value) ~= "table" or value[1] ~= nil then return json.encode(value) end
  local names, parts = {}, {}
  for name in pairs(value) do
    if type(name) ~= "string" then return json.encode(value) end
    names[#names + 1] = name
  end
  table.sort(names, before)
  for i, name in ipairs(names) do parts[i] = encode(name) .. ":" .. encode(value[name]) end
  return "{" .. table.concat(parts, ",") .. "}"
end

-- cjson makes floats of all numbers; 1000.0 must not be seen where 1000 was meant.
local function integers(value)
  if type(value) == "table" then
    for key, inner in pairs(value) do value[key] = integers(inner) end
  elseif type(value) == "number" and value == math.floor(value) and math.abs(value) < 2 ^ 53 then
    return math.floor(value)
  end
  return value
end

--- Reads a document; whole numbers become integers.
---@param text string
---@return any value nil if this is not JSON
---@return string? err
local function decode(text)
  local ok, value = pcall(json.decode, text)
  if not ok then return nil, value end
  return integers(value)
end

-- Answers ----------------------------------------------------------------------------------

---@class akool.lipsync.mock.answer
---@field status integer
---@field headers table<string, string>
---@field document? table what becomes JSON
---@field source? akool.lipsync.http.source a body that is not JSON

local function reply(document, status, headers)
  headers = headers or {}
  headers["Content-Type"] = "application/json"
  return { status = status or 200, headers = headers, document = document }
end

local function refusal(code, msg, status, headers)
  return reply({ code = code, msg = msg or MESSAGES[code] }, status, headers)
end

-- What the storage behind signed links says instead of a file.
local function storage_error(status, code, message)
  local body = ('<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s</Code>'
    .. "<Message>%s</Message></Error>"):format(code, message)
  return {
    status = status, headers = { ["Content-Type"] = "application/xml" }, source = http.text(body),
  }
end

-- The service ------------------------------------------------------------------------------

---@class akool.lipsync.mock.rules
local service = {}
service.__index = service
service.encode, service.decode = encode, decode

---@class akool.lipsync.mock.job
---@field id string
---@field created number
---@field base table what the service made
---@field set table what was overwritten

--- Makes a service.
---@param options { api_key: string, client_id: string, client_secret: string, queue: number,
---  process: number, credits: number, url: string }
---@return akool.lipsync.mock.rules
function service.new(options)
  local self = setmetatable({ tokens = {}, made = 0, issued = 0 }, service)
  for name, value in pairs(options) do self[name] = value end
  self:reset()
  return self
end

--- Forgets the jobs and what they cost.
function service:reset()
  self.list, self.by_id, self.used = {}, {}, 0
end

--- Makes all tokens that were issued invalid.
function service:expire_tokens()
  self.tokens = {}
end

--- Says which endpoint a path belongs to.
---@param path string
---@return string at
function service.endpoint(path)
  local route = ROUTES[path]
  if route then return route.at end
  return path:find("^/results/") and "file" or path:find("^/files/") and "file" or "other"
end

-- Authorization wins over x-api-key, even when it is the wrong one of the two.
function service:refuse(headers, now)
  local bearer, key = headers.authorization or "", headers["x-api-key"] or ""
  if bearer ~= "" then
    local expires = self.tokens[bearer:match("^[Bb]earer +(%S+)$") or ""]
    return not (expires and now < expires) and refusal(1101) or nil
  end
  if key == "" then return refusal(1102) end
  return key ~= self.api_key and refusal(1101) or nil
end

local function body_of(request)
  local kind = (request.headers["content-type"] or ""):lower()
  if not kind:find("^application/json%s*;?") then
    return nil, refusal(1003, "The content type must be application/json", 415)
  end
  local body = decode(request.body)
  if type(body) ~= "table" then return nil, refusal(1003, "The body is not a JSON object") end
  return body
end

--- Answers a request to the API, that is: to anything but a file.
---@param request akool.lipsync.http.request
---@param now number
---@return akool.lipsync.mock.answer
function service:answer(request, now)
  local route = ROUTES[request.path]
  if not route then return refusal(1014, nil, 404) end
  if request.method ~= route.method then
    return refusal(1003, "Method not allowed", 405, { Allow = route.method })
  end
  local refused = not route.open and self:refuse(request.headers, now)
  if refused then return refused end
  local body
  if route.method == "POST" then
    body, refused = body_of(request)
    if refused then return refused end
  end
  return ANSWERS[route.at](self, body or request.query, now)
end

function ANSWERS.token(self, body, now)
  local id, secret = body.clientId, body.clientSecret
  if type(id) ~= "string" or id == "" or type(secret) ~= "string" or secret == "" then
    return refusal(1003)
  end
  if id ~= self.client_id or secret ~= self.client_secret then return refusal(1101) end
  self.issued = self.issued + 1
  local token = ("mock-token-%d-%06x"):format(self.issued, math.random(0, 0xffffff))
  self.tokens[token] = now + TOKEN_LIFE
  return reply { code = 1000, token = token }
end

function ANSWERS.credits(self)
  return reply { code = 1000, msg = "OK", data = { credit = self.credits - self.used } }
end

local function hex(digits)
  local parts = {}
  for i = 1, digits do parts[i] = ("%x"):format(math.random(0, 15)) end
  return table.concat(parts)
end

local function uuid()
  return ("%s-%s-4%s-a%s-%s"):format(hex(8), hex(4), hex(3), hex(3), hex(12))
end

local function is_url(value)
  return type(value) == "string" and value:find("^[Hh][Tt][Tt][Pp][Ss]?://[^%s/]") ~= nil
end

function ANSWERS.create(self, body, now)
  for _, name in ipairs { "video_url", "audio_url" } do
    if not is_url(body[name]) then
      return refusal(1003, name .. " must be a public http or https URL")
    end
  end
  local webhook = body.webhookUrl
  if webhook == nil or webhook == cjson.null then webhook = "" end
  if webhook ~= "" and not is_url(webhook) then
    return refusal(1003, "webhookUrl must be a http or https URL")
  end
  if self.credits - self.used < HELD_CREDITS then return refusal(1104) end

  self.used, self.made = self.used + HELD_CREDITS, self.made + 1
  local id = ("%08x"):format(math.floor(now)) .. hex(10) .. ("%06x"):format(self.made % 2 ^ 24)
  local job = { id = id, created = now, signature = hex(32), set = {}, base = {
    create_time = math.floor(now * 1000), uid = 100002, type = 9, from = 2,
    target_video = body.video_url, faceswap_quality = 2, video_id = uuid(),
    video_lock_duration = VIDEO_SECONDS, deduction_lock_duration = HELD_CREDITS,
    external_video = "", storage_loc = 1, input_audio = body.audio_url, webhookUrl = webhook,
    task_id = hex(24), lipsync = true, _id = id, __v = 0,
  } }
  self.list[#self.list + 1], self.by_id[id] = job, job
  return reply { code = 1000, msg = "OK", data = self:view(job, now) }
end

-- The answer to info does not have these.
local CREATE_ONLY = { "target_video", "input_audio", "webhookUrl", "task_id", "lipsync", "__v" }

function ANSWERS.info(self, query, now)
  local id = query.video_model_id
  if id == nil or id == "" then return refusal(1003) end
  local job = self.by_id[id]
  if not job then return refusal(1008) end
  local data = self:view(job, now)
  for _, name in ipairs(CREATE_ONLY) do data[name] = job.set[name] end
  return reply { code = 1000, msg = "OK", data = data }
end

-- Jobs -------------------------------------------------------------------------------------

function service:status(job, now)
  if job.set.video_status ~= nil then return job.set.video_status end
  local age = now - job.created
  return age < self.queue and 1 or age < self.queue + self.process and 2 or 3
end

function service:finished(job)
  return job.set_at or job.created + self.queue + self.process
end

function service:link(job)
  return ("%s/results/%s.mp4?Expires=%d&Signature=%s"):format(
    self.url, job.id, math.floor(self:finished(job) + WEEK), job.signature)
end

--- The fields of a job as they are now; what was overwritten has the last word.
---@param job akool.lipsync.mock.job
---@param now number
---@return table
function service:view(job, now)
  local data = {}
  for name, value in pairs(job.base) do data[name] = value end
  data.video_status = self:status(job, now)
  data.video = data.video_status == 3 and self:link(job) or ""
  for name, value in pairs(job.set) do
    if name ~= "bytes" then data[name] = value end
  end
  return data
end

---@param now number
---@return table[]
function service:jobs(now)
  local list = {}
  for i, job in ipairs(self.list) do list[i] = self:view(job, now) end
  return list
end

--- Overwrites fields of a job; `bytes` is the length of its result.
---@param id string
---@param fields table
---@param now number
---@return boolean? ok
---@return string? err
function service:overwrite(id, fields, now)
  local job = self.by_id[id]
  if not job then return nil, ("there is no job %q"):format(tostring(id)) end
  for name, value in pairs(fields) do job.set[name] = value end
  if fields.video_status == 3 then job.set_at = math.min(now, self:finished(job)) end
  return true
end

-- Files ------------------------------------------------------------------------------------

--- Finds the job whose result a path names, or says why it cannot be had.
---@param request akool.lipsync.http.request
---@param now number
---@return akool.lipsync.mock.job?
---@return akool.lipsync.mock.answer? refused
function service:result(request, now)
  local job = self.by_id[request.path:match("^/results/(%x+)%.mp4$") or ""]
  if not job or self:status(job, now) ~= 3 then return nil, self.absent() end
  if request.query.Signature ~= job.signature then
    return nil, storage_error(403, "AccessDenied", "Access Denied")
  end
  if now >= self:finished(job) + WEEK then return nil, self.expired() end
  return job
end

function service.absent()
  return storage_error(404, "NoSuchKey", "The specified key does not exist.")
end

function service.expired()
  return storage_error(403, "AccessDenied", "Request has expired")
end

-- Returns the first and last byte asked for; nil for all of them, false for none there are.
local function range_of(text, size)
  local from, to = (text or ""):match("^bytes=(%d*)%-(%d*)$")
  if not from or from == "" and to == "" then return nil end
  from, to = tonumber(from), tonumber(to)
  if from and to and to < from then return nil end
  if not from then from, to = math.max(size - to, 0), to > 0 and size - 1 or -1 end
  if from >= size or to == -1 then return false end
  return from, math.min(to or size - 1, size - 1)
end

---@class akool.lipsync.mock.entity a file as the storage holds it
---@field source akool.lipsync.http.source
---@field etag string
---@field modified number
---@field type string

--- Answers a request for a file: all of it, the part that was asked for, or 416. A fault may take
--- away ranges (`norange`), answer another one (`wrong_range`), change or drop the ETag (`etag`).
---@param request akool.lipsync.http.request
---@param entity akool.lipsync.mock.entity
---@param fault? table
---@return akool.lipsync.mock.answer
function service.deliver(request, entity, fault)
  if request.method ~= "GET" and request.method ~= "HEAD" then
    return refusal(1003, "Method not allowed", 405, { Allow = "GET, HEAD" })
  end
  fault = fault or {}
  local etag = entity.etag
  if fault.etag ~= nil then etag = fault.etag or nil end
  local modified, size = http.date(entity.modified), entity.source.size
  local headers = {
    ["Content-Type"] = entity.type, ETag = etag, ["Last-Modified"] = modified,
    ["Accept-Ranges"] = not fault.norange and "bytes" or nil,
  }
  local condition = request.headers["if-range"]
  local same = not condition or condition == etag or condition == modified
  local first, last
  if same and not fault.norange and request.method == "GET" then
    first, last = range_of(request.headers.range, size)
  end
  if first == false then
    headers["Content-Range"] = ("bytes */%d"):format(size)
    return { status = 416, headers = headers, source = http.text("") }
  elseif not first then
    return { status = 200, headers = headers, source = entity.source }
  end
  if fault.wrong_range then first, last = first == 0 and 1 or 0, size - 1 end
  headers["Content-Range"] = ("bytes %d-%d/%d"):format(first, last, size)
  return { status = 206, headers = headers, source = http.part(entity.source, first, last) }
end

return service
