-- interrupt: Ctrl-C and SIGTERM. The work that is under way is told to end, so that it can say what goes
-- on at the service; a create is not cut off, because its answer is worth money.

local core = require "akool.lipsync.core"
local loop = require "akool.lipsync.loop"

local interrupt = {}

---@class akool.lipsync.cli.Work
---@field signal string?    # what came
---@field careful boolean?  # a create is under way: it ends by itself, and then the rest
---@field stop fun(self)    # ask it to end

--- Run `f(work)` in a task that ends early when a signal comes. While `work.careful` is true it goes on;
--- whoever makes it false calls `work:settle()`.
---@param out akool.lipsync.cli.Output
---@param f fun(work: akool.lipsync.cli.Work): any
---@return any ...  # what `f` returns
---@return akool.lipsync.cli.Work
function interrupt.run(out, f)
  local work = { careful = false }
  local task = loop.spawn(f, work)
  function work:settle()
    self.careful = false
    if self.signal then task:cancel() end
  end
  local op = assert(core.interruption())
  local watcher = loop.spawn(function()
    local kind, value = loop.next(op, true)
    if kind ~= "done" then return end
    work.signal = value
    if not work.careful then return task:cancel() end
    out:say "The answer to a create is waited for, since it may be paid. Once more ends at once."
  end)
  local result = task:join()
  op:cancel()
  watcher:join()
  return result, work
end

return interrupt
