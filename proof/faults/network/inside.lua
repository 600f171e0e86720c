--- Scenarios that need a process of their own, because they change its world: it runs them and
--- prints a line for each, the parent (see `worlds.lua`) reads them. What they need is a scene.
---
---   lua5.4 proof/faults/network/inside.lua WORLD [the world's own arguments]

package.path = "proof/faults/?.lua;spec/?.lua;" .. package.path

local core = require "akool.lipsync.core"
local uv = require "luv"

local world = require("network.world_" .. arg[1])

-- What changed our world is not for the service and the TLS end.
uv.os_unsetenv("LD_PRELOAD")
local scene = require "network.scene"
local lipsync = require "akool.lipsync"

local s = scene.new()

local function tell(name, why)
  io.write(name, "\t", why and why:gsub("%s+", " ") or "ok", "\n")
  io.flush()
end

s:run(function()
  s:reset(300)
  for _, round in ipairs(world.rounds(s, table.unpack(arg, 2))) do
    round.begin()
    local list = {}
    for name, f in pairs(round.scenarios) do list[#list + 1] = { name = name, f = f } end
    lipsync.map(list, function(each)
      local fine, why = pcall(each.f)
      s:progress()
      tell(each.name, not fine and tostring(why) or nil)
      return true
    end, { concurrency = math.max(1, #list) })
  end
  local name, unjust = next(s:judge())
  tell("what the service has seen of the creates", name and unjust)
end)
if world.finally then world.finally(s, tell) end
core.engine():close()
s:stop()
tell("end")
os.exit(true, true)
