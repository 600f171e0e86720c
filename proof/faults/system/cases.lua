-- cases: what there is to do to a scenario. A case is one program, run once, with one thing wrong.

local disk = require "system.disk"
local judge = require "system.judge"
local syscalls = require "system.syscalls"
local tracer = require "system.tracer"

local cases = {}

--- Make everything ready for one run of a case; returns the command that is its program.
function cases.prepare(world, case)
  world:empty()
  local given = {}
  for name, value in pairs(world.given) do given[name] = value end
  for name, value in pairs(case.scenario.prepare(world)) do given[name] = value end
  if case.from then world:restore(case.from) end
  return tracer.program(case.name, given)
end

--- Count the calls of an undisturbed run, three times, since what depends on the moment varies.
---@param world table
---@param case { name: string, scenario: table, from: table? }
---@return { before: table<string, integer>, inside: table<string, table>, host: string? }
function cases.count(world, case)
  local all = { inside = {} }
  for _ = 1, 3 do
    local result, before, inside = tracer.count(cases.prepare(world, case), world.log)
    local problem, report = judge.ending(world, result)
    if not case.from then -- after a kill, what comes next has been looked at already
      problem = problem or report.text or case.scenario.problem(world, report)
    end
    if problem then
      error(("%s fails although nothing disturbs it: %s"):format(case.name, problem))
    end
    for call, list in pairs(inside) do
      if not all.inside[call] or #list > #all.inside[call] then all.inside[call] = list end
    end
    all.before, all.host = before, case.scenario.hosted and ("%d"):format(report.host) or nil
  end
  return all
end

--- A list of cases and a function that adds one for each index of a call.
local function lister(base, counted)
  local list = {}
  return list, function(call, label, what, lasts)
    for i, first in ipairs(counted.inside[call] or {}) do
      if not (counted.host and first == counted.host) then
        local when = ("%d%s"):format((counted.before[call] or 0) + i, lasts and "+" or "")
        list[#list + 1] = setmetatable({ call = call, error = label, index = i, what = what,
          when = when, host = counted.host }, { __index = base })
      end
    end
  end
end

local function what_of(word)
  return word:find("=", 1, true) and word or "error=" .. word
end

local function sorted(names)
  local list = {}
  for name in pairs(names) do list[#list + 1] = name end
  table.sort(list)
  return list
end

--- Calls that fail: `once`, or from there `on`. When a fault lasts, the first error of each call
--- stands for the others unless all are wanted.
function cases.failing(base, counted, all)
  local lasts = base.mode == "on"
  local list, add = lister(base, counted)
  for _, call in ipairs(sorted(counted.inside)) do
    local hosts = lasts and counted.host and call:find("^epoll")
    for i, word in ipairs(not hosts and syscalls.errors[call] or {}) do
      local passing = syscalls.passing[call .. " " .. word]
      if not lasts or not passing and (all or i == 1) then
        add(call, word, what_of(word), lasts)
      end
    end
  end
  return list
end

--- Calls at which the program is killed; while it recovers from a kill, also those that fail.
function cases.killing(base, counted, all)
  local list, add = lister(base, counted)
  for _, call in ipairs(syscalls.deadly) do
    local errors = all and syscalls.errors[call] or { "EIO" }
    add(call, "KILL", "signal=KILL", false)
    for _, word in ipairs(base.mode == "recovery" and errors or {}) do
      add(call, word, what_of(word), false)
    end
  end
  return list
end

--- Disks in all sizes up to that of the result.
function cases.disk(base, way, film)
  local list = {}
  for room = way.step, #film + 3 * way.step, way.step do -- the last ones have room enough
    list[#list + 1] = setmetatable({ call = way.name, error = ("%d bytes"):format(room),
      index = #list + 1, room = room, way = way }, { __index = base })
  end
  return list
end

cases.ways = disk.ways

return cases
