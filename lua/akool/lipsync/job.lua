-- job: what a program holds of a job. A plain table of data whose methods come from its metatable,
-- so that it prints, serialises and compares like data. Which client it belongs to is known to the
-- metatable, not to the job.

local compat = require "akool.lipsync.compat"

local error = compat.error
local job = {}

---@class akool.lipsync.Job
---@field id string
---@field status "queueing"|"processing"|"completed"|"failed"
---@field video string?       # URL of the result, once completed
---@field created_at integer? # Unix time, seconds
---@field expires_at integer? # Unix time, seconds: when the result can no longer be downloaded
---@field duration number?    # seconds of video
---@field credits number?     # held for this job
---@field data table          # everything the service said; null fields are absent
local Job = {}

local function show(self)
  return ("akool.lipsync.job %s (%s)"):format(tostring(self.id), self.status or "not asked yet")
end

--- The metatable of a client's jobs: it carries the client, so that a job itself is only data.
---@param client akool.lipsync.Client
---@return table
function job.class(client)
  return { __index = Job, __name = "akool.lipsync.job", __tostring = show, client = client }
end

--- The id of what a program gave as a job: an id, a job, or any table with an id. Raises at the
--- caller's line when it is something else.
---@param given any
---@param name string      # of the function it was given to
---@param level integer    # as for error(), seen from the function that calls this one
---@return string
function job.id_of(given, name, level)
  local id = given
  if type(given) == "table" then id = given.id end
  if type(id) ~= "string" then
    error(("%s: a job or its id expected, got %s"):format(name, type(given) == "table"
      and "a table without one" or type(given)), level + 1)
  end
  return id
end

local function owner(self)
  local class = getmetatable(self)
  local client = class and class.client
  if not client then
    error("this job is not one that a client returned: use client:info(job)", 3)
  end
  return client
end

--- Ask how far it is: `client:info(job)`.
---@param opts akool.lipsync.Options?
---@return akool.lipsync.Job?
---@return akool.lipsync.Error?
function Job:info(opts) return owner(self):info(self, opts) end

--- Follow it: `client:poll(job, opts)`.
---@param opts akool.lipsync.Options?
---@return fun(): string?, akool.lipsync.Job|akool.lipsync.Error|nil
function Job:poll(opts) return owner(self):poll(self, opts) end

--- Wait for its end: `client:wait(job, opts)`.
---@param opts akool.lipsync.Options?
---@return akool.lipsync.Job?
---@return akool.lipsync.Error?
function Job:wait(opts) return owner(self):wait(self, opts) end

--- Download its result: `client:download(job, path, opts)`.
---@param path string
---@param opts akool.lipsync.Options?
---@return akool.lipsync.File?
---@return akool.lipsync.Error?
function Job:download(path, opts) return owner(self):download(self, path, opts) end

return job
