-- usage: what this process holds: resident memory, descriptors, and what Lua's collector counts.

local uv = require "luv"

local usage = {}

--- kB.
function usage.memory()
  for line in io.lines("/proc/self/status") do
    local kb = line:match("^VmRSS:%s*(%d+)")
    if kb then return tonumber(kb) end
  end
end

--- Open descriptors.
function usage.descriptors()
  local count = -1 -- the one that reads the folder
  for _ in uv.fs_scandir_next, assert(uv.fs_scandir("/proc/self/fd")) do count = count + 1 end
  return count
end

--- Bytes that Lua holds after two collections.
function usage.lua()
  collectgarbage()
  collectgarbage()
  return math.floor(collectgarbage("count") * 1024)
end

--- The least of five numbers that end at the index `last`.
local function least(list, last)
  return math.min(table.unpack(list, last - 4, last))
end

local function mean(list, first)
  local sum = 0
  for i = first, first + 9 do sum = sum + list[i] end
  return sum / 10
end

local ROOM = 512 -- bytes: tables whose keys come and go are now this large, now that

--- Have `work(n)` do `count` steps, in hundredths, and compare: the mean memory of the first tenth
--- with that of the last, descriptors before and after, and what Lua holds, the least that was seen
--- in the first half and in the second.
---@param scenario string
---@param count integer
---@param work fun(n: integer)   # does n of them
---@param row fun(scenario: string, what: string, first: number, last: number, limit: string, fine: boolean)
function usage.watch(scenario, count, work, row)
  local samples, lua, each = {}, {}, count // 100
  for i = 1, 100 do samples[i] = 0 end -- now, not while Lua's memory is watched
  for i = 1, 10 do lua[i] = 0 end
  work(math.max(each, 2000)) -- connections, handles and caches are there
  local descriptors = usage.descriptors()
  for i = 1, 100 do
    work(each)
    samples[i] = usage.memory()
    if i % 10 == 0 then lua[i // 10] = usage.lua() end
  end
  local first, last = mean(samples, 1), mean(samples, 91)
  row(scenario, "memory, kB", first, last, "1 % more", last <= first * 1.01)
  local left = usage.descriptors()
  row(scenario, "descriptors", descriptors, left, "no more", left <= descriptors)
  first, last = least(lua, 5), least(lua, 10)
  row(scenario, "Lua's memory, bytes", first, last, ROOM .. " bytes more", last <= first + ROOM)
end

return usage
