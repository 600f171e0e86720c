-- webhook: deliveries to a receiver over loopback, a tenth of them twice. All have to be answered with
-- 200 and none believed twice; after the first ten thousand, which fill what a receiver remembers, the
-- next ten thousand must not take memory.

local measure = require "measure"
local report = require "report"

local DELIVERIES, CONCURRENCY = 20000, 64
local WAYS = { { "own", "the library's loop" }, { "luv", "luv's loop" } }

return {
  title = "Webhooks",
  run = function(bench)
    local subjects = {}
    for i, way in ipairs(WAYS) do
      subjects[i] = { name = way[2], run = function()
        return assert(measure.run { "lua5.4", "bench/ours/webhook.lua", way[1],
          tostring(DELIVERIES), tostring(CONCURRENCY) })
      end }
    end
    local medians = measure.medians(subjects, bench.rounds)
    report.table(("%d deliveries, %d at once, and a tenth of them again"):format(DELIVERIES,
      CONCURRENCY), { "receiver in", "answers/s", "CPU us each", "not 200", "not told of",
      "told of twice", "heap kB", "resident kB" })
    for _, subject in ipairs(subjects) do
      local numbers = medians[subject.name]
      local function bar(what, value, most)
        return report.bar(("webhook in %s, %s"):format(subject.name, what), value, { most = most },
          "%.0f")
      end
      report.row { subject.name, ("%.0f"):format(numbers.posted / numbers.seconds),
        ("%.0f"):format(numbers.cpu / numbers.posted * 1e6),
        bar("not answered with 200", numbers.posted - numbers.good, 0),
        bar("not told of", DELIVERIES - numbers.told, 0),
        bar("told of twice", numbers.twice, 0),
        bar("heap (kB)", numbers.heap_kb, 1024), bar("memory (kB)", numbers.rss_kb, 2048) }
    end
    report.note("Memory is what the second half of the deliveries added.")
  end,
}
