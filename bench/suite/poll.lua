-- poll: jobs followed to their end without a pause, where all but one in a hundred answers are byte
-- for byte the last one: what following costs when nothing changes, which is nearly always.

local measure = require "measure"
local report = require "report"

local LEVELS = {
  { callers = 1, jobs = 100 },
  { callers = 16, jobs = 300 },
  { callers = 64, jobs = 300 },
}
local WARM_UP = 20
local PATH = "/api/open/v3/content/video/infobymodelid?video_model_id=66160f989dfc997ac289037b"

local function floor_command(service, callers, jobs, kind)
  return { "build/bench/floor", "poll", service.url .. "/ending" .. PATH, tostring(callers),
    tostring(jobs), kind or "plain" }
end

local function our_command(service, callers, jobs)
  return { "lua5.4", "bench/ours/poll.lua", service.url .. "/ending", tostring(callers),
    tostring(jobs) }
end

--- Only the service knows how many polls were made.
local function counting(service, run)
  local before = service:counted().requests
  local result, why = run()
  assert(result, why)
  return result, service:counted().requests - before
end

local function subject(name, service, command_of, jobs)
  return { name = name, run = function(warming)
    local command = command_of(warming and WARM_UP or jobs)
    local numbers, polls = counting(service, function() return measure.run(command) end)
    return { rate = polls / numbers.seconds, cpu = numbers.cpu / polls * 1e6 }
  end }
end

local function level_row(bench, service, level)
  local medians = measure.medians({
    subject("floor", service, function(n) return floor_command(service, level.callers, n) end,
      level.jobs),
    subject("ours", service, function(n) return our_command(service, level.callers, n) end,
      level.jobs),
  }, bench.rounds)
  local floor, ours = medians.floor, medians.ours
  report.row {
    tostring(level.callers), ("%.0f"):format(floor.rate), ("%.0f"):format(ours.rate),
    report.bar(("poll, c=%d, requests/s"):format(level.callers), ours.rate / floor.rate,
      { least = 0.9 }),
    ("%.1f"):format(floor.cpu), ("%.1f"):format(ours.cpu), ("%.2f"):format(ours.cpu / floor.cpu),
  }
end

--- Instructions per poll: what many jobs take, less what a few take.
local function instructions(service, callers, command_of)
  local jobs = math.max(10, callers)
  local few, few_polls = counting(service, function()
    return measure.instructions(command_of(jobs))
  end)
  local many, many_polls = counting(service, function()
    return measure.instructions(command_of(jobs + math.max(20, callers)))
  end)
  return (many - few) / (many_polls - few_polls)
end

return {
  title = "Polls",
  run = function(bench)
    local service = bench.start {}
    report.table("Jobs followed to their end, plain HTTP",
      { "callers", "floor polls/s", "ours", "ratio", "floor CPU us", "ours", "ratio" })
    for _, level in ipairs(LEVELS) do level_row(bench, service, level) end
    report.table("Instructions per poll, user space",
      { "callers", "floor", "ours", "ratio", "tuned floor", "ratio" })
    for _, callers in ipairs { 1, 64 } do
      local function floor(kind)
        return instructions(service, callers, function(n)
          return floor_command(service, callers, n, kind)
        end)
      end
      local plain, tuned = floor("plain"), floor("tuned")
      local ours = instructions(service, callers, function(n)
        return our_command(service, callers, n)
      end)
      report.row { tostring(callers), ("%.0f"):format(plain), ("%.0f"):format(ours),
        report.bar(("poll, c=%d, instructions"):format(callers), ours / plain, { most = 1.15 }),
        ("%.0f"):format(tuned), ("%.2f"):format(ours / tuned) }
    end
    report.note(report.TUNED)
  end,
}
