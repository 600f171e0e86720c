-- luv: libuv's loop watches the engine. Tasks and coroutines go on while it runs; in the main chunk a
-- call runs it until the call is over.

local uv = require "luv"

local poll, watched -- one handle for all: libuv has no second for a descriptor

---@type akool.lipsync.Host
return {
  name = "luv",

  watch = function(engine, step)
    if engine ~= watched then
      poll, watched = uv.new_poll(engine:pollfd()), engine
    end
    poll:start("r", function() step() end)
    return function(closing)
      poll:stop()
      if not closing then return end
      poll:close() -- at once: libuv must not find the descriptor closed, or another's
      poll, watched = nil, nil
    end
  end,

  wait = function(_, seconds)
    if uv.loop_mode() then
      return "Waiting here would block libuv's loop: do it inside lipsync.spawn(function() … end)."
    end
    uv.run(seconds == 0 and "nowait" or "once")
  end,
}
