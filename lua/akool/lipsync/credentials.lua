-- credentials: which of the three ways is used, explicit ones before those of the environment, and
-- how credentials that are functions are asked. What the service sees of them is the core's affair.

local core = require "akool.lipsync.core"

local credentials = {}

--- The value of a variable of the environment; empty ones count as not set.
---@param name string
---@return string?
function credentials.environment(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

--- Which credentials to use: { way, value, secret }, explicit ones before the environment's.
local function choose_credentials(given)
  local function pick(get)
    if get "api_key" then return { "api_key", get "api_key" } end
    if get "token" then return { "token", get "token" } end
    if get "client_id" or get "client_secret" then
      return { "client_id", get "client_id", get "client_secret" }
    end
  end
  return pick(function(name) return given[name] end)
    or pick(function(name) return credentials.environment("AKOOL_" .. name:upper()) end)
end

local function no_credentials(what)
  return nil, core.error("no_credentials", what)
end

--- The value of one credential, called for if it is a function.
local function resolve(name, value)
  if type(value) == "function" then
    value = value()
    if value ~= nil and type(value) ~= "string" then
      error(("the function given as %s returned a %s instead of a string"):format(name,
        type(value)), 0)
    end
  end
  if value == nil then
    return no_credentials(("There is no %s (AKOOL_%s)."):format(name, name:upper()))
  end
  return value
end

--- Give the core client its credentials, from what a program gave or else from the environment.
---@param raw userdata   # a core client
---@param given akool.lipsync.Options
---@return true? fine
---@return akool.lipsync.Error? err
---@return (fun(): true?, akool.lipsync.Error?)? renew  # asks again, if some of them are functions;
--- they are not asked before they are needed
function credentials.set(raw, given)
  local chosen = choose_credentials(given)
  if not chosen then return no_credentials("There are no credentials.") end
  local way, value, secret = chosen[1], chosen[2], chosen[3]
  local function apply()
    local first, err = resolve(way, value)
    if not first then return nil, err end
    local second
    if way == "client_id" then
      second, err = resolve("client_secret", secret)
      if not second then return nil, err end
    end
    return raw:credentials(way, first, second)
  end
  if type(value) == "function" or type(secret) == "function" then return true, nil, apply end
  return apply()
end

return credentials
