-- client: the calls. Each starts an op in the C core and awaits it; what the op tells on the way
-- goes to the caller's callbacks, in the caller's task.

local await = require "akool.lipsync.await"
local compat = require "akool.lipsync.compat"
local core = require "akool.lipsync.core"
local credentials = require "akool.lipsync.credentials"
local download = require "akool.lipsync.download"
local follow = require "akool.lipsync.follow"
local job = require "akool.lipsync.job"
local options = require "akool.lipsync.options"

local error = compat.error

---@alias akool.lipsync.ErrorKind
---| "invalid"      # what was asked cannot be right
---| "auth"         # the credentials
---| "permission"   # this account may not do that
---| "account"      # the account has to be put in order
---| "quota"        # credits or quota are used up
---| "rate_limited" # too often
---| "not_found"
---| "media"        # the video or the voice
---| "duplicate"    # it was made before
---| "server"       # the service is in trouble
---| "network"
---| "tls"
---| "timeout"
---| "protocol"     # an answer that is not what the service documents
---| "failed"       # the job ended with status 4
---| "expired"      # the result is gone
---| "io"           # files and memory of this machine
---| "cancelled"

---@class akool.lipsync.Error
---@field kind akool.lipsync.ErrorKind
---@field name string            # finer than kind: "video_too_long", "connect_timeout", …
---@field message string         # what happened, and what to do
---@field code integer?          # Akool's code
---@field http_status integer?
---@field server_message string? # the service's own words
---@field retryable boolean      # the same call may succeed later unchanged
---@field retry_after number?    # seconds the service asked to wait
---@field maybe_created boolean  # a create whose answer was lost: the job may exist, and be paid
---@field job akool.lipsync.Job? # the job that it is about, at least its id

---@class akool.lipsync.Client
---@field core userdata           # this field and the next four are the library's own
---@field merged table      # all options, without credentials
---@field settings userdata # the same, for the core
---@field jobs table        # the metatable of its jobs
---@field renew (fun(): true?, akool.lipsync.Error?)? # asks credential functions again
local Client = {}
Client.__index = Client
Client.__name = "akool.lipsync.client"

function Client:__tostring()
  return tostring(self.core)
end

--- Start an info or credits op and await it.
local function attempt(self, name, settings, opts, id)
  local client = self.core
  local op, err = client[name](client, settings, id)
  if not op then return nil, err end
  return await.result(self, op, opts)
end

--- An info or credits op, from start to result.
local function call(self, name, opts, id)
  local settings = await.settings(self, opts)
  if not self.renew then return attempt(self, name, settings, opts, id) end
  return await.with_credentials(self, function() return attempt(self, name, settings, opts, id) end)
end

--- A create must not lose its job to a callback that raises: the callback's error waits until the
--- job's id is known, and then carries it.
local function guarded(opts, merged)
  local on_event = opts and opts.on_event or merged.on_event
  if not on_event then return opts, function() end end
  local failure, failed
  local guard = setmetatable({ on_event = function(event)
    if failed then return end
    local ok, why = pcall(on_event, event)
    if not ok then failed, failure = true, why end
  end }, { __index = opts })
  return guard, function(made, err)
    if not failed then return end
    error(("%s (raised by on_event while a job was created; %s)"):format(tostring(failure),
      made and ("job %s goes on"):format(made.id) or tostring(err)), 0)
  end
end

-- Calls ----------------------------------------------------------------------------------------

local create_names = { "video_url", "audio_url", "webhook_url" }

--- Check the parameters of a create. Wrong types are misuse and raise; nothing at all may be data.
local function check_create(params, level)
  if type(params) ~= "table" then
    error(("create: a table { video_url =, audio_url = } expected, got %s"):format(type(params)),
      level + 1)
  end
  for name, value in pairs(params) do
    if name ~= "video_url" and name ~= "audio_url" and name ~= "webhook_url" then
      options.unknown("field", name, create_names, level + 1)
    end
    if type(value) ~= "string" then
      error(("create: %s should be a string, not a %s"):format(name, type(value)), level + 1)
    end
  end
  for i = 1, 2 do
    if params[create_names[i]] == nil then
      return nil, core.error("bad_url", ("%s is missing."):format(create_names[i]))
    end
  end
  return true
end

local function create(self, params, opts)
  local guard, raise = guarded(opts, self.merged)
  local settings = await.settings(self, opts)
  local made, err = await.with_credentials(self, function()
    local op, problem = self.core:create(settings, params.video_url, params.audio_url,
      params.webhook_url)
    if not op then return nil, problem end
    return await.result(self, op, guard)
  end)
  raise(made, err)
  if not made then return nil, err end
  return setmetatable(made, self.jobs)
end

--- Start a job: one POST, which costs credits. Never sent twice unless the service certainly did
--- not take the first one.
---@param params { video_url: string, audio_url: string, webhook_url: string? }
---@param opts akool.lipsync.Options?              # options for this call
---@return akool.lipsync.Job?
---@return akool.lipsync.Error?    # `maybe_created` is true when the answer was lost
function Client:create(params, opts)
  options.check(opts, "call", 2)
  local fine, err = check_create(params, 2)
  if not fine then return nil, err end
  return create(self, params, opts)
end

--- Ask how far a job is: one GET.
---@param given akool.lipsync.Job|string  # a job or its id
---@param opts akool.lipsync.Options?
---@return akool.lipsync.Job?
---@return akool.lipsync.Error?
function Client:info(given, opts)
  options.check(opts, "call", 2)
  local found, err = call(self, "info", opts, job.id_of(given, "info", 2))
  if not found then return nil, err end
  return setmetatable(found, self.jobs)
end

--- Follow a job: every status it takes, from the first answer on, until it is completed or failed.
--- A failure to follow it comes as the last round: "error", err. The job itself goes on then.
---@param given akool.lipsync.Job|string
---@param opts akool.lipsync.Options?  # poll, wait_timeout, …
---@return fun(): string?, akool.lipsync.Job|akool.lipsync.Error|nil
function Client:poll(given, opts)
  options.check(opts, "call", 2)
  local following = follow.new(self, given, job.id_of(given, "poll", 2), opts)
  local function advance()
    local status, news = follow.advance(following) -- not a tail call: see compat.can_yield
    return status, news
  end
  -- Lua 5.4 closes the fourth value when the loop is left; elsewhere the collector does.
  return advance, nil, nil, setmetatable({}, { __close = function() follow.stop(following) end })
end

--- Wait for a job's end.
---@param given akool.lipsync.Job|string
---@param opts akool.lipsync.Options?
---@return akool.lipsync.Job?       # completed
---@return akool.lipsync.Error?     # kind "failed" when the job failed; "timeout" when it goes on
function Client:wait(given, opts)
  options.check(opts, "call", 2)
  return follow.wait(self, given, job.id_of(given, "wait", 2), opts)
end

local function check_path(path, level)
  if type(path) ~= "string" then
    error(("the output path should be a string, not a %s"):format(type(path)), level + 1)
  end
end

--- The job that an error is about: what the program gave, or at least its id.
local function about(self, given, id)
  return type(given) == "table" and given or setmetatable({ id = id }, self.jobs)
end

local function fetch_result(self, given, path, opts)
  local settings = await.settings(self, opts)
  local wants_progress = (opts and opts.on_progress or self.merged.on_progress) ~= nil
  return download.result(self, given, opts, function(url, id)
    local file
    local op, err = self.core:download(settings, url, path, id, wants_progress)
    if op then file, err = await.result(self, op, opts) end
    if err then err.job = about(self, given, id) end
    return file, err
  end)
end

--- Download a job's result: whole and on disk, or not there at all.
---@param given akool.lipsync.Job|string
---@param path string  # of the file to make; its folder must exist
---@param opts akool.lipsync.Options?  # overwrite, resume, max_bytes, stall_timeout, on_progress, …
---@return akool.lipsync.File?
---@return akool.lipsync.Error?     # kind "expired" when the result is gone, "io" about the file
function Client:download(given, path, opts)
  options.check(opts, "call", 2)
  job.id_of(given, "download", 2)
  check_path(path, 2)
  return fetch_result(self, given, path, opts)
end

--- All of it: create a job, follow it, download its result. The path is tried before anything is
--- paid. Whatever fails later, the error carries the job.
---@param params { video_url: string, audio_url: string, webhook_url: string? }
---@param path string
---@param opts akool.lipsync.Options?
---@return akool.lipsync.File?
---@return akool.lipsync.Error?
function Client:generate(params, path, opts)
  options.check(opts, "call", 2)
  local fine, err = check_create(params, 2)
  if not fine then return nil, err end
  check_path(path, 2)
  fine, err = core.try_path(await.settings(self, opts), path)
  if not fine then return nil, err end
  if opts and opts.webhook and opts.webhook.url and not params.webhook_url then
    params = { video_url = params.video_url, audio_url = params.audio_url,
      webhook_url = opts.webhook.url }
  end
  local made
  made, err = create(self, params, opts)
  if not made then return nil, err end
  local on_status = opts and opts.on_status or self.merged.on_status
  if on_status then on_status(made.status, made) end
  local finished
  finished, err = follow.wait(self, made, made.id, opts, made.status)
  if not finished then return nil, err end
  return fetch_result(self, finished, path, opts)
end

--- The balance of the account, in credits.
---@param opts akool.lipsync.Options?
---@return number?
---@return akool.lipsync.Error?
function Client:credits(opts)
  options.check(opts, "call", 2)
  local balance, err = call(self, "credits", opts)
  if not balance then return nil, err end
  return balance.credits -- alone, so that it can be printed
end

-- Birth ----------------------------------------------------------------------------------------

local client = {}

--- A client of the service. Makes no request.
---@param given akool.lipsync.Options?  # options; see docs/reference.md
---@param level integer # as for error(), seen from the function that calls this one
---@return akool.lipsync.Client?
---@return akool.lipsync.Error?
function client.new(given, level)
  options.check(given, "client", level + 1)
  given = given or {}
  local merged = options.merge({ base_url = credentials.environment "AKOOL_BASE_URL" }, given)
  local raw, err = core.client(merged.base_url, merged.allow_http)
  if not raw then return nil, err end
  local self = setmetatable({ core = raw, merged = merged }, Client)
  local fine
  fine, err, self.renew = credentials.set(raw, given)
  if not fine then return nil, err end
  self.settings, self.jobs = options.settings(merged), job.class(self)
  return self
end

return client
