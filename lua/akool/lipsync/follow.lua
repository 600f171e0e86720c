-- follow: following a job to its end, status by status or quietly.

local await = require "akool.lipsync.await"
local core = require "akool.lipsync.core"
local loop = require "akool.lipsync.loop"
local options = require "akool.lipsync.options"

local follow = {}

--- How old a job is that was not over when it was last seen; nil for any other, about which the first
--- request is due. A clock that is wrong makes the job seem older, and it is asked about at once, or
--- newer.
---@param given akool.lipsync.Job|string
---@return number? # s
function follow.age_of(given)
  if type(given) ~= "table" then return nil end
  if given.status ~= "queueing" and given.status ~= "processing" then return nil end
  local created_at = given.created_at
  return type(created_at) == "number" and math.max(0, os.time() - created_at) or 0
end

-- With a receiver of webhooks, polls only have to catch a delivery that was lost: the first when a job
-- should be over (after twice `first`, give or take half of it), then every few minutes.
local RARELY = { first = 60, factor = 1.5, max = 300, jitter = 0.2 }

--- The settings of a call that follows a job.
---@param client akool.lipsync.Client
---@param opts akool.lipsync.Options?
---@return userdata
function follow.settings_of(client, opts)
  local receiver = opts and opts.webhook
  if receiver and not receiver.closed and not opts.poll then
    opts = setmetatable({ poll = RARELY }, { __index = opts })
    return options.settings(options.merge(client.merged, opts))
  end
  return await.settings(client, opts)
end

--- What following a job has to remember. Of the job itself only the status, so that whoever waits for
--- many of them does not keep their data. `told` is a status that the caller has told already.
---@param client akool.lipsync.Client
---@param given akool.lipsync.Job|string
---@param id string
---@param opts akool.lipsync.Options?
---@param told string?
---@return table following
function follow.new(client, given, id, opts, told)
  return { client = client, settings = follow.settings_of(client, opts), id = id, opts = opts,
    status = told, age = follow.age_of(given) }
end

local function hear_no_more(following)
  if following.hearing then following.hearing:stop() end
  following.hearing = nil
end

local function start(following)
  local op, err = following.client.core:poll(following.settings, following.id, following.age)
  local receiver = following.opts and following.opts.webhook
  following.op = op
  hear_no_more(following)
  if op and receiver then following.hearing = receiver:follow(following.id, op) end
  return op, err
end

--- The next news of the job, from the op under way, or from a delivery that was trusted.
local function news(following)
  local kind, value = await.news(following.client, following.op, following.opts, "status")
  if kind ~= "failed" then return value end
  local hearing = following.hearing
  if hearing and hearing.event then return hearing.event:job() end
  return nil, value
end

--- The news of an op that is started for it.
local function first_news(following)
  local op, err = start(following)
  if not op then return nil, err end
  return news(following)
end

--- The next news of the job. When functions give the credentials and the service refuses them, they
--- are asked again.
local function ask(following)
  local client, op = following.client, following.op
  if not client.renew then return (op and news or first_news)(following) end
  if not op then
    return await.with_credentials(client, function() return first_news(following) end)
  end
  local found, err = news(following)
  if not found and err.code == 1101 and client.renew() then return first_news(following) end
  return found, err
end

--- The next round of a poll: a status and the job, "error" and an error, or nil after the end.
---@param following table
---@return string? status
---@return akool.lipsync.Job|akool.lipsync.Error|nil
function follow.advance(following)
  if following.over then return nil end
  local found, err = ask(following)
  if not found then
    follow.stop(following)
    if err.job then err.job.status = err.job.status or following.status end
    return "error", err
  end
  following.over = found.status == "completed" or found.status == "failed"
  local told = following.status == found.status
  following.status = found.status
  if following.over then follow.stop(following) end
  if told and not following.over then return follow.advance(following) end
  return found.status, setmetatable(found, following.client.jobs)
end

--- Ask no more.
---@param following table
function follow.stop(following)
  following.over = true
  if following.op then following.op:cancel() end
  hear_no_more(following)
end

--- What the service says about a failure, if it does. The fields are not documented; these were
--- seen. Fit to be printed: the words as they came are in job.data.
local function reason(client, data)
  for _, name in ipairs { "error_msg", "error_message", "error_reason" } do
    if type(data[name]) == "string" and data[name] ~= "" then
      return client.core:redact((data[name]:sub(1, 256):gsub("%c", " ")))
    end
  end
end

--- What the end of a job means for whoever waited for it.
---@param client akool.lipsync.Client
---@param found akool.lipsync.Job  # completed or failed
---@return akool.lipsync.Job?
---@return akool.lipsync.Error?    # kind "failed"
function follow.ended(client, found)
  if found.status == "completed" then return found end
  return nil, core.error("job_failed", ("Job %s failed."):format(found.id),
    { job = found, server_message = reason(client, found.data) })
end

--- Is nobody to be told of anything before the end?
local function is_quiet(client, opts)
  local merged = client.merged
  if client.renew or options.logging or merged.on_status or merged.on_event then return false end
  return not (opts and (opts.on_status or opts.on_event or opts.webhook))
end

-- A quiet wait is what most programs do for most of their time, perhaps for thousands of jobs at once.
-- Up to where it yields, these functions need no table and little stack: a coroutine begins with room
-- for 40 values, Lua wants 20 of them where it yields, and where that is too little it doubles them.

local function hear_the_end(client, op)
  local kind, value = loop.next(op, true)
  if kind == "done" then return follow.ended(client, setmetatable(value, client.jobs)) end
  setmetatable(value.job, client.jobs)
  return nil, value
end

local function wait_quietly(client, settings, id, age)
  local op, err = client.core:poll(settings, id, age)
  if not op then return nil, err end
  return hear_the_end(client, op)
end

--- Wait for a job's end.
---@param client akool.lipsync.Client
---@param given akool.lipsync.Job|string
---@param id string
---@param opts akool.lipsync.Options?
---@param told string?  # a status that the caller has told of already
---@return akool.lipsync.Job?
---@return akool.lipsync.Error?
function follow.wait(client, given, id, opts, told)
  local age = follow.age_of(given)
  if is_quiet(client, opts) then
    return wait_quietly(client, await.settings(client, opts), id, age)
  end
  local on_status = opts and opts.on_status or client.merged.on_status
  local following = follow.new(client, given, id, opts, told)
  while true do
    local status, found = follow.advance(following)
    if status == "error" then return nil, found end
    if on_status then await.tell(following.op, on_status, status, found) end
    if following.over then return follow.ended(client, found) end
  end
end

return follow
