-- create: one paid request.
return {
  paid = true,
  prepare = function(world)
    world.service:reset()
    return {}
  end,
  run = function(_, given, connect)
    local client, err = connect()
    if not client then return nil, err end
    return client:create {
      video_url = given.url .. "/files/clip.mp4", audio_url = given.url .. "/files/voice.wav",
    }
  end,
  problem = function(world, report)
    return world:creates_problem(report, report.value and report.value.id)
  end,
}
