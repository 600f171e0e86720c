-- receiver: who is told of what deliveries say. Those who wait for a job hear of its end, the program of
-- every event; whatever comes late, again, or out of order changes nothing.

local core = require "akool.lipsync.core"
local host = require "akool.lipsync.host"
local loop = require "akool.lipsync.loop"
local recent = require "akool.lipsync.webhook.recent"
local server = require "akool.lipsync.webhook.server"
local uv = require "akool.lipsync.uv"

local JOBS_KEPT = 1000            -- of which the last event is remembered
local INSISTENCE = { 0, 1, 3, 7 } -- seconds after a delivery at which the service is asked
local IDLE, BUSY = 0.02, 0.001    -- seconds between two looks at luv's loop, if we turn it

local RANKS = { queueing = 1, processing = 2, completed = 3, failed = 3 }
local END = 3

local turning = false -- luv's loop, in a task of ours

---@class akool.lipsync.Receiver
---@field host string
---@field port integer
---@field path string
---@field url string?     # what the service should call, if the program said so
---@field closed boolean
local Receiver = {}
Receiver.__index = Receiver
Receiver.__name = "akool.lipsync.receiver"

-- Those who wait --------------------------------------------------------------------------------

--- What one who follows a job hears. It may just be forgotten: nothing here keeps it, or its op.
---@class akool.lipsync.Hearing
---@field event akool.lipsync.WebhookEvent?  # what ended the op, when deliveries are trusted
local Hearing = {}
Hearing.__index = Hearing

--- Hear no more.
function Hearing:stop()
  self.all[self] = nil
end

--- Have an op that follows this job learn of its end: it asks the service at once, or ends when the
--- receiver trusts deliveries.
---@param id string
---@param op userdata
---@return akool.lipsync.Hearing
function Receiver:follow(id, op)
  local all = self.hearings[id] or setmetatable({}, { __mode = "k" })
  self.hearings[id] = all
  local hearing = setmetatable({ all = all }, Hearing)
  all[hearing] = op
  local event = self:ended(id)
  if event then self:insist(event, 1) end
  return hearing
end

--- Is an event enough for those who wait?
function Receiver:believes(event)
  return self.trust and (event.status == "failed" or event.video ~= nil)
end

--- Pass on to those who follow this job that it has ended.
function Receiver:hurry(event)
  for hearing, op in pairs(self.hearings[event.id] or {}) do
    if self:believes(event) then
      hearing.event = event
      op:cancel()
    else
      op:hurry()
    end
  end
  host.wake()
end

--- The service may say "completed" to us sooner than to whoever asks, so it is asked a few times.
function Receiver:insist(event, count)
  self:hurry(event)
  local at = INSISTENCE[count + 1]
  if not at or self.closed or self:believes(event) or not self.hearings[event.id] then return end
  local timer = uv.new_timer()
  self.timers[timer] = true
  timer:start((at - INSISTENCE[count]) * 1000, 0, function()
    self.timers[timer] = nil
    timer:close()
    self:insist(event, count + 1)
  end)
end

-- What comes ------------------------------------------------------------------------------------

--- The event that ended a job.
function Receiver:ended(id)
  local event = self.latest:get(id)
  return event and RANKS[event.status] == END and event or nil
end

--- Something of the program's has raised. In a callback of luv's that would end the program.
function Receiver:complain(why)
  local fine = self.on_error and pcall(self.on_error, why)
  if not fine then
    io.stderr:write("akool.lipsync: a receiver of webhooks: ", tostring(why), "\n")
  end
end

--- Tell the program, in a coroutine of its own, because it may wait: a task, if somebody drives tasks.
local function tell(self, event)
  if not (turning or host.calls_back()) then
    local fine, why = coroutine.resume(coroutine.create(self.on_event), event)
    if not fine then self:complain(why) end
    return
  end
  loop.spawn(function() -- a task that waits for it, since in Lua 5.1 nothing waits inside pcall
    local task = loop.spawn(self.on_event, event)
    loop.ended(task, true)
    if task.failed then self:complain(task.failure) end
  end)
end

--- An event came.
function Receiver:hear(event)
  local before = self.latest:get(event.id)
  if before and RANKS[before.status] >= RANKS[event.status] then return end
  self.latest:set(event.id, event) -- for who comes later, and to know what is late
  if RANKS[event.status] == END then self:insist(event, 1) end
  if self.on_event then tell(self, event) end
end

--- A body came.
function Receiver:take(body, answer)
  local fine, status, event = pcall(self.handle, body)
  if not fine then
    answer(500) -- so that it is delivered again
    return self:complain(status)
  end
  answer(status)
  if event.kind == nil then self:hear(event) end
end

-- Life ------------------------------------------------------------------------------------------

--- luv 1.44 crashes when it finds handles closed but not yet gone at the end of the Lua state, so they
--- go now, unless the loop is running: that of Neovim is without luv knowing.
local function let_go()
  local current = host.current()
  if uv.loop_mode() or current and current.name == "neovim" then return end
  uv.run "nowait"
end

--- Turn luv's loop, unless the program does.
local function turn(self)
  while not self.closed do
    if not uv.loop_mode() then
      turning = true
      uv.run "nowait"
      turning = false
    end
    loop.sleep(self.server.count > 0 and BUSY or IDLE)
  end
end

--- Close the port and all connections. Who waits for a job goes on by asking, rarely.
function Receiver:close()
  if self.closed then return end
  self.closed = true
  self.server:close()
  for timer in pairs(self.timers) do timer:close() end
  self.timers = {}
  if self.turner then self.turner:cancel() end
  let_go()
end

Receiver.__close = Receiver.close

function Receiver:__tostring()
  return ("%s (%s)"):format(Receiver.__name, self.closed and "closed"
    or ("%s:%d%s"):format(self.host, self.port, self.path))
end

--- The hosts that run luv's loop by themselves.
local RUN_LUV = { luv = true, neovim = true }

local receiver = {}

--- Listen.
---@param handle fun(body: string): integer, table  # from webhook.handler
---@param opts akool.lipsync.ListenOptions  # checked
---@return akool.lipsync.Receiver?
---@return akool.lipsync.Error?
function receiver.listen(handle, opts)
  local self = setmetatable({ handle = handle, host = opts.host or "127.0.0.1",
    path = opts.path or "/", url = opts.url, trust = opts.trust or false, closed = false,
    on_event = opts.on_event, on_error = opts.on_error, timers = {},
    latest = recent.new(JOBS_KEPT), hearings = setmetatable({}, { __mode = "v" }) }, Receiver)
  local where = { host = self.host, port = opts.port or 0, path = self.path,
    max_connections = opts.max_connections or 100, timeout = opts.timeout or 10 }
  local why
  self.server, why = server.listen(where, function(body, answer) self:take(body, answer) end)
  if not self.server then
    let_go()
    return nil, core.error("webhook_listen",
      ("No webhook can be received at %s, port %d: %s."):format(self.host, opts.port or 0, why))
  end
  self.port = self.server.port
  local current = host.current()
  if not (current and RUN_LUV[current.name]) then self.turner = loop.spawn(turn, self) end
  return self
end

return receiver
