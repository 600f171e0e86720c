-- ledger: what was ordered, paid and fetched, in an SQL database. Each row is one film. Its state moves
-- only by what is here, and what is going to be paid is written down before it is sent.
--
--   planned → submitting → submitted → processing → ready → done
--   or failed, unknown (a create whose answer was lost), expired, cancelled
--
-- A worker is one run of a batch. It has rows in its name for as long as its lease lasts: one row in
-- `lipsync_workers`, renewed while it lives.

local core = require "akool.lipsync.load" -- first, since it knows what to say
local compat = require "akool.lipsync.compat"
local schema = require "akool.lipsync.ledger.schema"
local sql = require "akool.lipsync.ledger.sql"
local statements = require "akool.lipsync.ledger.statements"

local ledger = {}

local AHEAD = 60 -- seconds: a lease that begins later than so was taken before the clock was set back

---@alias akool.lipsync.State
---| "planned"    # not sent
---| "submitting" # a create is under way
---| "submitted"  # the service has it, and we have its id
---| "processing"
---| "ready"      # the result is at the service
---| "done"       # the film is on disk
---| "failed"
---| "unknown"    # a create whose answer was lost: the job may exist, and be paid
---| "expired"    # the result was not fetched in time
---| "cancelled"  # before it was sent

---@class akool.lipsync.Row
---@field key string
---@field state akool.lipsync.State
---@field video_url string
---@field audio_url string
---@field webhook_url string?
---@field output string        # where the film goes, relative to the batch's output_dir
---@field fingerprint string   # the same for rows that ask for the same film
---@field forced boolean       # to be paid even if the same film was bought before
---@field attempts integer     # creates that were sent for it
---@field job_id string?
---@field adopted boolean      # its job was not made for it
---@field video string?        # URL of the result
---@field credits number?
---@field duration number?     # s
---@field created_at integer?  # Unix seconds, of the job
---@field expires_at integer?  # Unix seconds, of the result
---@field saving boolean       # what stands at its output is its own
---@field path string?         # of the film, once done
---@field bytes integer?
---@field sha256 string?       # lower-case hex
---@field error { kind: string, name: string, code: integer?, message: string }?
---@field added_at number      # Unix seconds
---@field updated_at number
---@field worker string?       # who has it
---@field held_until number?   # Unix seconds: the end of that worker's lease

---@class akool.lipsync.Ledger
---@field db akool.lipsync.ledger.Database
---@field text table<string, string> # statements, in this database's words
---@field worker string?
---@field lease number?              # s
local Ledger = {}
Ledger.__index = Ledger
Ledger.__name = "akool.lipsync.ledger"

function Ledger:__tostring()
  return tostring(self.db)
end

-- Reading ---------------------------------------------------------------------------------------

--- A row as programs see it.
local function shown(row)
  row.forced, row.adopted, row.saving = row.forced == 1, row.adopted == 1, row.saving == 1
  if row.error_kind then
    row.error = { kind = row.error_kind, name = row.error_name, code = row.error_code,
      message = row.error_message }
  end
  row.error_kind, row.error_name, row.error_code, row.error_message = nil, nil, nil, nil
  row.position = nil
  return row
end

local function all_shown(rows, err)
  for i, row in ipairs(rows or {}) do rows[i] = shown(row) end
  return rows, err
end

--- All rows, or those in a state, in the order in which they were added.
---@param state akool.lipsync.State?
---@return akool.lipsync.Row[]?
---@return akool.lipsync.Error?
function Ledger:rows(state)
  if state then return all_shown(self.db:rows(self.text.in_state, state)) end
  return all_shown(self.db:rows(self.text.all))
end

---@param key string
---@return akool.lipsync.Row?
---@return akool.lipsync.Error? # name "no_such_row"
function Ledger:row(key)
  local rows, err = self.db:rows(self.text.by_key, key)
  if not rows then return nil, err end
  if rows[1] then return shown(rows[1]) end
  return nil, core.error("no_such_row", ("The ledger %s has no row %q."):format(
    self.db.name, key))
end

--- The rows that a job belongs to: one, and those that adopted it.
---@param job_id string
---@return akool.lipsync.Row[]?
---@return akool.lipsync.Error?
function Ledger:rows_of(job_id)
  return all_shown(self.db:rows(self.text.by_job, job_id))
end

--- Rows whose film is not on disk and will be gone from the service within so many seconds.
---@param seconds number
---@return akool.lipsync.Row[]?
---@return akool.lipsync.Error?
function Ledger:expiring(seconds)
  return all_shown(self.db:rows(self.text.expiring, seconds))
end

ledger.STATES = { "planned", "submitting", "submitted", "processing", "ready", "done", "failed",
  "unknown", "expired", "cancelled" }

---@param word any
---@return boolean
function ledger.is_state(word)
  for _, state in ipairs(ledger.STATES) do
    if state == word then return true end
  end
  return false
end

--- How many rows there are in each state, and in all.
---@return table<string, integer>?
---@return akool.lipsync.Error?
function Ledger:count()
  local rows, err = self.db:rows(self.text.count)
  if not rows then return nil, err end
  local counts = { total = 0 }
  for _, state in ipairs(ledger.STATES) do counts[state] = 0 end
  for _, row in ipairs(rows) do
    counts[row.state], counts.total = row.many, counts.total + row.many
  end
  return counts
end

-- Adding ----------------------------------------------------------------------------------------

--- The same for rows that ask for the same film.
local function fingerprint_of(item)
  return core.sha256(("%d:%s%d:%s"):format(#item.video_url, item.video_url, #item.audio_url,
    item.audio_url))
end

--- Why an item cannot be added beside a row that has its key or its output; nil when it is that row.
local function conflict(item, fingerprint, row)
  if row.key ~= item.key then
    return ("would write %s, as row %q does."):format(item.output, row.key)
  elseif row.fingerprint ~= fingerprint then
    return "is there already, with another video or voice."
  elseif row.output ~= item.output then
    return ("is there already and goes to %s."):format(row.output)
  end
end

--- Add an item unless it is there. How many rows that makes.
local function add_one(self, item, position)
  local fingerprint = fingerprint_of(item)
  local found, err = self.db:rows(self.text.in_the_way, item.key, item.output)
  if not found then return nil, err end
  for _, row in ipairs(found) do
    local why = conflict(item, fingerprint, row)
    if why then return nil, core.error("row_conflict", ("Row %q %s"):format(item.key, why)) end
  end
  if found[1] then return 0 end
  return self.db:change(self.text.add, item.key, position, item.video_url, item.audio_url,
    item.webhook_url, item.output, fingerprint, item.force and 1 or 0)
end

local function add_all(self, items)
  local last, err = self.db:rows(self.text.last)
  if not last then return nil, err end
  local new = 0
  for i, item in ipairs(items) do
    local added
    added, err = add_one(self, item, last[1].position + i)
    if not added then
      err.item = i
      return nil, err
    end
    new = new + added
  end
  return new
end

---@class akool.lipsync.Item
---@field key string
---@field video_url string
---@field audio_url string
---@field webhook_url string?
---@field output string
---@field force boolean?  # pay for it even if the same film was bought before

--- Add rows: all of them or none. What is there already, with the same content, stays as it is.
---@param items akool.lipsync.Item[]
---@return integer?              # how many are new
---@return akool.lipsync.Error?  # its `item` is the index of the one that cannot be added
function Ledger:add(items)
  return self.db:transaction(add_all, self, items)
end

-- Workers ---------------------------------------------------------------------------------------

--- Become a worker whose rows are its own for `lease` seconds from each renewal on.
---@param name string
---@param lease number  # s
---@return true?
---@return akool.lipsync.Error?
function Ledger:sign_on(name, lease)
  local noted, err = self.db:change(self.text.sign_on, name, lease)
  if not noted then return nil, err end
  self.worker, self.lease = name, lease
  return true
end

--- Renew the lease, even one that was lost.
---@return true?
---@return akool.lipsync.Error?
function Ledger:renew()
  local renewed, err = self.db:change(self.text.renew, self.lease, self.worker)
  if renewed == 0 then return self:sign_on(self.worker, self.lease) end
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
function Ledger:sweep()
  local dead, err = self.db:rows(self.text.dead, AHEAD)
  if not dead then return nil, err end
  if not dead[1] then return {} end
  return self.db:transaction(bury_the_dead, self)
end

--- Stop being a worker: its rows are anybody's.
---@return true?
---@return akool.lipsync.Error?
function Ledger:sign_off()
  local gone, err = self.db:transaction(bury, self, self.worker)
  return gone and true, err
end

--- How many rows other workers have, and until when the last of these has them.
---@return integer?
---@return number|akool.lipsync.Error|nil
function Ledger:held_by_others()
  local rows, err = self.db:rows(self.text.held, self.worker)
  if not rows then return nil, err end
  return rows[1].many, rows[1].held_until
end

-- Claims ----------------------------------------------------------------------------------------

--- The film was bought before: that job is this row's, too.
local function adopt_twin(self, row, twin)
  local state = twin.state == "done" and "ready" or twin.state
  local changed, err = self.db:change(self.text.adopt_twin, state, twin.job_id, twin.video,
    twin.created_at, twin.expires_at, self.worker, row.key)
  if not changed then return nil, err end
  return self:row(row.key)
end

local function claim_planned(self, concurrency)
  local alone, err = schema.lock(self.db)
  if not alone then return nil, err end
  local planned, bought, at_service
  planned, err = self.db:rows(self.text.next_planned)
  local row = planned and planned[1]
  if not row then return nil, err end
  if row.forced == 0 then
    bought, err = self.db:rows(self.text.bought, row.fingerprint)
    if not bought then return nil, err end
    if bought[1] then return adopt_twin(self, row, bought[1]) end
  end
  at_service, err = self.db:rows(self.text.at_service)
  if not at_service then return nil, err end
  if at_service[1].many >= concurrency then return nil end
  local begun
  begun, err = self.db:change(self.text.begin, self.worker, row.key)
  if not begun then return nil, err end
  return self:row(row.key)
end

--- The next row to submit: it is written down as being submitted. Or one whose film was bought before,
--- which has that job from now on. Nil when nothing may be submitted, or while as many jobs as allowed
--- are at the service, whoever submitted them.
---@param concurrency integer
---@return akool.lipsync.Row?
---@return akool.lipsync.Error?
function Ledger:claim_planned(concurrency)
  return self.db:transaction(claim_planned, self, concurrency)
end

local function claim_started(self, limit)
  return self.db:rows(self.text.claim_started, self.worker, limit)
end

--- Rows that nobody has and whose job is at the service; the first result to expire comes first.
---@param limit integer
---@return akool.lipsync.Row[]?
---@return akool.lipsync.Error?
function Ledger:claim_started(limit)
  return all_shown(self.db:transaction(claim_started, self, limit))
end

-- What becomes of a row ---------------------------------------------------------------------------

local NONE = {} -- NULL, where a table lists columns

--- The columns that say why.
local function because(err, columns)
  columns.error_kind, columns.error_name = err.kind, err.name
  columns.error_code, columns.error_message = err.code or NONE, err.message
  return columns
end

local function without_error(columns)
  columns.error_kind, columns.error_name = NONE, NONE
  columns.error_code, columns.error_message = NONE, NONE
  return columns
end

--- What the service says of a job.
local function told_by(job, columns)
  columns.job_id, columns.video = job.id, job.video or NONE
  columns.created_at, columns.expires_at = job.created_at or NONE, job.expires_at or NONE
  columns.credits, columns.duration = job.credits or NONE, job.duration or NONE
  return without_error(columns)
end

--- Change the columns of a row that meets a condition. True if it did.
local function set(self, key, columns, condition, ...)
  local names, values, n = {}, {}, 0
  for name in pairs(columns) do names[#names + 1] = name end
  table.sort(names) -- so that there is one statement, which the database knows already
  for i, name in ipairs(names) do
    n = i
    if columns[name] ~= NONE then values[i] = columns[name] end
    names[i] = name .. " = ?"
  end
  for i = 1, select("#", ...) do values[n + 1 + i] = (select(i, ...)) end
  values[n + 1] = key
  local changed, err = self.db:change(self.text.set:format(table.concat(names, ", "), condition),
    compat.unpack(values, 1, n + 1 + select("#", ...)))
  if not changed then return nil, err end
  return changed > 0
end

--- Change a row of this worker's. False when it is not this worker's any more.
local function set_mine(self, key, columns)
  return set(self, key, columns, "worker = ?", self.worker)
end

--- The service has the job. True even for a worker that lost its lease meanwhile: of the row's last
--- create this is the outcome, and no other may be thought of it.
---@param key string
---@param attempt integer  # which create it was: `attempts` of the row that was claimed
---@param job akool.lipsync.Job
---@return boolean?  # false: the row was submitted again meanwhile, so this job is nobody's
---@return akool.lipsync.Error?
function Ledger:submitted(key, attempt, job)
  return set(self, key, told_by(job, { state = "submitted", adopted = 0 }),
    "attempts = ? AND state IN ('submitting', 'unknown')", attempt)
end

--- A row of this worker's goes on: what the service says of its job.
---@param key string
---@param state "processing"|"ready"
---@param job akool.lipsync.Job
---@return boolean? mine
---@return akool.lipsync.Error?
function Ledger:moved(key, state, job)
  return set_mine(self, key, told_by(job, { state = state }))
end

--- From now on what stands at its output is the row's own.
---@param key string
---@return boolean? mine
---@return akool.lipsync.Error?
function Ledger:saving(key)
  return set_mine(self, key, { saving = 1 })
end

--- The film is on disk.
---@param key string
---@param file akool.lipsync.File
---@return boolean? mine
---@return akool.lipsync.Error?
function Ledger:done(key, file)
  return set_mine(self, key, without_error { state = "done", worker = NONE, path = file.path,
    bytes = file.bytes, sha256 = file.sha256 })
end

--- It ends without a film, or in doubt.
---@param key string
---@param state "failed"|"unknown"|"expired"
---@param err akool.lipsync.Error
---@return boolean? mine
---@return akool.lipsync.Error?
function Ledger:ended(key, state, err)
  return set_mine(self, key, because(err, { state = state, worker = NONE }))
end

--- The service certainly did not take it: it is planned again. What was adopted for it is forgotten, and
--- with `pay` it is not looked for again.
---@param key string
---@param err akool.lipsync.Error
---@param pay boolean?
---@return boolean? mine
---@return akool.lipsync.Error?
function Ledger:put_back(key, err, pay)
  local columns = because(err, { state = "planned", worker = NONE, job_id = NONE, adopted = 0 })
  if pay then columns.forced = 1 end
  return set_mine(self, key, columns)
end

--- A delivery, confirmed by the service, says how a job goes on, whoever has the row.
---@param key string
---@param state "processing"|"ready"
---@param job akool.lipsync.Job
---@return boolean? news
---@return akool.lipsync.Error?
function Ledger:heard(key, state, job)
  return set(self, key, told_by(job, { state = state }), "state IN ('submitted', 'processing')")
end

--- The same when it failed.
---@param key string
---@param err akool.lipsync.Error
---@return boolean? news
---@return akool.lipsync.Error?
function Ledger:heard_failed(key, err)
  return set(self, key, because(err, { state = "failed", worker = NONE }),
    "state IN ('submitted', 'processing')")
end

--- Nobody works on a row for now.
---@param key string
---@return boolean? mine
---@return akool.lipsync.Error?
function Ledger:let_go(key)
  return set_mine(self, key, { worker = NONE })
end

--- The service says that a row's film was bought before. If that was for a row of this ledger, its job
--- is this row's, too.
---@param row akool.lipsync.Row
---@return akool.lipsync.Row?   # nil: this ledger does not know of it
---@return akool.lipsync.Error?
function Ledger:adopt_bought(row)
  return self.db:transaction(function()
    local bought, err = self.db:rows(self.text.bought, row.fingerprint)
    if not bought or not bought[1] then return nil, err end
    return adopt_twin(self, row, bought[1])
  end)
end

--- A row that has the same job and is done, with its film.
---@param row akool.lipsync.Row
---@return akool.lipsync.Row?
---@return akool.lipsync.Error?
function Ledger:twin_of(row)
  local rows, err = self:rows_of(row.job_id)
  for _, other in ipairs(rows or {}) do
    if other.key ~= row.key and other.state == "done" then return other end
  end
  return nil, err
end

-- The user's word ---------------------------------------------------------------------------------

-- What was known of a job that is not the row's any more.
local FORGET = { video = NONE, created_at = NONE, expires_at = NONE, credits = NONE,
  duration = NONE }

local function forgetting(columns)
  for name, value in pairs(FORGET) do columns[name] = value end
  return without_error(columns)
end

local PLAN_ANEW = forgetting { state = "planned", job_id = NONE, adopted = 0, forced = 1 }

-- From which states, what changes, and what to say otherwise.
local VERBS = {
  retry = { "'failed', 'expired'", PLAN_ANEW, "only what failed or expired can be retried" },
  resubmit = { "'unknown'", PLAN_ANEW, "only what is unknown can be resubmitted" },
  cancel = { "'planned'", { state = "cancelled" },
    "only what is planned can be cancelled, because the service cannot be told to stop" },
  adopt = { "'planned', 'unknown', 'failed', 'expired', 'cancelled'",
    forgetting { state = "submitted", adopted = 1 }, "it has a job of its own" },
}

--- Do with a row what the user says: "retry", "resubmit", "cancel", or "adopt" a job.
---@param verb "retry"|"resubmit"|"cancel"|"adopt"
---@param key string
---@param job_id string?  # to adopt
---@return true?
---@return akool.lipsync.Error?  # names "no_such_row", "wrong_state"
function Ledger:obey(verb, key, job_id)
  local from, columns, why = compat.unpack(VERBS[verb])
  columns.job_id = job_id or columns.job_id
  local changed, err = set(self, key, columns, ("state IN (%s)"):format(from))
  if changed == nil then return nil, err end
  if changed then return true end
  local row
  row, err = self:row(key)
  if not row then return nil, err end
  return nil, core.error("wrong_state", ("Row %q is %s: %s."):format(key, row.state, why))
end

--- Close the database. Whatever is asked afterwards is an error.
function Ledger:close()
  self.db:close()
end

-- Birth -------------------------------------------------------------------------------------------

--- Open a ledger, and make it if it is not there.
---@param dsn string  # "jobs.db", "sqlite:jobs.db", "postgresql://user@host/database"
---@return akool.lipsync.Ledger?
---@return akool.lipsync.Error?
function ledger.open(dsn)
  local db, err = sql.open(dsn)
  if not db then return nil, err end
  local ready
  ready, err = schema.ensure(db)
  if not ready then
    db:close()
    return nil, err
  end
  return setmetatable({ db = db, text = statements(db) }, Ledger)
end

return ledger
