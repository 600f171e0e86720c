-- worker: one run of a batch, and the rows it has. They are its own for as long as its lease lasts: one
-- row in `lipsync_workers`, renewed while it lives. What is going to be paid is written down here before
-- it is sent.

local core = require "akool.lipsync.core"
local record = require "akool.lipsync.ledger.record"
local schema = require "akool.lipsync.ledger.schema"

local NONE = record.NONE
local because, without_error = record.because, record.without_error
local set, told_by = record.set, record.told_by

local AHEAD = 60 -- seconds: a lease that begins later than so was taken before the clock was set back

---@class akool.lipsync.Worker
---@field ledger akool.lipsync.Ledger
---@field db akool.lipsync.ledger.Database
---@field text table<string, string>
---@field name string   # that no other worker has
---@field lease number  # s
---@field package begun table<string, integer> # what it submits or did: the key, and which attempt
---@field in_doubt boolean # it may have rows that it does not know of
local Worker = {}
Worker.__index = Worker
Worker.__name = "akool.lipsync.worker"

-- Workers ---------------------------------------------------------------------------------------

local function sign_on(self)
  local noted, err = self.db:change(self.text.sign_on, self.name, self.lease)
  return noted and true, err
end

--- Renew the lease, even one that was lost.
---@return true?
---@return akool.lipsync.Error?
function Worker:renew()
  local renewed, err = self.db:change(self.text.renew, self.lease, self.name)
  if renewed == 0 then return sign_on(self) end
  return renewed and true, err
end

--- Free what a worker had. The keys of what was being submitted, which is unknown from then on.
local function bury(self, name)
  local lost = core.error("worker_lost", "Its worker ended while it was being submitted.")
  local doubtful, err = self.db:rows(self.text.doubt, lost.kind, lost.name, lost.message, name)
  local freed = doubtful
  if freed then freed, err = self.db:change(self.text.let_go, name) end
  if freed then freed, err = self.db:change(self.text.sign_off, name) end
  if not freed then return nil, err end
  return doubtful
end

local function bury_the_dead(self)
  local dead, err = self.db:rows(self.text.dead, AHEAD)
  if not dead then return nil, err end
  local keys = {}
  for _, worker in ipairs(dead) do
    local doubtful
    doubtful, err = bury(self, worker.name)
    if not doubtful then return nil, err end
    for _, row in ipairs(doubtful) do keys[#keys + 1] = row.key end
  end
  return keys
end

--- Free the rows of workers whose lease has ended. What they were submitting is unknown from then on.
---@return string[]? keys  # of the rows that became unknown
---@return akool.lipsync.Error?
function Worker:sweep()
  local dead, err = self.db:rows(self.text.dead, AHEAD)
  if not dead then return nil, err end
  if not dead[1] then return {} end
  return self.db:transaction(bury_the_dead, self)
end

--- Stop being a worker: its rows are anybody's.
---@return true?
---@return akool.lipsync.Error?
function Worker:sign_off()
  local gone, err = self.db:transaction(bury, self, self.name)
  return gone and true, err
end

--- How many rows other workers have, and until when the last of these has them.
---@return { many: integer, held_until: number? }?
---@return akool.lipsync.Error?
function Worker:held_by_others()
  local rows, err = self.db:rows(self.text.held, self.name)
  return rows and rows[1], err
end

--- See `Ledger:count`.
---@return table<string, integer>?
---@return akool.lipsync.Error?
function Worker:count()
  return self.ledger:count()
end

-- Claims ----------------------------------------------------------------------------------------

--- A claim whose error says that it may have come about leaves rows that we do not know to be ours.
local function doubt(self, err)
  self.in_doubt = self.in_doubt or err ~= nil and err.name == "ledger_in_doubt"
  return err
end

--- The film was bought before: that job is this row's, too. Nil if the row is not as it was.
local function adopt_twin(self, row, twin)
  local state = twin.state == "done" and "ready" or twin.state
  local changed, err = self.db:change(self.text.adopt_twin, state, twin.job_id, twin.video,
    twin.created_at, twin.expires_at, self.name, row.key, row.state, row.attempts)
  if changed ~= 1 then return nil, err end
  return self.ledger:row(row.key)
end

--- A row that an earlier claim of ours began, without hearing of it.
local function begun_in_doubt(self)
  local rows, err = self.db:rows(self.text.begun, self.name)
  for _, row in ipairs(rows or {}) do
    if self.begun[row.key] ~= row.attempts then return record.shown(row) end
  end
  return nil, err
end

--- Are as many jobs at the service as allowed? Rows are counted first: that is quick, and there are no
--- more jobs than rows.
local function is_full(self, concurrency)
  for _, count in ipairs { "rows_at_service", "jobs_at_service" } do
    local rows, err = self.db:rows(self.text[count])
    if not rows then return nil, err end
    if rows[1].many < concurrency then return false end
  end
  return true
end

local function claim_planned(self, concurrency)
  local alone, err = schema.lock(self.db)
  if not alone then return nil, err end
  if self.in_doubt then
    local row
    row, err = begun_in_doubt(self)
    if row or err then return row, err end
  end
  local planned, bought, full
  planned, err = self.db:rows(self.text.next_planned)
  local row = planned and planned[1]
  if not row then return nil, err end
  if row.forced == 0 then
    bought, err = self.db:rows(self.text.bought, row.fingerprint)
    if not bought then return nil, err end
    if bought[1] then return adopt_twin(self, row, bought[1]) end
  end
  full, err = is_full(self, concurrency)
  if full ~= false then return nil, err end
  local begun
  begun, err = self.db:change(self.text.begin, self.name, row.key)
  if not begun then return nil, err end
  return self.ledger:row(row.key)
end

--- The next row to submit: it is written down as being submitted. Or one whose film was bought before,
--- which has that job from now on. Nil when nothing may be submitted, or while as many jobs as allowed
--- are at the service, whoever submitted them.
---@param concurrency integer
---@return akool.lipsync.Row?
---@return akool.lipsync.Error?
function Worker:claim_planned(concurrency)
  local row, err = self.db:transaction(claim_planned, self, concurrency)
  if row and row.state == "submitting" then self.begun[row.key] = row.attempts end
  return row, doubt(self, err)
end

local function claim_started(self, limit)
  return self.db:rows(self.text.claim_started, self.name, limit)
end

--- Rows that nobody has and whose job is at the service; the first result to expire comes first.
---@param limit integer
---@return akool.lipsync.Row[]?
---@return akool.lipsync.Error?
function Worker:claim_started(limit)
  local rows, err = self.db:transaction(claim_started, self, limit)
  return record.all_shown(rows, doubt(self, err))
end

--- Let go of all rows, once none is worked on: after a claim in doubt there may be some.
---@return true?
---@return akool.lipsync.Error?
function Worker:let_go()
  local freed, err = self.db:change(self.text.let_go, self.name)
  self.in_doubt = freed == nil
  return freed and true, err
end

-- What becomes of a row ---------------------------------------------------------------------------

--- Change a row of this worker's. False when it is not this worker's any more.
local function set_mine(self, key, columns)
  return set(self.ledger, key, columns, "worker = ?", self.name)
end

--- The service has the job. Said twice it is the same. True even for a worker that lost its lease
--- meanwhile: of the row's last create this is the outcome, and no other may be thought of it.
---@param key string
---@param attempt integer  # which create it was: `attempts` of the row that was claimed
---@param job akool.lipsync.Job
---@return boolean?  # false: the row was submitted again meanwhile, so this job is nobody's
---@return akool.lipsync.Error?
function Worker:submitted(key, attempt, job)
  return set(self.ledger, key, told_by(job, { state = "submitted", adopted = 0 }),
    "attempts = ? AND (state IN ('submitting', 'unknown') OR job_id = ?)", attempt, job.id)
end

--- A row of this worker's goes on: what the service says of its job.
---@param key string
---@param state "processing"|"ready"
---@param job akool.lipsync.Job
---@return boolean? mine  # false as well when it was given another job meanwhile
---@return akool.lipsync.Error?
function Worker:moved(key, state, job)
  return set(self.ledger, key, told_by(job, { state = state }), "worker = ? AND job_id = ?",
    self.name, job.id)
end

--- From now on what stands at its output is the row's own.
---@param key string
---@return boolean? mine
---@return akool.lipsync.Error?
function Worker:saving(key)
  return set_mine(self, key, { saving = 1 })
end

--- The film is on disk.
---@param key string
---@param file akool.lipsync.File
---@return boolean? mine
---@return akool.lipsync.Error?
function Worker:done(key, file)
  return set_mine(self, key, without_error { state = "done", worker = NONE, path = file.path,
    bytes = file.bytes, sha256 = file.sha256 })
end

--- It ends without a film, or in doubt.
---@param key string
---@param state "failed"|"unknown"|"expired"
---@param err akool.lipsync.Error
---@return boolean? mine
---@return akool.lipsync.Error?
function Worker:ended(key, state, err)
  return set_mine(self, key, because(err, { state = state, worker = NONE }))
end

--- The service certainly did not take it, or was not asked: it is planned again. What was adopted for it
--- is forgotten.
---@param key string
---@param err akool.lipsync.Error?
---@return boolean? mine
---@return akool.lipsync.Error?
function Worker:put_back(key, err)
  local columns = { state = "planned", worker = NONE, job_id = NONE, adopted = 0, gone = 0 }
  return set_mine(self, key, err and because(err, columns) or columns)
end

--- A job's result can be had no more, neither from the service nor from a row's file: whoever wants that
--- film buys another.
---@param job_id string
---@return true?
---@return akool.lipsync.Error?
function Worker:gone(job_id)
  local noted, err = self.db:change(self.text.gone, job_id)
  return noted and true, err
end

--- The service says that a row's film was bought before. If that was for a row of this ledger, its job
--- is this row's, too.
---@param row akool.lipsync.Row
---@return akool.lipsync.Row?   # nil: this ledger does not know of it
---@return akool.lipsync.Error?
function Worker:adopt_bought(row)
  return self.db:transaction(function()
    local bought, err = self.db:rows(self.text.bought, row.fingerprint)
    if not bought or not bought[1] then return nil, err end
    return adopt_twin(self, row, bought[1])
  end)
end

--- Other rows that have the same job and are done, with its film.
---@param row akool.lipsync.Row
---@return akool.lipsync.Row[]?
---@return akool.lipsync.Error?
function Worker:twins_of(row)
  local rows, err = self.ledger:rows_of(row.job_id)
  local twins = rows and {}
  for _, other in ipairs(rows or {}) do
    if other.key ~= row.key and other.state == "done" then twins[#twins + 1] = other end
  end
  return twins, err
end

-- Birth -----------------------------------------------------------------------------------------

local worker = {}

--- Become a worker whose rows are its own for `lease` seconds from each renewal on.
---@param ledger akool.lipsync.Ledger
---@param name string
---@param lease number  # s
---@return akool.lipsync.Worker?
---@return akool.lipsync.Error?
function worker.new(ledger, name, lease)
  local self = setmetatable({ ledger = ledger, db = ledger.db, text = ledger.text, name = name,
    lease = lease, begun = {}, in_doubt = false }, Worker)
  local fine, err = sign_on(self)
  if not fine then return nil, err end
  return self
end

return worker
