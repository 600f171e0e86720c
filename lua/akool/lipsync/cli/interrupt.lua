-- interrupt: Ctrl-C and SIGTERM. The work that is under way is told to end, so that it can say what goes
-- on at the service; a create is not cut off, because its answer is worth money. A second signal ends
-- the program at once.

local core = require "akool.lipsync.core"
local exit = require "akool.lipsync.cli.exit"
local loop = require "akool.lipsync.loop"

local interrupt = {}

local WAITING = "The answer to a create is awaited, since it may be paid. Once more ends at once."

---@class akool.lipsync.cli.Work
---@field signal string?         # what came
---@field careful boolean        # a create is under way: it ends by itself, and then the rest
---@field stop (fun(signal: string))? # how to ask it to end, where that is not to cancel its task
local Work = {}
Work.__index = Work

--- Nothing that must not be cut off is under way any more.
function Work:settle()
  self.careful = false
  if self.signal then self.task:cancel() end
end

--- A signal came.
function Work:interrupt(signal, out)
  self.signal = signal
  if self.stop then return self.stop(signal) end
  if self.careful then return out:say(WAITING) end
  self.task:cancel()
end

--- Wait for signals: the first is for the work, the second for us.
local function watch(self, out, first)
  local kind, signal = loop.next(first, true)
  if kind ~= "done" then return end
  local second = assert(core.interruption()) -- before anybody is told that another one ends it
  self:interrupt(signal, out)
  if loop.next(second, true) ~= "done" then return end
  if out.display then out.display:clear() end
  os.exit(exit.INTERRUPTED)
end

--- Run `f(work)` in a task that ends early when a signal comes.
---@param out akool.lipsync.cli.Output
---@param f fun(work: akool.lipsync.cli.Work): any
---@return any result  # what `f` returns first
---@return akool.lipsync.cli.Work
function interrupt.run(out, f)
  local self = setmetatable({ careful = false }, Work)
  local first = assert(core.interruption()) -- before the work says anything
  self.task = loop.spawn(f, self)
  local watcher = loop.spawn(watch, self, out, first)
  local result = self.task:join()
  watcher:cancel()
  watcher:join()
  return result, self
end

return interrupt
