-- calls: any method of any object, with any objects as arguments, in any order: closed ones, foreign
-- ones, inside callbacks, finalizers, tasks and coroutines. Calls may raise or fail as they like; the
-- process lives, and nothing is left behind.

local check = require "check"
local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"
local bytes_to = require "input"
local options = require "akool.lipsync.options"

local MOST = 120 -- actions in all, nested ones among them
local ID = "66160f989dc5e2c8a9dbb8fb"

local METHODS = { "create", "info", "poll", "wait", "download", "generate", "credits",
  "credentials", "redact", "next", "cancel", "over", "step", "ready", "pollfd", "events", "timeout",
  "stats", "close", "join", "__gc", "__close", "__tostring", "__index" }
local FUNCTIONS = { "engine", "now", "client", "settings", "sleep", "try_path", "error", "explain",
  "codes", "causes", "new", "run", "spawn", "map", "step", "assert", "create", "info", "poll",
  "wait", "download", "generate", "credits" }

-- No text here leads out of the folder that the target works in.
local TEXTS = { ID, "", "api_key", "token", "client_id", "out.mp4", "out2.mp4", "no/such/folder",
  ".", "http://127.0.0.1", "http://127.0.0.1/out.mp4", "http://10.0.0.1/x", "https://a b",
  "a\0b", ("k"):rep(40), ("x"):rep(5000), "job_failed", "cancelled", "completed" }

local act -- what an action may do again

local function any(input, pool)
  local which = input:byte()
  if which < 160 then return pool[which % (#pool + 1)] end
  if which < 200 then return input:pick(TEXTS) end
  if which < 220 then return input:number() end
  if which < 230 then
    return function(...)
      for i = 1, select("#", ...) do pool[#pool + 1] = (select(i, ...)) end
      act(input, pool)
      return any(input, pool)
    end
  end
  if which < 240 then return input:byte() % 2 == 0 end
  if which < 246 then return nil end
  if which < 250 then return { any(input, pool), any(input, pool), id = any(input, pool) } end
  return { video_url = "http://127.0.0.1/v.mp4", audio_url = "http://127.0.0.1/a.mp3" }
end

local function arguments(input, pool)
  local list, count = {}, input:byte() % 6
  for i = 1, count do list[i] = any(input, pool) end
  return list, count
end

--- Call, and keep what comes.
local function call(pool, f, ...)
  local got = { pcall(f, ...) }
  for i = 2, 4 do
    if got[i] ~= nil and #pool < 60 then pool[#pool + 1] = got[i] end
  end
end

local function settings(input, pool)
  local given = { max_retries = input:byte() % 4, wait_timeout = 1 + input:byte(),
    overwrite = input:byte() % 2 == 0, max_connections = 1 + input:byte() % 3 }
  if input:byte() % 2 == 0 then given.on_event = function() act(input, pool) end end
  if input:byte() % 4 == 0 then given.on_progress = function() act(input, pool) end end
  if input:byte() % 4 == 0 then given.on_status = function() act(input, pool) end end
  return given
end

local left -- actions that may still be taken

--- A finalizer in this cycle of the collector and in all that follow. Many of them take a step, which
--- happens inside another one when an answer is being read.
local function arm(input, pool)
  local steps = input:byte() % 2 == 0
  setmetatable({}, { __gc = function()
    if left == 0 then return end -- Lua does not finalize what is made while a state is closed
    if steps then core.engine():step(0) else act(input, pool) end
    arm(input, pool)
  end })
end

local actions = {
  function(input, pool) -- a method
    local object, name = any(input, pool), input:pick(METHODS)
    local self = input:byte() % 4 == 0 and any(input, pool) or object
    local list, count = arguments(input, pool)
    call(pool, function() return object[name](self, table.unpack(list, 1, count)) end)
  end,
  function(input, pool) -- a function
    local module, name = input:byte() % 2 == 0 and core or lipsync, input:pick(FUNCTIONS)
    local list, count = arguments(input, pool)
    call(pool, function() return module[name](table.unpack(list, 1, count)) end)
  end,
  function(input, pool) -- a client
    local given = settings(input, pool)
    given.base_url = "http://127.0.0.1"
    if input:byte() % 2 == 0 then
      given.api_key = ("k"):rep(20)
    else
      given.client_id, given.client_secret = "client", ("s"):rep(20)
    end
    call(pool, lipsync.new, given)
  end,
  function(input, pool) -- an op
    local raw = core.client("http://127.0.0.1")
    raw:credentials(input:byte() % 2 == 0 and "api_key" or "client_id", ("k"):rep(20), "secret")
    local given = options.settings(options.merge(nil, settings(input, pool)))
    pool[#pool + 1] = raw
    pool[#pool + 1] = given
    local kind = input:byte() % 6
    if kind == 0 then
      call(pool, raw.create, raw, given, "http://127.0.0.1/v.mp4", "http://127.0.0.1/a.mp3")
    elseif kind == 1 then
      call(pool, raw.info, raw, given, ID)
    elseif kind == 2 then
      call(pool, raw.poll, raw, given, ID, input:byte() % 2 == 0)
    elseif kind == 3 then
      call(pool, raw.credits, raw, given)
    elseif kind == 4 then
      call(pool, raw.download, raw, given, "http://127.0.0.1/out.mp4", "out.mp4", ID, true)
    else
      call(pool, core.sleep, input:byte() / 16)
    end
  end,
  function(input, pool) -- a step
    call(pool, lipsync.step, input:byte() / 8)
  end,
  function(input, pool) -- an engine's turn, as a host's loop makes it
    local engine = core.engine()
    if input:byte() % 2 == 0 then engine:pollfd() end
    engine:step(input:byte() / 8)
    call(pool, engine.ready, engine)
  end,
  function(input, pool) -- forgetting
    if #pool > 0 then table.remove(pool, 1 + input:byte() % #pool) end
    if input:byte() % 2 == 0 then collectgarbage() end
  end,
  function(input, pool) -- a finalizer
    arm(input, pool)
    if input:byte() % 2 == 0 then collectgarbage() end
  end,
  function(input, pool) -- a task
    call(pool, lipsync.spawn, function() act(input, pool) act(input, pool) end)
  end,
  function(input, pool) -- a coroutine
    call(pool, coroutine.wrap(function() act(input, pool) end))
  end,
  function(input, pool) -- something closed at the end of its scope
    local object = any(input, pool)
    call(pool, function()
      local _ <close> = object
      act(input, pool)
    end)
  end,
  function(input, pool) -- an engine that is closed while the rest goes on
    core.engine():close()
    act(input, pool)
  end,
}

act = function(input, pool)
  if left == 0 or input:over() then return end
  left = left - 1
  input:pick(actions)(input, pool)
end

return function(bytes)
  local input, pool = bytes_to.new(bytes), { check.foreign(), coroutine.create(function() end), {} }
  left = MOST
  collectgarbage("incremental", input:byte() % 2 == 0 and 0 or 200, 400) -- a pause of 0: it never rests
  while left > 0 and not input:over() do act(input, pool) end
  left = 0 -- what finalizers do from here on is nothing
  if #bytes % 2 == 0 then core.engine():close() end
end
