-- waiting: many jobs in one process, each polled every few seconds through at most 64 connections:
-- what a waiting job costs in memory, a poll in CPU, and how late it is. The service notes when it
-- was asked; lateness is what lies between two polls of a job beyond the period, so it holds the
-- request's own time too.

local measure = require "measure"
local report = require "report"

local CONNECTIONS = 64
local PATH = "/waiting/api/open/v3/content/video/infobymodelid?video_model_id="

local LEVELS = {
  { jobs = 1000, period = 2, seconds = 20 },
  { jobs = 10000, period = 2, seconds = 20 },
  { jobs = 100000, period = 60, seconds = 60, full = true },
}

local function words(...)
  local list = { ... }
  for i, word in ipairs(list) do list[i] = tostring(word) end
  return list
end

--- Mean and longest lateness in ms, and how many polls there were after the first of each job.
local function lateness(polls, period)
  local sum, count, longest = 0, 0, 0
  for _, moments in pairs(polls) do
    for i = 2, #moments do
      local late = (moments[i] - moments[i - 1] - period) * 1e3
      sum, count, longest = sum + late, count + 1, math.max(longest, late)
    end
  end
  return sum / count, longest, count
end

--- Run one, and add what the service saw.
local function observe(service, level, command)
  local numbers = assert(measure.run(command))
  local mean, longest, count = lateness(service:polls(), level.period)
  local expected = level.jobs * level.seconds / level.period
  if count < expected * 0.9 then
    error(("%d polls of %d are missing"):format(expected - count, expected))
  end
  numbers.cpu = numbers.cpu / (level.jobs * level.seconds / level.period) * 1e6
  numbers.mean, numbers.longest = mean, longest
  return numbers
end

local function cells(level, title, numbers, floor)
  return { ("%d"):format(level.jobs), ("%g s"):format(level.period), title,
    ("%.1f"):format(numbers.cpu), floor and ("%.2f"):format(numbers.cpu / floor.cpu) or "",
    "", "", ("%.2f"):format(numbers.mean), ("%.1f"):format(numbers.longest) }
end

local function our_row(level, title, numbers, floor, first, bytes)
  local name = ("waiting, %d %s"):format(level.jobs, title)
  local row = cells(level, title, numbers, floor)
  row[5] = report.bar(name .. ", CPU", numbers.cpu / floor.cpu, { most = 1.3 })
  if first and level.jobs == 100000 then
    report.bar(name .. ", CPU against that of 1,000 jobs", numbers.cpu / first.cpu, { most = 1.15 })
  end
  row[6] = level.jobs >= 10000
    and report.bar(name .. ", bytes per job", numbers.bytes, { most = bytes }, "%.0f")
    or ("%.0f"):format(numbers.bytes)
  row[7] = ("%.0f"):format(numbers.lua_bytes)
  row[8] = report.bar(name .. ", mean lateness (ms)", numbers.mean, { most = 1 })
  row[9] = report.bar(name .. ", longest lateness (ms)", numbers.longest, { most = 20 }, "%.1f")
  report.row(row)
end

return {
  title = "Waiting jobs",
  run = function(bench)
    local service = bench.start {}
    report.table("Jobs that wait, plain HTTP", { "jobs", "polled every", "followed by",
      "CPU us per poll", "ratio", "bytes per job", "of that Lua's", "late ms, mean", "longest" })
    local first = {}
    for _, level in ipairs(LEVELS) do
      if bench.full or not level.full then
        local floor = observe(service, level, words("build/bench/floor", "waiting",
          service.url .. PATH, CONNECTIONS, level.jobs, level.period, level.seconds))
        report.row(cells(level, "floor", floor))
        for _, ours in ipairs {
          { title = "ops in a table", how = "ops", bytes = 500 },
          { title = "a task each", how = "tasks", bytes = 1.8 * 1024 },
        } do
          local numbers = observe(service, level, words("lua5.4", "bench/ours/waiting.lua",
            service.url .. "/waiting", ours.how, level.jobs, level.period, level.seconds))
          our_row(level, ours.title, numbers, floor, first[ours.how], ours.bytes)
          first[ours.how] = first[ours.how] or numbers
        end
      end
    end
    report.note("Bytes per job are resident memory above that before the first job, of which so "
      .. "much is counted by Lua's collector; below 10,000 jobs pages blur it. What lies between "
      .. "is mostly the collector's slack: room where garbage was, and where the next will be.")
  end,
}
