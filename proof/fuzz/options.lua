-- options: what a program may pass as options and parameters. Whatever it is, a wrong one raises at
-- the caller's line, one that only the world can judge is an error, and with all others the call
-- ends. What raises does not show a credential.

local check = require "check"
local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"
local bytes_to = require "input"
local options = require "akool.lipsync.options"

local KEY = "sk-9f8e7d6c5b4a39281706f5e4d3c2b1a0"

local names = { "poll", "colour", "time_out", "first", "factor", "max", "jitter", "video_url",
  "audio_url", "webhook_url" }
for _, row in ipairs(options.list) do names[#names + 1] = row.name end

--- Values that are right for an option of that name, more or less.
local function likely(input, name)
  if name == "api_key" then return KEY end
  if name == "base_url" then return "http://127.0.0.1" .. input:string() end
  if name == "poll" then
    local poll = {}
    for _ = 1, input:byte() % 5 do poll[input:pick(names)] = input:number() end
    return poll
  end
  if name:find("_url$") then return "http://" .. input:string() end
  if name:find("^on_") then return function() end end
  if name:find("^allow") or name == "overwrite" or name == "resume" then return true end
  if name == "proxy" and input:byte() % 2 == 0 then return false end
  return name:find("agent") and input:string() or input:number()
end

local function table_from(input)
  local given = {}
  for _ = 1, input:byte() % 8 do
    local name = input:byte() % 16 == 0 and input:value() or input:pick(names)
    if name ~= nil and name == name then
      if input:byte() % 4 == 0 then
        given[name] = input:value()
      else
        given[name] = type(name) == "string" and likely(input, name) or input:value()
      end
    end
  end
  return given
end

--- Call `f` as a program would. What it raises is text that names a line of this file, unless a
--- callback raised it or gave what it should not.
local function call(f, ...)
  local ok, value, err = pcall(function(...)
    local value, err = f(...)
    return value, err
  end, ...)
  if not ok then
    check.must(type(value) == "string", "misuse raises text")
    check.must(value:find "fuzz/options%.lua:%d+: " or value:find("^" .. bytes_to.RAISED)
      or value:find "^the function given as ", "misuse is blamed on the caller: " .. value)
    check.must(not value:find(KEY, 1, true), "what raises does not show a credential: " .. value)
    return nil
  end
  check.must((value == nil) ~= (err == nil), "a call returns a value or an error")
  if err ~= nil then check.error(err, KEY) end
  return value
end

local function calls(client, input)
  local opts = table_from(input)
  for _ = 1, 1 + input:byte() % 3 do
    local which = input:byte() % 4
    if which == 0 then
      call(client.create, client, table_from(input), opts)
    elseif which == 1 then
      call(client.info, client, input:string(), opts)
    elseif which == 2 then
      call(client.credits, client, opts)
    else
      call(client.wait, client, "66160f989dc5e2c8a9dbb8fb", { wait_timeout = input:number() })
    end
  end
end

return function(bytes)
  local input = bytes_to.new(bytes)
  local given = table_from(input)
  local client = call(lipsync.new, given)
  if client then
    check.settings(client.settings)
    check.must(not tostring(client):find(KEY, 1, true), "a client that is printed shows no key")
    calls(client, input)
  end
  core.engine():close()
end
