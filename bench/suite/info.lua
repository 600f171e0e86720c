-- info: one question, one answer, decoded; the steady state of every client. Over plain HTTP, and
-- over TLS with HTTP/1.1 and with HTTP/2.

local measure = require "measure"
local report = require "report"

local WAYS = {
  { name = "plain", title = "plain HTTP", version = "1.1", rate = 0.75 },
  { name = "tls", title = "TLS, HTTP/1.1", version = "1.1", tls = true, rate = 0.85 },
  { name = "h2", title = "TLS, HTTP/2", version = "2", tls = true, http2 = true, rate = 0.85 },
}

local LEVELS = { -- callers at once, and how many requests they make in all
  { callers = 1, requests = 10000 },
  { callers = 16, requests = 30000 },
  { callers = 64, requests = 30000 },
  { callers = 256, requests = 30000 },
}
local WARM_UP = 2000
local IN_FLIGHT = 64 -- more is slower for everybody; the library's default for max_connections

local PATH = "/api/open/v3/content/video/infobymodelid?video_model_id=66160f989dfc997ac289037b"

local function floor_command(way, service, in_flight, requests, kind)
  return { "build/bench/floor", "info", service.url .. PATH, tostring(in_flight),
    tostring(requests), kind or "plain", way.version, service.ca_file }
end

local function our_command(service, callers, requests)
  return { "lua5.4", "bench/ours/info.lua", service.url, tostring(callers), tostring(requests),
    service.ca_file }
end

--- A subject that also says how many connections the service saw.
local function subject(name, service, command_of, requests)
  return { name = name, run = function(warming)
    local before = service:counted().connections
    local numbers = assert(measure.run(command_of(warming and WARM_UP or requests)))
    numbers.connections = service:counted().connections - before
    numbers.rate = numbers.requests / numbers.seconds
    numbers.cpu = numbers.cpu / numbers.requests * 1e6
    return numbers
  end }
end

--- The better of two floors: as many in flight as there are callers, or only as many as are good.
local function best(one, other)
  return other and other.rate > one.rate and other or one
end

local function level_row(bench, way, service, level)
  local subjects = {
    subject("all", service, function(n)
      return floor_command(way, service, level.callers, n)
    end, level.requests),
    subject("ours", service, function(n)
      return our_command(service, level.callers, n)
    end, level.requests),
  }
  if level.callers > IN_FLIGHT then
    subjects[3] = subject("some", service, function(n)
      return floor_command(way, service, IN_FLIGHT, n)
    end, level.requests)
  end
  local medians = measure.medians(subjects, bench.rounds)
  local floor, ours = best(medians.all, medians.some), medians.ours
  local name = ("info, %s, c=%d"):format(way.title, level.callers)
  local rate, cpu = ours.rate / floor.rate, ours.cpu / floor.cpu
  report.row {
    tostring(level.callers),
    ("%.0f"):format(floor.rate), ("%.0f"):format(ours.rate),
    level.callers > 1 and report.bar(name .. ", requests/s", rate, { least = way.rate })
      or ("%.2f"):format(rate),
    ("%.1f"):format(floor.cpu), ("%.1f"):format(ours.cpu),
    level.callers == 1 and report.bar(name .. ", CPU", cpu, { most = 1.2 }) or ("%.2f"):format(cpu),
    ("%.1f"):format(floor.peak_kb / 1024), ("%.1f"):format(ours.peak_kb / 1024),
    ("%.0f"):format(floor.connections), ("%.0f"):format(ours.connections),
  }
end

--- Instructions per request: what 3,000 take, less what 1,000 take.
local function instructions(command_of)
  local few, many = assert(measure.instructions(command_of(1000))),
    assert(measure.instructions(command_of(3000)))
  return (many - few) / 2000
end

local function instruction_table(services)
  report.table("Instructions per request, user space",
    { "way", "callers", "floor", "ours", "ratio", "tuned floor", "ratio" })
  for i, way in ipairs(WAYS) do
    for _, callers in ipairs { 1, 64 } do
      local service = services[i]
      local floor = instructions(function(n) return floor_command(way, service, callers, n) end)
      local tuned = instructions(function(n)
        return floor_command(way, service, callers, n, "tuned")
      end)
      local ours = instructions(function(n) return our_command(service, callers, n) end)
      local ratio, name = ours / floor, ("info, %s, c=%d, instructions"):format(way.title, callers)
      report.row { way.title, tostring(callers), ("%.0f"):format(floor), ("%.0f"):format(ours),
        i == 1 and report.bar(name, ratio, { most = 1.5 }) or ("%.2f"):format(ratio),
        ("%.0f"):format(tuned), ("%.2f"):format(ours / tuned) }
    end
  end
  report.note(report.TUNED)
end

return {
  title = "Requests",
  run = function(bench)
    local services = {}
    for i, way in ipairs(WAYS) do
      services[i] = bench.start(way)
      report.table(way.title, { "callers", "floor req/s", "ours", "ratio", "floor CPU us", "ours",
        "ratio", "floor peak MiB", "ours", "floor connections", "ours" })
      for _, level in ipairs(LEVELS) do level_row(bench, way, services[i], level) end
    end
    instruction_table(services)
  end,
}
