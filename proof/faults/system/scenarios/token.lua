-- token: the service is asked for a token first, then for a job.
return {
  prepare = function(world)
    return { id = world:finished_job().id, pair = world.service.client_id,
      secret = world.service.client_secret }
  end,
  run = function(_, given, connect)
    local client, err = connect { api_key = false, client_id = given.pair,
      client_secret = given.secret }
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
