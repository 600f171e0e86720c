-- steps: what a run does with one row: submit it, follow its job, fetch its film. Each ends with what
-- came of it in the ledger.

local core = require "akool.lipsync.core"
local follow = require "akool.lipsync.follow"
local pace = require "akool.lipsync.batch.pace"
local verdict = require "akool.lipsync.batch.verdict"

local TRIES_MAX = 6 -- of what the service says to try again later, for one row

local steps = {}

--- Where a row's film goes.
---@param output_dir string
---@param row akool.lipsync.Row
---@return string
function steps.path(output_dir, row)
  if row.output:find "^[/\\]" or row.output:find "^%a:[/\\]" then return row.output end
  return output_dir .. "/" .. row.output
end

local function path_of(run, row)
  return steps.path(run.output_dir, row)
end

--- How often this failed in a row, now included.
local function count_failure(run, key)
  run.failures[key] = (run.failures[key] or 0) + 1
  return run.failures[key]
end

--- A row is over, in this state, because of an error.
local function ended(run, key, state, err)
  run:drop(key)
  if run:keep("ended", key, state, err) then run:tell_row(state, key, { error = err }) end
end

-- Submitting ----------------------------------------------------------------------------------------

--- The service was not asked, or certainly did not take it.
local function give_back(run, row, err)
  run.hands[row.key] = nil -- what failed before still counts
  return run:keep("put_back", row.key, err)
end

--- The same, for whoever was told of it.
local function put_back(run, row, err)
  if give_back(run, row, err) then run:tell_row("planned", row.key, { error = err }) end
end

--- The service made this film before. If this ledger knows that job, it is the row's.
local function adopt_known(run, row, err)
  local known = run:keep("adopt_bought", row)
  if known then
    run:tell_row("adopted", row.key)
    run:take_up(known)
  else
    ended(run, row.key, "failed", err)
  end
end

local after_create = {
  unknown = function(run, row, err) ended(run, row.key, "unknown", err) end,
  failed = function(run, row, err) ended(run, row.key, "failed", err) end,
  bought = adopt_known,
  stop = function(run, row, err)
    put_back(run, row, err)
    run:fail(err)
  end,
  halt = function(run, row, err)
    put_back(run, row, err)
    run:halt(err)
  end,
  again = function(run, row, err, began)
    if err.kind == "server" and count_failure(run, row.key) >= TRIES_MAX then
      return ended(run, row.key, "failed", err)
    end
    put_back(run, row, err)
    if run.stopping then return end
    run:slow_down(began, err)
    if err.kind ~= "server" and err.kind ~= "rate_limited" then run:suffer(err) end
  end,
}

--- The job exists: nothing is more urgent than to write down its id.
local function note_job(run, row, job)
  local noted, err = run:keep("submitted", row.key, row.attempts, job)
  if noted then
    run:tell_row("submitted", row.key)
    return run:follow(row.key, job)
  end
  run:drop(row.key)
  err = err or core.error("wrong_state", "it was submitted again meanwhile.")
  err.message = ("Job %s was created for row %q, but this could not be written down: %s"):format(
    job.id, row.key, err.message)
  err.job = job
  run:tell("trouble", { key = row.key, job = job.id, error = err })
  run.stopped = run.stopped or err
end

--- Could films be written into their folder?
---@param settings userdata  # that allow to overwrite
---@param output_dir string
---@return true?
---@return akool.lipsync.Error?
function steps.try_folder(settings, output_dir)
  local fine, err = core.try_path(settings, output_dir .. "/.akool-lipsync")
  if not fine and err.name == "file_busy" then return true end -- another worker tries it just now
  return fine, err
end

--- A film could not be written, so it is not paid. Where that is so for the whole folder, it is no row's
--- fault; and another worker may be at it just now.
local function no_place(run, row, err)
  if err.name == "file_busy" then return after_create.again(run, row, err, core.now()) end
  local fine, trouble = steps.try_folder(run.own_settings, run.output_dir)
  if fine then return ended(run, row.key, "failed", err) end
  put_back(run, row, trouble)
  run:halt(trouble)
end

--- Submit a row that the ledger has as being submitted.
---@param run akool.lipsync.batch.Run
---@param row akool.lipsync.Row
function steps.submit(run, row)
  local receiver = run.opts.webhook
  if not run:may_submit() then return give_back(run, row) end
  run:tell_row("submitting", row.key)
  local fine, err = core.try_path(row.saving and run.own_settings or run.settings,
    path_of(run, row))
  if not fine then return no_place(run, row, err) end
  if not run:may_submit() then return put_back(run, row) end -- whoever was told may have stopped it
  local began = core.now()
  local job
  job, err = run.client:create { video_url = row.video_url, audio_url = row.audio_url,
    webhook_url = row.webhook_url or receiver and receiver.url or nil }
  if not job then return after_create[verdict.of_create(err)](run, row, err, began) end
  run.failures[row.key] = nil
  run:speed_up(began)
  note_job(run, row, job)
end

-- Following -----------------------------------------------------------------------------------------

local function completed(run, key, job)
  run.following = run.following - 1
  if not run:keep("moved", key, "ready", job) then
    run:drop(key)
    return run:wake()
  end
  run:tell_row("ready", key)
  local row, err = run.ledger:row(key)
  if not row then return run:park(key, err) end
  run:enqueue(row)
  run.planned = true
end

local function job_failed(run, key, job)
  local _, err = follow.ended(run.client, job)
  run.following = run.following - 1
  ended(run, key, "failed", err)
  run.planned = true
  run:wake()
end

local told = {
  queueing = function() end,
  processing = function(run, key, job)
    if run:keep("moved", key, "processing", job) then run:tell_row("processing", key) end
  end,
  completed = completed,
  failed = job_failed,
}

--- A job could not be followed any further.
local function lost_sight(run, key, err)
  local what = verdict.of_following(err)
  run.following = run.following - 1
  if run.stopping then return end
  if what == "stop" then return run:fail(err) end
  if what ~= "again" then return run:park(key, err) end
  local seconds = pace.retry_wait(count_failure(run, key))
  local again = { id = err.job.id, status = "processing", created_at = err.job.created_at }
  run:tell_row("trouble", key, { error = err, seconds = seconds })
  if err.kind ~= "timeout" or err.name ~= "wait_timeout" then run:suffer(err) end
  run:postpone(seconds, function() run:follow(key, again) end)
end

--- Write down what the service says of a job, whoever has its row.
---@param ledger akool.lipsync.Ledger
---@param client akool.lipsync.Client
---@param row akool.lipsync.Row
---@param job akool.lipsync.Job
---@return boolean? news
---@return akool.lipsync.Error?
function steps.note(ledger, client, row, job)
  if job.status == "completed" then return ledger:heard(row.key, "ready", job) end
  if job.status == "processing" then return ledger:heard(row.key, "processing", job) end
  if job.status ~= "failed" then return false end
  local _, err = follow.ended(client, job)
  return ledger:heard_failed(row.key, err)
end

--- Hear of all jobs that are followed, until none is.
---@param run akool.lipsync.batch.Run
function steps.listen(run)
  while true do
    local key, job, err = run.followers:next()
    if key == nil and (err ~= "woken" or run.stopping) then break end
    if key ~= nil and job then
      run.failures[key] = nil
      run.pace:prosper()
      told[job.status](run, key, job)
    elseif key ~= nil then
      lost_sight(run, key, err)
    end
  end
  run.listening = false
end

-- Fetching ------------------------------------------------------------------------------------------

--- Another row has this film on disk already: a copy costs no time. Nil when there is none, or when it
--- is not what it was.
local function copy_of_twin(run, row, path)
  for _, twin in ipairs(row.adopted and run:keep("twins_of", row) or {}) do
    local file = core.copy(run.own_settings, twin.path, path)
    if file and file.sha256 == twin.sha256 then return file end
    if file then os.remove(path) end
  end
end

--- From here on what stands at the output is ours; what stands there already is not.
local function reserve(run, row, path)
  if row.saving then return true end
  local fine, err = core.try_path(run.settings, path)
  if not fine then return nil, err end
  local mine
  mine, err = run:keep("saving", row.key)
  return mine, err
end

local function download(run, row, path)
  local known = { id = row.job_id, status = row.video and "completed", video = row.video,
    expires_at = row.expires_at }
  local on_progress = run.opts.on_event and function(bytes, total)
    run:tell("progress", { key = row.key, job = row.job_id, bytes = bytes, total = total })
  end
  local file, err = run.client:download(known, path,
    { overwrite = true, on_progress = on_progress })
  return file, err
end

--- Is its job that of another row, found by the ledger? What the user named is not paid by itself.
local function is_shared(run, row)
  for _, other in ipairs(row.adopted and run.ledger:rows_of(row.job_id) or {}) do
    if other.fingerprint == row.fingerprint and not other.adopted then return true end
  end
  return false
end

--- What was bought before cannot be had any more: buy it. Once, however many rows ask for it.
local function buy_anew(run, row, err)
  run:drop(row.key)
  run.planned = true
  put_back(run, row, err)
end

local after_download = {
  stop = function(run, _, err) run:fail(err) end,
  failed = function(run, row, err) ended(run, row.key, "failed", err) end,
  expired = function(run, row, err)
    if not run:keep("gone", row.job_id) then return end
    if is_shared(run, row) then return buy_anew(run, row, err) end
    ended(run, row.key, "expired", err)
  end,
  leave = function(run, row, err)
    run:park(row.key, err)
    if err.kind == "io" and err.name ~= "file_exists" then run:halt(err) end
  end,
  again = function(run, row, err)
    local failures = count_failure(run, row.key)
    local seconds = pace.retry_wait(failures)
    if err.kind == "protocol" and failures >= TRIES_MAX then return run:park(row.key, err) end
    run:tell_row("trouble", row.key, { error = err, seconds = seconds })
    run:suffer(err)
    run:postpone(seconds, function() run:enqueue(row) end)
  end,
}

--- Fetch a row's film.
---@param run akool.lipsync.batch.Run
---@param row akool.lipsync.Row
function steps.fetch(run, row)
  local path = path_of(run, row)
  local ours, err = reserve(run, row, path)
  if err and err.name == "file_busy" then return after_download.again(run, row, err) end
  if not ours then return err and run:park(row.key, err) end
  row.saving = true
  run:tell_row("downloading", row.key)
  local file = copy_of_twin(run, row, path)
  if not file then file, err = download(run, row, path) end
  if not file then
    if run.stopping then return end
    return after_download[verdict.of_download(err)](run, row, err)
  end
  run:drop(row.key)
  run.pace:prosper()
  if run:keep("done", row.key, file) then run:tell_row("done", row.key) end
end

return steps
