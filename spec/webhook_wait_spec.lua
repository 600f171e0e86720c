-- The option webhook: wait, poll and generate end by a delivery or by a poll, whichever says so first,
-- and a delivery is confirmed before it is believed.

local child = require "support.child"
local fixture = require "support.fixture"
local lipsync = require "akool.lipsync"
local nginx = require "support.nginx"
local peer = require "support.peer"
local webhook = require "akool.lipsync.webhook"

describe("with a receiver", function()
  local receivers

  after_each(function()
    for _, each in ipairs(receivers) do each:close() end
  end)
  local t = fixture.new()

  setup(function() -- luv has all descriptors it keeps
    webhook.listen({ client_id = "id", client_secret = ("s"):rep(16) }):close()
  end)

  before_each(function() receivers = {} end)

  local function listen(given)
    local all = { path = "/hook", client_id = fixture.secrets.client_id,
      client_secret = fixture.secrets.client_secret }
    for name, value in pairs(given or {}) do all[name] = value end
    local receiver = assert(webhook.listen(all))
    receiver.url = ("http://127.0.0.1:%d/hook"):format(receiver.port)
    receivers[#receivers + 1] = receiver
    return receiver
  end

  --- A job that the service reports to a receiver.
  local function job_for(receiver, client)
    return assert((client or t.client()):create { video_url = t.video, audio_url = t.audio,
      webhook_url = receiver.url })
  end

  --- Start to wait in a task, so far that it follows the job. Its polls are as rare as a receiver
  --- makes them, and nothing here takes longer than a wait may.
  local function waiting(job, opts, client)
    opts.wait_timeout = opts.wait_timeout or 30
    local task = lipsync.spawn(function() return (client or t.client()):wait(job, opts) end)
    lipsync.step(0)
    return task
  end

  local function delivered(count)
    peer.turn_until(function()
      local done = 0
      for _, each in ipairs(t.service:deliveries()) do
        if each.state == "delivered" or each.state == "lost" then done = done + 1 end
      end
      return done >= count
    end)
  end

  -- The end ------------------------------------------------------------------------------------

  it("a wait ends by the delivery, once the service has said the same", function()
    local receiver = listen()
    local job = job_for(receiver)
    local task = waiting(job, { webhook = receiver })
    t.service:advance(6)
    delivered(1)
    assert.equal(0, t.service:count "info")
    t.service:advance(60)
    local done = assert(task:join())
    assert.equal("completed", done.status)
    assert.is_truthy(done.video)
    assert.is_truthy(done.created_at)
    assert.equal(1, t.service:count "info")
  end)

  it("a failure ends it too", function()
    for _, trust in ipairs { false, true } do
      local receiver = listen { trust = trust }
      local job = job_for(receiver)
      local task = waiting(job, { webhook = receiver })
      t.service:set(job.id, { video_status = 4 })
      local done, err = task:join()
      assert.same({ nil, "failed", job.id, "failed" },
        { done, err.kind, err.job.id, err.job.status })
    end
  end)

  it("a receiver that trusts deliveries asks nobody", function()
    local receiver = listen { trust = true }
    local statuses = {}
    local job = job_for(receiver)
    local task = waiting(job, { webhook = receiver, on_status = function(status, news)
      statuses[#statuses + 1] = status .. " " .. news.id
    end })
    t.service:advance(60)
    local done = assert(task:join())
    assert.same({ "completed " .. job.id }, statuses)
    assert.equal(t.service:jobs()[1].video, done.video)
    assert.equal(0, t.service:count "info")
    assert(done:download(t.path "film.mp4"))
  end)

  it("but it asks when the delivery has no result in it", function()
    local receiver = listen { trust = true }
    local job = job_for(receiver)
    local task = waiting(job, { webhook = receiver })
    t.service:fail { at = "webhook", delivery = "lost" }
    t.service:advance(60)
    t.service:deliver { id = job.id, status = "completed" }
    assert.is_truthy(assert(task:join()).video)
    assert.equal(1, t.service:count "info")
  end)

  it("an end that was delivered before anybody waited is known", function()
    for _, trust in ipairs { false, true } do
      t.service:reset()
      local receiver = listen { trust = trust }
      local job = job_for(receiver)
      t.service:advance(60)
      delivered(1)
      assert.equal("completed", assert(waiting(job, { webhook = receiver }):join()).status)
      assert.equal(trust and 0 or 1, t.service:count "info")
    end
  end)

  it("a service that tells us sooner than itself is asked again", function()
    local receiver = listen()
    local job = job_for(receiver)
    t.service:fail { at = "info", data = { video_status = 2, video = "" } }
    local task = waiting(job, { webhook = receiver })
    t.service:advance(60)
    assert.equal("completed", assert(task:join()).status)
    assert.equal(2, t.service:count "info")
  end)

  -- Polls --------------------------------------------------------------------------------------

  it("polls are rare", function()
    local receiver = listen()
    local task = waiting(job_for(receiver), { webhook = receiver })
    peer.turn_for(0.3)
    assert.equal(0, t.service:count "info")
    task:cancel()
    local _, err = task:join()
    assert.equal("cancelled", err.kind)
  end)

  it("a delivery that was lost is caught by a poll", function()
    local receiver = listen()
    local job = job_for(receiver)
    t.service:fail { at = "webhook", delivery = "lost", times = "always" }
    local task = waiting(job, { webhook = receiver, poll = { first = 0.05, max = 0.05 } })
    t.service:advance(60)
    assert.equal("completed", assert(task:join()).status)
  end)

  it("a receiver that is closed leaves them to find the end", function()
    local receiver = listen()
    local job = job_for(receiver)
    local task = waiting(job, { webhook = receiver, poll = { first = 0.05, max = 0.05 } })
    receiver:close()
    t.service:advance(60)
    assert.equal("completed", assert(task:join()).status)
    t.service:reset()
    job = job_for(receiver)
    task = waiting(job, { webhook = receiver }) -- as often as without one
    t.service:advance(60)
    assert.equal("completed", assert(task:join()).status)
  end)

  -- What must not be believed ------------------------------------------------------------------

  it("a delivery that nobody confirms changes nothing", function()
    local receiver = listen()
    local job = job_for(receiver)
    local task = waiting(job, { webhook = receiver })
    t.service:deliver { id = job.id, status = "completed", video = "https://example.com/other.mp4" }
    peer.turn_until(function() return t.service:count "info" >= 1 end)
    peer.turn_for(0.1)
    assert.equal("akool.lipsync.task (under way)", tostring(task))
    t.service:advance(60)
    assert.equal(t.service:jobs()[1].video, assert(task:join()).video)
  end)

  for _, how in ipairs { "wrong_signature", "tampered", "forged", "stale" } do
    it("one that is " .. how .. " is refused, and what comes instead is believed", function()
      local receiver = listen { trust = true }
      local job = job_for(receiver)
      local task = waiting(job, { webhook = receiver })
      t.service:fail { at = "webhook", delivery = how, times = 2 }
      t.service:advance(60)
      assert.equal("completed", assert(task:join()).status)
      local only = t.service:deliveries()[1]
      peer.turn_until(function()
        only = t.service:deliveries()[1]
        return only.state == "delivered"
      end)
      assert.same({ 400, 400, 200 }, only.answers)
    end)
  end

  it("those that are late, repeated or out of order change nothing", function()
    local events = {}
    local receiver = listen { trust = true, on_event = function(event)
      events[#events + 1] = event.status
    end }
    local job = job_for(receiver)
    local task = waiting(job, { webhook = receiver })
    t.service:fail { at = "webhook", delivery = "reordered" }
    t.service:fail { at = "webhook", delivery = "replayed", delay = 0.05 }
    t.service:advance(6)
    t.service:advance(60)
    assert.equal("completed", assert(task:join()).status)
    delivered(2)
    t.service:deliver { id = job.id, status = "completed" }
    delivered(3)
    peer.turn_until(function() return #t.service:deliveries()[2].answers == 2 end)
    assert.same({ 200, 200 }, t.service:deliveries()[2].answers)
    assert.same({ "completed" }, events)
  end)

  it("one about another job changes nothing", function()
    local receiver = listen { trust = true }
    local job, other = job_for(receiver), job_for(receiver)
    local task = waiting(job, { webhook = receiver })
    t.service:set(other.id, { video_status = 3 })
    delivered(1)
    assert.equal("akool.lipsync.task (under way)", tostring(task))
    t.service:set(job.id, { video_status = 3 })
    assert.equal(job.id, assert(task:join()).id)
  end)

  -- Who waits ----------------------------------------------------------------------------------

  it("all who wait for a job hear of its end, at any receiver that is told", function()
    local one, two = listen(), listen()
    local job = job_for(one)
    local tasks = { waiting(job, { webhook = one }), waiting(job, { webhook = one }),
      waiting(job, { webhook = two }) }
    t.service:advance(60)
    t.service:deliver { id = job.id, status = "completed", url = two.url }
    for _, task in ipairs(tasks) do assert.equal("completed", assert(task:join()).status) end
  end)

  it("poll has a round for it", function()
    local receiver = listen()
    local job, rounds = job_for(receiver), {}
    t.service:advance(60)
    for status in t.client():poll(job, { webhook = receiver }) do rounds[#rounds + 1] = status end
    assert.same({ "completed" }, rounds)
  end)

  it("a poll that is forgotten leaves nothing behind", function()
    local receiver = listen()
    local job = job_for(receiver)
    local task = lipsync.spawn(function()
      local next_round = t.client():poll(job.id, { webhook = receiver })
      assert.equal("queueing", (next_round()))
    end)
    task:join()
    task = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(receiver.hearings))
    t.service:advance(60)
    delivered(1)
    assert.equal(1, t.service:count "info")
  end)

  it("nor does one that is forgotten beside another", function()
    local receiver = listen()
    local job, client = job_for(receiver), t.client()
    local kept = client:poll(job.id, { webhook = receiver })
    assert.equal("queueing", (kept()))
    do
      local forgotten = client:poll(job.id, { webhook = receiver })
      assert.equal("queueing", (forgotten()))
    end
    collectgarbage()
    collectgarbage()
    local count = 0
    for _ in pairs(receiver.hearings[job.id]) do count = count + 1 end
    assert.equal(1, count)
    t.service:advance(60)
    assert.equal("completed", (kept()))
    assert.equal(3, t.service:count "info")
  end)

  it("generate has the service call it, and makes the film", function()
    local receiver = listen()
    local task = lipsync.spawn(function()
      return t.client():generate({ video_url = t.video, audio_url = t.audio }, t.path "film.mp4",
        { webhook = receiver })
    end)
    peer.turn_until(function() return #t.service:jobs() == 1 end)
    peer.turn_for(0.02)
    t.service:advance(60)
    assert.is_true(assert(task:join()).bytes > 0)
    assert.equal(receiver.url, t.service:jobs()[1].webhookUrl)
  end)

  it("credentials that are renewed meanwhile do not matter", function()
    local receiver = listen()
    local key = fixture.secrets.api_key
    local client = t.client { api_key = function() return key end }
    local job = job_for(receiver, client)
    t.service:fail { at = "info", code = 1101 }
    local task = waiting(job, { webhook = receiver }, client)
    t.service:advance(60)
    assert.equal("completed", assert(task:join()).status)
  end)

  it("the proxy of the page brings it what the service delivers", function()
    local receiver = listen { path = "/akool" }
    local block = fixture.read("docs/webhooks.md"):match "\n```nginx\n(.-)\n```\n"
    local proxy = nginx.launch((block:gsub("443 ssl", "127.0.0.1:PORT"):gsub(":8080",
      ":" .. receiver.port)))
    receiver.url = proxy.url .. "/akool"
    local job = job_for(receiver)
    local task = waiting(job, { webhook = receiver })
    t.service:advance(60)
    assert.equal("completed", assert(task:join()).status)
    peer.turn_until(function() return t.service:deliveries()[1].state == "delivered" end)
    assert.equal(413, peer.ask(proxy.port, peer.post("/akool", (" "):rep(70000),
      "Connection: close\r\n")).status)
    proxy:stop()
  end)

  it("it works in luv's loop", function()
    local said, status = child.run [[
      local uv = require "luv"
      local lipsync = require "akool.lipsync"
      local mock = require "akool.lipsync.mock"
      local webhook = require "akool.lipsync.webhook"
      lipsync.use "luv"
      local service = assert(mock.start { queue = 0.1, process = 0.2 })
      local client = lipsync.new { base_url = service.url, api_key = service.api_key }
      local receiver = assert(webhook.listen { client_id = service.client_id,
        client_secret = service.client_secret, trust = true })
      receiver.url = "http://127.0.0.1:" .. receiver.port
      lipsync.spawn(function()
        local file = assert(client:generate({ video_url = "https://example.com/a.mp4",
          audio_url = "https://example.com/b.wav" }, os.tmpname(), { webhook = receiver,
          overwrite = true, wait_timeout = 20 }))
        os.remove(file.path)
        print(file.bytes > 0, service:count "info")
        receiver:close()
      end)
      uv.run()
      service:stop()
    ]]
    assert.same({ "true\t0\n", 0 }, { said, status })
  end)

  it("the option takes a receiver only", function()
    for _, wrong in ipairs { true, {}, "http://example.com" } do
      local ok, why = pcall(function() t.client():wait("id", { webhook = wrong }) end)
      assert.is_false(ok)
      assert.is_truthy(why:find("option webhook: a receiver", 1, true))
    end
  end)
end)
