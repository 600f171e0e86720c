-- calls: a worker is killed as it makes a system call: at every index of each that changes what is on
-- disk or on the wire, so that no moment between two of them is left to chance. The worker that goes on
-- is killed in the same way, somewhere, and a third one brings it to an end. With SQLite, which makes its
-- calls in the worker.

local audit = require "support.audit"
local workshop = require "support.workshop"

local ROWS = 2
local CALLS = {
  "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "unlink", "connect", "sendto",
  "recvfrom",
}

--- Words that let strace kill what comes behind them.
local function killer(call, index)
  return { "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" .. call, "-e",
    ("inject=%s:signal=KILL:when=%d"):format(call, index) }
end

--- Run a worker to its end, or until it is killed. Returns whether it was.
local function run(shop, prefix)
  local worker = shop:start(prefix)
  shop:wait(worker)
  return shop:was_killed(worker)
end

--- One batch whose first worker is killed at a call, and its second one at some other.
---@return boolean struck  # was the first one killed? Else it makes no more of these calls
---@return string[] problems
---@return table<string, true> moments
local function batch(shop, call, index, random, most)
  shop:open()
  local struck, moments = run(shop, killer(call, index)), {}
  if struck then
    moments = audit.left(shop)
    local other = CALLS[1 + math.floor(random() * #CALLS)]
    run(shop, killer(other, 1 + math.floor(random() * (most[other] or 8))))
    run(shop)
  end
  return struck, audit.problems(shop), moments
end

--- All indexes of a call.
local function scan(shop, call, random, most, problems)
  local index, all = 0, {}
  repeat
    index = index + 1
    local struck, found, moments = batch(shop, call, index, random, most)
    for word in pairs(moments) do all[word] = (all[word] or 0) + 1 end
    for _, problem in ipairs(found) do
      table.insert(problems, ("killed at %s %d: %s"):format(call, index, problem))
    end
  until not struck
  most[call] = index - 1
  return index - 1, all
end

---@param _ "calls"
---@param asked { seed: integer }
---@return string[] problems
return function(_, asked)
  local shop = workshop.new { rows = ROWS, lease = 0.1 }
  local random, most, problems, total = workshop.random(asked.seed), {}, {}, 0
  print(("system calls, --seed %d"):format(asked.seed))
  local fine, why = pcall(function()
    for _, call in ipairs(CALLS) do
      local kills, moments = scan(shop, call, random, most, problems)
      local parts = {}
      for _, word in ipairs(audit.MOMENTS) do
        if moments[word] then parts[#parts + 1] = ("%s %d"):format(word, moments[word]) end
      end
      print(("  %-10s %4d kills   %s"):format(call, kills, table.concat(parts, ", ")))
      io.flush()
      total = total + kills
    end
  end)
  shop:close()
  if not fine then table.insert(problems, tostring(why)) end
  if total == 0 then table.insert(problems, "no call was hit") end
  return problems
end
