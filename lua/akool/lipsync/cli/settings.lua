-- settings: the options of the library that make sense on a command line, taken from its own table:
-- their names with dashes, their meanings and their checks.

local options = require "akool.lipsync.options"
local problem = require "akool.lipsync.cli.problem"

local settings = {}

local OFFERED = { "base_url", "connect_timeout", "timeout", "create_timeout", "stall_timeout",
  "wait_timeout", "max_retries", "max_bytes", "poll_first", "poll_max", "proxy", "ca_file",
  "allow_http", "allow_private" }

local UNITS = { base_url = "URL", proxy = "URL", ca_file = "FILE" }

-- What is said otherwise here than to a program.
local WORDS = {
  proxy = "a proxy; 'none' for none, whatever the environment says",
  ca_file = "a PEM file of trusted issuers, in place of the system's",
  base_url = "the service, in place of AKOOL_BASE_URL",
}

local function kind_of(row)
  return type(row.default) == "nil" and "string" or type(row.default)
end

local function flag_of(row)
  return "--" .. row.name:gsub("_", "-")
end

--- "s; one create" and the like: what a value is counted in, and the meaning without that.
local function unit_of(row)
  local unit, meaning = row.meaning:match "^(%a+); (.*)$"
  if unit == "s" then return "SECONDS", meaning end
  if unit == "bytes" then return "BYTES", meaning end
  return UNITS[row.name] or "N", row.meaning
end

--- The text of a default.
local function shown(row)
  if type(row.default) == "number" then return (" (%.14g)"):format(row.default) end
  return type(row.default) == "string" and (" (%s)"):format(row.default) or ""
end

local function describe(row)
  local unit, meaning = unit_of(row)
  meaning = WORDS[row.name] or meaning
  return unit, meaning:sub(1, 1):upper() .. meaning:sub(2) .. shown(row) .. "."
end

--- A field of the option `poll` as a row of its own.
local function poll_row(by_name, field, meaning)
  return { name = "poll_" .. field, field = field, check = by_name.timeout.check,
    default = by_name.poll.default[field], meaning = meaning }
end

--- The rows of the library's table that are offered.
local function each()
  local by_name, i = {}, 0
  for _, row in ipairs(options.list) do by_name[row.name] = row end
  by_name.poll_first = poll_row(by_name, "first", "s; the wait before a new job is asked about")
  by_name.poll_max = poll_row(by_name, "max", "s; the longest wait between two questions")
  return function()
    i = i + 1
    return by_name[OFFERED[i]]
  end
end

--- What these are for a parser: options and flags, as `commands.lua` writes them.
---@return table[]
function settings.declare()
  local list = {}
  for row in each() do
    local unit, meaning = describe(row)
    list[#list + 1] = { name = flag_of(row), target = row.name, description = meaning,
      argname = kind_of(row) ~= "boolean" and unit or nil, flag = kind_of(row) == "boolean" or nil }
  end
  return list
end

--- What was given, as options of a client.
---@param args table
---@return table? given
---@return akool.lipsync.Error?
function settings.read(args)
  local given = {}
  for row in each() do
    local value = args[row.name]
    if value ~= nil and kind_of(row) == "number" then value = tonumber(value) end
    if row.name == "proxy" and value == "none" then value = false end
    if args[row.name] ~= nil then
      local expected = value == nil and "a number" or row.check(value)
      if expected then
        return nil, problem.usage("%s: %s expected, not %q.", flag_of(row), expected,
          args[row.name])
      end
      if row.field then
        given.poll = given.poll or {}
        given.poll[row.field] = value
      else
        given[row.name] = value
      end
    end
  end
  return given
end

return settings
