-- download: a result under a new name, never over a file that is there.
return {
  lands = true,
  prepare = function(world)
    return { id = world:finished_job().id, video = world:finished_job().video }
  end,
  run = function(_, given, connect)
    local client, err = connect()
    if not client then return nil, err end
    local job = { id = given.id, status = "completed", video = given.video }
    return client:download(job, given.out)
  end,
  problem = function(world, report) return world:download_problem(report) end,
}
