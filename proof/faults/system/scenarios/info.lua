-- info: one question, on a connection of its own.
return {
  prepare = function(world)
    local job = world:finished_job()
    return { id = job.id }
  end,
  run = function(_, given, connect)
    local client, err = connect()
    if not client then return nil, err end
    return client:info(given.id)
  end,
  problem = function(world, report)
    local job = report.value
    if job and (job.id ~= world.finished.id or job.status ~= "completed") then
      return "another job than the one that was asked for"
    end
  end,
}
