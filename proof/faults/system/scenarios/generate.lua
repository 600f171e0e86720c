-- generate: all of it, from two URLs to a file.
return {
  paid = true,
  prepare = function(world)
    world.service:reset()
    if not world.film then
      local clip = assert(io.open("examples/media/clip.mp4", "rb"))
      world:expect(clip:read("a"))
      clip:close()
    end
    return {}
  end,
  run = function(_, given, connect)
    local client, err = connect()
    if not client then return nil, err end
    return client:generate({
      video_url = given.url .. "/files/clip.mp4", audio_url = given.url .. "/files/voice.wav",
    }, given.out)
  end,
  problem = function(world, report)
    local jobs = world.service:jobs()
    return world:creates_problem(report, report.value and jobs[1] and jobs[1]._id)
      or world:download_problem(report)
  end,
}
