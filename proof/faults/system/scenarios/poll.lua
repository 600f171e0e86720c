-- poll: a job followed from its first status to its last.
return {
  prepare = function(world)
    world.service:reset()
    return { id = world:new_job().id }
  end,
  run = function(_, given, connect)
    local client, err = connect()
    if not client then return nil, err end
    local seen = {}
    for status, news in client:poll(given.id) do
      if status == "error" then return nil, news end
      seen[#seen + 1] = status
      if news.id ~= given.id then error("news of another job") end
    end
    return { seen = table.concat(seen, " ") }
  end,
  problem = function(_, report)
    local seen = report.value and report.value.seen
    if seen and not ("queueing processing completed"):find(seen .. "$")
      and seen ~= "queueing completed" then
      return "not how a job goes: " .. seen
    end
  end,
}
