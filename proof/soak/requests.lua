-- requests: one question after the other on kept connections, 16 at once.

local lipsync = require "akool.lipsync"
local usage = require "soak.usage"

local CALLERS = 16

return function(server, sizes, row)
  local client = assert(lipsync.new { api_key = "soak", base_url = server.url })
  local left
  local function ask()
    while left > 0 do
      left = left - 1
      assert(client:info("66160f989dfc997ac289037b"))
    end
  end
  usage.watch("requests", sizes.requests, function(n)
    left = n
    lipsync.run(function()
      local tasks = {}
      for i = 1, CALLERS do tasks[i] = lipsync.spawn(ask) end
      for _, task in ipairs(tasks) do task:join() end
    end)
  end, row)
end
