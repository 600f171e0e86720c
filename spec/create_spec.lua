-- A create costs money: no paid job is lost and none is made twice, whatever becomes of the request
-- or of its answer. Bad input costs nothing, because nothing is sent.

local cjson = require "cjson"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local lipsync = require "akool.lipsync"
local uv = require "luv"

local CREATE = "/api/open/v3/content/video/lipsync"

describe("client:create", function()
  local t = fixture.new { credits = 1e9 }

  local function params(name)
    return { video_url = t.video .. (name and "?" .. name or ""), audio_url = t.audio }
  end

  --- A create that fails; returns its error.
  local function failing_create(client)
    local job, err = client:create(params())
    assert.is_nil(job)
    assert.is_truthy(err.kind)
    fixture.assert_no_secret(err)
    return err
  end

  --- The service saw one request, and the error says that there may be a job.
  local function assert_left_in_doubt(err)
    assert.is_true(err.maybe_created, tostring(err))
    assert.equal(1, #t.service:requests "create")
  end

  describe("that goes well", function()
    it("returns the job that the service made", function()
      local job = assert(t.client():create(params()))
      local made = t.service:jobs()
      assert.equal(1, #made)
      assert.equal(made[1]._id, job.id)
      assert.equal("queueing", job.status)
      assert.is_nil(job.video)
      assert.equal(11.7, job.duration)
      assert.equal("20", tostring(job.credits))
      assert.equal(t.video, job.data.target_video)
    end)

    it("sends exactly the documented fields as JSON", function()
      assert(t.client():create {
        video_url = t.video, audio_url = t.audio, webhook_url = "https://example.com/hook?a=1&b=ü",
      })
      local sent = t.service:requests("create")[1]
      assert.equal("POST", sent.method)
      assert.equal("application/json", sent.headers["content-type"])
      assert.same({
        video_url = t.video, audio_url = t.audio, webhookUrl = "https://example.com/hook?a=1&b=ü",
      }, cjson.decode(sent.body))
    end)

    it("says that there is no webhook with an empty string", function()
      assert(t.client():create(params()))
      assert(t.client():create { video_url = t.video, audio_url = t.audio, webhook_url = "" })
      for _, sent in ipairs(t.service:requests "create") do
        assert.same({ video_url = t.video, audio_url = t.audio, webhookUrl = "" },
          cjson.decode(sent.body))
      end
    end)

    it("sends the request at once, without asking whether it is welcome", function()
      local long = t.video .. "?" .. ("x"):rep(8000)
      assert(t.client():create { video_url = long, audio_url = long, webhook_url = long })
      assert.is_nil(t.service:requests("create")[1].headers.expect)
    end)
  end)

  describe("over a connection that the service has given up", function()
    it("reaches the service once, when an info left the connection behind", function()
      local client = t.client()
      local first = t.job(client)
      t.service:fail { at = "info", stale = true }
      assert(client:info(first))
      local second = assert(client:create(params()))
      assert.equal(2, #t.service:requests "create")
      assert.equal(2, #t.service:jobs())
      assert.not_equal(first.id, second.id)
    end)

    it("reaches the service once, when another create left it behind", function()
      local client = t.client()
      t.service:fail { at = "create", stale = true, times = "always" }
      for i = 1, 3 do
        assert(client:create(params()))
        assert.equal(i, #t.service:requests "create")
        assert.equal(i, #t.service:jobs())
      end
    end)

    it("reaches the service once, when every kept connection is such a one", function()
      local client = t.client()
      local job = t.job(client)
      t.service:fail { at = "info", stale = true, delay = 0.05, times = 8 }
      local _, errors = lipsync.map({ 1, 2, 3, 4, 5, 6, 7, 8 }, function()
        return client:info(job)
      end, { concurrency = 8 })
      assert.same({}, errors)
      assert(client:create(params()))
      assert.equal(2, #t.service:requests "create")
      assert.equal(2, #t.service:jobs())
    end)
  end)

  describe("whose connection breaks", function()
    for _, how in ipairs { "reset", "close" } do
      it("is not repeated when the job may exist: " .. how .. " before the answer", function()
        t.service:fail { at = "create", [how] = "after" }
        local err = failing_create(t.client())
        assert.equal("network", err.kind)
        assert_left_in_doubt(err)
        assert.equal(1, #t.service:jobs())
      end)

      for _, moment in ipairs { "before", "during" } do
        it(("is not repeated once its body may have left: %s %s the request"):format(how, moment),
          function()
            for _ = 1, 20 do
              t.service:reset()
              t.service:fail { at = "create", [how] = moment, times = "always" }
              local err = failing_create(t.client { max_retries = 1 })
              local seen = t.service:requests "create"
              -- That the connection breaks before a byte of the body is sent is possible, but rare.
              assert.equal(err.maybe_created and 1 or 2, #seen)
              for _, sent in ipairs(err.maybe_created and {} or seen) do
                assert.equal("", sent.body or "")
              end
              assert.equal("network", err.kind)
            end
          end)
      end
    end

    for _, moment in ipairs { "before", "after" } do
      it("ends at create_timeout, in doubt, when the service is silent " .. moment .. " its work",
        function()
          t.service:fail { at = "create", stall = moment }
          local began = core.now()
          local err = failing_create(t.client { create_timeout = 0.2 })
          assert.is_true(core.now() - began >= 0.2)
          assert.is_true(core.now() - began < 5)
          assert.equal("timeout", err.kind)
          assert_left_in_doubt(err)
        end)
    end
  end)

  describe("whose answer is cut", function()
    local lengths = {}

    --- The bytes of a create's answer with this framing, measured with a plain socket.
    local function answer_length(framing)
      if framing then t.service:fail { at = "create", framing = framing } end
      local body = cjson.encode { video_url = t.video, audio_url = t.audio, webhookUrl = "" }
      local socket, got, over = uv.new_tcp(), "", false
      local watchdog = uv.new_timer()
      uv.update_time() -- the loop may not have turned for long
      watchdog:start(10000, 0, function() over = true end)
      socket:connect("127.0.0.1", t.service.port, function(problem)
        assert(not problem, problem)
        socket:write(("POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: %s\r\n"
          .. "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"):format(CREATE,
          fixture.secrets.api_key, #body, body))
        socket:read_start(function(_, bytes)
          got = got .. (bytes or "")
          local head, rest = got:match("^(.-\r\n\r\n)(.*)$")
          local length = head and tonumber(head:lower():match("content%-length: (%d+)"))
          over = not bytes or (length and #rest >= length)
            or (head and framing == "chunked" and rest:sub(-5) == "0\r\n\r\n")
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
      { with = "fin" }, { with = "rst" },
      { with = "fin", framing = "chunked" }, { with = "rst", framing = "chunked" },
    } do
      it(("is never repeated and never taken for a success: %s at every byte of the %s answer")
        :format(case.with:upper(), case.framing or "plain"), function()
        local length, client = lengths[case.framing or "plain"], t.client()
        -- A chunked body is whole when its last, empty chunk is there; two bytes still follow.
        local whole = case.framing and length - 2 or length
        assert.is_true(whole > 300)
        for cut = 0, whole - 1 do
          t.service:fail { at = "create", cut = cut, with = case.with, framing = case.framing }
          local job, err = client:create(params())
          assert(not job, "a success, but cut at " .. cut)
          assert(err.maybe_created == true, ("cut at %d: %s"):format(cut, tostring(err)))
          assert(t.service:count "create" == cut + 1, "sent again, when cut at " .. cut)
        end
        assert.equal(whole, #t.service:requests "create")
        assert.equal(whole, #t.service:jobs())
        if case.with == "fin" then
          t.service:fail { at = "create", cut = length, framing = case.framing }
          local job = assert(client:create(params()), "the whole answer was not believed")
          local jobs = t.service:jobs()
          assert.equal(jobs[#jobs]._id, job.id)
        end
      end)
    end
  end)

  describe("that cannot reach the service", function()
    it("has certainly made no job, and says so", function()
      t.service:down()
      finally(function() t.service:up() end)
      local err = failing_create(t.client { max_retries = 1 })
      assert.equal("connection_refused", err.name)
      assert.is_false(err.maybe_created)
      assert.equal(2, #t.events_of "request")
      t.service:up()
      assert.same({}, t.service:requests())
    end)

    it("is repeated, and makes one job as soon as the service is back", function()
      local client = t.client { max_retries = 6 }
      t.service:down()
      finally(function() t.service:up() end)
      local job = lipsync.run(function()
        local creating = lipsync.spawn(client.create, client, params())
        while #t.events_of "retry" == 0 do lipsync.sleep(0.005) end
        t.service:up()
        return assert(creating:join())
      end)
      assert.equal(1, #t.service:requests "create")
      assert.equal(job.id, t.service:jobs()[1]._id)
      assert.equal(1, #t.service:jobs())
    end)
  end)

  describe("that the service refuses", function()
    it("is repeated when a later one may be taken, and makes one job", function()
      local refusals = {
        too_frequent = { code = 1005 },
        create_audio_error = { code = 1201 },
        create_video_error = { code = 1205, code_as_string = true },
        create_lipsync_error = { code = 1211, status = 500 },
        http_rate_limited = { status = 429 },
        http_server_error = { status = 503, retry_after = 1 },
      }
      local expected, names = {}, {}
      for name, fault in pairs(refusals) do
        fault.at = "create"
        t.service:fail(fault)
        expected[name] = true
        names[#names + 1] = name
      end
      -- Which create gets which refusal is left to chance; each gets one of them.
      local jobs, errors = lipsync.map(names, function(name)
        return t.client():create(params(name))
      end, { concurrency = #names })
      assert.same({}, errors)
      local made, retried = {}, {}
      for _, job in ipairs(t.service:jobs()) do made[job._id] = job.target_video end
      for i, name in ipairs(names) do
        assert.equal(t.video .. "?" .. name, made[jobs[i].id])
      end
      assert.equal(2 * #names, t.service:count "create")
      assert.equal(#names, #t.service:jobs())
      for _, event in ipairs(t.events_of "retry") do retried[event.error] = true end
      assert.same(expected, retried)
    end)

    it("is not repeated when no later one would be taken", function()
      for _, code in ipairs { 1003, 1006, 1009, 1103, 1104, 1200, 1202, 1203, 1204, 1207, 1208,
        1209, 1210, 4711 } do
        t.service:reset()
        t.service:fail { at = "create", code = code, times = "always" }
        local err = failing_create(t.client())
        assert.equal(code, err.code)
        assert.is_false(err.maybe_created, "code " .. code)
        assert.equal(1, t.service:count "create")
      end
    end)

    it("names what is wrong with the media", function()
      for _, code in ipairs { 1203, 1204, 1207, 1208, 1209, 1210 } do
        t.service:fail { at = "create", code = code }
        local err = failing_create(t.client())
        assert.equal("media", err.kind)
        assert.is_false(err.retryable)
      end
    end)

    it("is not repeated when a gateway refused it for good", function()
      for _, status in ipairs { 400, 401, 403, 404, 413 } do
        t.service:reset()
        t.service:fail { at = "create", status = status, times = "always" }
        local err = failing_create(t.client())
        assert.equal(status, err.http_status)
        assert.is_false(err.maybe_created)
        assert.equal(1, t.service:count())
      end
    end)

    it("does not follow a redirect", function()
      t.service:fail { at = "create", redirect = t.service.url .. CREATE, times = "always" }
      local err = failing_create(t.client())
      assert.equal("redirect_refused", err.name)
      assert.equal(1, t.service:count())
    end)

    it("is sent once more with a new token when the old one has expired", function()
      local client = t.client {
        client_id = fixture.secrets.client_id, client_secret = fixture.secrets.client_secret,
      }
      assert(client:create(params()))
      t.service:expire_tokens()
      assert(client:create(params()))
      assert.equal(3, t.service:count "create")
      assert.equal(2, t.service:count "token")
      assert.equal(2, #t.service:jobs())
    end)

    it("is tried once when max_retries is 0", function()
      t.service:fail { at = "create", code = 1201, times = "always" }
      local err = failing_create(t.client { max_retries = 0 })
      assert.equal(1201, err.code)
      assert.is_true(err.retryable)
      assert.is_false(err.maybe_created)
      assert.equal(1, t.service:count "create")
    end)

    it("is not kept waiting for longer than anybody would want to", function()
      t.service:fail { at = "create", status = 503, retry_after = 3600 }
      local began = core.now()
      local err = failing_create(t.client())
      assert.is_true(core.now() - began < 10)
      assert.equal(3600, err.retry_after)
      assert.is_false(err.maybe_created)
      assert.equal(1, t.service:count "create")
    end)
  end)

  describe("whose outcome a gateway hides", function()
    for _, status in ipairs { 503, 500, 502, 504, 408 } do
      it(("is in doubt and not repeated after HTTP %d"):format(status), function()
        t.service:fail { at = "create", status = status, carry_out = true, times = "always" }
        local err = failing_create(t.client())
        assert.equal(status, err.http_status)
        assert_left_in_doubt(err)
        assert.equal(1, #t.service:jobs())
      end)
    end
  end)

  describe("whose answer cannot be read", function()
    local unreadable = {
      ["is empty"] = { raw = "" },
      ["is blank"] = { raw = " \r\n\t" },
      ["is a web page"] = { raw = "<html><body>hello</body></html>", content_type = "text/html" },
      ["is broken JSON"] = { raw = '{"code":1000,"data":{"_id":"66160f989dfc997' },
      ["is a list"] = { raw = '[{"code":1000}]' },
      ["is a number"] = { raw = "1000" },
      ["has no code"] = { top_drop = { "code" } },
      ["has no data"] = { top_drop = { "data" } },
      ["has null for data"] = { raw = '{"code":1000,"msg":"OK","data":null}' },
      ["has no id"] = { drop = { "_id" } },
      ["has a number for an id"] = { data = { _id = 66160 } },
      ["has an impossible id"] = { data = { _id = "../../etc" } },
      ["is huge"] = { oversize = 1100 * 1024 },
      ["is nested too deeply"] = { depth = 200 },
      ["has endless headers"] = { header_flood = 1024 * 1024 },
      ["has no framing"] = { framing = "none" },
      ["announces more than comes"] = { length = 10 },
    }
    for what, fault in pairs(unreadable) do
      it("is in doubt and not repeated: the answer " .. what, function()
        fault.at, fault.times = "create", "always"
        t.service:fail(fault)
        assert_left_in_doubt(failing_create(t.client { create_timeout = 1 }))
        assert.equal(1, #t.service:jobs())
      end)
    end

    it("still tells the id, when that can be read", function()
      for _, fault in ipairs {
        { data = { video_status = "soon" } }, { drop = { "video_status" } },
        { data = { video_status = 9 } }, { data = { create_time = "now" } },
        { data = { video = 7 } }, { data = { deduction_lock_duration = "20" } },
      } do
        t.service:reset()
        fault.at, fault.times = "create", "always"
        t.service:fail(fault)
        local err = failing_create(t.client())
        assert_left_in_doubt(err)
        assert.equal("protocol", err.kind)
        assert.equal(t.service:jobs()[1]._id, err.job.id)
      end
    end)

    it("tells the id, and repeats nothing, when an error code comes with a job", function()
      for _, code in ipairs { 1005, 1015, 1201, 1205, 1211, 4711 } do
        t.service:reset()
        t.service:fail { at = "create", times = "always",
          json = { code = code, msg = "later", data = { _id = "66160f989dfc997ac289037b" } } }
        local err = failing_create(t.client())
        assert.equal(code, err.code)
        assert_left_in_doubt(err)
        assert.equal("66160f989dfc997ac289037b", err.job.id)
        assert.is_truthy(tostring(err):find("66160f989dfc997ac289037b", 1, true))
      end
    end)

    it("is not sent with a new token when the refusal of the old one comes with a job", function()
      t.service:fail { at = "create", times = "always",
        json = { code = 1101, msg = "expired", data = { _id = "66160f989dfc997ac289037b" } } }
      local err = failing_create(t.client {
        client_id = fixture.secrets.client_id, client_secret = fixture.secrets.client_secret,
      })
      assert.equal(1101, err.code)
      assert_left_in_doubt(err)
      assert.is_false(err.retryable)
      assert.equal("66160f989dfc997ac289037b", err.job.id)
    end)

    it("is in doubt when its code is none of the service's, who may not have spoken", function()
      for _, code in ipairs { 504, 0, 200, 999, 10000, -1, 100000 } do
        t.service:reset()
        t.service:fail { at = "create", times = "always", carry_out = true,
          json = { code = code, msg = "upstream" } }
        local err = failing_create(t.client())
        assert.equal(code, err.code)
        assert_left_in_doubt(err)
        assert.is_false(err.retryable)
        assert.equal(1, #t.service:jobs())
      end
    end)

    it("is a refusal when its code looks like the service's, even if nobody knows it", function()
      for _, code in ipairs { 1001, 4711, 9999 } do
        t.service:reset()
        t.service:fail { at = "create", times = "always", code = code }
        local err = failing_create(t.client())
        assert.equal(code, err.code)
        assert.is_false(err.maybe_created)
        assert.equal(1, t.service:count "create")
      end
    end)

    it("is in doubt when that comes with an error of a gateway's", function()
      for _, status in ipairs { 500, 502, 504 } do
        t.service:reset()
        t.service:fail { at = "create", times = "always", status = status, carry_out = true,
          body = '{"code":4711,"msg":"upstream"}', content_type = "application/json" }
        local err = failing_create(t.client())
        assert.equal(4711, err.code)
        assert_left_in_doubt(err)
      end
    end)

    it("hands out the id as a job that can be asked about", function()
      t.service:fail { at = "create", data = { video_status = "soon" } }
      local err = failing_create(t.client())
      assert.equal("queueing", assert(err.job:info()).status)
    end)
  end)

  describe("with a callback that raises", function()
    it("does not lose the job: the error names it", function()
      for _, moment in ipairs { "request", "answer" } do
        t.service:reset()
        local client = t.client { on_event = function(event)
          if event.type == moment then error("the callback is broken", 0) end
        end }
        local ok, why = pcall(client.create, client, params())
        assert.is_false(ok)
        local made = t.service:jobs()
        assert.equal(1, #made)
        assert.is_truthy(why:find("the callback is broken", 1, true))
        assert.is_truthy(why:find(made[1]._id, 1, true))
      end
    end)

    it("does not hide that a job may exist", function()
      t.service:fail { at = "create", reset = "after" }
      local client = t.client { on_event = function() error("the callback is broken", 0) end }
      local ok, why = pcall(client.create, client, params())
      assert.is_false(ok)
      assert.equal(1, #t.service:jobs())
      assert.is_truthy(why:find("the callback is broken", 1, true))
      assert.is_truthy(why:find("connection_lost", 1, true), why)
    end)

    it("is called no more once it has raised", function()
      local calls = 0
      local client = t.client { on_event = function()
        calls = calls + 1
        error "broken"
      end }
      assert.is_false((pcall(client.create, client, params())))
      assert.equal(1, calls)
    end)
  end)

  describe("with input that cannot be right", function()
    local bad = {
      ["no URL at all"] = false,
      ["an empty URL"] = "",
      ["a path"] = "/films/clip.mp4",
      ["a file's name"] = "clip.mp4",
      ["no scheme"] = "//example.com/clip.mp4",
      ["a file URL"] = "file:///etc/hostname",
      ["an ftp URL"] = "ftp://example.com/clip.mp4",
      ["a data URL"] = "data:video/mp4;base64,AAAA",
      ["a javascript URL"] = "javascript:alert(1)",
      ["no host"] = "https:///clip.mp4",
      ["a space"] = "https://example.com/my clip.mp4",
      ["a space in front"] = " https://example.com/clip.mp4",
      ["a line end"] = "https://example.com/clip.mp4\n",
      ["a header"] = "https://example.com/a\r\nx-evil: 1",
      ["a zero byte"] = "https://example.com/a\0b",
      ["a DEL character"] = "https://example.com/a\127",
      ["a user name"] = "https://user@example.com/clip.mp4",
      ["a password"] = "https://user:word@example.com/clip.mp4",
      ["9000 bytes"] = "https://example.com/" .. ("x"):rep(9000),
    }
    for what, url in pairs(bad) do
      it("sends nothing: " .. what, function()
        local client = t.client()
        local cases = {
          { video_url = url or nil, audio_url = t.audio },
          { video_url = t.video, audio_url = url or nil },
          url and url ~= "" and { video_url = t.video, audio_url = t.audio, webhook_url = url }
            or nil,
        }
        for _, given in ipairs(cases) do
          local job, err = client:create(given)
          assert.is_nil(job)
          assert.equal("invalid", err.kind)
          assert.equal("bad_url", err.name)
          assert.is_false(err.maybe_created)
          assert.is_nil(err.message:find("[%c]"))
        end
        assert.same({}, t.service:requests())
      end)
    end

    it("raises at the caller's line when the program is wrong, and sends nothing", function()
      local client = t.client()
      for _, given in ipairs {
        false, 7, "text", { video_url = 7, audio_url = t.audio },
        { video_url = t.video, audio_url = {} },
        { video_url = t.video, audio_url = t.audio, webhook_url = false },
        { video_url = t.video, audio_url = t.audio, webhookUrl = "https://example.com/" },
        { video_url = t.video, audio_url = t.audio, voice = "x" }, { t.video, t.audio },
      } do
        local ok, why = pcall(function() client:create(given) end)
        assert.is_false(ok)
        assert.is_truthy(why:find("create_spec.lua:%d+: "), why)
      end
      assert.is_false((pcall(client.create, client)))
      assert.is_false((pcall(client.create, client, params(), { retries = 3 })))
      assert.is_false((pcall(client.create, client, params(), "quickly")))
      assert.same({}, t.service:requests())
    end)

    it("proposes the right name for a wrong one", function()
      local client = t.client()
      assert.has_error(function()
        client:create { video_url = t.video, audio_url = t.audio, webhookUrl = "https://a.org/" }
      end, 'unknown field "webhookUrl": did you mean "webhook_url"?')
    end)
  end)
end)
