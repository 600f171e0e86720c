-- schema: the tables of a ledger, made when it is first opened, and the version they have.

local core = require "akool.lipsync.core"

local schema = {}

local VERSION = 2

-- Numbers are DOUBLE PRECISION, whole ones too: exact up to 2^53, where LuaDBI reads integers by 32 bits.
local TABLES = {
  "CREATE TABLE IF NOT EXISTS lipsync_ledger (version DOUBLE PRECISION NOT NULL)",
  [[CREATE TABLE IF NOT EXISTS lipsync_workers (
    name TEXT PRIMARY KEY,
    leased_at DOUBLE PRECISION NOT NULL,
    held_until DOUBLE PRECISION NOT NULL)]],
  [[CREATE TABLE IF NOT EXISTS lipsync_jobs (
    key TEXT PRIMARY KEY,
    position DOUBLE PRECISION NOT NULL,
    video_url TEXT NOT NULL,
    audio_url TEXT NOT NULL,
    webhook_url TEXT,
    output TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    forced DOUBLE PRECISION NOT NULL,
    state TEXT NOT NULL,
    attempts DOUBLE PRECISION NOT NULL,
    worker TEXT,
    job_id TEXT,
    adopted DOUBLE PRECISION NOT NULL,
    video TEXT,
    credits DOUBLE PRECISION,
    duration DOUBLE PRECISION,
    created_at DOUBLE PRECISION,
    expires_at DOUBLE PRECISION,
    gone DOUBLE PRECISION NOT NULL,
    saving DOUBLE PRECISION NOT NULL,
    path TEXT,
    bytes DOUBLE PRECISION,
    sha256 TEXT,
    error_kind TEXT,
    error_name TEXT,
    error_code DOUBLE PRECISION,
    error_message TEXT,
    added_at DOUBLE PRECISION NOT NULL,
    updated_at DOUBLE PRECISION NOT NULL)]],
  "CREATE INDEX IF NOT EXISTS lipsync_jobs_state ON lipsync_jobs (state, position)",
  "CREATE INDEX IF NOT EXISTS lipsync_jobs_fingerprint ON lipsync_jobs (fingerprint)",
  "CREATE INDEX IF NOT EXISTS lipsync_jobs_job ON lipsync_jobs (job_id)",
  "CREATE INDEX IF NOT EXISTS lipsync_jobs_worker ON lipsync_jobs (worker)",
}

-- What PostgreSQL's advisory lock of ledgers is called: any number that nobody else takes.
local LOCK = 1634429807

--- Until the end of this transaction nobody else makes tables, adds rows, or decides what is paid
--- next. SQLite has one writer at a time anyway.
---@param db akool.lipsync.ledger.Database
---@return true?
---@return akool.lipsync.Error?
function schema.lock(db)
  if db.dialect == "sqlite" then return true end
  local locked, err = db:rows("SELECT pg_advisory_xact_lock(?)", LOCK)
  return locked and true, err
end

local function make(db)
  local alone, err = schema.lock(db)
  if not alone then return nil, err end
  for _, statement in ipairs(TABLES) do
    local made
    made, err = db:change(statement)
    if not made then return nil, err end
  end
  local versions
  versions, err = db:rows "SELECT version FROM lipsync_ledger"
  if not versions then return nil, err end
  if versions[1] then return versions[1].version end
  local noted
  noted, err = db:change("INSERT INTO lipsync_ledger (version) VALUES (?)", VERSION)
  if not noted then return nil, err end
  return VERSION
end

--- The version of the tables, if they are there. A ledger that exists is only read here.
local function version_of(db)
  local tables = db:rows(db.dialect == "postgresql"
    and "SELECT 1 AS name WHERE to_regclass('lipsync_jobs') IS NOT NULL"
    or "SELECT name FROM sqlite_master WHERE name = 'lipsync_jobs'")
  local versions = tables and tables[1] and db:rows "SELECT version FROM lipsync_ledger"
  return versions and versions[1] and versions[1].version
end

--- See to it that the tables are there and that we know them.
---@param db akool.lipsync.ledger.Database
---@return true?
---@return akool.lipsync.Error?
function schema.ensure(db)
  local version, err = version_of(db), nil
  if not version then version, err = db:transaction(make, db) end
  if not version then return nil, err end
  if version == VERSION then return true end
  return nil, core.error("ledger_damaged",
    ("The ledger %s has format %s, and this version of akool-lipsync knows %d."):format(db.name,
      tostring(version), VERSION))
end

return schema
