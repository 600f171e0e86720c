-- usage: what this process uses, and how a program under measurement says so: one line of JSON.
-- Runs on every Lua, since the peers need older ones.

local usage = {}

local function status(name)
  for line in io.lines("/proc/self/status") do
    local kb = line:match("^" .. name .. ":%s*(%d+)")
    if kb then return tonumber(kb) end
  end
end

--- Resident memory in kB: now, and the most it ever was.
function usage.rss() return status("VmRSS") end
function usage.peak_rss() return status("VmHWM") end

--- Print what was measured: a table of numbers by name.
function usage.report(values)
  local fields = {}
  for name, value in pairs(values) do
    fields[#fields + 1] = ("\"%s\":%.6f"):format(name, value)
  end
  io.write("{", table.concat(fields, ","), "}\n")
end

--- Have `count` requests made, `concurrency` at once, by tasks of which `spawn` starts one; each
--- calls `request` until there are no more to make.
function usage.share_out(count, concurrency, request, spawn)
  local left = count
  local function work()
    while left > 0 do
      left = left - 1
      request()
    end
  end
  for _ = 1, concurrency do spawn(work) end
end

return usage
