-- host: a question, a nap and a question while the loop is a host's, which looks at nothing but the
-- one descriptor.
local info = require "system.scenarios.info"

return {
  -- luv ends the program when its own epoll calls fail, so those that it makes are left alone.
  hosted = true,
  prepare = info.prepare,
  run = function(lipsync, given, connect, uv)
    local core = require "akool.lipsync.core"
    local client, err = connect()
    if not client then return nil, err end
    local engine, problem = core.engine()
    if not engine then return nil, problem end
    local watch = uv.new_poll(engine:pollfd())
    if not watch then return { refused = "the host cannot watch a descriptor" } end
    local question = lipsync.spawn(function()
      local job, why = client:info(given.id)
      if not job then return nil, why end
      job, why = lipsync.sleep(0.01) -- which nothing but the descriptor's timer ends
      if not job then return nil, why end
      return client:info(given.id)
    end)
    local function step()
      if lipsync.step(0) == 0 then watch:close() end
    end
    watch:start("r", step)
    step()
    uv.run()
    return question:join()
  end,
  problem = function(world, report)
    if report.value and report.value.refused then return nil end
    return info.problem(world, report)
  end,
}
