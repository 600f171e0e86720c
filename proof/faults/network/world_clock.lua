--- Where the wall clock jumps by an hour while calls are under way: `wall_clock.c` takes the offset
--- from a file that we rewrite. Deadlines and waits go by the monotonic clock, so nothing ends
--- early, nothing waits an hour longer, and what would have gone well does.

local calls = require "network.calls"
local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"

local world = {}

local PATIENCE = 60 -- s: an hour early or late is far on either side of it
local JUMP_AFTER = 0.3

--- Runs `f`; it takes `least` seconds by the monotonic clock, and no hour.
local function takes(least, f)
  local began = core.now()
  f()
  local took = core.now() - began
  assert(took >= least - 0.001, ("it ended after %.3f s instead of %.3f s"):format(took, least))
  assert(took < PATIENCE, ("it took %.0f s"):format(took))
end

local function fails(word, value, err)
  assert(value == nil, "it succeeded")
  assert(err.name == word, tostring(err))
  return err
end

--- Moves the wall clock, and looks whether it did move, and it alone.
local function jump(file, by)
  local wall, monotonic = os.time(), core.now()
  local clock = assert(io.open(file, "w"))
  clock:write(by)
  assert(clock:close())
  local moved = os.time() - wall
  assert(math.abs(moved - tonumber(by)) < PATIENCE, ("the clock moved by %d s"):format(moved))
  assert(core.now() - monotonic < PATIENCE, "the monotonic clock moved too")
end

local function create(s, client)
  local job, err, name = calls.create.run(s, client)
  s:told(name, job, err)
  return job, err
end

function world.rounds(s, file, by)
  local ways = {} -- a service for each fault would be many; a route for each is as good
  local function way(toxics, options)
    ways[#ways + 1] = s.network:route(toxics)
    return s:client(ways[#ways], options), ways[#ways]
  end
  local silent = { wire = { down = { drop = true } } }
  local slow = { wire = { down = { latency = 1 } } }
  local scenarios = {
    ["the clock jumps"] = function()
      lipsync.sleep(JUMP_AFTER)
      jump(file, by)
    end,
    ["a sleep is as long as it should be"] = function()
      takes(1, function() assert(lipsync.sleep(1)) end)
    end,
    ["an info ends at its timeout"] = function()
      local client = way(silent, { timeout = 1 })
      takes(1, function() fails("answer_timeout", client:info(s.job.id)) end)
    end,
    ["a create ends at its timeout, in doubt"] = function()
      local client = way(silent, { create_timeout = 1, max_retries = 3 })
      takes(1, function()
        assert(fails("answer_timeout", create(s, client)).maybe_created, "maybe_created is false")
      end)
    end,
    ["a download that stalls is ended"] = function()
      local client, route = way(silent, { stall_timeout = 1 })
      takes(1, function()
        fails("stalled", calls.download.run(s, client, route))
      end)
    end,
    ["a create that is slow goes well"] = function()
      local client = way(slow, { create_timeout = 30 })
      takes(1, function() assert(create(s, client)) end)
    end,
    ["an info that is slow goes well"] = function()
      local client = way(slow, { timeout = 30 })
      takes(1, function() assert(client:info(s.job.id)) end)
    end,
    ["a wait ends when its time is up"] = function()
      local client = s:client(nil, { wait_timeout = 1.5 })
      local job = assert(client:create { video_url = s.video, audio_url = s.audio })
      takes(1.5, function() fails("wait_timeout", client:wait(job)) end)
    end,
    ["a TLS handshake ends at connect_timeout"] = function()
      local client = way({ https = true, wire = { down = { drop = true } } },
        { connect_timeout = 1 })
      takes(1, function() fails("tls_timeout", client:info(s.job.id)) end)
    end,
  }
  local function after_the_jump()
    local secure = s:client(s.secure)
    local info = s:client():info(s.job.id)
    assert(info and info.id == s.job.id, "an info over http failed")
    s.service:fail { at = "info", status = 503, retry_after_date = 2 }
    takes(1, function() assert(s:client(nil, { max_retries = 1 }):info(s.job.id)) end)
    local found, err = secure:info(s.job.id)
    if tonumber(by) > 0 then return assert(found, tostring(err)) end
    -- The certificate was made just now, that is: in an hour.
    fails("certificate_expired", found, err)
  end
  return {
    { begin = function() end, scenarios = scenarios },
    { begin = function() end, scenarios = { ["afterwards"] = after_the_jump } },
    { begin = function()
      for _, route in ipairs(ways) do s:settle(route) end
    end, scenarios = {} },
  }
end

return world
