-- scenarios: what is tried while memory runs out. Each says how the service has to be (`arrange`, in
-- the state of service.lua), and makes ready, with memory, what will be done without it: `prepare`
-- returns the act, what its results must be, and what the same program does afterwards.

local tools = require "scenarios.tools"
require "scenarios.module"
require "scenarios.calls"
require "scenarios.downloads"
require "scenarios.ends"
require "scenarios.waits"
require "scenarios.webhooks"
require "scenarios.whole"

local scenarios = { names = tools.names, by_name = tools.by_name }

--- The engine has nothing left to do, and nobody waits for it.
local function assert_quiet()
  local lipsync, core = require "akool.lipsync", require "akool.lipsync.core"
  local deadline = core.now() + 1
  while lipsync.step(0.001) > 0 do
    assert(core.now() < deadline, "a task was left behind that nothing wakes")
  end
  collectgarbage()
  collectgarbage()
  core.engine():step(0)
  local stats = core.engine():stats()
  for _, what in ipairs { "calls", "running", "queued", "timers" } do
    assert(stats[what] == 0, "left behind in the engine: " .. what)
  end
end

--- What the program knows of a job after its create.
local function told(first, err)
  if type(first) == "table" then return "job" end
  if type(err) ~= "table" then return "none" end
  if type(err.job) == "table" and err.job.id then return "job" end
  return err.maybe_created and "maybe" or "none"
end

local function judge(parts, made, ok, first, err)
  local ending
  if not ok then
    assert(tools.is_about_memory(first), "it raised: " .. tostring(first))
    ending = "raised"
  elseif first == nil then
    assert(tools.is_error(err), "nil came with something that is no error: " .. tostring(err))
    ending = "failed"
  else
    made.expect(first)
    ending = "completed"
  end
  local note = parts.creates and told(first, err) or "made before"
  if made.afterwards then
    made.afterwards()
    assert_quiet()
  end
  return ending, note
end

--- Make a scenario ready. Returns what judges the act, and the act.
---@param name string
---@param context table<string, string>
---@return fun(ok: boolean, ...): string, string
---@return fun(): any, any
function scenarios.prepare(name, context)
  local parts = scenarios.by_name[name]
  local made = parts.prepare(context)
  return function(...) return judge(parts, made, ...) end, made.act
end

return scenarios
