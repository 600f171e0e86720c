--- The service goes away and comes back: restarted between two requests and under one, paused, and
--- connections that come to a halt in turn and go on in any order. Whoever can go on does, at most
--- one job is made, and nobody waits for ever.

local calls = require "network.calls"
local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"
local uv = require "luv"

local outages = {}

local POLLS = 20
local KEPT = 8 -- connections that are kept open when the service goes

--- Waits until the service has got `count` requests of a kind.
local function arrived(s, at, count)
  while s.service:count(at) < count do lipsync.sleep(0.005) end
end

--- As many infos at once as there are to be kept connections.
local function ask_all(s, client)
  local list = {}
  for i = 1, KEPT do list[i] = i end
  local _, errors = lipsync.map(list, function() return client:info(s.job.id) end,
    { concurrency = KEPT })
  local _, err = next(errors)
  if err then error("an info failed: " .. tostring(err), 0) end
end

local function warm_up(s, client)
  s.service:fail { at = "info", delay = 0.05, times = KEPT }
  ask_all(s, client)
end

local function restart(s)
  assert(s.service:down())
  assert(s.service:up())
end

--- Makes a create and has it judged with the others.
local function create(s, client, absent)
  local job, err, name = calls.create.run(s, client)
  s:told(name, job, err, absent)
  return job, err, name
end

local function expect(value, err, kind, what)
  if value ~= nil then error(what .. " succeeded", 0) end
  if err.kind ~= kind then error(("%s ended with %s"):format(what, tostring(err)), 0) end
end

-- Each scenario raises when something is not as it should be. `base` is a client's options: with
-- the service directly, or behind the TLS end.
local SCENARIOS = {}

SCENARIOS["restarted between requests"] = function(s, base)
  local client = s:client(nil, base)
  warm_up(s, client)
  restart(s)
  ask_all(s, client)
  assert(create(s, client))
end

SCENARIOS["restarted, then a create"] = function(s, base)
  local client = s:client(nil, base)
  warm_up(s, client)
  restart(s)
  assert(create(s, client))
end

SCENARIOS["restarted during a create"] = function(s, base)
  local client = s:client(nil, base)
  s.service:fail { at = "create", delay = 20 }
  local before = s.service:count "create"
  local task = lipsync.spawn(create, s, client)
  arrived(s, "create", before + 1)
  restart(s)
  local job, err = task:join()
  expect(job, err, "network", "the create")
  assert(err.maybe_created, "maybe_created is false, and there is a job")
end

-- libcurl repeats what it sent over a kept connection when no answer comes.
SCENARIOS["silent after a create, connections kept"] = function(s, base)
  local route = s.network:route { https = base.base_url ~= nil }
  local client = s:client(route, { max_retries = 3 })
  assert(client:info(s.job.id))
  route:turn { down = { limit = 0, ends = "fin" } }
  local job, err = create(s, client)
  s:settle(route)
  expect(job, err, "network", "the create")
  assert(err.maybe_created, "maybe_created is false, and there is a job")
end

SCENARIOS["restarted during an info"] = function(s, base)
  local client = s:client(nil, base)
  s.service:fail { at = "info", delay = 20 }
  local before = s.service:count "info"
  local task = lipsync.spawn(client.info, client, s.job.id, { max_retries = 3 })
  arrived(s, "info", before + 1)
  restart(s)
  assert(task:join())
end

SCENARIOS["gone for a while under a poll"] = function(s, base)
  local client = s:client(nil, base)
  local job = assert(client:create { video_url = s.video, audio_url = s.audio })
  local task = lipsync.spawn(client.wait, client, job, { max_retries = 3 })
  arrived(s, "info", s.service:count "info" + 2)
  assert(s.service:down())
  lipsync.sleep(0.3)
  s.service:advance(60)
  assert(s.service:up())
  assert(assert(task:join()).status == "completed")
end

SCENARIOS["away, and a create waits for it"] = function(s, base)
  local client = s:client(nil, base)
  assert(s.service:down())
  local task = lipsync.spawn(function()
    local name, url = s:name_a_create()
    local job, err = client:create({ video_url = url, audio_url = s.audio }, { max_retries = 6 })
    s:told(name, job, err)
    return job, err
  end)
  lipsync.sleep(0.2)
  assert(s.service:up())
  local job, err = task:join()
  -- Behind the TLS end the handshake succeeds although there is no service; then it is uncertain.
  if not base.base_url then assert(job, tostring(err)) else assert(job or err.maybe_created) end
end

SCENARIOS["away for good"] = function(s, base)
  local client = s:client(nil, base)
  assert(s.service:down())
  local job, err = create(s, client, not base.base_url)
  expect(job, err, "network", "the create")
  job, err = client:info(s.job.id)
  expect(job, err, "network", "the info")
  assert(s.service:up())
end

SCENARIOS["stopped past create_timeout"] = function(s, base)
  local client = s:client(nil, base)
  warm_up(s, client)
  uv.kill(s.service.pid, "sigstop")
  local task = lipsync.spawn(function()
    local name, url = s:name_a_create()
    local job, err = client:create({ video_url = url, audio_url = s.audio },
      { create_timeout = 0.7, max_retries = 3 })
    s:told(name, job, err)
    return job, err
  end)
  local info, trouble = client:info(s.job.id, { timeout = 0.7 })
  local job, err = task:join()
  uv.kill(s.service.pid, "sigcont")
  expect(info, trouble, "timeout", "the info")
  expect(job, err, "timeout", "the create")
  assert(err.maybe_created, "maybe_created is false, and the request lies at the service's door")
  assert(client:info(s.job.id))
end

SCENARIOS["stopped for a moment"] = function(s, base)
  local client = s:client(nil, base)
  warm_up(s, client)
  uv.kill(s.service.pid, "sigstop")
  local tasks = { lipsync.spawn(create, s, client), lipsync.spawn(client.info, client, s.job.id) }
  lipsync.sleep(0.5)
  uv.kill(s.service.pid, "sigcont")
  for _, task in ipairs(tasks) do assert(task:join()) end
end

SCENARIOS["cancelled under a stopped service"] = function(s, base)
  local client = s:client(nil, base)
  uv.kill(s.service.pid, "sigstop")
  local tasks = { lipsync.spawn(create, s, client), lipsync.spawn(client.info, client, s.job.id),
    lipsync.spawn(client.wait, client, s.job.id) }
  lipsync.sleep(0.3)
  for _, task in ipairs(tasks) do task:cancel() end
  local began = core.now()
  for _, task in ipairs(tasks) do
    local value, err = task:join()
    expect(value, err, "cancelled", "a call")
  end
  local took = core.now() - began
  uv.kill(s.service.pid, "sigcont")
  assert(took < 5, "cancelling waited for the service")
end

--- Polls over a route each; their connections come to a halt in turn and go on in another order.
local function swizzle(s, base, halt)
  local client = s:client(nil, {})
  local jobs, routes, tasks = {}, {}, {}
  for i = 1, POLLS do
    jobs[i] = assert(client:create { video_url = s.video, audio_url = s.audio })
    routes[i] = s.network:route { https = base.base_url ~= nil }
    local mine = s:client(routes[i], { max_retries = 3, timeout = halt })
    tasks[i] = lipsync.spawn(mine.wait, mine, jobs[i])
  end
  for i = 1, POLLS do
    routes[i]:hold()
    lipsync.sleep(0.02)
  end
  s.service:advance(60)
  local order = {}
  for i = 1, POLLS do table.insert(order, math.random(#order + 1), i) end
  for _, i in ipairs(order) do
    routes[i]:release()
    lipsync.sleep(0.02)
  end
  for i, task in ipairs(tasks) do
    local job, err = task:join()
    assert(job and job.id == jobs[i].id and job.status == "completed", tostring(err))
    s:settle(routes[i])
  end
end

SCENARIOS["swizzle, shorter than the timeout"] = function(s, base) swizzle(s, base, 20) end
SCENARIOS["swizzle, longer than the timeout"] = function(s, base) swizzle(s, base, 0.3) end

local function run(s, name, title, report, index)
  local number = 0
  for round = 1, report.full and 20 or 1 do
    for i, https in ipairs { false, true } do
      number = 2 * (round - 1) + i
      if not index or index == number then
        s:reset(calls.RESULT_BYTES)
        local base = { max_retries = 2, base_url = https and s:at(s.secure, "") or nil }
        local fine, why = pcall(SCENARIOS[name], s, base)
        s.service:clear()
        lipsync.sleep(0.05) -- for what the service was told before it was stopped
        local _, unjust = next(s:judge())
        s:progress()
        report:count(title, number, fine and not unjust and "as it should" or "otherwise",
          not fine and tostring(why) or unjust)
      end
    end
  end
  report:row(title, index and ("case %d"):format(index) or ("%d times"):format(number))
end

--- The rows of this group.
---@return { name: string, run: fun(s: proof.scene, report: proof.report, index?: integer) }[]
function outages.rows()
  local list = {}
  for name in pairs(SCENARIOS) do
    local title = "service " .. name
    list[#list + 1] = { name = title, run = function(s, report, index)
      run(s, name, title, report, index)
    end }
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

return outages
