-- errors: errors made of any values, printed and joined, and codes of any kind explained. Nothing of
-- it raises but what is no code and what is no name of a cause.

local check = require "check"
local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"
local bytes_to = require "input"

local FIELDS = { "kind", "name", "message", "code", "http_status", "server_message", "retryable",
  "maybe_created", "retry_after", "job" }

local causes = {}
for i, row in ipairs(core.causes()) do causes[i] = row.name end

local function explain(input)
  local code = input:value()
  local ok, row, err = pcall(lipsync.explain, code)
  check.must(ok == (tonumber(code) ~= nil), "explain raises for what is no code, and only then")
  if not ok then return end
  check.must((row == nil) ~= (err == nil), "explain returns an explanation or an error")
  if err then return check.error(err) end
  check.must(row.code == tonumber(code), "an explanation is about the code")
  for _, name in ipairs { "name", "kind", "message" } do
    check.must(type(row[name]) == "string" and row[name] ~= "", "an explanation has a " .. name)
  end
end

local function print_and_join(err, input)
  local text = tostring(err)
  check.must(type(text) == "string" and #text > 0, "an error can be printed")
  local other = input:pick { "before", 1, err }
  check.must(type(other .. err) == "string" and type(err .. other) == "string",
    "an error can be joined to text")
end

local function make(input)
  local name, what, fields = input:pick(causes), input:string(), nil
  if input:byte() % 4 == 0 then name = input:string() end
  if input:byte() % 2 == 0 then
    fields = {}
    for _ = 1, input:byte() % 6 do fields[input:pick(FIELDS)] = input:value() end
  end
  local ok, err = pcall(core.error, name, what, fields)
  local known = false
  for _, cause in ipairs(causes) do known = known or cause == name end
  check.must(ok == known, "an error is made of a known cause, and of no other")
  if not ok then return end
  print_and_join(err, input)
  for _ = 1, input:byte() % 6 do err[input:pick(FIELDS)] = input:value() end
  print_and_join(err, input)
  local passed, raised = pcall(lipsync.assert, nil, err)
  check.must(not passed and raised == err, "assert raises the error itself")
end

return function(bytes)
  local input = bytes_to.new(bytes)
  while not input:over() do
    local action = input:byte() % 2 == 0 and explain or make
    action(input)
  end
end
