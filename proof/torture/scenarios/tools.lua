-- tools: what the scenarios share: clients that leave no room for chance, what their results must be,
-- and what a program does afterwards.

local tools = { names = {}, by_name = {} }

tools.video, tools.audio = "https://example.com/clip.mp4", "https://example.com/voice.wav"

--- Bytes: less than a result has, more than any other answer.
tools.some = 2000
tools.stall = { at = "file", stall_at = tools.some }

local ENOUGH = 1 -- s: to wait for a state that memory running out may have made impossible

--- Add a scenario; see scenarios.lua for its parts.
---@param name string
---@param parts table
function tools.scenario(name, parts)
  tools.names[#tools.names + 1] = name
  tools.by_name[name] = parts
  parts.arrange = parts.arrange or function() end
end

function tools.is_error(err)
  return type(err) == "table" and type(err.kind) == "string" and type(err.name) == "string"
    and type(err.message) == "string" and #err.message > 0 and #tostring(err) > 0
    and type(err.retryable) == "boolean" and type(err.maybe_created) == "boolean"
end

-- What is raised when memory runs out. The first is Lua's own.
local ABOUT_MEMORY = { "not enough memory", "memory or descriptors have run out",
  "libcurl cannot be initialised", "memory ran out" }

function tools.is_about_memory(why)
  for _, words in ipairs(ABOUT_MEMORY) do
    if type(why) == "string" and why:find(words, 1, true) then return true end
  end
  return false
end

--- Options that leave no room for chance: no deadline is nearer than the trial's own, so an op that
--- only its deadline ends has hung; nothing is repeated; polls follow each other at once.
local function options(context, given)
  local all = {
    base_url = context.url, connect_timeout = 60, timeout = 60, create_timeout = 60,
    stall_timeout = 60, wait_timeout = 60, max_retries = 0,
    poll = { first = 0.001, max = 0.001, factor = 1, jitter = 0 },
  }
  for name, value in pairs(given or {}) do all[name] = value end
  if not all.client_id then all.api_key = context.api_key end
  return all
end

function tools.new_client(context, given)
  return assert(require "akool.lipsync".new(options(context, given)))
end

--- A client and a job that it made. The engine is closed, so that the act begins with a new one.
function tools.client_with_job(context, given)
  local client = tools.new_client(context, given)
  local job = assert(client:create { video_url = tools.video, audio_url = tools.audio })
  require "akool.lipsync.core".engine():close()
  return client, job
end

--- The usual end: the same client, in the same state, still does what it is asked. An op that was
--- dropped when Lua had no memory holds its connection until it is collected; and a connection of
--- HTTP/2 whose memory ran out may fail once more, which a client's usual retries are for.
function tools.ask_again(client)
  return function()
    collectgarbage()
    assert(type(assert(client:credits { max_retries = 3 })) == "number")
  end
end

--- The same, for acts that may leave tasks under way when memory runs out: those end first.
function tools.end_and_ask_again(client, tasks)
  return function()
    for _, task in ipairs(tasks) do
      if task then
        task:cancel()
        local ok, why = pcall(task.join, task)
        assert(ok or tools.is_about_memory(why), why)
      end
    end
    tools.ask_again(client)()
  end
end

function tools.is_job(job)
  assert(#job.id == 24 and type(job.data) == "table")
end

function tools.is_file(file)
  assert(#file.sha256 == 64 and file.bytes > tools.some)
  local f = assert(io.open(file.path, "rb"))
  assert(f:seek("end") == file.bytes)
  f:close()
end

function tools.is_true(value) assert(value == true) end

--- Drive the loop until `there()`, or until one of the tasks is over, which with memory none would
--- be. A service that stalls may also stall what such a task does next, so there is an end to it.
function tools.step_until(there, tasks)
  local lipsync, core = require "akool.lipsync", require "akool.lipsync.core"
  local deadline = core.now() + ENOUGH
  while not there() and core.now() < deadline do
    for _, task in ipairs(tasks) do
      if task and task.done then return end
    end
    lipsync.step(0.01)
  end
end

function tools.state_of_engine(what)
  local core = require "akool.lipsync.core"
  return function()
    local engine = core.engine()
    return engine and engine:stats()[what] > 0
  end
end

--- Cancel a task and return what its call said; it may have failed before.
function tools.cancel(task)
  task:cancel()
  local value, err = task:join()
  if value == nil and err.kind == "cancelled" then return true end
  return nil, err
end

return tools
