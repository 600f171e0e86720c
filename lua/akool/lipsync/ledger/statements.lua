-- statements: what a ledger says to its database, in SQL that SQLite (3.35 and later) and PostgreSQL
-- share. Two words differ: $now, the seconds since 1970 by the database's clock, and $skip, which passes
-- over rows that another worker is just taking.

local SELECT = [[SELECT jobs.*, workers.held_until FROM lipsync_jobs AS jobs
  LEFT JOIN lipsync_workers AS workers ON workers.name = jobs.worker ]]
local IN_ORDER = " ORDER BY jobs.position, jobs.key"

local STATEMENTS = {
  -- Reading
  all = SELECT .. IN_ORDER,
  in_state = SELECT .. "WHERE jobs.state = ?" .. IN_ORDER,
  by_key = SELECT .. "WHERE jobs.key = ?",
  by_job = SELECT .. "WHERE jobs.job_id = ?" .. IN_ORDER,
  expiring = SELECT .. [[WHERE jobs.state IN ('submitted', 'processing', 'ready')
    AND jobs.expires_at <= $now + ? ORDER BY jobs.expires_at, jobs.position]],
  count = "SELECT state, count(*) AS many FROM lipsync_jobs GROUP BY state",

  -- Adding
  last = "SELECT coalesce(max(position), 0) AS position FROM lipsync_jobs",
  in_the_way = [[SELECT key, fingerprint, output, webhook_url, forced FROM lipsync_jobs
    WHERE key = ? OR output = ? ORDER BY key]],
  add = [[INSERT INTO lipsync_jobs (key, position, video_url, audio_url, webhook_url, output,
    fingerprint, forced, state, attempts, adopted, gone, saving, added_at, updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'planned', 0, 0, 0, 0, $now, $now)]],

  -- Workers
  sign_on = "INSERT INTO lipsync_workers (name, leased_at, held_until) VALUES (?, $now, $now + ?)",
  renew = "UPDATE lipsync_workers SET leased_at = $now, held_until = $now + ? WHERE name = ?",
  sign_off = "DELETE FROM lipsync_workers WHERE name = ?",
  -- The dead, and those that had been freed of their rows and took others before they renewed.
  dead = [[SELECT name FROM lipsync_workers WHERE held_until <= $now OR leased_at > $now + ?
    UNION SELECT worker AS name FROM lipsync_jobs WHERE worker IS NOT NULL
      AND worker NOT IN (SELECT name FROM lipsync_workers)]],
  doubt = [[UPDATE lipsync_jobs SET state = 'unknown', worker = NULL, updated_at = $now,
    error_kind = ?, error_name = ?, error_code = NULL, error_message = ?
    WHERE worker = ? AND state = 'submitting' RETURNING key]],
  let_go = "UPDATE lipsync_jobs SET worker = NULL WHERE worker = ?",
  held = [[SELECT count(*) AS many, max(workers.held_until) AS held_until FROM lipsync_jobs AS jobs
    JOIN lipsync_workers AS workers ON workers.name = jobs.worker WHERE jobs.worker <> ?]],

  -- Claims. A row whose film is being bought, or may have been, by another row has to wait.
  next_planned = [[SELECT * FROM lipsync_jobs AS jobs WHERE state = 'planned'
    AND (forced = 1 OR NOT EXISTS (SELECT 1 FROM lipsync_jobs AS twin
      WHERE twin.fingerprint = jobs.fingerprint AND twin.state IN ('submitting', 'unknown')))
    ORDER BY position, key LIMIT 1 $skip]],
  bought = [[SELECT * FROM lipsync_jobs WHERE fingerprint = ? AND job_id IS NOT NULL AND gone = 0
    AND state IN ('submitted', 'processing', 'ready', 'done')
    ORDER BY coalesce(expires_at, 0) DESC LIMIT 1]],
  adopt_twin = [[UPDATE lipsync_jobs SET state = ?, job_id = ?, adopted = 1, video = ?,
    created_at = ?, expires_at = ?, gone = 0, worker = ?, error_kind = NULL, error_name = NULL,
    error_code = NULL, error_message = NULL, updated_at = $now
    WHERE key = ? AND state = ? AND attempts = ?]],
  rows_at_service = [[SELECT count(*) AS many FROM lipsync_jobs
    WHERE state IN ('submitting', 'submitted', 'processing')]],
  jobs_at_service = [[SELECT count(DISTINCT coalesce(job_id, key)) AS many FROM lipsync_jobs
    WHERE state IN ('submitting', 'submitted', 'processing')]],
  begun = "SELECT * FROM lipsync_jobs WHERE worker = ? AND state = 'submitting'",
  begin = [[UPDATE lipsync_jobs SET state = 'submitting', attempts = attempts + 1, worker = ?,
    updated_at = $now WHERE key = ?]],
  claim_started = [[UPDATE lipsync_jobs SET worker = ? WHERE key IN (SELECT key FROM lipsync_jobs
    WHERE worker IS NULL AND state IN ('submitted', 'processing', 'ready')
    ORDER BY coalesce(expires_at, 0), position LIMIT ? $skip) RETURNING *]],

  -- The result of a job can be had no more, and no row has its film on disk.
  gone = "UPDATE lipsync_jobs SET gone = 1 WHERE job_id = ?",

  -- What becomes of a row: which columns, and on what condition, see `set` in ledger.lua.
  set = "UPDATE lipsync_jobs SET %s, updated_at = $now WHERE key = ? AND %s",
}

--- The statements in a database's words.
---@param db akool.lipsync.ledger.Database
---@return table<string, string>
local function statements(db)
  local skip = db.dialect == "postgresql" and "FOR UPDATE SKIP LOCKED" or ""
  local text = {}
  for name, statement in pairs(STATEMENTS) do
    text[name] = statement:gsub("%$(%l+)", { now = db.now, skip = skip })
  end
  return text
end

return statements
