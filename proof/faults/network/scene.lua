--- What every network proof stands on: the mock service, a TLS end, the proxy between them and the
--- client, and a judge of creates who asks the service, not the client. The proxy lives in luv's
--- loop, so here luv's loop drives the library, as a host's would.

local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"
local mock = require "akool.lipsync.mock"
local nginx = require "support.nginx"
local proxy = require "network.proxy"
local uv = require "luv"

local scene = {}
scene.__index = scene

-- luv writes without care for whether anybody reads, and the connections here break all the time.
local ignored = uv.new_signal()
ignored:start("sigpipe", function() end)
ignored:unref()

-- Whoever interrupts us finds nothing of ours still running.
local interrupted
for _, name in ipairs { "sigint", "sigterm" } do
  local signal = uv.new_signal()
  signal:start(name, function() interrupted = true end)
  signal:unref()
end

local SECRETS = { api_key = "proof-key", client_id = "proof-id", client_secret = "proof-secret" }
local HANGS = 60 -- seconds in which nothing ends: far above every deadline in here

--- Quick enough for a proof, slow enough for a busy machine.
local QUICK = { connect_timeout = 10, timeout = 10, create_timeout = 10, stall_timeout = 10,
  wait_timeout = 30, poll = { first = 0.01, max = 0.05, factor = 1.2, jitter = 0 } }

---@class proof.scene
---@field service akool.lipsync.mock.handle
---@field job akool.lipsync.Job completed, with a result of `bytes` bytes
---@field secure proof.route a good one, over TLS
---@field verdicts table<string, table> by the name of a create, what its client was told
---@return proof.scene
function scene.new()
  local self = setmetatable({ verdicts = {}, named = 0, ended = 0 }, scene)
  self.service = assert(mock.start { manual_clock = true, queue = 5, process = 10, credits = 1e12,
    api_key = SECRETS.api_key, client_id = SECRETS.client_id,
    client_secret = SECRETS.client_secret })
  self.network = proxy.network(self.service.port)
  self.tls = nginx.forward(self.network.inner)
  self.network.tls = self.tls.port
  self.secure = self.network:route { https = true }
  self.folder = assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/network-XXXXXX"))
  self.video, self.audio = "https://example.com/clip.mp4", "https://example.com/voice.wav"
  return self
end

function scene:stop()
  core.engine():close()
  self.secure:close()
  self.network:close()
  self.service:stop()
  self.tls:stop()
  for name in uv.fs_scandir_next, assert(uv.fs_scandir(self.folder)) do
    os.remove(self.folder .. "/" .. name)
  end
  uv.fs_rmdir(self.folder)
end

--- Forgets all jobs and requests, and makes one job that is completed.
function scene:reset(bytes)
  self.service:reset()
  self.verdicts = {}
  local client = self:client()
  local job = assert(client:create { video_url = self.video, audio_url = self.audio })
  self.service:advance(60)
  self.service:set(job.id, { bytes = bytes })
  self.job = assert(client:info(job))
  self.service:advance(60) -- it stays completed, and later jobs are as young as they say
end

--- A client of the service, through a route if one is given.
---@param route? proof.route
---@param given? table options
function scene:client(route, given)
  local all = { proxy = false, ca_file = self.tls.ca_file, base_url = self.service.url,
    api_key = SECRETS.api_key, max_retries = 0 }
  if route then all.base_url = self:at(route, "") end
  for name, value in pairs(QUICK) do all[name] = value end
  for name, value in pairs(given or {}) do all[name] = value end
  if all.with_pair then
    all.with_pair, all.api_key = nil, nil
    all.client_id, all.client_secret = SECRETS.client_id, SECRETS.client_secret
  end
  return assert(lipsync.new(all))
end

--- The address of a path at the service, by way of a route.
function scene.at(_, route, path)
  return ("%s://127.0.0.1:%d%s"):format(route.https and "https" or "http", route.port, path)
end

--- Runs `f` as a task, with luv's loop as the host. Raises when nothing ends for too long.
function scene:run(f, ...)
  local task, over = lipsync.spawn(f, ...), false
  local watcher = lipsync.spawn(function()
    task:join()
    over = true
  end)
  local poll, tick = uv.new_poll(core.engine():pollfd()), uv.new_timer()
  local seen, since, failure = -1, uv.hrtime(), nil
  poll:start("r", function() end)
  tick:start(1, 1, function() end) -- the descriptor knows of ops, not of tasks that were spawned
  while not over and not failure do
    uv.run("once")
    lipsync.step(0)
    if self.ended ~= seen then seen, since = self.ended, uv.hrtime() end
    if interrupted then failure = "it was interrupted" end
    if uv.hrtime() - since > HANGS * 1e9 then failure = "nothing ended for a minute" end
  end
  poll:close()
  tick:close()
  uv.run("nowait")
  if failure then error(failure, 0) end
  watcher:join()
  return task:join()
end

--- Closes a route whose client is done, and waits until nothing of it is under way any more.
function scene.settle(_, route)
  lipsync.sleep(0.003) -- so that luv reads what the client has sent
  route:close()
  local quiet = 0
  repeat
    lipsync.sleep(0.003)
    quiet = route.open == 0 and quiet + 1 or 0
  until quiet >= (route.https and 3 or 1) -- behind a TLS end a connection may begin late
end

--- Tells the watchdog that something ended.
function scene:progress() self.ended = self.ended + 1 end

-- The judge of creates ---------------------------------------------------------------------

--- A video URL that no other create has.
function scene:name_a_create()
  self.named = self.named + 1
  local name = ("n%07d"):format(self.named) -- of one length, so that answers are too
  return name, self.video .. "?" .. name
end

--- Notes what the client was told about the create of that name; `absent` if it certainly has not
--- arrived.
function scene:told(name, job, err, absent)
  self.verdicts[name] = { job = job, err = err, absent = absent }
end

local function name_in(url)
  return type(url) == "string" and url:match("%?(n%d+)$") or nil
end

--- Compares what clients were told with what the service has seen. Returns by name what was wrong.
---@return table<string, string> wrong
function scene:judge()
  local seen, jobs, wrong = {}, {}, {}
  for _, request in ipairs(self.service:requests "create") do
    local name = request.complete and name_in((request.body or ""):match('"video_url":"([^"]*)"'))
    if name then seen[name] = (seen[name] or 0) + 1 end
  end
  for _, job in ipairs(self.service:jobs()) do
    local name = name_in(job.target_video)
    if name then
      jobs[name] = jobs[name] or {}
      table.insert(jobs[name], job._id)
    end
  end
  for name, told in pairs(self.verdicts) do
    local count, made, err = seen[name] or 0, jobs[name] or {}, told.err
    if count > 1 or #made > 1 then
      wrong[name] = ("the service was sent it %d times and made %d jobs"):format(count, #made)
    elseif told.job and made[1] ~= told.job.id then
      wrong[name] = "the client has a job that the service does not know"
    elseif not told.job and count > 0 and not err.maybe_created then
      wrong[name] = "it arrived, and maybe_created is false: " .. err.name
    elseif not told.job and told.absent and err.maybe_created then
      wrong[name] = "it cannot have arrived, and maybe_created is true: " .. err.name
    end
  end
  return wrong
end

return scene
