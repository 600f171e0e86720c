-- download: a result to a file. The library also digests what it writes and has it on the disk
-- before it gives it its name, so the floor that it is held against has the same duties.

local uv = require "luv"
local measure = require "measure"
local origin = require "origin"
local report = require "report"

local FLOOR = "build/bench/floor"
local MIB = 1024 * 1024
local WAYS = {
  { title = "HTTP" },
  { title = "TLS, HTTP/1.1", tls = true },
}

local function subject(name, path, command)
  return { name = name, run = function()
    local numbers = assert(measure.run(command))
    os.remove(path)
    return { rate = numbers.bytes / numbers.seconds / MIB, cpu = numbers.cpu,
      grown = numbers.grown_kb / 1024 }
  end }
end

local function measure_size(bench, way, service, size)
  local url, path = service:serve("film.mp4", size), service.dir .. "/out.mp4"
  local medians = measure.medians({
    subject("bare", path, { FLOOR, "download", url, path, "bare", service.ca_file }),
    subject("whole", path, { FLOOR, "download", url, path, "whole", service.ca_file }),
    subject("ours", path, { "lua5.4", "bench/ours/download.lua", url, path, service.ca_file }),
  }, size > 100 * MIB and math.min(3, bench.rounds) or bench.rounds)
  local bare, whole, ours = medians.bare, medians.whole, medians.ours
  local name = ("download, %s, %d MiB"):format(way.title, size // MIB)
  report.row {
    way.title, ("%d"):format(size // MIB),
    ("%.0f"):format(bare.rate), ("%.0f"):format(whole.rate), ("%.0f"):format(ours.rate),
    report.bar(name .. ", rate", ours.rate / whole.rate, { least = 0.95 }),
    ("%.2f"):format(ours.rate / bare.rate),
    ("%.3f"):format(bare.cpu), ("%.3f"):format(whole.cpu), ("%.3f"):format(ours.cpu),
    ("%.2f"):format(ours.cpu / whole.cpu),
    ("%.1f"):format(whole.grown),
    report.bar(name .. ", memory (MiB)", ours.grown, { most = 4 }, "%.1f"),
  }
end

return {
  title = "Downloads",
  run = function(bench)
    report.table("MiB/s, CPU seconds, and memory above that at rest", { "way", "MiB", "bare floor",
      "floor", "ours", "of floor", "of bare", "bare floor CPU s", "floor", "ours", "ratio",
      "floor grew by MiB", "ours" })
    for _, way in ipairs(WAYS) do
      local service = bench.start(way)
      measure_size(bench, way, service, 64 * MIB)
      if bench.full then measure_size(bench, way, service, 1024 * MIB) end
    end
    report.note(("Bare: only written. The bar is the floor with the library's duties: SHA-256, "
      .. "fsync, rename. The files were in %s%s."):format(origin.folder(),
      origin.folder() ~= uv.os_tmpdir() and ", in memory, where no disk decides" or ""))
  end,
}
