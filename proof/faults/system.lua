-- system.lua [--full] [--jobs N] [--only SCENARIO] [--mode M] [--call C] [--error E] [--index N]
--
-- Fails the system calls of the library, one at a time. Each scenario is a program of its own; its
-- calls are counted under strace while nothing fails, and then, at every index of every call:
--
--   once      the call fails, the next one works again
--   on        the call fails, and so do all later ones of its name
--   kill      the program is killed as it makes the call (downloads only)
--   recovery  a program goes on from each different thing that a killed one left, and its calls
--             fail once or kill it again
--   limit     files may not grow beyond a limit, at every 512 bytes of it
--   tmpfs     the disk is so small, at every page of it
--
-- After every run the world is looked at from outside. The program ended by itself, with a result
-- that is true or an error that has a type, and left no descriptor open; the file is whole or
-- absent, and the next undisturbed run brings it; the service knows of at most one create, and what
-- was said of it is true. A single failure from which one can recover has been recovered from.

package.path = arg[0]:gsub("[^/]*$", "?.lua;") .. package.path

local cases = require "system.cases"
local judge = require "system.judge"
local syscalls = require "system.syscalls"
local tracer = require "system.tracer"
local worlds = require "system.world"
local uv = require "luv"

local SCENARIOS = {
  "create", "info", "poll", "token", "credits", "tasks", "host", "download", "resume", "overwrite",
  "generate",
}

-- What was asked for -----------------------------------------------------------------------

local asked = { jobs = 2 * #uv.cpu_info() } -- most of a run is waiting

local function usage(problem)
  io.stderr:write("system.lua: ", problem, "\nusage: system.lua [--full] [--jobs N] ",
    "[--only SCENARIO] [--mode MODE]\n  [--call NAME] [--error NAME] [--index N]\n")
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

local function wants(option, value)
  return asked[option] == nil or asked[option] == value
end

-- Running one case -------------------------------------------------------------------------

--- After a download was interrupted, a run that nothing disturbs ends with the file.
local function recovery_problem(world, case, command)
  local before = world:files()
  local problem, report = judge.ending(world, tracer.run(command))
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

--- What is wrong with how a download met the end of its disk.
local function disk_problem(world, case, report)
  if report.value then
    local fits = case.way.name ~= "limit" or case.room >= #world.film
    return not fits and "a file that is longer than the limit" or nil
  end
  local files = world:files()
  if report.error.kind ~= "io" then return "not an error of the disk: " .. report.text end
  if files["out.mp4.part"] then return "the part still takes what room there was" end
end

--- Run one case; returns how it went ("result", "error", "killed" or "missed"), what is wrong with
--- that (nil: nothing), what was hit, and what a program that was killed has left.
local function run_case(world, case)
  local command = cases.prepare(world, case)
  local result, struck, problem, report, left
  if case.way then
    result, struck = tracer.run(case.way.command(world, case.room, command)), case.error
  else
    result, struck = tracer.fail(command, world.log, case)
    if not struck then return "missed", result.hung and "it hung" or nil end
    if case.host and struck:match("%(([^,%)]*)") == case.host then return "missed" end
  end
  if result.signal == 9 and not result.hung then
    problem, left = world:file_problem(case.scenario.old), world:snapshot(case.scenario.old)
  else
    problem, report = judge.ending(world, result, case)
    problem = problem or not report.raised and (case.scenario.problem(world, report)
      or case.way and disk_problem(world, case, report)) or nil
  end
  if not problem and case.scenario.lands then
    problem = recovery_problem(world, case, command)
  end
  return left and "killed" or report and report.value ~= nil and "result" or "error",
    problem, struck, left
end

-- Many cases -------------------------------------------------------------------------------

--- Run `f(world, item)` for every item, in each world one after the other.
local function in_worlds(list, items, f)
  local at, going = 0, #list
  for _, world in ipairs(list) do
    coroutine.wrap(function()
      while at < #items do
        at = at + 1
        f(world, items[at])
      end
      going = going - 1
    end)()
  end
  uv.run()
  assert(going == 0, "a case was left in the middle")
end

local ROW = "%-10s %-9s %7s %7s %7s %7s %7s  %s\n"
local totals = { cases = 0, failed = 0, scenarios = 0 }
local failures, not_run = {}, {}

local function failed(text, ...)
  totals.failed = totals.failed + 1
  failures[#failures + 1] = text:format(...)
end

local function filtered(list)
  local picked = {}
  for _, case in ipairs(list) do
    if wants("call", case.call) and wants("error", case.error) and wants("index", case.index) then
      picked[#picked + 1] = case
    end
  end
  return picked
end

--- Run cases and print their line. Returns what killed programs left, one of each kind.
local function run_all(list, items, from)
  local went, left = { result = 0, error = 0, killed = 0, missed = 0 }, {}
  local before = totals.failed
  if #items == 0 then return left end
  local name, mode = items[1].name, items[1].mode
  in_worlds(list, items, function(world, case)
    local how, problem, struck, state = run_case(world, case)
    -- How often some calls are made depends on the moment, and a busy machine may make any of them
    -- late: once more, then.
    if how == "missed" and not problem or problem and problem:find("timeout/", 1, true) then
      how, problem, struck, state = run_case(world, case)
    end
    went[how] = went[how] + 1
    if state and not problem and not left[state.kind] then
      left[state.kind] = state
      left[#left + 1] = state
    end
    if problem then
      failed("%s: %s\n  %s%s\n  again: ./dev faults system --only %s --mode %s --call %s "
        .. "--error '%s' --index %d", name, problem, struck or "",
        from and "\n  from " .. from.kind or "", name, mode, case.call, case.error, case.index)
    end
  end)
  -- Calls that depend on the moment come less often at times; many faults that miss prove nothing.
  if went.missed > 4 and went.missed * 4 > #items then
    failed("%s, %s: %d of %d faults did not strike", name, mode, went.missed, #items)
  end
  local bad = totals.failed - before
  io.write(ROW:format(name, mode, #items, went.result, went.error, went.killed, went.missed,
    (bad == 0 and "ok" or bad .. " FAILED") .. (from and "  from " .. from.kind or "")))
  io.flush()
  totals.cases = totals.cases + #items
  return left
end

--- A call that nobody has thought about must not pass for one that cannot fail.
local function check_known(name, counted)
  for call in pairs(counted.inside) do
    if not syscalls.errors[call] and not syscalls.exempt[call] then
      failed("%s makes the system call %s, of which syscalls.lua says nothing", name, call)
    end
  end
end

local function count(list, case)
  local counted
  in_worlds({ list[1] }, { case }, function(world) counted = cases.count(world, case) end)
  return counted
end

--- Downloads: kill them, and see how they recover.
local function run_kills(list, base, counted)
  local recovery = wants("mode", "recovery")
  if not recovery and not wants("mode", "kill") then return end
  local kills = cases.killing(base("kill"), counted, asked.full)
  -- What is left by all kills is wanted even when only some recoveries are.
  local left = run_all(list, asked.mode == "recovery" and kills or filtered(kills))
  for _, state in ipairs(recovery and left or {}) do
    local again = base("recovery", state)
    run_all(list, filtered(cases.killing(again, count(list, again), asked.full)), state)
  end
end

local function run_disks(list, base)
  for _, way in ipairs(cases.ways) do
    if wants("mode", way.name) then
      if not way.possible or way.possible() then
        run_all(list, filtered(cases.disk(base(way.name), way, list[1].film)))
      else
        local name = base(way.name).name
        io.write(ROW:format(name, way.name, "-", "-", "-", "-", "-", "not run: no right to mount"))
        not_run[#not_run + 1] = name .. " " .. way.name
      end
    end
  end
end

local function run_scenario(name)
  local scenario, list = require("system.scenarios." .. name), {}
  local function base(mode, from)
    return { name = name, scenario = scenario, mode = mode, from = from }
  end
  for i = 1, asked.jobs do list[i] = worlds.new() end
  local counted = count(list, base())
  check_known(name, counted)
  for _, mode in ipairs { "once", "on" } do
    if wants("mode", mode) then
      run_all(list, filtered(cases.failing(base(mode), counted, asked.full)))
    end
  end
  if scenario.lands then
    run_kills(list, base, counted)
    run_disks(list, base)
  end
  for _, world in ipairs(list) do world:close() end
  totals.scenarios = totals.scenarios + 1
end

read_arguments()
io.write(ROW:format("scenario", "mode", "faults", "result", "error", "killed", "missed", ""))
for _, name in ipairs(SCENARIOS) do
  if wants("only", name) then run_scenario(name) end
end
for _, text in ipairs(failures) do io.write("\n", text, "\n") end
if #not_run > 0 then io.write("\nNot run: ", table.concat(not_run, ", "), ".\n") end
if totals.cases == 0 then usage("nothing is called that") end
io.write(totals.failed == 0
  and ("\nSystem calls: %d faults in %d scenarios, and every program came through.\n")
    :format(totals.cases, totals.scenarios)
  or ("\nSystem calls: %d of %d faults FAILED.\n"):format(totals.failed, totals.cases))
os.exit(totals.failed == 0 and 0 or 1)
