-- ledger: what was ordered, paid and fetched, in an SQL database. Each row is one film. Its state moves
-- only by what is here, and what is going to be paid is written down before it is sent.
--
--   planned → submitting → submitted → processing → ready → done
--   or failed, unknown (a create whose answer was lost), expired, cancelled
--
-- What a run does with it is in `ledger/worker.lua`.

local core = require "akool.lipsync.load" -- first, since it knows what to say
local compat = require "akool.lipsync.compat"
local record = require "akool.lipsync.ledger.record"
local schema = require "akool.lipsync.ledger.schema"
local sql = require "akool.lipsync.ledger.sql"
local statements = require "akool.lipsync.ledger.statements"
local worker = require "akool.lipsync.ledger.worker"

local NONE = record.NONE
local because, without_error = record.because, record.without_error
local set, told_by = record.set, record.told_by

local ledger = {}

---@class akool.lipsync.Ledger
---@field db akool.lipsync.ledger.Database
---@field text table<string, string> # statements, in this database's words
local Ledger = {}
Ledger.__index = Ledger
Ledger.__name = "akool.lipsync.ledger"

function Ledger:__tostring()
  return tostring(self.db)
end

-- Reading ---------------------------------------------------------------------------------------

--- All rows, or those in a state, in the order in which they were added.
---@param state akool.lipsync.State?
---@return akool.lipsync.Row[]?
---@return akool.lipsync.Error?
function Ledger:rows(state)
  if state then return record.all_shown(self.db:rows(self.text.in_state, state)) end
  return record.all_shown(self.db:rows(self.text.all))
end

---@param key string
---@return akool.lipsync.Row?
---@return akool.lipsync.Error? # name "no_such_row"
function Ledger:row(key)
  local rows, err = self.db:rows(self.text.by_key, key)
  if not rows then return nil, err end
  if rows[1] then return record.shown(rows[1]) end
  return nil, core.error("no_such_row", ("The ledger %s has no row %q."):format(
    self.db.name, key))
end

--- The rows that a job belongs to: one, and those that adopted it.
---@param job_id string
---@return akool.lipsync.Row[]?
---@return akool.lipsync.Error?
function Ledger:rows_of(job_id)
  return record.all_shown(self.db:rows(self.text.by_job, job_id))
end

--- Rows whose film is not on disk and will be gone from the service within so many seconds.
---@param seconds number
---@return akool.lipsync.Row[]?
---@return akool.lipsync.Error?
function Ledger:expiring(seconds)
  return record.all_shown(self.db:rows(self.text.expiring, seconds))
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
  elseif row.webhook_url ~= item.webhook_url then
    return "is there already, with another webhook_url."
  elseif item.force and row.forced == 0 then
    return "is there already, without force."
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
  local alone, err = schema.lock(self.db) -- two that add the same list take turns
  if not alone then return nil, err end
  local last
  last, err = self.db:rows(self.text.last)
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

-- What others say ---------------------------------------------------------------------------------

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

-- The user's word ---------------------------------------------------------------------------------

-- What was known of a job that is not the row's any more.
local FORGET = { video = NONE, created_at = NONE, expires_at = NONE, gone = 0, credits = NONE,
  duration = NONE }

local function forgetting(columns)
  for name, value in pairs(FORGET) do columns[name] = value end
  return without_error(columns)
end

local RETRY = forgetting { state = "planned", worker = NONE, job_id = NONE, adopted = 0 }
local RESUBMIT = forgetting { state = "planned", job_id = NONE, adopted = 0, forced = 1 }

-- A job that was given to a row, by the user or for its twin, may be taken from it again.
local ADOPTED = "OR adopted = 1 AND state IN ('submitted', 'processing', 'ready')"

-- On what condition, what changes, and what to say otherwise.
local VERBS = {
  retry = { "state IN ('failed', 'expired') " .. ADOPTED, RETRY,
    "only what failed or expired, or has an adopted job, can be retried" },
  resubmit = { "state = 'unknown'", RESUBMIT, "only what is unknown can be resubmitted" },
  cancel = { "state = 'planned'", { state = "cancelled" },
    "only what is planned can be cancelled, because the service cannot be told to stop" },
  adopt = { "state IN ('planned', 'unknown', 'failed', 'expired', 'cancelled') " .. ADOPTED,
    forgetting { state = "submitted", worker = NONE, adopted = 1 }, "it has a job of its own" },
}

--- Do with a row what the user says: "retry", "resubmit", "cancel", or "adopt" a job.
---@param verb "retry"|"resubmit"|"cancel"|"adopt"
---@param key string
---@param job_id string?  # to adopt
---@return true?
---@return akool.lipsync.Error?  # names "no_such_row", "wrong_state"
function Ledger:obey(verb, key, job_id)
  local condition, columns, why = compat.unpack(VERBS[verb])
  columns.job_id = job_id or columns.job_id
  local changed, err = set(self, key, columns, ("(%s)"):format(condition))
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

--- Become a worker, whose rows are its own for `lease` seconds from each renewal on.
---@param name string  # that no other worker has
---@param lease number # s
---@return akool.lipsync.Worker?
---@return akool.lipsync.Error?
function Ledger:worker(name, lease)
  return worker.new(self, name, lease)
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
