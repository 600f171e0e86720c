-- run: one run of a batch, as a worker of its ledger. One task decides what is done next; each create
-- and each download is a task, and one more follows all jobs. What is done with a row is in
-- `steps.lua`; here is when, how many at once, and when it is over.

local core = require "akool.lipsync.core"
local followers = require "akool.lipsync.followers"
local host = require "akool.lipsync.host"
local loop = require "akool.lipsync.loop"
local options = require "akool.lipsync.options"
local pace = require "akool.lipsync.batch.pace"
local steps = require "akool.lipsync.batch.steps"
local verdict = require "akool.lipsync.batch.verdict"

local CREATES_MAX = 64           -- at once, however many jobs may be
local DOWNLOADS_MAX = 4          -- at once
local CLAIMS_MAX = 500           -- rows at once
local LOOK = 1                   -- seconds between two looks at what other workers have

---@class akool.lipsync.batch.Run
---@field ledger akool.lipsync.Ledger
---@field worker akool.lipsync.Worker
---@field client akool.lipsync.Client
---@field opts table                 # on_event, webhook, signals
---@field concurrency integer
---@field patience number            # s, without any success
---@field pace akool.lipsync.batch.Pace
---@field settings userdata          # of the client
---@field own_settings userdata      # the same, for files that are ours: they may be replaced
---@field followers akool.lipsync.Followers
---@field creating integer           # creates under way
---@field following integer          # jobs that are followed
---@field downloading integer
---@field ready akool.lipsync.Row[]  # to be downloaded, those that expire first at the end
---@field later { at: number, action: function }[]
---@field hands table<string, true>  # keys of what it works on: a lease that is lost and found again does
--- not bring a row twice
---@field parked integer             # rows that are left as they are until the next run
---@field planned boolean            # there may be something to submit
---@field freed boolean              # there may be rows that nobody has
---@field halted akool.lipsync.Error? # why nothing is submitted any more
---@field stopped akool.lipsync.Error? # why something was left undone
---@field interrupted string?
---@field raised { why: any }?       # what a function of the program's, or one of ours, raised
---@field workers table<akool.lipsync.Task, akool.lipsync.Task|false> # who awaits a step, and those
--- steps that may be cancelled
---@field stopping boolean
---@field task akool.lipsync.Task    # that it is
local Run = {}
Run.__index = Run

-- Telling -----------------------------------------------------------------------------------------

--- Tell the program. What its function raises ends the run, and is raised by it.
function Run:tell(kind, event)
  local on_event = self.opts.on_event
  if not on_event or self.raised then return end
  event.type = kind
  local fine, why = pcall(on_event, event)
  if not fine then self:raise(why) end
end

--- Tell about a row, which the event carries as it is now.
function Run:tell_row(kind, key, event)
  if not self.opts.on_event then return end
  event = event or {}
  event.key, event.row = key, self.ledger:row(key)
  event.job = event.job or event.row and event.row.job_id
  self:tell(kind, event)
end

-- Waiting -----------------------------------------------------------------------------------------

--- The deciding task looks again.
function Run:wake()
  self.news = true
  if self.resting then self.resting:cancel() end
end

--- The ledger was changed from outside.
function Run:look()
  self.planned, self.freed = true, true
  self:wake()
end

--- Wait until there is news, at most for so many seconds.
function Run:rest(seconds)
  if self.news then
    self.news = false
    return
  end
  local op = core.sleep(seconds)
  self.resting = op
  if op then loop.next(op) end
  self.resting, self.news = nil, false
end

--- Do something in so many seconds.
function Run:postpone(seconds, action)
  self.later[#self.later + 1] = { at = core.now() + seconds, action = action }
  self:wake()
end

--- Do what is due. Seconds until the next is.
function Run:do_postponed()
  local now, due, left, least = core.now(), {}, {}, math.huge
  for _, entry in ipairs(self.later) do
    if entry.at <= now then
      due[#due + 1] = entry
    else
      left[#left + 1] = entry
      least = math.min(least, entry.at - now)
    end
  end
  self.later = left
  for _, entry in ipairs(due) do entry.action() end
  return least
end

--- A step with a row, in a task of its own that counts as `counter`. What it raises ends the run.
function Run:start(counter, step, row)
  self[counter] = self[counter] + 1
  local worker = loop.spawn(step, self, row)
  local supervisor
  supervisor = loop.spawn(function()
    loop.ended(worker, true)
    self.workers[supervisor], self[counter] = nil, self[counter] - 1
    if worker.failed then self:raise(worker.failure) end
    self.planned = true -- there may be room for another job
    self:wake()
  end)
  self.workers[supervisor] = counter == "downloading" and worker or false
end

-- When something does not work ----------------------------------------------------------------------

--- End it: nothing new is begun. Creates under way are awaited, since they may be paid; what else is
--- under way goes on in the next run.
---@param why string  # "SIGINT", "SIGTERM", "stop", "raised", "trouble"
function Run:stop(why)
  if self.stopping then return end
  self.stopping = true
  if why ~= "raised" and why ~= "trouble" then self.interrupted = why end
  self:tell("stopping", { signal = self.interrupted, error = self.stopped })
  self.followers:stop()
  self.followers:wake()
  for _, download in pairs(self.workers) do
    if download then download:cancel() end
  end
  self:wake()
end

--- Something raised: so will the run, once it has stopped.
function Run:raise(why)
  self.raised = self.raised or { why = why }
  self:stop "raised"
end

--- Nothing that we ask can succeed.
function Run:fail(err)
  self.stopped = self.stopped or err
  self:stop "trouble"
end

--- Submit nothing more; what was bought goes on.
function Run:halt(err)
  if self.halted then return end
  self.halted, self.stopped = err, self.stopped or err
  self:tell("stopping", { error = err })
end

--- May a create still be sent?
function Run:may_submit()
  return not (self.stopping or self.halted)
end

--- The service or the way to it does not work just now. If it has not for long, there is no use in
--- going on.
function Run:suffer(err)
  if self.pace:suffer(core.now()) then self:fail(err) end
end

--- Submit nothing for a while, since a create that began then was refused.
function Run:slow_down(began, err)
  local seconds = self.pace:slow_down(core.now(), began, err.retry_after)
  self:tell("paused", { seconds = seconds, error = err })
end

--- A create that began then went through.
function Run:speed_up(began)
  if self.pace:speed_up(began) then self:tell("resumed", {}) end
end

--- A row is done with, or another worker's.
function Run:drop(key)
  self.hands[key], self.failures[key] = nil, nil
end

--- Leave a row as it is until the next run: something has to be put right first.
function Run:park(key, err)
  self.parked, self.stopped = self.parked + 1, self.stopped or err
  self:tell_row("trouble", key, { error = err })
end

--- Have the worker do something with the ledger, and again while that does not work. Nil when it never
--- will, which stops the run.
---@param method string
---@param ... any
---@return any
---@return akool.lipsync.Error?
function Run:keep(method, ...)
  local since, failures = core.now(), 0
  while true do
    local value, err = self.worker[method](self.worker, ...)
    if value ~= nil or not err then return value end
    local patience = self.stopping and math.min(self.patience, 10) or self.patience
    local hopeless = err.name == "ledger_damaged" or err.name == "file_unusable"
    failures = failures + 1
    local seconds = pace.retry_wait(failures)
    local last = hopeless or core.now() - since >= patience
    if not last then self:tell("trouble", { error = err, seconds = seconds }) end
    if last or not loop.sleep(seconds) then
      self:fail(err)
      return nil, err
    end
  end
end

-- What is next --------------------------------------------------------------------------------------

--- Follow a row's job.
function Run:follow(key, job)
  if self.stopping then return end
  local fine, err = self.followers:add(key, job)
  if err and verdict.of_following(err) == "stop" then return self:fail(err) end
  if not fine then return self:park(key, err) end
  self.following = self.following + 1
  if self.listening then return end
  self.listening = true
  self:start("listeners", steps.listen)
end

--- A row's result can be downloaded.
function Run:enqueue(row)
  local at = #self.ready + 1
  local expires = row.expires_at or 0
  while at > 1 and (self.ready[at - 1].expires_at or 0) < expires do
    self.ready[at] = self.ready[at - 1]
    at = at - 1
  end
  self.ready[at] = row
  self:wake()
end

--- Go on with a row whose job is at the service.
function Run:take_up(row)
  self.hands[row.key] = true
  if row.state == "ready" then return self:enqueue(row) end
  self:follow(row.key, { id = row.job_id, status = row.created_at and "processing",
    created_at = row.created_at })
end

--- Take rows that nobody has: what the last run left, or a worker that died.
function Run:claim_started()
  while self.freed and not self.stopping do
    local rows = self:keep("claim_started", CLAIMS_MAX)
    if not rows then return end
    self.freed = #rows == CLAIMS_MAX
    for _, row in ipairs(rows) do
      if not self.hands[row.key] then self:take_up(row) end
    end
  end
end

--- Submit what may be submitted now.
function Run:claim_planned()
  while self.planned and self:may_submit() and self.pace:left(core.now()) == 0
    and self.creating < CREATES_MAX and self.creating + self.following < self.concurrency do
    local row = self:keep("claim_planned", self.concurrency)
    if not row then
      self.planned = false
    elseif row.state == "submitting" then
      self.hands[row.key] = true
      self:start("creating", steps.submit, row)
    else
      self:tell_row("adopted", row.key)
      self:take_up(row)
    end
  end
end

function Run:download()
  while #self.ready > 0 and self.downloading < DOWNLOADS_MAX and not self.stopping do
    self:start("downloading", steps.fetch, table.remove(self.ready))
  end
end

--- Is there nothing left that this run could do, now or later?
function Run:is_over()
  if self.creating + self.following + self.downloading + #self.ready + #self.later > 0 then
    return false
  end
  if self.worker.in_doubt and self.parked == 0 and self:keep "let_go" then
    self:look()
    return false
  end
  local counts, held = self:keep "count", self:keep "held_by_others"
  if not (counts and held) or self.halted then return true end
  if held.many > 0 then
    if held.many ~= self.waiting_for then
      self:tell("waiting", { count = held.many, ["until"] = held.held_until })
    end
    self.waiting_for, self.planned = held.many, true
    return false
  elseif self.waiting_for then -- what they had may be anybody's now
    self.waiting_for = nil
    self:look()
    return false
  end
  if counts.planned > 0 and (self.planned or self.pace:left(core.now()) > 0) then return false end
  if counts.planned > 0 and counts.unknown > 0 and self.parked == 0 then
    self.stopped = self.stopped or core.error("held_back",
      ("%d planned rows ask for films that unknown rows may have bought."):format(counts.planned))
  end
  return true
end

--- Seconds until there is something to do without any news.
function Run:idle_time(postponed)
  local pause = self.pace:left(core.now())
  return math.min(postponed, self.waiting_for and LOOK or 3600, pause > 0 and pause or 3600)
end

--- Decide what is next, until nothing is.
function Run:work()
  while not self.stopping do
    local postponed = self:do_postponed()
    self:claim_started()
    self:download()
    self:claim_planned()
    if self.stopping or self:is_over() then return end
    self:rest(self:idle_time(postponed))
  end
end

-- Beside the work -----------------------------------------------------------------------------------

--- Renew the lease, and free what dead workers had.
function Run:renew()
  if self:keep "renew" == nil then return end
  for _, key in ipairs(self:keep "sweep" or {}) do self:tell_row("unknown", key) end
  self:look()
end

function Run:beat()
  while loop.sleep(self.worker.lease / 3) do self:renew() end
end

--- Stop cleanly when a signal says so.
function Run:watch_signals()
  local wanted = self.opts.signals
  if wanted == nil then wanted = host.current() == nil end
  local op = wanted and core.interruption()
  if not op then return end
  return loop.spawn(function()
    local kind, name = loop.next(op)
    if kind == "done" then self:stop(name) end
  end)
end

--- End these tasks, and wait until they have.
local function finish(tasks)
  for _, task in ipairs(tasks) do task:cancel() end
  for _, task in ipairs(tasks) do loop.ended(task, true) end
end

--- Run it to its end.
---@param name string  # of the worker
---@param lease number # s
---@return table? summary
---@return akool.lipsync.Error?
---@return { why: any }? raised
function Run:run(name, lease)
  local err
  self.worker, err = self.ledger:worker(name, lease)
  if not self.worker then return nil, err end
  self:renew()
  local beside = { loop.spawn(self.beat, self), self:watch_signals() }
  local work = loop.spawn(self.work, self)
  if not loop.ended(work) then
    self:stop "cancelled"
    loop.ended(work, true)
  end
  if work.failed then self:raise(work.failure) end
  self.followers:stop()
  local workers = {}
  for supervisor in pairs(self.workers) do workers[#workers + 1] = supervisor end
  for _, supervisor in ipairs(workers) do loop.ended(supervisor, true) end
  finish(beside)
  local _, problem = self.worker:sign_off()
  local counts
  counts, err = self.ledger:count()
  if not counts then return nil, self.stopped or err, self.raised end
  counts.stopped, counts.interrupted = self.stopped or problem, self.interrupted
  return counts, nil, self.raised
end

local run = {}

---@param ledger akool.lipsync.Ledger
---@param client akool.lipsync.Client
---@param config { concurrency: integer, patience: number, output_dir: string }
---@param opts akool.lipsync.RunOptions
---@return akool.lipsync.batch.Run
function run.new(ledger, client, config, opts)
  local ours = options.merge(client.merged, { overwrite = true })
  return setmetatable({ ledger = ledger, client = client, opts = opts,
    concurrency = config.concurrency, patience = config.patience,
    pace = pace.new(config.patience), output_dir = config.output_dir,
    settings = client.settings, own_settings = options.settings(ours),
    followers = followers.new(client, { webhook = opts.webhook }), workers = {}, creating = 0,
    following = 0, listeners = 0, downloading = 0, parked = 0, ready = {}, later = {},
    failures = {}, hands = {}, planned = true, freed = true, stopping = false }, Run)
end

return run
