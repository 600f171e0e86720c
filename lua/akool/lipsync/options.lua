-- options: the one table of options. Names, types, defaults, which call takes which; what a program
-- passes is checked here, and a wrong name is answered with the nearest right one.

local compat = require "akool.lipsync.compat"
local core = require "akool.lipsync.core"

local error = compat.error
local options = {}

local huge = math.huge

--- Whether every event is printed to stderr: AKOOL_LOG=debug.
options.logging = os.getenv("AKOOL_LOG") == "debug"

---@class akool.lipsync.OptionRow
---@field name string
---@field default any      # nil: see `meaning`
---@field scope "client"|"call"|"both"   # where it may be given
---@field check fun(value: any): string? # what is expected instead, nil when the value is fine
---@field meaning string

local function seconds(value)
  if type(value) ~= "number" or value ~= value or value <= 0 then
    return "a number of seconds greater than 0"
  end
end

local function whole(least, most)
  return function(value)
    local fine = type(value) == "number" and value >= least and value <= most
      and value == math.floor(value)
    if not fine then return ("a whole number from %d to %.0f"):format(least, most) end
  end
end

local function is(kind)
  return function(value)
    if type(value) ~= kind then return "a " .. kind end
  end
end

--- Text for C: nothing may hide behind a zero byte, and no line may be added to a header.
local function plain_text(value)
  if type(value) ~= "string" or value:find("%c") or value == "" then
    return "a string without control characters"
  end
end

local function credential(value)
  if type(value) ~= "string" and type(value) ~= "function" then
    return "a string, or a function that returns one"
  end
end

local function bytes(value)
  if type(value) ~= "number" or value ~= value or value < 1 then
    return "a number of bytes greater than 0"
  end
end

local function proxy(value)
  if value ~= false and plain_text(value) then return "a URL, or false for none" end
end

local function receiver(value)
  if type(value) ~= "table" or type(value.follow) ~= "function" then
    return "a receiver, which webhook.listen returns"
  end
end

--- Tests of values that other rooms have options for, too. Each returns what is expected instead, or
--- nil when a value is fine.
options.tests = { is = is, receiver = receiver, seconds = seconds, whole = whole }

--- The fields of the option `poll`: each with its test.
local poll_fields = {
  first = seconds,
  max = seconds,
  factor = function(value)
    if type(value) ~= "number" or not (value >= 1 and value < huge) then
      return "a number of at least 1"
    end
  end,
  jitter = function(value)
    if type(value) ~= "number" or not (value >= 0 and value < 1) then
      return "a number from 0 to less than 1"
    end
  end,
}

---@type akool.lipsync.OptionRow[]
options.list = {
  { name = "api_key", scope = "client", check = credential,
    meaning = "the API key (or AKOOL_API_KEY)" },
  { name = "token", scope = "client", check = credential,
    meaning = "a bearer token (or AKOOL_TOKEN)" },
  { name = "client_id", scope = "client", check = credential,
    meaning = "with client_secret: a token is fetched for it (or AKOOL_CLIENT_ID)" },
  { name = "client_secret", scope = "client", check = credential,
    meaning = "see client_id (or AKOOL_CLIENT_SECRET)" },
  { name = "base_url", scope = "client", default = "https://openapi.akool.com",
    check = is "string", meaning = "the service (or AKOOL_BASE_URL)" },
  { name = "connect_timeout", scope = "both", default = 10, check = seconds,
    meaning = "s; name, connection and TLS together" },
  { name = "timeout", scope = "both", default = 30, check = seconds,
    meaning = "s; one info, credits or token exchange, its retries apart" },
  { name = "create_timeout", scope = "both", default = 120, check = seconds,
    meaning = "s; one create" },
  { name = "stall_timeout", scope = "both", default = 30, check = seconds,
    meaning = "s; a download in which no byte comes" },
  { name = "wait_timeout", scope = "both", default = 1800, check = seconds,
    meaning = "s; how long wait, poll and generate follow a job" },
  { name = "max_retries", scope = "both", default = 3, check = whole(0, 100),
    meaning = "repeats, in a row, of what may safely be repeated" },
  { name = "poll", scope = "both", check = is "table",
    default = { first = 5.7, factor = 1.158, max = 90, jitter = 0.05 }, -- see bench/schedule
    meaning = "when to ask again: first and longest wait in s, growth, spread" },
  { name = "max_connections", scope = "both", default = 64, check = whole(1, 10000),
    meaning = "exchanges at once with one host; more wait their turn" },
  { name = "max_bytes", scope = "both", default = 2 * 1024 * 1024 * 1024, check = bytes,
    meaning = "bytes; a longer result is refused" },
  { name = "proxy", scope = "both", check = proxy,
    meaning = "a proxy's URL; false: none; nil: as the environment says" },
  { name = "ca_file", scope = "both", check = plain_text,
    meaning = "a PEM file of trusted issuers; nil: the system's" },
  { name = "user_agent", scope = "both", default = "akool-lipsync/" .. core._VERSION,
    check = plain_text, meaning = "sent with every request" },
  { name = "allow_http", scope = "both", default = false, check = is "boolean",
    meaning = "plain http to other machines" },
  { name = "allow_private", scope = "both", default = false, check = is "boolean",
    meaning = "results at private addresses, though the service is public" },
  { name = "overwrite", scope = "both", default = false, check = is "boolean",
    meaning = "a download may replace a file" },
  { name = "resume", scope = "both", default = true, check = is "boolean",
    meaning = "a download goes on where an earlier one stopped" },
  { name = "webhook", scope = "call", check = receiver,
    meaning = "a receiver (webhook.listen) whose deliveries end the wait" },
  { name = "on_status", scope = "both", check = is "function",
    meaning = "called with (status, job) at every change that wait or generate see" },
  { name = "on_progress", scope = "both", check = is "function",
    meaning = "called with (bytes, total or nil) during a download" },
  { name = "on_event", scope = "both", check = is "function",
    meaning = "called with a table for every request, answer, retry, status and token" },
}

-- The same for editors; what a call has no use for is ignored by it.
---@class akool.lipsync.Options
---@field api_key? string|fun(): string
---@field token? string|fun(): string
---@field client_id? string|fun(): string
---@field client_secret? string|fun(): string
---@field base_url? string
---@field connect_timeout? number
---@field timeout? number
---@field create_timeout? number
---@field stall_timeout? number
---@field wait_timeout? number
---@field max_retries? integer
---@field poll? { first: number?, factor: number?, max: number?, jitter: number? }
---@field max_connections? integer
---@field max_bytes? number
---@field proxy? string|false
---@field ca_file? string
---@field user_agent? string
---@field allow_http? boolean
---@field allow_private? boolean
---@field overwrite? boolean
---@field resume? boolean
---@field webhook? akool.lipsync.Receiver
---@field on_status? fun(status: string, job: akool.lipsync.Job)
---@field on_progress? fun(bytes: integer, total: integer?)
---@field on_event? fun(event: table)

local rows = {}
for _, row in ipairs(options.list) do rows[row.name] = row end

--- How many single changes make `a` into `b` (swapping two neighbours counts as one).
local function distance(a, b)
  local before, last = nil, {}
  for j = 0, #b do last[j] = j end
  for i = 1, #a do
    local line = { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j) and 0 or 1
      line[j] = math.min(last[j] + 1, line[j - 1] + 1, last[j - 1] + same)
      if before and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        line[j] = math.min(line[j], before[j - 2] + 1)
      end
    end
    before, last = last, line
  end
  return last[#b]
end

--- The nearest of `names` to `wrong`, or nil when none is near. A name that is much longer than all
--- of ours is none of them misspelt, and comparing it would take long.
local function nearest(wrong, names)
  if #wrong > 64 then return nil end
  local best, least = nil, math.max(2, math.floor(#wrong / 3)) + 1
  local plain = wrong:lower():gsub("[^%w]", "")
  for _, name in ipairs(names) do
    local d = math.min(distance(wrong, name), distance(plain, (name:gsub("_", ""))))
    if d < least then best, least = name, d end
  end
  for _, name in ipairs(best and {} or names) do -- "video" for "video_url"
    if #plain > 2 and name:gsub("_", ""):find(plain, 1, true) then return name end
  end
  return best
end

--- Raise about a name that does not exist, at the caller's line.
---@param what string      # "option", "field"
---@param wrong any
---@param names string[]   # the right ones
---@param level integer    # as for error(), seen from the function that calls this one
function options.unknown(what, wrong, names, level)
  local text = ("unknown %s %q"):format(what, tostring(wrong))
  local near = type(wrong) == "string" and nearest(wrong, names)
  error(near and ("%s: did you mean %q?"):format(text, near) or text, level + 1)
end

local function names_for(scope)
  local names = {}
  for _, row in ipairs(options.list) do
    if row.scope == "both" or row.scope == scope then names[#names + 1] = row.name end
  end
  return names
end

local function check_poll(given, level)
  local names = { "first", "factor", "max", "jitter" }
  for name, value in pairs(given) do
    local check = poll_fields[name]
    if not check then options.unknown("field of the option poll", name, names, level + 1) end
    local expected = check(value)
    if expected then
      error(("option poll.%s: %s expected, got %s"):format(name, expected, tostring(value)),
        level + 1)
    end
  end
end

--- Check what a program passed. Raises at the caller's line when a name or a type is wrong.
---@param given table?
---@param scope "client"|"call"
---@param level integer  # as for error(), seen from the function that calls this one
function options.check(given, scope, level)
  if given == nil then return end
  if type(given) ~= "table" then
    error(("options: a table expected, got %s"):format(type(given)), level + 1)
  end
  for name, value in pairs(given) do
    local row = rows[name]
    if not row or not (row.scope == "both" or row.scope == scope) then
      if row then
        error((row.scope == "client" and "option %s belongs to lipsync.new, not to a single call"
          or "option %s belongs to a single call, not to lipsync.new"):format(name), level + 1)
      end
      options.unknown("option", name, names_for(scope), level + 1)
    end
    local expected = row.check(value)
    if expected then
      local shown = type(value) == "number" and row.check ~= credential
      error(("option %s: %s expected, got %s"):format(name, expected,
        shown and tostring(value) or type(value)), level + 1)
    end
    if name == "poll" then check_poll(value, level + 1) end
  end
end

--- All options: `given` over `base` (which may be nil) over the defaults. Credentials are left out,
--- so that what is kept holds no secrets.
---@param base table?
---@param given table?
---@return table
function options.merge(base, given)
  local merged = {}
  for _, row in ipairs(options.list) do
    local name, value = row.name, row.default
    if base and base[name] ~= nil then value = base[name] end
    if given and given[name] ~= nil then value = given[name] end
    if name == "poll" then
      local poll = {}
      for key in pairs(poll_fields) do
        poll[key] = value[key]
        if poll[key] == nil then poll[key] = (base and base.poll or row.default)[key] end
      end
      value = poll
    end
    if row.check ~= credential then merged[name] = value end
  end
  return merged
end

--- Merged options as the C core takes them.
---@param merged table
---@return userdata settings
function options.settings(merged)
  local proxy_url = merged.proxy
  if proxy_url == false then proxy_url = "" end
  return core.settings {
    connect_timeout = merged.connect_timeout,
    timeout = merged.timeout,
    create_timeout = merged.create_timeout,
    stall_timeout = merged.stall_timeout,
    wait_timeout = merged.wait_timeout,
    max_retries = merged.max_retries,
    max_connections = merged.max_connections,
    max_bytes = merged.max_bytes,
    poll_first = merged.poll.first,
    poll_max = merged.poll.max,
    poll_factor = merged.poll.factor,
    poll_jitter = merged.poll.jitter,
    allow_http = merged.allow_http,
    allow_private = merged.allow_private,
    overwrite = merged.overwrite,
    resume = merged.resume,
    proxy = proxy_url,
    ca_file = merged.ca_file,
    user_agent = merged.user_agent,
    events = options.logging or merged.on_event ~= nil,
  }
end

return options
