-- usage: what this process holds: resident memory, descriptors, and what Lua's collector counts.

local uv = require "luv"

local usage = {}

local HIGHEST = 1023 -- of the descriptors; a system gives no program more unless it asks

local paths = {} -- made once: so many new strings would change what Lua holds
for fd = 0, HIGHEST do paths[fd] = "/proc/self/fd/" .. fd end

--- kB.
function usage.memory()
  for line in io.lines("/proc/self/status") do
    local kb = line:match("^VmRSS:%s*(%d+)")
    if kb then return tonumber(kb) end
  end
end

--- Open descriptors. Asked for one by one: luv's fs_scandir keeps memory at each use.
function usage.descriptors()
  local count = 0
  for fd = 0, HIGHEST do
    if uv.fs_readlink(paths[fd]) then count = count + 1 end
  end
  return count
end

--- Bytes that Lua holds after two collections.
function usage.lua()
  collectgarbage()
  collectgarbage()
  return math.floor(collectgarbage("count") * 1024)
end

--- The least of the numbers from `first` to `last`. What is in use for a moment, and may be returned
--- to the system or not, comes on top of it; a leak raises the least too.
local function least(list, first, last)
  return math.min(table.unpack(list, first, last))
end

local function most(list, first, last)
  return math.max(table.unpack(list, first, last))
end

local KEPT = 16   -- descriptors: how many connections are kept is chance, up to one for each caller
local ROOM = 1024 -- bytes: tables whose keys come and go are now this large, now that

--- Have `work(n)` do `count` steps, in hundredths, after a tenth of that to warm up, and compare: the
--- memory of the first tenth with that of the last, and descriptors and what Lua holds in the first
--- half with those in the second.
---@param scenario string
---@param count integer
---@param work fun(n: integer)   # does n of them
---@param row fun(scenario: string, what: string, first: number, last: number, limit: string, fine: boolean)
function usage.watch(scenario, count, work, row)
  local samples, descriptors, lua, each = {}, {}, {}, count // 100
  for i = 1, 100 do samples[i], descriptors[i], lua[i] = 0, 0, 0 end -- now, not while Lua's memory is watched
  for _ = 1, 10 do work(each) end -- connections, handles and caches are there
  for i = 1, 100 do
    work(each)
    lua[i], samples[i], descriptors[i] = usage.lua(), usage.memory(), usage.descriptors()
  end
  local first, last = least(samples, 1, 10), least(samples, 91, 100)
  row(scenario, "memory, kB", first, last, "1 % more", last <= first * 1.01)
  first, last = most(descriptors, 1, 50), most(descriptors, 51, 100)
  row(scenario, "descriptors", first, last, KEPT .. " more, not all",
    last <= first + KEPT and last <= HIGHEST)
  first, last = least(lua, 1, 50), least(lua, 51, 100)
  row(scenario, "Lua's memory, bytes", first, last, ROOM .. " bytes more", last <= first + ROOM)
end

return usage
