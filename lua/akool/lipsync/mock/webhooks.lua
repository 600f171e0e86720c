--- What the mock service calls back with. When a job of which a create named a webhookUrl changes its
--- status to 2, 3 or 4, that is sealed with the client id and secret as the service does it, and posted
--- until somebody answers 200; unless a fault was ordered for it (`at = "webhook"`).

local outbound = require "akool.lipsync.mock.outbound"
local uv = require "akool.lipsync.uv"

local WORDS = { "queueing", "processing", "completed", "failed" }
local LOOK = 0.02                       -- seconds between two looks at the jobs
local PAUSES = { 0.05, 0.1, 0.2, 0.5, 1 } -- seconds before it is delivered again; the last for ever
local STALE = 3600                      -- seconds that a stale delivery is old
local POST = "POST %%s HTTP/1.1\r\nHost: %%s\r\nContent-Type: application/json\r\n"
  .. "Content-Length: %d\r\nConnection: close\r\n\r\n"
local NO_FAULT = {}

---@class akool.lipsync.mock.delivery
---@field n integer
---@field id string        # of the job
---@field status string    # that it tells of: "completed", …
---@field url string
---@field state "pending" | "held" | "delivered" | "lost" | "unsealed"
---@field answers integer[] # the HTTP status of each attempt, 0 for none
---@field body? string     # once it is sealed

---@class akool.lipsync.mock.webhooks
local webhooks = {}
webhooks.__index = webhooks

--- Watches the jobs of a server.
---@param server akool.lipsync.mock.server
---@return akool.lipsync.mock.webhooks
function webhooks.new(server)
  local self = setmetatable({ server = server, timers = {}, look_timer = uv.new_timer() }, webhooks)
  self:reset()
  return self
end

--- Forgets the jobs, and what was to be delivered of them.
function webhooks:reset()
  for timer in pairs(self.timers) do timer:close() end
  self.timers, self.list, self.jobs, self.held = {}, {}, {}, {}
  self.look_timer:stop()
end

local function later(self, seconds, f)
  local timer = uv.new_timer()
  self.timers[timer] = true
  timer:start(math.floor(seconds * 1000), 0, function()
    self.timers[timer] = nil
    timer:close()
    f()
  end)
end

-- Sealing ----------------------------------------------------------------------------------

local function flip(hex)
  return hex == "0" and "1" or "0"
end

--- The bytes of a delivery, or nil when these credentials cannot seal. What seals is loaded when it is
--- needed: the rest of the service does without the core.
local function seal(self, delivery, how)
  local webhook = require "akool.lipsync.webhook"
  local rules = self.server.service
  local secret, seconds, micro = rules.client_secret, uv.gettimeofday()
  local stamp = seconds * 1000 + math.floor(micro / 1000) - (how == "stale" and STALE * 1000 or 0)
  if how == "forged" then secret = ("?"):rep(#secret) end
  local nonce = math.random(1000, 999999)
  if how ~= "number_nonce" then nonce = ("%04d"):format(nonce) end
  local body = webhook.seal(delivery, { client_id = rules.client_id, client_secret = secret,
    timestamp = stamp, nonce = nonce })
  if not body then return nil end
  if how == "wrong_signature" then
    body = body:gsub('("signature":")(%x)', function(start, digit) return start .. flip(digit) end)
  elseif how == "tampered" then
    body = body:gsub('("dataEncrypt":")(.)', function(start, c)
      return start .. (c == "A" and "B" or "A")
    end)
  end
  return body
end

local function bytes_of(self, delivery, fault)
  if fault.raw then return fault.raw end
  if fault.delivery then return seal(self, delivery, fault.delivery) end
  delivery.body = delivery.body or seal(self, delivery) -- delivered again, it is the same
  return delivery.body
end

-- Sending ----------------------------------------------------------------------------------

local function post(delivery, body, done)
  local list = delivery.answers
  outbound.send(delivery.url, { head = POST:format(#body), body = body, seconds = 5,
    bytes = 64 * 1024, enough = "\r\n\r\n" }, function(answer)
    local status = tonumber(answer and answer:match "^HTTP/1%.%d (%d%d%d)" or 0)
    list[#list + 1] = math.floor(status)
    if done then done(status) end
  end)
end

local function send(self, delivery)
  local fault = self.server.faults:take "webhook" or NO_FAULT
  local how, list = fault.delivery, self.list
  if how == "lost" then
    delivery.state = "lost"
    return
  elseif how == "reordered" then
    delivery.state, self.held[#self.held + 1] = "held", delivery
    return
  end
  local function answered(status, body)
    if list ~= self.list then return end -- forgotten meanwhile
    if status ~= 200 then
      local pause = PAUSES[math.min(#delivery.answers, #PAUSES)]
      return later(self, pause, function() send(self, delivery) end)
    end
    delivery.state = "delivered"
    if how == "replayed" then post(delivery, body) end
    self:release(delivery)
  end
  local function go()
    local body = bytes_of(self, delivery, fault)
    if not body then
      delivery.state = "unsealed"
      return
    end
    post(delivery, body, function(status) answered(status, body) end)
  end
  if fault.delay then later(self, fault.delay, go) else go() end
end

--- Sends what was held back until a later one of the same job had been delivered.
function webhooks:release(delivery)
  for i = #self.held, 1, -1 do
    local held = self.held[i]
    if held.id == delivery.id and held.n < delivery.n then
      table.remove(self.held, i)
      held.state = "pending"
      send(self, held)
    end
  end
end

local function deliver(self, event, url)
  local delivery = { n = #self.list + 1, id = event.id, status = event.status, video = event.video,
    type = event.type, url = url, state = "pending", answers = {} }
  self.list[delivery.n] = delivery
  send(self, delivery)
  return delivery.n
end

-- Jobs -------------------------------------------------------------------------------------

--- Delivers what has changed since the last look.
function webhooks:look()
  local server = self.server
  local now = server:now()
  for id, told in pairs(self.jobs) do
    local job = server.service.by_id[id]
    local data = job and server.service:view(job, now)
    local status = data and data.video_status
    if not job or status == 3 or status == 4 then self.jobs[id] = nil end
    if job and status ~= told and WORDS[status] then
      if self.jobs[id] then self.jobs[id] = status end
      deliver(self, { id = id, status = WORDS[status], video = status == 3 and data.video or nil },
        data.webhookUrl)
    end
  end
  if next(self.jobs) == nil then self.look_timer:stop() end
end

--- Watches a job, if it was made with a webhookUrl of plain http; there is no TLS here.
---@param job akool.lipsync.mock.job
function webhooks:watch(job)
  if not job.base.webhookUrl:find "^http://" then return end
  self.jobs[job.id] = 1
  if self.server.manual then return end
  self.look_timer:start(0, math.floor(LOOK * 1000), function() self:look() end)
end

--- Delivers something at once, whatever the job's status is.
---@param event { id: string, status: string, video: string?, type: string?, url: string? }
---@return integer? n
---@return string? err
function webhooks:order(event)
  local known
  for _, word in ipairs(WORDS) do known = known or word == event.status end
  if not known then return nil, "deliver needs a status, one of " .. table.concat(WORDS, ", ") end
  local job = self.server.service.by_id[event.id]
  local url = event.url or job and job.base.webhookUrl
  if type(event.id) ~= "string" or type(url) ~= "string" or not url:find "^http://" then
    return nil, "deliver needs the id of a job with a webhookUrl, or an id and a url, of plain http"
  end
  return deliver(self, event, url)
end

--- What was and will be delivered, in its order.
---@return table[]
function webhooks:deliveries()
  local list = {}
  for i, each in ipairs(self.list) do
    list[i] = { n = each.n, id = each.id, status = each.status, url = each.url, state = each.state,
      answers = each.answers }
  end
  return list
end

return webhooks
