-- Following a job is polite and quick: when it is asked about, what is told of the answers, what is
-- endured and what is not, and how the following ends. Shown with poll, wait and generate.

local child = require "support.child"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local lipsync = require "akool.lipsync"
local preload = require "support.preload"

local CLOSES = tonumber(_VERSION:match("%d%.%d")) >= 5.4 -- leaving a for loop closes its iterator
local UNKNOWN = "66160f989dfc997ac289037b"

--- Wait until something is so; only a broken library makes this fail.
local function eventually(is_so)
  local deadline = core.now() + 20
  while not is_so() do
    assert(core.now() < deadline, "it never came to that")
    lipsync.sleep(0.002)
  end
end

describe("client:poll", function()
  local t = fixture.new { credits = 1e9 }

  --- The schedule's waits between an answer and the next request, in seconds.
  local function waits()
    local list, last = {}, nil
    for _, event in ipairs(t.events) do
      if event.type == "request" and last then list[#list + 1] = event.at - last end
      if event.type == "answer" then last = event.at end
    end
    return list
  end

  --- Follow a job for `count` requests; returns the waits between them.
  local function waits_of(count, poll)
    local client = t.client { poll = poll }
    local job = t.job(client)
    t.events = {}
    lipsync.run(function()
      local following = lipsync.spawn(client.wait, client, job.id)
      eventually(function() return #t.events_of "request" >= count end)
      following:cancel()
      following:join()
    end)
    return waits()
  end

  --- Follow a job to its end; returns the statuses and the last value.
  local function follow(client, job, opts)
    local seen, last = {}, nil
    for status, value in client:poll(job, opts) do
      seen[#seen + 1], last = status, value
    end
    return seen, last
  end

  describe("asks", function()
    it("at once, when it knows nothing but an id", function()
      local client = t.client { poll = { first = 60, max = 60 } }
      local id, began = t.job(client).id, core.now()
      local status, job = client:poll(id)()
      assert.equal("queueing", status)
      assert.equal(id, job.id)
      assert.is_true(core.now() - began < 20)
      collectgarbage()
      collectgarbage()
    end)

    it("about a job that was just made when it may be done", function()
      local client = t.client { poll = { first = 0.3, max = 60, jitter = 0 } }
      local job, began = t.job(client), core.now()
      job.created_at = os.time() + 3600 -- as a clock that is behind the service's would have it
      t.service:advance(60)
      local seen = follow(client, job)
      assert.same({ "completed" }, seen)
      assert.is_true(core.now() - began >= 0.3 * 1.5)
      assert.equal(1, t.service:count "info")
    end)

    it("about jobs that were made together at different times", function()
      local client, jobs = t.client { poll = { first = 1, max = 60 } }, {}
      for i = 1, 5 do
        jobs[i] = t.job(client)
        jobs[i].created_at = os.time() + 3600
      end
      t.service:advance(60)
      t.events = {}
      lipsync.map(jobs, function(job) return client:wait(job) end, { concurrency = #jobs })
      local asked = t.events_of "request"
      assert.equal(5, #asked)
      -- Each by chance within a second: that all are within 0.02 s happens once in a million times.
      assert.is_true(asked[5].at - asked[1].at > 0.02)
    end)

    it("at once about a job that was made long ago", function()
      local client = t.client { poll = { first = 60, max = 60 } }
      local job, began = t.job(client), core.now()
      job.created_at = os.time() - 121
      t.service:advance(60)
      assert.equal("completed", assert(client:wait(job)).status)
      assert.is_true(core.now() - began < 20)
    end)

    it("when the job's age has grown by the factor, down to the longest wait", function()
      local list = waits_of(6, { first = 0.02, factor = 8, max = 0.3, jitter = 0 })
      assert.is_true(list[1] >= 0.02)
      assert.is_true(list[2] >= 0.02 * 7)
      for i = 3, 5 do
        assert.is_true(list[i] >= 0.3)
        assert.is_true(list[i] < 1.28, "the longest wait was not the longest")
      end
    end)

    it("in a rhythm that is spread by the jitter", function()
      local sooner = 0
      for _, wait in ipairs(waits_of(40, { first = 0.03, factor = 1, max = 0.03, jitter = 0.5 })) do
        assert.is_true(wait >= 0.015)
        if wait < 0.03 then sooner = sooner + 1 end
      end
      assert.is_true(sooner > 2)
    end)

    it("in an even rhythm without jitter", function()
      for _, wait in ipairs(waits_of(20, { first = 0.02, factor = 1, max = 0.02, jitter = 0 })) do
        assert.is_true(wait >= 0.02)
      end
    end)
  end)

  describe("spreads what is due together", function()
    it("over the wait between two requests, when many jobs are followed by their ids", function()
      local client, ids = t.client { poll = { first = 2, max = 2, factor = 1 } }, {}
      for i = 1, 150 do ids[i] = t.job(client).id end
      t.service:advance(60)
      for _ = 1, 2 do -- the second time those of the first do not count any more
        t.events = {}
        lipsync.map(ids, function(id) return client:wait(id) end, { concurrency = #ids })
        local asked = t.events_of "request"
        assert.equal(#ids, #asked)
        -- Half as fast again as the 75 in a second that are even: 1.29 s.
        assert.is_true(asked[150].at - asked[1].at > 0.9)
        assert.is_true(asked[150].at - asked[75].at > 0.4)
      end
    end)

    it("and again after a pause, in which many became due", function()
      local client, ids, refused = t.client { poll = { first = 2, max = 2, factor = 1 } }, {}, nil
      for i = 1, 150 do ids[i] = t.job(client).id end
      t.service:advance(60)
      t.service:fail { at = "info", code = 1005, skip = 10 }
      t.events = {}
      lipsync.map(ids, function(id) return client:wait(id) end, { concurrency = #ids })
      for _, event in ipairs(t.events_of "answer") do
        if event.error then refused = event end
      end
      local first, last
      for _, event in ipairs(t.events_of "request") do
        if event.at > refused.at + 0.99 and event.job ~= refused.job then
          first, last = first or event.at, event.at
        end
      end
      assert.is_true(last - first > 0.75) -- all at once they would go within 0.5 s
    end)

    it("but not a few, which go at once", function()
      local client, ids = t.client { poll = { first = 60, max = 60 } }, {}
      for i = 1, 5 do ids[i] = t.job(client).id end
      t.service:advance(60)
      local began = core.now()
      lipsync.map(ids, function(id) return client:wait(id) end, { concurrency = #ids })
      assert.is_true(core.now() - began < 12)
    end)

    it("and forgets the jobs that are over", function()
      local client, ids = t.client { poll = { first = 2, max = 2, factor = 1 } }, {}
      for i = 1, 100 do ids[i] = t.job(client).id end
      t.service:advance(60)
      lipsync.map(ids, function(id) return client:wait(id) end, { concurrency = #ids })
      local slow, began = { poll = { first = 600, max = 600 } }, core.now()
      for i = 1, 5 do assert(client:wait(ids[i], slow)) end
      assert.is_true(core.now() - began < 20)
    end)
  end)

  describe("tells", function()
    it("every status once, in its order, and then ends", function()
      local client = t.client()
      local job, seen = t.job(client), {}
      local followed = client:poll(job)
      for status, now in followed do
        seen[#seen + 1] = status
        assert.equal(job.id, now.id)
        assert.equal(status, now.status)
        local asked = t.service:count "info"
        if status ~= "completed" then
          eventually(function() return t.service:count "info" >= asked + 3 end)
        end
        t.service:advance(8)
      end
      assert.same({ "queueing", "processing", "completed" }, seen)
      assert.is_nil((followed()))
      assert.is_truthy(t.service:jobs()[1].video:find(job.id, 1, true))
    end)

    it("that a job failed, as its last status", function()
      local client = t.client()
      local job = t.job(client)
      t.service:set(job.id, { video_status = 4, error_msg = "no face found" })
      local seen, last = follow(client, job)
      assert.same({ "failed" }, seen)
      assert.equal("no face found", last.data.error_msg)
    end)

    it("nothing while the status stays, whatever else changes", function()
      local client = assert(lipsync.new { api_key = fixture.secrets.api_key,
        base_url = t.service.url,
        poll = { first = 0.005, max = 0.005, factor = 1, jitter = 0 } })
      local job = t.job(client)
      local woken, deadline = 0, core.now() + 20
      local engine, op = core.engine(), client.core:poll(client.settings, job.id)
      while t.service:count "info" < 30 do
        assert(core.now() < deadline, "it never came to that")
        engine:step(0.05)
        while engine:ready() do woken = woken + 1 end
        if t.service:count "info" > 15 then
          t.service:set(job.id, { faceswap_quality = t.service:count "info" })
        end
      end
      assert.equal(1, woken) -- by the first answer
      assert.equal("status", (op:next()))
      assert.is_nil((op:next()))
      op:cancel()
    end)

    it("one status event for each status, however often it asks", function()
      local client = t.client()
      local job = t.job(client)
      lipsync.run(function()
        local following = lipsync.spawn(follow, client, job)
        eventually(function() return t.service:count "info" >= 10 end)
        t.service:advance(60)
        following:join()
      end)
      local told = {}
      for i, event in ipairs(t.events_of "status") do told[i] = event.status end
      assert.same({ "queueing", "completed" }, told)
      assert.is_true(#t.events_of "answer" >= 10)
    end)

    it("nothing of a status that is not documented, and goes on", function()
      for _, number in ipairs { 7, 0, -1 } do
        local client = t.client()
        local job = t.job(client)
        t.events = {}
        t.service:set(job.id, { video_status = number })
        local seen
        lipsync.run(function()
          local following = lipsync.spawn(follow, client, job)
          eventually(function() return #t.events_of "answer" >= 5 end)
          t.service:set(job.id, { video_status = 2 })
          eventually(function()
            local events = t.events_of "status"
            return #events > 0 and events[#events].status == "processing"
          end)
          t.service:set(job.id, { video_status = 3 })
          seen = following:join()
        end)
        assert.same({ "processing", "completed" }, seen)
        local event = t.events_of("status")[1]
        assert.equal(number, event.number)
        assert.equal("unknown", event.status)
      end
    end)
  end)

  it("asks at once about a job that was over when last seen", function()
    local client = t.client { poll = { first = 30, max = 30 } }
    local job = t.job(client)
    t.service:advance(60)
    job = assert(client:info(job))
    assert.equal("completed", job.status)
    assert.equal("completed", assert(client:wait(job, { wait_timeout = 5 })).status)
  end)

  describe("shares one pace with all calls of its client", function()
    --- Six jobs are followed; one answer says "too frequent". When did the requests go out?
    local function requests_around(fault)
      local client, jobs, refused = t.client(), {}, nil
      for i = 1, 6 do jobs[i] = t.job(client) end
      t.events = {}
      fault.at, fault.skip = "info", 30
      t.service:fail(fault)
      lipsync.map(jobs, function(job)
        return client:wait(job, { on_event = function(event)
          t.events[#t.events + 1] = event
          if event.type == "answer" and event.error and not refused then
            refused = event.at
            t.service:advance(60)
          end
        end })
      end, { concurrency = 6 })
      local before, early, after = 0, 0, 0
      for _, event in ipairs(t.events_of "request") do
        local since = event.at - assert(refused, "nothing was refused")
        if since <= 0 then before = before + 1
        elseif since < 0.99 then early = early + 1
        else after = after + 1 end
      end
      return before, early, after
    end

    for what, fault in pairs {
      ["code 1005"] = { code = 1005 },
      ["HTTP 429"] = { status = 429 },
      ["code 1005 with Retry-After"] = { code = 1005, retry_after = 1 },
    } do
      it("all hold back after " .. what, function()
        local before, early, after = requests_around(fault)
        assert.is_true(before >= 30)
        assert.equal(0, early)
        assert.is_true(after >= 1) -- those under way at that moment may have seen the end
      end)
    end

    it("which a refusal slows down, and more of them to an eighth at most", function()
      local client, ids = t.client(), {}
      for i = 1, 5 do ids[i] = t.job(client).id end
      t.events = {}
      t.service:fail { at = "info", code = 1005, times = #ids, delay = 0.3 }
      lipsync.run(function()
        local tasks = {}
        for i, id in ipairs(ids) do tasks[i] = lipsync.spawn(client.wait, client, id) end
        eventually(function() return #t.events_of "retry" == #ids end)
        for _, task in ipairs(tasks) do
          task:cancel()
          task:join()
        end
      end)
      local longer = {}
      for i, event in ipairs(t.events_of "retry") do longer[i] = event.wait / 0.01 end
      table.sort(longer)
      for i, times in ipairs { 2, 4, 8, 8, 8 } do
        assert.is_true(math.abs(longer[i] - times) < 1e-6, longer[i])
      end
    end)

    it("which a second refusal does not shorten", function()
      local client, ids = t.client { max_retries = 0 }, { t.job().id, t.job().id }
      t.service:fail { at = "info", code = 1005, retry_after = 2, delay = 0.1 }
      t.service:fail { at = "info", code = 1005, retry_after = 1, delay = 0.3 }
      local began = core.now()
      local _, errors = lipsync.map(ids, function(id) return client:info(id) end,
        { concurrency = 2 })
      assert.equal(3, errors[1].retry_after + errors[2].retry_after)
      assert(client:info(ids[1]))
      assert.is_true(core.now() - began >= 2)
    end)

    it("and its connections: who found none free asks when one is", function()
      local ids, most = {}, 0
      for i = 1, 3 do ids[i] = t.completed().id end
      local client = t.client { max_connections = 1, on_event = function()
        most = math.max(most, core.engine():stats().running)
      end }
      local jobs = lipsync.map(ids, function(id) return client:wait(id) end, { concurrency = 3 })
      for i = 1, 3 do assert.equal("completed", jobs[i].status) end
      assert.equal(1, most)
    end)

    it("another client goes on meanwhile", function()
      local slow, quick = t.client(), t.client()
      local job = t.job(quick)
      t.service:fail { at = "info", code = 1005, retry_after = 30 }
      lipsync.run(function()
        local following = lipsync.spawn(slow.wait, slow, job.id)
        eventually(function() return #t.events_of "retry" > 0 end)
        assert(quick:info(job))
        local began = core.now()
        local found, err = slow:wait(job.id, { wait_timeout = 0.1 })
        assert.is_nil(found)
        assert.equal("wait_timeout", err.name)
        assert.is_true(core.now() - began < 10)
        following:cancel()
        following:join()
      end)
      assert.equal(2, t.service:count "info")
    end)
  end)

  describe("endures", function()
    it("what may pass: the next poll is the retry", function()
      local client = t.client()
      local job = t.job(client)
      for _, fault in ipairs {
        { reset = "after" }, { close = "during" }, { cut = 200 }, { status = 500 },
        { status = 502 }, { status = 503 }, { raw = "" }, { raw = "<html></html>" },
        { raw = "{" }, { top_drop = { "data" } }, { raw = '{"code":1000,"data":null}' },
        { code = 1201 }, { framing = "none" }, { data = { _id = UNKNOWN } },
      } do
        fault.at = "info"
        t.service:fail(fault)
      end
      local seen
      lipsync.run(function()
        local following = lipsync.spawn(follow, client, job)
        eventually(function() return #t.events_of "status" >= 1 end)
        t.service:advance(60)
        seen = following:join()
      end)
      assert.same({ "queueing", "completed" }, seen)
      assert.is_true(#t.events_of "retry" >= 12)
    end)

    it("waiting for as long as the service asks", function()
      local client = t.client()
      local job = t.job(client)
      t.service:advance(60)
      t.service:fail { at = "info", status = 503, retry_after = 1 }
      local began = core.now()
      assert.same({ "completed" }, (follow(client, job)))
      assert.is_true(core.now() - began >= 0.99)
      assert.is_true(t.events_of("retry")[1].wait >= 1)
    end)

    it("a job that is gone from one answer to the next without forgetting its status", function()
      local client = t.client()
      local job = t.job(client)
      t.service:fail { at = "info", skip = 2, status = 500 }
      local seen
      lipsync.run(function()
        local following = lipsync.spawn(follow, client, job)
        eventually(function() return t.service:count "info" >= 6 end)
        t.service:advance(60)
        seen = following:join()
      end)
      assert.same({ "queueing", "completed" }, seen)
    end)
  end)

  describe("ends with an error", function()
    it("as its last round, when following makes no sense any more", function()
      for _, fault in ipairs {
        { code = 1008 }, { code = 1009 }, { code = 1101 }, { code = 1200 }, { status = 401 },
        { status = 403 }, { code = 4711 }, { data = { video_status = "done" } },
      } do
        t.service:reset()
        local client = t.client()
        local job = t.job(client)
        fault.at, fault.skip, fault.times = "info", 1, "always"
        t.service:fail(fault)
        local seen, err = follow(client, job)
        assert.same({ "queueing", "error" }, seen)
        assert.equal(fault.code, err.code)
        assert.equal(job.id, err.job.id)
        assert.equal("queueing", err.job.status) -- what was last known of it
        assert.is_false(err.retryable)
        assert.equal(2, t.service:count "info")
      end
    end)

    it("after two minutes of failures, and no fewer than max_retries allows", function()
      t.service:fail { at = "info", status = 500, times = "always" }
      local id = t.job().id
      for first, retries in pairs { [10] = 1, [90] = 3 } do
        local said = child.run(([[
          local core = require "akool.lipsync.core"
          local lipsync = require "akool.lipsync"
          local times = 0
          local client = assert(lipsync.new { api_key = %q, base_url = %q, max_retries = %d,
            timeout = 1e5, connect_timeout = 1e5, wait_timeout = 1e4,
            poll = { first = %d, max = %d, factor = 1, jitter = 0 },
            on_event = function(event) if event.type == "request" then times = times + 1 end end })
          local began = core.now()
          local job, err = client:wait(%q)
          print(job, err.kind, times, core.now() - began)
        ]]):format(fixture.secrets.api_key, t.service.url, retries, first, first, id),
          { environment = preload("fast_clock", t.folder) })
        local kind, times, took = said:match "^nil\t(%a+)\t(%d+)\t([%d.]+)\n$"
        assert.equal("server", kind, said)
        assert.is_true(tonumber(took) >= 120, said)
        assert.is_true(tonumber(times) > retries, said)
      end
    end)

    it("at once when max_retries is 0", function()
      local client = t.client { max_retries = 0 }
      local job = t.job(client)
      t.service:fail { at = "info", status = 500 }
      local seen, err = follow(client, job.id)
      assert.same({ "error" }, seen)
      assert.same({ id = job.id }, err.job) -- nothing else is known of it
      assert.equal(1, t.service:count "info")
    end)

    it("without a request, when the id cannot be one", function()
      for _, id in ipairs { "", "../x", "a b", "a\n", ("x"):rep(200), "ä" } do
        local seen, err = follow(t.client(), id)
        assert.same({ "error" }, seen)
        assert.equal("bad_id", err.name)
        local job
        job, err = t.client():wait(id)
        assert.is_nil(job)
        assert.equal("bad_id", err.name)
      end
      assert.same({}, t.service:requests())
    end)

    it("about a job that the service does not know", function()
      local seen, err = follow(t.client(), UNKNOWN)
      assert.same({ "error" }, seen)
      assert.equal(1008, err.code)
      assert.equal("not_found", err.kind)
      assert.equal(UNKNOWN, err.job.id)
    end)

    it("and raises when the program passes something that is no job", function()
      for _, given in ipairs { false, 7, {}, { id = 7 } } do
        local ok, why = pcall(function() t.client():poll(given) end)
        assert.is_false(ok)
        assert.is_truthy(why:find("poll_spec.lua:%d+: "), why)
      end
    end)
  end)

  describe("keeps to wait_timeout", function()
    for what, case in pairs {
      ["in the middle of an exchange"] = { fault = { stall = "after", skip = 1 } },
      ["after a failure that has passed"] = { fault = { status = 500, skip = 1, times = 1 } },
      ["while it waits for the next poll"] = { poll = { first = 60, max = 60 } },
      ["while failures are endured"] = { fault = { status = 503, retry_after = 30, skip = 1 },
        failure = "http_server_error" },
    } do
      it(what, function()
        local client = t.client { poll = case.poll, wait_timeout = 0.3 }
        local job = t.job(client)
        if case.fault then
          case.fault.at, case.fault.times = "info", case.fault.times or "always"
          t.service:fail(case.fault)
        end
        local began = core.now()
        local seen, err = follow(client, job.id)
        assert.is_true(core.now() - began >= 0.3)
        assert.is_true(core.now() - began < 10)
        assert.same({ "queueing", "error" }, seen)
        assert.equal("wait_timeout", err.name)
        assert.equal("timeout", err.kind)
        assert.equal(job.id, err.job.id)
        assert.is_truthy(err.message:find("queueing", 1, true))
        assert.equal(case.failure, err.message:match "the last request failed with ([%w_]+)")
        assert.is_true(err.retryable)
      end)
    end
  end)

  describe("left before its end", function()
    local function leave(how)
      local client = t.client()
      local job = t.job(client)
      how(client, job)
      if not CLOSES then
        collectgarbage()
        collectgarbage()
      end
      assert.equal(0, core.engine():stats().calls)
      local asked = t.service:count "info"
      lipsync.sleep(0.1)
      assert.equal(asked, t.service:count "info")
    end

    it("asks no more: break", function()
      leave(function(client, job)
        for _ in client:poll(job) do break end -- luacheck: ignore 512
      end)
    end)

    it("asks no more: an error in the loop's body", function()
      leave(function(client, job)
        assert.has_error(function()
          for status in client:poll(job) do error("left at " .. status, 0) end
        end, "left at queueing")
      end)
    end)

    it("asks no more: break inside a task", function()
      leave(function(client, job)
        lipsync.run(function()
          for _ in client:poll(job) do break end -- luacheck: ignore 512
          if CLOSES then assert.equal(0, core.engine():stats().calls) end
        end)
      end)
    end)

    it("asks nothing when its loop is never entered", function()
      leave(function(client, job)
        local followed = client:poll(job)
        assert.is_function(followed)
      end)
      assert.equal(0, t.service:count "info")
    end)
  end)
end)

describe("client:wait", function()
  local t = fixture.new { credits = 1e9 }

  it("returns the completed job", function()
    local client = t.client()
    local job = t.job(client)
    t.service:advance(60)
    local done = assert(client:wait(job))
    assert.equal(job.id, done.id)
    assert.equal("completed", done.status)
    assert.is_truthy(done.video)
    assert.equal("completed", assert(job:wait()).status)
  end)

  it("keeps nothing of the job that it was given", function()
    local client = assert(lipsync.new {
      api_key = fixture.secrets.api_key,
      base_url = t.service.url, -- and nobody to be told of events
    })
    local kept = setmetatable({}, { __mode = "k" })
    lipsync.run(function()
      local job = t.job(client)
      kept[job] = true
      local following = lipsync.spawn(client.wait, client, job)
      job = nil -- luacheck: ignore 311 (nor does this task)
      eventually(function() return core.engine():stats().calls == 1 end)
      collectgarbage()
      collectgarbage()
      assert.is_nil(next(kept))
      following:cancel()
      following:join()
    end)
  end)

  it("returns an error that carries the job, when that failed", function()
    local client = t.client()
    local job = t.job(client)
    t.service:set(job.id, { video_status = 4, error_msg = "no face found" })
    local done, err = client:wait(job)
    assert.is_nil(done)
    assert.equal("failed", err.kind)
    assert.equal("no face found", err.server_message)
    assert.equal("failed", err.job.status)
    assert.equal(job.id, err.job.id)
  end)

  it("calls on_status at every change, in the caller's task", function()
    local client = t.client()
    local job, seen, places = t.job(client), {}, {}
    lipsync.run(function()
      local me = coroutine.running()
      assert(client:wait(job, { on_status = function(status, now)
        seen[#seen + 1] = status
        places[#places + 1] = coroutine.running() == me
        assert.equal(job.id, now.id)
        t.service:advance(8)
      end }))
    end)
    assert.same({ "queueing", "processing", "completed" }, seen)
    assert.same({ true, true, true }, places)
  end)

  it("passes an error in on_status on, and leaves nothing behind", function()
    local client = t.client()
    local job, mine = t.job(client), {}
    for _, raised in ipairs { "broken", mine } do
      local ok, why = pcall(client.wait, client, job, { on_status = function()
        error(raised, 0)
      end })
      assert.is_false(ok)
      assert.equal(raised, why)
      assert.equal(0, core.engine():stats().calls)
    end
  end)

  it("passes an error in on_event on, and leaves nothing behind", function()
    local client = t.client()
    local job = t.job(client)
    local function broken() error("broken", 0) end
    local ok, why = pcall(client.wait, client, job, { on_event = broken })
    assert.is_false(ok)
    assert.equal("broken", why)
    assert.equal(0, core.engine():stats().calls)
  end)

  it("can be called again after its time was up", function()
    local client = t.client()
    local job = t.job(client)
    local _, err = client:wait(job, { wait_timeout = 0.1 })
    assert.equal("wait_timeout", err.name)
    t.service:advance(60)
    assert.equal("completed", assert(err.job:wait()).status)
  end)

  it("follows several hundred jobs at once in one process", function()
    local client, list = t.client { poll = { first = 0.05, max = 0.1, jitter = 0.5 } }, {}
    for i = 1, 400 do list[i] = i end
    local most = 0
    lipsync.run(function()
      local following = lipsync.spawn(lipsync.map, list, function()
        local job, err = client:create { video_url = t.video, audio_url = t.audio }
        if not job then return nil, err end
        return client:wait(job)
      end, { concurrency = 400 })
      eventually(function()
        most = math.max(most, core.engine():stats().calls)
        return t.service:count "info" >= 1000
      end)
      t.service:advance(60)
      local done, errors = following:join()
      assert.same({}, errors)
      local ids = {}
      for i = 1, 400 do
        assert.equal("completed", done[i].status)
        ids[done[i].id] = true
      end
      local different = 0
      for _ in pairs(ids) do different = different + 1 end
      assert.equal(400, different)
    end)
    assert.is_true(most >= 400)
    assert.equal(400, t.service:count "create")
    assert.is_true(t.service:connections() <= 64 + 256)
  end)
end)

describe("client:generate", function()
  local t = fixture.new { credits = 1e9 }

  it("tells every status on the way to the file", function()
    local seen = {}
    local file = assert(t.client():generate({ video_url = t.video, audio_url = t.audio },
      t.path "out.mp4", { on_status = function(status)
        seen[#seen + 1] = status
        t.service:advance(8)
      end }))
    assert.same({ "queueing", "processing", "completed" }, seen)
    assert.equal(t.path "out.mp4", file.path)
    assert.equal(file.bytes, #fixture.read(t.path "out.mp4"))
  end)

  it("passes an error in on_status on, and leaves nothing behind", function()
    local client = t.client()
    assert.has_error(function()
      client:generate({ video_url = t.video, audio_url = t.audio }, t.path "out.mp4",
        { on_status = function() error("broken", 0) end })
    end, "broken")
    assert.equal(0, core.engine():stats().calls)
    assert.same({}, fixture.files(t.folder))
    assert.equal(1, t.service:count "create")
  end)

  it("returns the job with the error, when following it failed", function()
    t.service:fail { at = "info", code = 1009, times = "always" }
    local file, err = t.client():generate({ video_url = t.video, audio_url = t.audio },
      t.path "out.mp4")
    assert.is_nil(file)
    assert.equal(1009, err.code)
    assert.equal(t.service:jobs()[1]._id, err.job.id)
    assert.same({}, fixture.files(t.folder))
  end)
end)
