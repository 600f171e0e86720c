-- What may safely be repeated is repeated: after which failures, how often, how long after each
-- other, and within which budget. Shown with info, which may always be repeated.

local child = require "support.child"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local http = require "akool.lipsync.http"
local lipsync = require "akool.lipsync"
local preload = require "support.preload"
local uv = require "luv"

local INFO = "/api/open/v3/content/video/infobymodelid?video_model_id="

describe("client:info", function()
  local t = fixture.new { credits = 1e9 }

  --- An info that fails; returns its error.
  local function failing_info(client, job, opts)
    local found, err = client:info(job, opts)
    assert.is_nil(found)
    assert.is_truthy(err.kind)
    assert.is_false(err.maybe_created)
    assert.equal(job.id, err.job.id)
    fixture.assert_no_secret(err)
    return err
  end

  --- How many info requests the service saw for each job id.
  local function seen_by_id()
    local seen = {}
    for _, request in ipairs(t.service:requests "info") do
      local id = request.query.video_model_id
      seen[id] = (seen[id] or 0) + 1
    end
    return seen
  end

  describe("after a failure that may pass", function()
    local passing = {
      { reset = "before", error = "connection_lost" },
      { reset = "during", error = "connection_lost" },
      { reset = "after", error = "connection_lost" },
      { close = "before", error = "connection_lost" },
      { close = "during", error = "connection_lost" },
      { close = "after", error = "connection_lost" },
      { cut = 30, error = "answer_cut_short" },
      { cut = 400, error = "answer_cut_short" },
      { cut = 400, with = "rst", error = "connection_lost" },
      { framing = "none", error = "length_unknown" },
      { status = 408, error = "http_server_error" },
      { status = 429, error = "http_rate_limited" },
      { status = 500, error = "http_server_error" },
      { status = 502, error = "http_server_error" },
      { status = 503, error = "http_server_error" },
      { status = 504, error = "http_server_error" },
      { code = 1005, error = "too_frequent" },
      { raw = "<html>hello</html>", content_type = "text/html", error = "html_answer" },
      { raw = "", error = "empty_answer" },
      { raw = '{"code":1000,"data":{"_id":', error = "broken_json" },
      { raw = '{"code":1000,"data":null}', error = "no_data_yet" },
      { top_drop = { "data" }, error = "no_data_yet" },
      { data = { _id = "66160f989dfc997ac2890000" }, error = "wrong_job" },
    }

    it("asks again and succeeds", function()
      local jobs, expected = {}, {}
      for i, fault in ipairs(passing) do
        local order = { at = "info" }
        for key, value in pairs(fault) do
          if key ~= "error" then order[key] = value end
        end
        t.service:fail(order)
        jobs[i] = t.job()
        expected[#expected + 1] = fault.error
      end
      t.events = {}
      core.engine():close() -- and with it the connections that were kept
      -- Which of the infos meets which failure is left to chance; each failure is met once.
      local found, errors = lipsync.map(jobs, function(job)
        return t.client():info(job)
      end, { concurrency = #jobs })
      assert.same({}, errors)
      local retried = {}
      for i, job in ipairs(jobs) do assert.equal(job.id, found[i].id) end
      assert.equal(2 * #jobs, #t.service:requests "info")
      for i, event in ipairs(t.events_of "retry") do retried[i] = event.error end
      table.sort(expected)
      table.sort(retried)
      assert.same(expected, retried)
    end)

    it("asks again after the time ran out", function()
      local job = t.job()
      t.service:fail { at = "info", stall = "after" }
      assert(t.client { timeout = 0.15 }:info(job))
      assert.equal("answer_timeout", t.events_of("retry")[1].error)
      assert.equal(2, t.service:count "info")
    end)

    it("asks again when the service was away", function()
      local job, client = t.job(), t.client { max_retries = 6 }
      t.service:down()
      finally(function() t.service:up() end)
      lipsync.run(function()
        local asking = lipsync.spawn(client.info, client, job)
        while #t.events_of "retry" == 0 do lipsync.sleep(0.005) end
        t.service:up()
        assert(asking:join())
      end)
      assert.equal("connection_refused", t.events_of("retry")[1].error)
    end)

    it("notices nothing when only the kept connection had died", function()
      local client = t.client { max_retries = 0 }
      local job = t.job(client)
      for _ = 1, 5 do
        t.service:fail { at = "info", stale = true }
        assert(client:info(job))
        assert(client:info(job))
      end
    end)

    it("asks as often as max_retries says, and then returns the last failure", function()
      local jobs = {}
      for i = 1, 3 do jobs[i] = t.job() end
      t.events = {}
      t.service:fail { at = "info", status = 500, times = "always" }
      local _, errors = lipsync.map(jobs, function(job, i)
        return t.client { max_retries = i - 1 }:info(job)
      end, { concurrency = 3 })
      local seen = seen_by_id()
      for i, job in ipairs(jobs) do
        assert.equal(i, seen[job.id])
        assert.equal(500, errors[i].http_status)
        assert.is_true(errors[i].retryable)
        assert.equal(job.id, errors[i].job.id)
      end
    end)

    it("waits ever longer, and never longer than 20 s", function()
      t.service:fail { at = "info", status = 500, times = "always" }
      local said = child.run(([[
        local lipsync = require "akool.lipsync"
        local client = assert(lipsync.new { api_key = %q, base_url = %q, max_retries = 12,
          timeout = 1e5, connect_timeout = 1e5,
          on_event = function(event) if event.wait then print(event.wait) end end })
        local job, err = client:info(%q)
        print(job, err.http_status)
      ]]):format(fixture.secrets.api_key, t.service.url, t.job().id),
        { environment = preload("fast_clock", t.folder) })
      local waits, longest = 0, 0
      for wait in said:gmatch "([%d.e-]+)\n" do
        waits, longest = waits + 1, math.max(longest, tonumber(wait))
        if waits == 12 then break end
      end
      assert.equal(12, waits, said)
      assert.is_true(longest > 1 and longest <= 20, said)
      assert.is_truthy(said:find("\nnil\t500\n$"), said)
    end)

    it("tells of every wait beforehand, and keeps to it", function()
      local client, job = t.client { max_retries = 2 }, t.job()
      t.events = {}
      t.service:fail { at = "info", status = 502, times = 2 }
      assert(client:info(job))
      local types, promised, kept = {}, {}, {}
      for i, event in ipairs(t.events) do
        types[i] = event.type
        if event.type == "retry" then promised[#promised + 1] = event.wait end
        if event.type == "retry" then kept[#kept + 1] = t.events[i + 1].at - event.at end
        assert.equal(math.ceil(i / 3), event.attempt)
        assert.equal("info", event.op)
        assert.equal(job.id, event.job)
      end
      assert.same({ "request", "answer", "retry", "request", "answer", "retry", "request",
        "answer" }, types)
      for i, wait in ipairs(promised) do
        assert.is_true(wait >= 0 and wait <= 0.5 * 2 ^ (i - 1), "wait " .. wait)
        assert.is_true(kept[i] >= wait - 0.005)
      end
    end)
  end)

  describe("after a failure that stays", function()
    it("asks once", function()
      local client, job = t.client(), t.job()
      for _, fault in ipairs {
        { status = 400 }, { status = 401 }, { status = 403 }, { status = 404 }, { status = 410 },
        { redirect = t.service.url .. INFO .. job.id },
        { code = 1003 }, { code = 1008 }, { code = 1009 }, { code = 1014 }, { code = 1101 },
        { code = 1102 }, { code = 1103 }, { code = 1104 }, { code = 1200 }, { code = 1203 },
        { code = 1204 }, { code = 1207 }, { code = 1209 }, { code = 1210 }, { code = 4711 },
        { data = { video_status = "done" } }, { oversize = 2 * 1024 * 1024 },
      } do
        t.service:clear()
        local before = t.service:count "info"
        fault.at, fault.times = "info", "always"
        t.service:fail(fault)
        local err = failing_info(client, job)
        assert.is_false(err.retryable, tostring(err))
        assert.equal(fault.code, err.code)
        if fault.status then assert.equal(fault.status, err.http_status) end
        assert.equal(before + 1, t.service:count "info")
      end
      assert.same({}, t.events_of "retry")
    end)
  end)

  describe("told when to come again", function()
    it("waits for as long as the service asks, in seconds or until a date", function()
      local faults, jobs = {
        { status = 429, retry_after = 1 }, { status = 503, retry_after = 1 },
        { status = 429, retry_after_date = 2 }, { status = 503, retry_after_date = 2 },
        { code = 1005, retry_after = 1 }, { code = 1201, retry_after = 1 },
      }, {}
      for i, fault in ipairs(faults) do
        fault.at = "info"
        t.service:fail(fault)
        jobs[i] = t.job()
      end
      t.events = {}
      local _, errors = lipsync.map(jobs, function(job)
        return t.client { max_retries = 1 }:info(job)
      end, { concurrency = #jobs })
      assert.same({}, errors)
      local answered, asked, retries = {}, {}, t.events_of "retry"
      for _, event in ipairs(t.events) do
        if event.type == "retry" then answered[event.job] = event.at end
        if event.type == "request" and event.attempt == 2 then asked[event.job] = event.at end
      end
      assert.equal(#jobs, #retries)
      for _, event in ipairs(retries) do assert.is_true(event.wait >= 1) end
      for _, job in ipairs(jobs) do
        assert.is_true(asked[job.id] - answered[job.id] >= 0.99)
      end
    end)

    it("takes a date to be meant by the service's clock, whatever ours says", function()
      local job = t.job()
      for _, skew in ipairs { -86400, 86400 } do
        local there = os.time() + skew
        t.events = {}
        t.service:fail { at = "info", status = 503,
          headers = { Date = http.date(there), ["Retry-After"] = http.date(there + 1) } }
        assert(t.client { max_retries = 1 }:info(job))
        local wait = t.events_of("retry")[1].wait
        assert.is_true(wait >= 1 and wait < 60, ("it waits for %g s"):format(wait))
      end
    end)

    it("leaves a wait to the caller that is longer than anybody would sit through", function()
      local job = t.job()
      for _, fault in ipairs {
        { status = 429, retry_after = 3600 }, { status = 503, retry_after = 3600 },
        { code = 1005, retry_after = 3600 },
      } do
        local before = t.service:count "info"
        fault.at = "info"
        t.service:fail(fault)
        local began = core.now()
        local err = failing_info(t.client(), job)
        assert.is_true(core.now() - began < 10)
        assert.equal(3600, err.retry_after)
        assert.is_true(err.retryable)
        assert.equal(before + 1, t.service:count "info")
      end
    end)

    it("is not confused by a Retry-After that makes no sense", function()
      local job, client = t.job(), t.client { max_retries = 0 }
      for _, text in ipairs { "soon", "-5", "1e9", "0x10", "", "1 2", ("9"):rep(400) .. "x" } do
        t.service:fail { at = "info", status = 503, headers = { ["Retry-After"] = text } }
        local err = failing_info(client, job)
        assert.is_nil(err.retry_after, text)
      end
    end)
  end)

  describe("when the service is down for everybody", function()
    it("stops repeating once the client's budget is spent, and recovers with it", function()
      local client, job = t.client { max_retries = 3 }, t.job()
      local calls, list = 500, {}
      for i = 1, calls do list[i] = i end
      t.service:fail { at = "info", status = 500, times = "always" }
      local results = lipsync.map(list, function() return client:info(job) end,
        { concurrency = calls })
      assert.same({}, results)
      local all = t.service:count "info"
      assert.is_true(all > calls, "nothing was repeated")
      assert.is_true(all <= calls * 1.5, ("%d requests for %d calls"):format(all, calls))

      failing_info(client, job)
      assert.equal(all + 1, t.service:count "info") -- still no repeats

      t.service:clear()
      for _ = 1, 20 do assert(client:info(job)) end
      t.service:fail { at = "info", status = 500 }
      assert(client:info(job))
      assert.equal(all + 1 + 20 + 2, t.service:count "info")
    end)
  end)

  describe("whose answer is cut", function()
    local lengths = {}

    --- The bytes of an info's answer with this framing, measured with a plain socket.
    local function answer_length(framing)
      local socket, got, over = uv.new_tcp(), "", false
      local watchdog, job = uv.new_timer(), t.job(t.client { on_event = function() end })
      if framing then t.service:fail { at = "info", framing = framing } end
      uv.update_time() -- the loop may not have turned for long
      watchdog:start(10000, 0, function() over = true end)
      socket:connect("127.0.0.1", t.service.port, function(problem)
        assert(not problem, problem)
        socket:write(("GET %s%s HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: %s\r\n\r\n"):format(
          INFO, job.id, fixture.secrets.api_key))
        socket:read_start(function(_, bytes)
          got = got .. (bytes or "")
          local head, rest = got:match("^(.-\r\n\r\n)(.*)$")
          local length = head and tonumber(head:lower():match("content%-length: (%d+)"))
          over = over or not bytes or (length and #rest >= length)
            or (head and framing and rest:sub(-5) == "0\r\n\r\n")
        end)
      end)
      while not over do uv.run("once") end
      socket:close()
      watchdog:close()
      uv.run("nowait")
      assert(got:find("^HTTP/1.1 200"), "the service did not answer")
      return #got
    end

    setup(function()
      lengths.plain, lengths.chunked = answer_length(), answer_length "chunked"
    end)

    for _, case in ipairs {
      { with = "fin", step = 1 }, { with = "rst", step = 7 },
      { with = "fin", step = 1, framing = "chunked" },
      { with = "rst", step = 7, framing = "chunked" },
    } do
      it(("never takes a part for the whole: %s, %s answer"):format(case.with:upper(),
        case.framing or "plain"), function()
        local client, length = t.client { max_retries = 0 }, lengths[case.framing or "plain"]
        -- A chunked body is whole when its last, empty chunk is there; two bytes still follow.
        local whole = case.framing and length - 2 or length
        local job = t.job()
        assert.is_true(whole > 300)
        for cut = 0, whole - 1, case.step do
          t.service:clear()
          t.service:fail { at = "info", times = "always", cut = cut, with = case.with,
            framing = case.framing }
          local found, err = client:info(job)
          assert(not found, "a success, but cut at " .. cut)
          assert(err.kind == "network", ("cut at %d: %s"):format(cut, tostring(err)))
        end
        t.service:clear()
        t.service:fail { at = "info", cut = length, framing = case.framing }
        assert.equal(job.id, assert(client:info(job)).id)
      end)
    end
  end)

  describe("that gets no answer", function()
    for what, fault in pairs {
      ["that never begins"] = { stall = "after" },
      ["to a request that nobody reads"] = { stall = "before" },
      ["that stops in its headers"] = { stall_at = 40 },
      ["that stops in its body"] = { stall_at = 400 },
      ["that trickles for longer than the time there is"] = { drip = { bytes = 1, every = 0.02 } },
      ["that is shorter than announced"] = { length = 1 },
    } do
      it("ends when its time is up: an answer " .. what, function()
        local job = t.job()
        fault.at, fault.times = "info", "always"
        t.service:fail(fault)
        local began = core.now()
        local err = failing_info(t.client { max_retries = 0, timeout = 0.2 }, job)
        local took = core.now() - began
        assert.is_true(took >= 0.2 and took < 5, took)
        assert.equal("timeout", err.kind)
        assert.equal("answer_timeout", err.name)
      end)
    end

    it("gives every attempt its own time", function()
      local job = t.job()
      t.service:fail { at = "info", stall = "after", times = "always" }
      local began = core.now()
      failing_info(t.client { max_retries = 1, timeout = 0.2 }, job)
      assert.is_true(core.now() - began >= 0.4)
      assert.equal(2, t.service:count "info")
    end)

    it("takes the time from the call before the client's", function()
      local job = t.job()
      t.service:fail { at = "info", stall = "after", times = "always" }
      local began = core.now()
      failing_info(t.client { timeout = 60 }, job, { timeout = 0.1, max_retries = 0 })
      assert.is_true(core.now() - began < 10)
    end)
  end)
end)
