-- name: a question to a host that is known by its name, so that a thread of libcurl's looks it up.
local info = require "scenarios.info"

return {
  prepare = function(world)
    local given = info.prepare(world)
    given.url = world.service.url:gsub("127%.0%.0%.1", "localhost")
    return given
  end,
  run = info.run,
  problem = info.problem,
}
