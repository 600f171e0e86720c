--- audit: is a batch what it should be, after whatever happened to its workers? Judged from outside,
--- with nothing of the library: its own SQL for the ledger, what the service has received, and what is
--- on disk.
---
---   audit.problems(shop)  -- when all is over
---   audit.left(shop)      -- what a worker that was killed left

local cjson = require "cjson"
local dbi = require "DBI"
local shell = require "support.shell"
local uv = require "luv"
local workshop = require "support.workshop"

local audit = {}

local JOBS = "SELECT key, state, job_id, attempts, path, bytes, sha256 FROM lipsync_jobs"

-- The ledger --------------------------------------------------------------------------------------

local function connect(shop, file)
  local driver = shop.file and "SQLite3" or "PostgreSQL"
  return assert(dbi.Connect(driver, file or shop.dsn))
end

local function query(connection, statement)
  local handle = assert(connection:prepare(statement))
  assert(handle:execute())
  local rows = {}
  for row in handle:rows(true) do rows[#rows + 1] = row end
  handle:close()
  return rows
end

local function copy(from, to)
  local source = io.open(from, "rb")
  if not source then return end
  local target = assert(io.open(to, "wb"))
  target:write((source:read "*a"))
  source:close()
  target:close()
end

--- The rows as they are just now; nil before there is a table. A file is copied and left alone: to
--- clear up after a killed worker is for the next one.
local function peek(shop)
  local file
  if shop.file then
    if not uv.fs_stat(shop.file) then return nil end
    file = shop.folder .. "/peek.db"
    copy(shop.file, file)
    copy(shop.file .. "-wal", file .. "-wal")
  end
  local connection = connect(shop, file)
  local fine, rows = pcall(query, connection, JOBS)
  connection:close()
  if file then for _, part in ipairs { "", "-wal", "-shm" } do os.remove(file .. part) end end
  return fine and rows or nil
end

-- The service -------------------------------------------------------------------------------------

--- The key of the row that asks for a video.
local function key_of(url)
  return url:match "/files/(row%-%d+)%.mp4$"
end

--- Creates that the service has received, and the jobs that it made of them, by row.
local function bought(shop)
  local creates, jobs = {}, {}
  for _, request in ipairs(shop.service:requests "create") do
    local fine, body = pcall(cjson.decode, request.body or "")
    local key = fine and key_of(body.video_url)
    if key then creates[key] = (creates[key] or 0) + 1 end
  end
  for _, job in ipairs(shop.service:jobs()) do
    local key = key_of(job.target_video)
    jobs[key] = jobs[key] or {}
    table.insert(jobs[key], job)
  end
  return creates, jobs
end

-- The files ---------------------------------------------------------------------------------------

--- The digests and lengths of the files in a folder, by name.
local function digests(folder)
  local files = {}
  local said = shell.must_run("cd '%s' && find . -type f -exec sha256sum {} +", folder)
  for sum, name in said:gmatch "(%x+)  %./([^\n]+)" do
    files[name] = { sha256 = sum, bytes = uv.fs_stat(folder .. "/" .. name).size }
  end
  return files
end

-- Judging -----------------------------------------------------------------------------------------

local OVER = { done = true, unknown = true, failed = true }

--- What is wrong with what was paid for a row; nil when nothing is.
local function price_problem(row, creates, jobs)
  local sent, made = creates[row.key] or 0, jobs[row.key] or {}
  if sent > 1 or #made > 1 then
    return ("%d creates were received, %d jobs made"):format(sent, #made)
  elseif row.attempts ~= 1 then
    return ("it has counted %d creates"):format(row.attempts)
  elseif row.state == "unknown" then
    return row.job_id and "it has a job"
  elseif sent ~= 1 or #made ~= 1 then
    return ("%d creates were received, %d jobs made"):format(sent, #made)
  elseif row.job_id ~= made[1]._id then
    return "it has another job than its own"
  elseif (row.state == "failed") ~= (made[1].video_status == 4) then
    return ("its job ended with %d"):format(made[1].video_status)
  end
end

--- What is wrong with the film of a row; nil when nothing is.
local function film_problem(shop, row, films, files)
  local film = row.key .. ".mp4"
  local file, meant = files[film], films[film]
  if row.state ~= "done" then return file and "there is a film" end
  if not file then return "its film is missing" end
  if file.sha256 ~= meant.sha256 or file.bytes ~= meant.bytes then
    return ("its film has %d bytes and is not what the service has"):format(file.bytes)
  elseif row.sha256 ~= meant.sha256 or row.bytes ~= meant.bytes
    or row.path ~= shop.out .. "/" .. film then
    return "what it says of its film is not true"
  end
end

--- Before a create a worker tries whether its film could be written. One that is killed just then leaves
--- an empty part, and its row unknown.
local function is_probe(names, name, file)
  local film = name:match "^(.*)%.part$"
  return film and names[film] == "unknown" and file.bytes == 0
end

--- What is not as it should be when all workers have ended, in sentences; and how many rows there are
--- in each state.
---@param shop spec.workshop
---@return string[]
---@return table<string, integer>
function audit.problems(shop)
  shop:settle()
  local problems, states, names = {}, {}, {}
  local function problem(...) problems[#problems + 1] = (...):format(select(2, ...)) end
  local connection = connect(shop)
  local rows = query(connection, JOBS)
  if shop.file then
    local health = query(connection, "PRAGMA integrity_check")[1].integrity_check
    if health ~= "ok" then problem("the ledger is damaged: %s", health) end
  end
  connection:close()
  local creates, jobs = bought(shop)
  local films, files = digests(shop.films), digests(shop.out)
  for _, row in ipairs(rows) do
    states[row.state], names[row.key .. ".mp4"] = (states[row.state] or 0) + 1, row.state
    local why = not OVER[row.state] and "it is not over" or price_problem(row, creates, jobs)
      or film_problem(shop, row, films, files)
    if why then problem("row %s, %s: %s", row.key, row.state, why) end
  end
  for i = 1, shop.rows do
    if not names[workshop.key(i) .. ".mp4"] then problem("row %s is gone", workshop.key(i)) end
  end
  if #rows ~= shop.rows then problem("%d rows instead of %d", #rows, shop.rows) end
  for name, file in pairs(files) do
    if not names[name] and not is_probe(names, name, file) then
      problem("a stray file of %d bytes: %s", file.bytes, name)
    end
  end
  return problems, states
end

--- In the middle of what was a worker that was killed? One word for each row that tells.
local function moment(shop, row, jobs)
  local film = ("%s/%s.mp4"):format(shop.out, row.key)
  if row.state == "submitting" then return jobs[row.key] and "created" or "sending" end
  if row.state == "submitted" or row.state == "processing" then return "following" end
  if row.state ~= "ready" then return nil end
  if uv.fs_stat(film) then return "renamed" end
  return uv.fs_stat(film .. ".part") and "downloading" or "ready"
end

--- What there is to tell of a kill.
audit.MOMENTS = { "opening", "planned", "sending", "created", "following", "ready", "downloading",
  "renamed", "over" }

--- In the middle of what was a worker when it was killed? A set of `audit.MOMENTS`; and whether all
--- rows are over.
---@param shop spec.workshop
---@return table<string, true> moments
---@return boolean over
function audit.left(shop)
  shop:settle()
  local rows, _, jobs = peek(shop), bought(shop)
  if not rows or #rows == 0 then return { opening = true }, false end
  local moments, over = {}, true
  for _, row in ipairs(rows) do
    local word = moment(shop, row, jobs)
    if word then moments[word] = true end
    over = over and OVER[row.state] or false
  end
  if next(moments) == nil then moments[over and "over" or "planned"] = true end
  return moments, over
end

return audit
