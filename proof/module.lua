-- A helper for busted: makes sure that the specs run on the build they are meant to prove.

local wanted = assert(os.getenv("AKL_MODULE"), "AKL_MODULE does not say which module is meant")
local core = require "akool.lipsync.core"

assert(type(core.engine) == "function")
local mapped = false
for line in io.lines("/proc/self/maps") do
  local path = line:match("(/%S*core%.so)$")
  assert(not path or path == wanted, ("%s was loaded instead of %s"):format(path, wanted))
  mapped = mapped or path == wanted
end
assert(mapped, wanted .. " was not loaded")
