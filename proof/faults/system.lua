-- system.lua [--full] [--only SCENARIO [--mode M] [--call C] [--error E] [--index N]] [--jobs N]
--
-- Fails system calls of the library, one at a time. Each scenario is a program of its own under
-- strace; its calls are counted while nothing fails, and then each of them is made to fail, at
-- every index, in three ways:
--
--   once      this call fails, the next one works again
--   on        this call and all later ones of its name fail
--   kill      the program is killed as it makes the call (downloads)
--
-- and a program that was killed in the middle of a download is run again from what it left, first
-- as it is, then with each call of that second run failing or killing it:
--
--   recovery  from each different state of the folder that a killed download left
--
-- After every run the world is looked at from outside: did the program end by itself, with a result
-- that is true or an error that has a type? Is the file whole or absent, does the service know of at
-- most one create, was it told of truly, is no descriptor left?

local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path

local json = require "cjson"
local uv = require "luv"
local core = require "akool.lipsync.core"
local syscalls = require "syscalls"
local tracer = require "tracer"
local worlds = require "world"

local SCENARIOS = {
  "create", "info", "poll", "token", "credits", "tasks", "host", "name",
  "download", "resume", "overwrite", "generate",
}

-- What was asked for -----------------------------------------------------------------------

local asked = { jobs = 4 }

local function usage(problem)
  io.stderr:write("system.lua: ", problem, "\nusage: system.lua [--full] [--jobs N] ",
    "[--only SCENARIO] [--mode once|on|kill|recovery]\n  [--call NAME] [--error NAME] [--index N]\n")
  os.exit(2)
end

local function read_arguments()
  local takes = { only = tostring, mode = tostring, call = tostring, error = tostring,
    index = tonumber, jobs = tonumber }
  local i = 1
  while arg[i] do
    local name = arg[i]:match("^%-%-(%w+)$") or usage("unexpected " .. arg[i])
    if name == "full" then
      asked.full = true
    else
      local take = takes[name] or usage("there is no option " .. arg[i])
      i = i + 1
      asked[name] = arg[i] and take(arg[i]) or usage("--" .. name .. " needs a value")
    end
    i = i + 1
  end
end

-- Judging ----------------------------------------------------------------------------------

local KINDS = {}
for _, list in ipairs { core.codes(), core.causes() } do
  for _, entry in ipairs(list) do KINDS[entry.kind] = true end
end

--- What is wrong with an error that a program was given, nil if nothing is.
local function error_problem(world, err, text)
  if not KINDS[err.kind] or type(err.name) ~= "string" or type(err.retryable) ~= "boolean"
    or type(err.message) ~= "string" or not err.message:find("%.$") then
    return "an error without a type: " .. tostring(text)
  end
  if err.name == "write_failed" and err.http_status then
    return "an error of the disk shows the status of a good answer: " .. text
  end
  if text:find(world.service.api_key, 1, true) then return "the key is in an error" end
end

local MEMORY = { brk = true, mmap = true, mremap = true }

--- What is wrong with how a program ended, nil if nothing is; and its report.
local function end_problem(world, result, fault)
  if result.hung then return "it hung" end
  if result.signal ~= 0 then return "it died of signal " .. result.signal end
  local ok, report = pcall(json.decode, result.output)
  if not ok then return ("it ended with code %d and no report"):format(result.code) end
  if result.code ~= 0 then return "it ended with code " .. result.code end
  if report.raised then
    -- Lua itself raises when it gets no memory, and nobody can return anything then.
    local starved = fault and MEMORY[fault.call] and report.raised:find("not enough memory", 1, true)
    return not starved and "it raised: " .. report.raised or nil, report
  end
  if report.error then
    local problem = error_problem(world, report.error, report.text)
    if problem then return problem, report end
  elseif report.value == nil then
    return "neither a result nor an error", report
  end
  if report.left and report.left ~= 0 and not (fault and fault.call == "close") then
    return ("%d descriptors were left open"):format(report.left), report
  end
  return nil, report
end

-- Running one case -------------------------------------------------------------------------

local function merged(given, more)
  local all = {}
  for _, list in ipairs { given, more } do
    for name, value in pairs(list) do all[name] = value end
  end
  return all
end

--- Make everything ready for one run; returns its command.
local function prepare(world, case)
  world:empty()
  local given = case.scenario.prepare(world)
  if case.from then world:restore(case.from) end
  return tracer.program(case.name, merged(world.given, given))
end

--- After a download was interrupted, a run that nothing disturbs must end with the file.
local function recovery_problem(world, case, command)
  local before = world:files()
  local problem, report = end_problem(world, tracer.run(command), nil)
  problem = problem or world:download_problem(report, case.scenario.old)
  if problem then return "the run after it: " .. problem end
  local files = world:files()
  if files["out.mp4"] ~= world.film then
    return "the run after it did not bring the file: " .. tostring(report.text)
  end
  if report.value then
    if files["out.mp4.part"] or files["out.mp4.part.etag"] then return "a part was left behind" end
  elseif report.error.name ~= "file_exists" or before["out.mp4"] ~= world.film then
    return "the run after it: " .. report.text
  end
end

--- Run one case; returns how it went ("result", "error", "killed" or "missed"), what is wrong with
--- that (nil: nothing), the call that was hit, and what the program left if it was killed.
local function run_case(world, case)
  local command = prepare(world, case)
  local result, struck = tracer.fail(command, world.log, case)
  if not struck then return "missed", result.hung and "it hung" or nil end
  if case.host and struck:match("%(([^,%)]*)") == case.host then return "missed" end
  local problem, report, left
  if result.signal == 9 and not result.hung then
    problem = world:file_problem(case.scenario.old)
    left = world:snapshot()
  else
    problem, report = end_problem(world, result, case)
    problem = problem or not report.raised and case.scenario.problem(world, report) or nil
  end
  if not problem and case.scenario.lands then
    problem = recovery_problem(world, case, command)
  end
  return left and "killed" or report and report.value ~= nil and "result" or "error",
    problem, struck, left
end

-- Many cases -------------------------------------------------------------------------------

--- Run `f(world, item)` for every item, each world in a coroutine of its own.
local function in_worlds(list, items, f)
  local at = 0
  for _, world in ipairs(list) do
    coroutine.wrap(function()
      while at < #items do
        at = at + 1
        f(world, items[at])
      end
    end)()
  end
  uv.run()
end

local function wants(option, value)
  return asked[option] == nil or asked[option] == value
end

--- Count the calls of an undisturbed run, three times: what depends on the moment varies.
local function count(world, case)
  local runs, before, inside, host = {}, nil, {}, nil
  for _ = 1, 3 do
    local command = prepare(world, case)
    local result, calls, found = tracer.count(command, world.log)
    local problem, report = end_problem(world, result)
    if not case.from then -- what comes after a kill has been looked at
      problem = problem or report.value == nil and report.text
        or case.scenario.problem(world, report)
    end
    if problem then error(("%s fails although nothing disturbs it: %s"):format(case.name, problem)) end
    runs[#runs + 1] = found
    before, host = calls, ("%d"):format(report.host)
  end
  for _, found in ipairs(runs) do
    for call, list in pairs(found) do
      if not inside[call] or #list > #inside[call] then inside[call] = list end
    end
  end
  return { before = before, inside = inside, host = case.scenario.hosted and host or nil }
end

--- The cases of one way to fail, for one scenario.
local function cases_of(mode, name, scenario, counted, from)
  local cases, calls = {}, 0
  local function add(call, what, label, forever)
    local list = counted.inside[call] or {}
    for i, first in ipairs(list) do
      if not (counted.host and first == counted.host) and wants("call", call)
        and wants("error", label) and wants("index", i) then
        local when = (counted.before[call] or 0) + i
        cases[#cases + 1] = { name = name, scenario = scenario, mode = mode, call = call,
          error = label, index = i, what = what, when = when .. (forever and "+" or ""),
          host = counted.host, from = from }
      end
    end
  end
  local function fail(call, errors, forever)
    if forever and counted.host and call:find("^epoll") then return end
    for _, word in ipairs(errors) do
      if not (forever and syscalls.passing[call .. " " .. word]) then
        add(call, word:find("=") and word or "error=" .. word, word, forever)
      end
    end
  end
  local names = {}
  for call in pairs(counted.inside) do names[#names + 1] = call end
  table.sort(names)
  if mode == "once" or mode == "on" then
    for _, call in ipairs(names) do
      local errors = syscalls.errors[call]
      if errors then
        calls = calls + 1
        fail(call, mode == "on" and not asked.full and { errors[1] } or errors, mode == "on")
      end
    end
  else
    for _, call in ipairs(syscalls.deadly) do
      if counted.inside[call] then
        calls = calls + 1
        add(call, "signal=KILL", "KILL", false)
        if mode == "recovery" then fail(call, { "EIO" }, false) end
      end
    end
  end
  return cases, calls
end

-- The table --------------------------------------------------------------------------------

local ROW = "%-10s %-9s %6s %7s %7s %7s %7s %7s  %s\n"
local totals = { cases = 0, failed = 0 }
local failures = {}

local function describe(case)
  return ("--only %s --mode %s --call %s --error %s --index %d"):format(case.name, case.mode,
    case.call, case.error, case.index)
end

--- Run cases, and print their line. Returns what killed programs left, one of each kind.
local function run_cases(list, mode, cases, calls, name, note)
  local went, failed, left = { result = 0, error = 0, killed = 0, missed = 0 }, 0, {}
  in_worlds(list, cases, function(world, case)
    local how, problem, struck, state = run_case(world, case)
    if how == "missed" and not problem then how, problem, struck, state = run_case(world, case) end
    went[how] = went[how] + 1
    if state and not problem and not left[state.kind] then
      left[state.kind] = state
      left[#left + 1] = state
    end
    if problem then
      failed = failed + 1
      failures[#failures + 1] = ("%s\n    %s%s\n    again: %s"):format(problem, struck or "",
        case.from and "\n    from " .. case.from.kind or "", describe(case))
    end
  end)
  if went.missed > 2 and went.missed * 4 > #cases then
    failed = failed + 1
    failures[#failures + 1] = ("%s, %s: %d of %d faults did not strike, so little was proved")
      :format(name, mode, went.missed, #cases)
  end
  if #cases > 0 then
    local verdict = failed == 0 and "ok" or failed .. " FAILED"
    io.write(ROW:format(name, mode, calls, #cases, went.result, went.error, went.killed, went.missed,
      note and ("%s  from %s"):format(verdict, note) or verdict))
    io.flush()
  end
  totals.cases, totals.failed = totals.cases + #cases, totals.failed + failed
  return left
end

--- A call that nobody has thought about must not pass for one that cannot fail.
local function check_known(name, counted)
  for call in pairs(counted.inside) do
    if not syscalls.errors[call] and not syscalls.exempt[call] then
      totals.failed = totals.failed + 1
      failures[#failures + 1] = ("%s makes the system call %s, of which syscalls.lua says nothing")
        :format(name, call)
    end
  end
end

local function counted_in(list, case)
  local counted
  in_worlds({ list[1] }, { case }, function(world) counted = count(world, case) end)
  return counted
end

local function run_scenario(name)
  local scenario = require("scenarios." .. name)
  local list = {}
  for i = 1, asked.jobs do list[i] = worlds.new() end
  local counted = counted_in(list, { name = name, scenario = scenario })
  check_known(name, counted)
  for _, mode in ipairs { "once", "on" } do
    if wants("mode", mode) then
      local cases, calls = cases_of(mode, name, scenario, counted)
      run_cases(list, mode, cases, calls, name)
    end
  end
  if scenario.lands and (wants("mode", "kill") or wants("mode", "recovery")) then
    local cases, calls = cases_of("kill", name, scenario, counted)
    local left = run_cases(list, "kill", cases, calls, name)
    for _, state in ipairs(wants("mode", "recovery") and left or {}) do
      counted = counted_in(list, { name = name, scenario = scenario, from = state })
      cases, calls = cases_of("recovery", name, scenario, counted, state)
      run_cases(list, "recovery", cases, calls, name, state.kind)
    end
  end
  for _, world in ipairs(list) do world:close() end
end

read_arguments()
io.write(ROW:format("scenario", "mode", "calls", "faults", "result", "error", "killed", "missed", ""))
for _, name in ipairs(SCENARIOS) do
  if wants("only", name) then run_scenario(name) end
end
for _, text in ipairs(failures) do io.write("\n", text, "\n") end
io.write(("\n%d faults, %d failed\n"):format(totals.cases, totals.failed))
os.exit(totals.failed == 0 and 0 or 1)
