-- measure: runs the programs under measurement, one at a time and in turns, and condenses what they
-- report. A program prints one line of JSON with numbers; see usage.lua.

local uv = require "luv"
local origin = require "origin"

local measure = {}

local LIMIT = 300 -- seconds that a program may take

local running

--- Ends the program that runs, if one does.
function measure.stop()
  if running and not running:is_closing() then running:kill("sigterm") end
end

local function collect(pipe, into)
  pipe:read_start(function(_, data)
    if data then into[#into + 1] = data else pipe:close() end
  end)
end

--- Runs a command to its end on the second processor. Returns the numbers it printed, or nil and
--- what it complained of.
---@param command string[]
---@return table<string, number>?, string?
function measure.run(command)
  local words = origin.pinned(1, command)
  local output, errors = uv.new_pipe(false), uv.new_pipe(false)
  local said, complaints, status = {}, {}, nil
  local process, why = uv.spawn(words[1], {
    args = { table.unpack(words, 2) }, stdio = { nil, output, errors },
  }, function(code, signal) status = signal ~= 0 and 128 + signal or code end)
  if not process then
    output:close()
    errors:close()
    return nil, why
  end
  running = process
  local limit, late = uv.new_timer(), false
  limit:start(LIMIT * 1000, 0, function()
    late = true
    process:kill("sigkill")
  end)
  collect(output, said)
  collect(errors, complaints)
  while not (status and output:is_closing() and errors:is_closing()) do uv.run("once") end
  limit:close()
  process:close()
  running = nil
  local numbers = {}
  for name, value in table.concat(said):gmatch('"([%w_]+)":(-?[%d.]+)') do
    numbers[name] = tonumber(value)
  end
  if late then return nil, ("not through after %d s"):format(LIMIT) end
  if status ~= 0 or next(numbers) == nil then
    return nil, ("%s (exit %d)"):format(table.concat(complaints):gsub("%s+$", ""), status)
  end
  return numbers
end

--- The instructions that a command executes in user space, under callgrind, and its numbers.
function measure.instructions(command)
  local log = os.tmpname()
  local numbers, why = measure.run { "valgrind", "--tool=callgrind",
    "--callgrind-out-file=/dev/null", "--log-file=" .. log, table.unpack(command) }
  local file = assert(io.open(log))
  local text = file:read("a")
  file:close()
  os.remove(log)
  if not numbers then return nil, why end
  return tonumber((assert(text:match("Collected : (%d+)"), text))), numbers
end

---@class bench.Subject
---@field name string
---@field run fun(): table<string, number>   # once; raises when that fails

--- Runs every subject once to warm up and then in turns, and returns the median of each number.
---@param subjects bench.Subject[]
---@param rounds integer
---@return table<string, table<string, number>>
function measure.medians(subjects, rounds)
  local all, result = {}, {}
  for round = 0, rounds do
    for _, subject in ipairs(subjects) do
      local numbers = subject.run(round == 0)
      all[subject.name] = all[subject.name] or {}
      if round > 0 then all[subject.name][round] = numbers end
    end
  end
  for name, list in pairs(all) do
    result[name] = {}
    for field in pairs(list[1]) do
      local values = {}
      for i, numbers in ipairs(list) do values[i] = numbers[field] end
      table.sort(values)
      result[name][field] = values[(#values + 1) // 2]
    end
  end
  return result
end

return measure
