-- akool.lipsync: the face of the library. A client for Akool's LipSync service, a default client
-- made from the environment, and the loop that lets many jobs wait side by side.

local core = require "akool.lipsync.load" -- first, since it knows what to say
local client = require "akool.lipsync.client"
local loop = require "akool.lipsync.loop"
local map = require "akool.lipsync.map"
local options = require "akool.lipsync.options"

---@alias akool.lipsync.JobOrId akool.lipsync.Job|string

-- With the default client: `lipsync.create(…)` is `client:create(…)`, and so on.
---@class akool.lipsync
---@field _VERSION string
---@field create fun(params: table, opts: table?): akool.lipsync.Job?, akool.lipsync.Error?
---@field info fun(job: akool.lipsync.JobOrId, opts: table?): akool.lipsync.Job?, akool.lipsync.Error?
---@field wait fun(job: akool.lipsync.JobOrId, opts: table?): akool.lipsync.Job?, akool.lipsync.Error?
---@field download fun(job: akool.lipsync.JobOrId, path: string, opts: table?): akool.lipsync.File?, akool.lipsync.Error?
---@field generate fun(params: table, path: string, opts: table?): akool.lipsync.File?, akool.lipsync.Error?
---@field credits fun(opts: table?): number?, akool.lipsync.Error?
local lipsync = { _VERSION = core._VERSION }

--- A client. Credentials and settings are explicit, else from the environment: AKOOL_API_KEY,
--- AKOOL_TOKEN, AKOOL_CLIENT_ID + AKOOL_CLIENT_SECRET, AKOOL_BASE_URL.
---@param given akool.lipsync.Options?  # options; see docs/reference.md
---@return akool.lipsync.Client?
---@return akool.lipsync.Error?   # no or malformed credentials, a base_url that cannot be used
function lipsync.new(given)
  local made, err = client.new(given, 2) -- not a tail call: errors count levels
  return made, err
end

-- The default client, made from the environment when it is first needed.
local default

local function default_client()
  local err
  if not default then default, err = client.new(nil, 2) end
  return default, err
end

--- `client:NAME(...)` with the default client.
local function with_default(name)
  lipsync[name] = function(...)
    local mine, err = default_client()
    if not mine then return nil, err end
    return mine[name](mine, ...) -- a tail call, so that misuse is blamed on the caller's line
  end
end

for _, name in ipairs { "create", "info", "wait", "download", "generate", "credits" } do
  with_default(name)
end

--- `client:poll(...)` with the default client.
function lipsync.poll(...)
  local mine, err = default_client()
  if mine then return mine:poll(...) end
  local told = false
  return function()
    if told then return nil end
    told = true
    return "error", err
  end
end

lipsync.run = loop.run
lipsync.spawn = loop.spawn
lipsync.sleep = loop.sleep
lipsync.step = loop.step
lipsync.use = loop.use

--- Call `f(item, index)` for every item of a list, several at once; results in order, errors kept
--- beside them.
---@param list table
---@param f fun(item: any, index: integer): any, any
---@param opts { concurrency: integer? }?  # default 4, about what a plan runs at once
---@return table results  # what `f` returned first, at the item's index
---@return table errors   # what it returned after nil, or what it raised, at the item's index
function lipsync.map(list, f, opts)
  if type(list) ~= "table" then error("map: a list expected, got " .. type(list), 2) end
  if #list == 0 and next(list) ~= nil then
    error(("map: a list expected, got a table with the key %q"):format(tostring(next(list))), 2)
  end
  if type(f) ~= "function" then error("map: a function expected, got " .. type(f), 2) end
  if opts ~= nil and type(opts) ~= "table" then
    error("map: a table { concurrency = n } expected, got " .. type(opts), 2)
  end
  local concurrency = 4
  for name, value in pairs(opts or {}) do
    if name ~= "concurrency" then options.unknown("option", name, { "concurrency" }, 2) end
    if type(value) ~= "number" or value < 1 or value ~= math.floor(value) then
      error("option concurrency: a whole number of at least 1 expected, got " .. tostring(value), 2)
    end
    concurrency = value
  end
  return map(list, f, concurrency)
end

---@class akool.lipsync.Explanation
---@field code integer
---@field name string
---@field kind string
---@field retryable boolean
---@field message string  # what it means, and what to do

--- What one of Akool's codes means and what to do about it.
---@param code integer|string
---@return akool.lipsync.Explanation?
---@return akool.lipsync.Error?  # kind "server", name "unknown_code": the code is not documented
function lipsync.explain(code)
  local number = tonumber(code)
  if not number then error("explain: a code such as 1204 expected, got " .. type(code), 2) end
  local row = core.explain(number)
  if not row then
    return nil, core.error("unknown_code", ("Code %s is not documented."):format(number))
  end
  return { code = row.code, name = row.name, kind = row.kind, retryable = row.retryable,
    message = row.meaning .. " " .. row.advice }
end

--- `assert` for error objects, on every Lua: the `assert` of Lua 5.1 and 5.2 wants a string.
---@generic T
---@param value T?
---@param err any?
---@param ... any
---@return T
---@return any ...
function lipsync.assert(value, err, ...)
  if value then return value, err, ... end
  error(err == nil and "assertion failed!" or err, 0)
end

return lipsync
