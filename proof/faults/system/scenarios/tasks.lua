-- tasks: a question in one task while another one sleeps.
local info = require "system.scenarios.info"

return {
  prepare = info.prepare,
  run = function(lipsync, given, connect)
    local client, err = connect()
    if not client then return nil, err end
    return lipsync.run(function()
      local nap = lipsync.spawn(lipsync.sleep, 0.01)
      local question = lipsync.spawn(client.info, client, given.id)
      local slept, why = nap:join()
      local job, problem = question:join()
      if not slept then return nil, why end
      return job, problem
    end)
  end,
  problem = info.problem,
}
