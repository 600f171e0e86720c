-- kill: workers of a batch are killed again and again, and each goes on with what the one before left:
-- at random instants, with SQLite and with PostgreSQL, and then at every system call that changes what
-- is on disk or on the wire. In the end every row has to be over, or honestly unknown; the service must
-- have received one create for each, and at most one for what is unknown; every film has to be whole.

package.path = "proof/?.lua;proof/faults/?.lua;spec/?.lua;" .. package.path

local uv = require "luv"

local NAMES = { "sqlite", "postgresql", "calls" }
local USAGE = [[
usage: ./dev kill [--full] [--only sqlite|postgresql|calls] [--count N] [--seed N]

  --full     1,000 kills at random instants for each database; else 100
  --only     random instants with one database, or the system calls
  --count N  so many kills for each database
  --seed N   the same instants as a run that printed it
]]

local asked = { count = 100, seed = tonumber(tostring(uv.hrtime()):sub(-8)) }

local function usage()
  io.stderr:write(USAGE)
  os.exit(2)
end

local function read_arguments()
  local at = 1
  while arg[at] do
    local word, value = arg[at], arg[at + 1]
    if word == "--full" then
      asked.count = 1000
    elseif word == "--only" and value then
      asked.only, at = value, at + 1
    elseif (word == "--count" or word == "--seed") and math.tointeger(tonumber(value)) then
      asked[word:sub(3)], at = math.tointeger(tonumber(value)), at + 1
    else
      usage()
    end
    at = at + 1
  end
end

read_arguments()
local failed, seen = 0, 0
for _, name in ipairs(NAMES) do
  if not asked.only or asked.only == name then
    seen = seen + 1
    local problems = require(name == "calls" and "kill.calls" or "kill.instants")(name, asked)
    for _, problem in ipairs(problems) do io.write("  ", problem, "\n") end
    failed = failed + #problems
  end
end
if seen == 0 then usage() end
print(failed == 0 and "\nNothing was lost, and nothing paid twice."
  or ("\n%d things are not as they should be."):format(failed))
os.exit(failed == 0)
