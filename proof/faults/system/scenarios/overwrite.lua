-- overwrite: a result over an older file, which is there until the new one is.
local download = require "system.scenarios.download"
local OLD = "the film of last week"

return {
  lands = true,
  old = OLD,
  prepare = function(world)
    local given = download.prepare(world)
    world:put("out.mp4", OLD)
    return given
  end,
  run = function(_, given, connect)
    local client, err = connect { overwrite = true }
    if not client then return nil, err end
    local job = { id = given.id, status = "completed", video = given.video }
    return client:download(job, given.out)
  end,
  problem = function(world, report) return world:download_problem(report, OLD) end,
}
