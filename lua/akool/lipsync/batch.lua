-- batch: many films, and a ledger that remembers what was ordered, paid and fetched. It can be run
-- again at any time, and does what is left.

local core = require "akool.lipsync.load" -- first, since it knows what to say
local clients = require "akool.lipsync.client"
local compat = require "akool.lipsync.compat"
local items = require "akool.lipsync.batch.items"
local ledger = require "akool.lipsync.ledger"
local loop = require "akool.lipsync.loop"
local options = require "akool.lipsync.options"
local run = require "akool.lipsync.batch.run"
local steps = require "akool.lipsync.batch.steps"

local error = compat.error
local tests = options.tests

---@class akool.lipsync.Batch
---@field ledger akool.lipsync.Ledger
---@field package client akool.lipsync.Client?
---@field package config { output_dir: string, concurrency: integer, lease: number, patience: number }
---@field package running akool.lipsync.batch.Run? # where nothing could wait for it, it is left, done
local Batch = {}
Batch.__index = Batch
Batch.__name = "akool.lipsync.batch"

function Batch:__tostring()
  return ("akool.lipsync.batch (%s)"):format(tostring(self.ledger))
end

--- The run that is under way.
---@param self akool.lipsync.Batch
---@return akool.lipsync.batch.Run?
local function under_way(self)
  local this = self.running
  return this and not this.task.done and this or nil
end

--- The ledger was changed: so that the run notices.
local function look(self)
  local this = under_way(self)
  if this then this:look() end
end

-- Checks ----------------------------------------------------------------------------------------

local OPEN_OPTIONS = {
  client = function(value)
    if type(value) ~= "table" or type(value.create) ~= "function" then
      return "a client, which lipsync.new returns"
    end
  end,
  output_dir = function(value)
    if type(value) ~= "string" or value == "" then return "the path of a folder" end
  end,
  concurrency = tests.whole(1, 1000000),
  lease = tests.seconds,
  patience = tests.seconds,
}

local RUN_OPTIONS = {
  on_event = tests.is "function",
  signals = tests.is "boolean",
  webhook = tests.receiver,
}

--- Raise at the caller's caller about options that do not exist or cannot be so.
local function check_options(given, known, level)
  if given ~= nil and type(given) ~= "table" then
    error("options: a table expected, got " .. type(given), level + 1)
  end
  for name, value in pairs(given or {}) do
    if not known[name] then
      local names = {}
      for right in pairs(known) do names[#names + 1] = right end
      table.sort(names)
      options.unknown("option", name, names, level + 1)
    end
    local expected = known[name](value)
    if expected then
      error(("option %s: %s expected, got %s"):format(name, expected,
        type(value) == "number" and tostring(value) or type(value)), level + 1)
    end
  end
end

local function check_key(key, name, level)
  if type(key) ~= "string" then
    error(("%s: the key of a row expected, got %s"):format(name, type(key)), level + 1)
  end
end

-- Rows ------------------------------------------------------------------------------------------

--- Add a film or a list of them: all or none. What is there already, with the same content, stays.
---@param given akool.lipsync.Item|akool.lipsync.Item[] # `output` may be absent: the key, and ".mp4"
---@return integer?              # how many rows are new
---@return akool.lipsync.Error?  # `item`: the index of the one that cannot be added
function Batch:add(given)
  local list, err = items.read(given, 2)
  if not list then return nil, err end
  local new
  new, err = self.ledger:add(list)
  if new then look(self) end
  return new, err
end

--- How many rows are in each state, and in all.
---@return table<string, integer>?
---@return akool.lipsync.Error?
function Batch:status()
  return self.ledger:count()
end

---@param key string
---@return akool.lipsync.Row?
---@return akool.lipsync.Error? # name "no_such_row"
function Batch:row(key)
  check_key(key, "row", 2)
  return self.ledger:row(key)
end

--- All rows, or those in a state, in the order in which they were added.
---@param state akool.lipsync.State?
---@return akool.lipsync.Row[]?
---@return akool.lipsync.Error?
function Batch:rows(state)
  if state ~= nil and not ledger.is_state(state) then
    options.unknown("state", state, ledger.STATES, 2)
  end
  return self.ledger:rows(state)
end

--- Rows whose film is not on disk and will be gone from the service within so many seconds.
---@param within number
---@return akool.lipsync.Row[]?
---@return akool.lipsync.Error?
function Batch:expiring(within)
  if type(within) ~= "number" then
    error("expiring: a number of seconds expected, got " .. type(within), 2)
  end
  return self.ledger:expiring(within)
end

--- Where a row's film goes, or is.
---@param row akool.lipsync.Row
---@return string
function Batch:path(row)
  return row.path or steps.path(self.config.output_dir, row)
end

-- The user's word ---------------------------------------------------------------------------------

local function obey(self, verb, key, job_id)
  local fine, err = self.ledger:obey(verb, key, job_id)
  if fine then look(self) end
  return fine, err
end

--- Plan a row again that failed or expired. It is paid again.
---@param key string
---@return true?
---@return akool.lipsync.Error?
function Batch:retry(key)
  check_key(key, "retry", 2)
  return obey(self, "retry", key)
end

--- Plan a row again whose create had no known outcome. If that one came about, it is paid twice.
---@param key string
---@return true?
---@return akool.lipsync.Error?
function Batch:resubmit(key)
  check_key(key, "resubmit", 2)
  return obey(self, "resubmit", key)
end

--- Give a row a job that exists: nothing is paid for it any more.
---@param key string
---@param id akool.lipsync.JobOrId
---@return true?
---@return akool.lipsync.Error?
function Batch:adopt(key, id)
  check_key(key, "adopt", 2)
  if type(id) == "table" then id = id.id end
  if type(id) ~= "string" then
    error("adopt: a job or its id expected, got " .. type(id), 2)
  end
  local why = core.bad_id(id)
  if why then return nil, core.error("bad_id", ("The job id %s."):format(why)) end
  return obey(self, "adopt", key, id)
end

--- Give up a row that is planned. A job at the service cannot be cancelled.
---@param key string
---@return true?
---@return akool.lipsync.Error?
function Batch:cancel(key)
  check_key(key, "cancel", 2)
  return obey(self, "cancel", key)
end

---@class akool.lipsync.RunOptions
---@field on_event fun(event: table)?       # what it raises stops the run, and is raised by it
---@field webhook akool.lipsync.Receiver?   # its deliveries end waits, and polls become rare
---@field signals boolean?                  # stop on SIGINT and SIGTERM; default: in our own loop

-- Running ---------------------------------------------------------------------------------------

--- The client, made from the environment if the program gave none.
local function client_of(self, level)
  if self.client then return self.client end
  local made, err = clients.new(nil, level + 1)
  self.client = made
  return made, err
end

--- A name that no other worker has.
local function worker_name()
  local file, noise = io.open("/dev/urandom", "rb"), nil
  if file then
    noise = file:read(16)
    file:close()
  end
  noise = (noise or "") .. tostring({}) .. core.now() .. os.clock()
  return os.date "!%Y%m%dT%H%M%SZ-" .. core.sha256(noise):sub(1, 12)
end

--- Do what is left: submit what is planned, follow what is at the service, fetch what is ready. Returns
--- when nothing is left that it could do.
---@param opts akool.lipsync.RunOptions?
---@return table? summary  # as `status`, with `stopped` (an error: why something was left) and
--- `interrupted` ("SIGINT", "SIGTERM", "stop" or "cancelled")
---@return akool.lipsync.Error?
function Batch:run(opts)
  check_options(opts, RUN_OPTIONS, 2)
  if under_way(self) then error("run: this batch is running", 2) end
  local client, err = client_of(self, 2)
  if not client then return nil, err end
  local fine
  fine, err = steps.try_folder(options.settings(options.merge(client.merged,
    { overwrite = true })), self.config.output_dir)
  if not fine then return nil, err end
  local this, summary, raised = run.new(self.ledger, client, self.config, opts or {}), nil, nil
  this.task = loop.spawn(function()
    summary, err, raised = this:run(worker_name(), self.config.lease)
  end)
  self.running = this
  if not loop.ended(this.task, false, true) then -- raises where nothing can wait: then nothing has begun
    this.task:cancel()
    loop.ended(this.task, true)
  end
  self.running = nil
  if this.task.failed then error(this.task.failure, 0) end
  if raised then error(raised.why, 0) end
  if not (summary or err) then
    err = core.error("cancelled", "The run was cancelled before it began.")
  end
  return summary, err
end

--- Ask a run to stop: nothing new is begun, and what is at the service goes on there.
function Batch:stop()
  local this = under_way(self)
  if this then this:stop "stop" end
end

--- A delivery says that a job went on. The service is asked, and what it says is written down.
---@param event akool.lipsync.WebhookEvent
---@return akool.lipsync.Row?
---@return akool.lipsync.Error?  # name "no_such_row": the job is not of this ledger
function Batch:hear(event)
  if type(event) ~= "table" or type(event.id) ~= "string" then
    error("hear: an event expected, which webhook.open returns", 2)
  end
  local rows, err = self.ledger:rows_of(event.id)
  if not rows then return nil, err end
  if not rows[1] then
    return nil, core.error("no_such_row", ("No row of the ledger %s has job %s."):format(
      self.ledger.db.name, event.id))
  end
  local client, job
  client, err = client_of(self, 2)
  if client then job, err = client:info(event.id) end
  if not job then return nil, err end
  for _, row in ipairs(rows) do
    local _
    _, err = steps.note(self.ledger, client, row, job)
    if err then return nil, err end
  end
  return self.ledger:row(rows[1].key)
end

--- Close the ledger. Not while it runs.
function Batch:close()
  if under_way(self) then error("close: this batch is running; stop it first", 2) end
  self.ledger:close()
end

-- Birth -----------------------------------------------------------------------------------------

local batch = {}

---@class akool.lipsync.BatchOptions
---@field client akool.lipsync.Client? # default: one made from the environment, when it is needed
---@field output_dir string?           # where films go; default: the current folder
---@field concurrency integer?         # jobs at the service at once, of all workers together; default 3
---@field lease number?                # s; how long a worker that died keeps its rows; default 30
---@field patience number?             # s; without any success for so long, a run ends; default 600

--- Open a batch, and make its ledger if it is not there.
---@param dsn string  # "tonight.db", "postgresql://user@host/database"
---@param opts akool.lipsync.BatchOptions?
---@return akool.lipsync.Batch?
---@return akool.lipsync.Error?
function batch.open(dsn, opts)
  if type(dsn) ~= "string" then
    error(('open: a ledger such as "tonight.db" expected, got %s'):format(type(dsn)), 2)
  end
  check_options(opts, OPEN_OPTIONS, 2)
  opts = opts or {}
  local book, err = ledger.open(dsn)
  if not book then return nil, err end
  local config = { output_dir = (opts.output_dir or "."):gsub("(.)/+$", "%1"),
    concurrency = opts.concurrency or 3, lease = opts.lease or 30, patience = opts.patience or 600 }
  return setmetatable({ ledger = book, client = opts.client, config = config }, Batch)
end

return batch
