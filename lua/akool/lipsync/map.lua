-- map: a function for every item of a list, several at once, each in a task.

local core = require "akool.lipsync.core"
local loop = require "akool.lipsync.loop"

--- End these tasks and wait until they have: what they were in the middle of is told to them, so
--- that nothing that may have been paid goes unseen.
local function cancel_all(list)
  for _, task in ipairs(list) do task:cancel() end
  for _, task in ipairs(list) do loop.ended(task, true) end
end

--- Call `f(item, index)` for every item, several at once, each in a task.
---@param list table
---@param f fun(item: any, index: integer): any, any
---@param concurrency integer
---@return table results  # what `f` returned first, at the item's index
---@return table errors   # what it returned second after nil, or what it raised
local function map(list, f, concurrency)
  local results, errors, at, count, failure = {}, {}, 0, #list, nil
  for i = 1, count do results[i], errors[i] = false, false end -- room, so that no outcome gets lost
  for i = 1, count do results[i], errors[i] = nil, nil end
  local function work(slot)
    while at < count do
      at = at + 1
      slot.index = at
      local i = at
      local value, err = f(list[i], i)
      if value == nil then errors[i] = err else results[i] = value end
    end
  end
  local function supervise()
    while at < count do
      local slot = { index = false }
      local worker = loop.spawn(work, slot)
      if not loop.ended(worker) then
        at = count -- no more items
        cancel_all { worker }
      end
      if worker.failed then
        if not slot.index then at, slot.index = at + 1, at + 1 end -- it did not even come to that
        errors[slot.index] = worker.failure
      end
    end
  end
  loop.run(function()
    local supervisors = {}
    for i = 1, math.min(concurrency, count) do supervisors[i] = loop.spawn(supervise) end
    for _, supervisor in ipairs(supervisors) do
      if not loop.ended(supervisor) then cancel_all(supervisors) end
      if supervisor.failed then failure = supervisor.failure end
    end
  end)
  local cancelled = loop.cancelled()
  for i = 1, (failure or cancelled) and count or 0 do
    if results[i] == nil and errors[i] == nil then
      errors[i] = cancelled and core.error("cancelled", "The item was not begun.") or failure
    end
  end
  return results, errors
end

return map
