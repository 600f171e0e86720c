-- prosody: the coroutines of its util.async wait, as handlers of stanzas and of HTTP requests do, and
-- its server watches the engine for them.

local async = require "util.async"
local logger = require "util.logger"
local server = require "net.server"
local timer = require "util.timer"

local waiting = {} -- for each that waits, what has it go on
local watch        -- while the descriptor is watched

local function stop_watching()
  if watch then (watch.close or watch.setflags)(watch, false) end -- libevent's has no close
  watch = nil
end

local function go_on()
  local list = waiting
  waiting = {}
  stop_watching()
  for _, f in ipairs(list) do f() end
end

---@type akool.lipsync.Host
return {
  name = "prosody",

  wait = function(engine, seconds)
    if not coroutine.isyieldable() then
      return "Waiting here would block Prosody: do it in a coroutine of util.async's, or inside "
        .. "lipsync.spawn(function() … end)."
    end
    local suspend, done = async.waiter(1, true) -- whoever comes second is not listened to
    waiting[#waiting + 1] = done
    watch = watch or server.watchfd(engine:pollfd(), go_on)
    engine:on_close(function()
      stop_watching()
      timer.add_task(0, go_on)
    end)
    local alarm = timer.add_task(seconds, done)
    suspend()
    timer.stop(alarm)
  end,

  spawn = function(f)
    local function failed(_, err) logger.init "lipsync" ("error", "%s", err) end
    async.runner(f, { error = failed }):run(true)
  end,
}
