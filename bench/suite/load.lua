-- load: require "akool.lipsync" and its engine, against libcurl alone.

local measure = require "measure"
local report = require "report"

local TIMES = 4 -- as many runs as rounds are too few for something so short

local function subject(name, command)
  return { name = name, run = function()
    local numbers = assert(measure.run(command))
    return { ms = numbers.cpu * 1e3 }
  end }
end

return {
  title = "Loading",
  run = function(bench)
    local medians = measure.medians({
      subject("floor", { "build/bench/floor_load" }),
      subject("ours", { "lua5.4", "bench/ours/load.lua" }),
    }, TIMES * bench.rounds)
    local floor, ours = medians.floor.ms, medians.ours.ms
    report.table("CPU to load it and make an engine, ms", { "", "libcurl alone", "ours", "ratio" })
    report.row { "warm", ("%.2f"):format(floor), ("%.2f"):format(ours),
      report.bar("load", ours / floor, { most = 1.25 }) }
  end,
}
