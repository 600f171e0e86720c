-- followers: many jobs that one task follows, so that ten thousand of them need no coroutine each.

local follow = require "akool.lipsync.follow"
local group = require "akool.lipsync.group"

---@class akool.lipsync.Followers
---@field package client akool.lipsync.Client
---@field package opts akool.lipsync.Options?
---@field package settings userdata
---@field package group akool.lipsync.Group
---@field package ops table<any, userdata>                   # by tag
---@field package hearings table<any, akool.lipsync.Hearing> # where a receiver hears of them
---@field package renewed table<any, true>                   # credentials were asked for again
---@field package asked true?                                # functions that give credentials were
local Followers = {}
Followers.__index = Followers

--- Functions that give credentials are asked once, before the first job is.
local function ask_for_credentials(self)
  if self.asked or not self.client.renew then return true end
  local fine, err = self.client.renew()
  self.asked = fine
  return fine, err
end

local function start(self, tag, id, age)
  local fine, problem = ask_for_credentials(self)
  if not fine then return nil, problem end
  local op, err = self.client.core:poll(self.settings, id, age)
  if not op then return nil, err end
  self.group:add(op, tag)
  self.ops[tag] = op
  local receiver = self.opts and self.opts.webhook
  if receiver then self.hearings[tag] = receiver:follow(id, op) end
  return true
end

--- Follow a job from now on; `next` tells of it by its tag.
---@param tag any
---@param given { id: string, status: string?, created_at: integer? }
---@return true?
---@return akool.lipsync.Error?
function Followers:add(tag, given)
  return start(self, tag, given.id, follow.age_of(given))
end

local function forget(self, tag)
  local hearing = self.hearings[tag]
  if hearing then hearing:stop() end
  self.ops[tag], self.hearings[tag], self.renewed[tag] = nil, nil, nil
end

--- Credentials that functions give are asked for again, once, when the service refuses them.
local function renew(self, tag, err)
  if err.code ~= 1101 or not self.client.renew or self.renewed[tag] then return false end
  self.renewed[tag] = true
  return self.client.renew() and start(self, tag, err.job.id) or false
end

--- What came of a job: news is a job or an error, and is the last of it when it is over or an error.
local function told(self, tag, kind, value)
  local hearing = self.hearings[tag]
  if kind == "failed" and hearing and hearing.event then
    kind, value = "done", hearing.event:job() -- a delivery that is trusted
  end
  if kind == "failed" then
    if renew(self, tag, value) then return nil end
    forget(self, tag)
    return value
  end
  self.renewed[tag] = nil
  local over = value.status == "completed" or value.status == "failed"
  if over and kind == "status" then return nil end -- and will be told again, as its end
  if kind == "done" then forget(self, tag) end
  return nil, setmetatable(value, self.client.jobs)
end

--- Wait for the next news of any of them.
---@return any tag                    # nil: see `err`
---@return akool.lipsync.Job?  job
---@return akool.lipsync.Error? err   # the job is not followed any more; kind "cancelled" without a tag
function Followers:next()
  while true do
    local tag, kind, value = self.group:next()
    if tag == nil then return nil, nil, kind end
    if kind == "status" or kind == "done" or kind == "failed" then
      local err, job = told(self, tag, kind, value)
      if err or job then return tag, job, err end
    end
  end
end

--- End a wait of `next`, which then returns nothing.
function Followers:wake()
  self.group:wake()
end

--- Follow none of them any more.
function Followers:stop()
  for tag, op in pairs(self.ops) do
    self.group:remove(op)
    forget(self, tag)
  end
end

local followers = {}

---@param client akool.lipsync.Client
---@param opts akool.lipsync.Options?
---@return akool.lipsync.Followers
function followers.new(client, opts)
  return setmetatable({ client = client, opts = opts, settings = follow.settings_of(client, opts),
    group = group.new(), ops = {}, hearings = {}, renewed = {} }, Followers)
end

return followers
