-- auth: the three ways to prove who calls. Exactly one of them is sent; a token is fetched once for
-- all who need it and renewed once when the service refuses it; what is secret stays secret.

local cjson = require "cjson"
local fixture = require "support.fixture"
local lipsync = require "akool.lipsync"

local ID = "66160f989dfc997ac289037b"
local KEY, PAIR_ID, PAIR_SECRET =
  fixture.secrets.api_key, fixture.secrets.client_id, fixture.secrets.client_secret

local function pair(more)
  local given = { client_id = PAIR_ID, client_secret = PAIR_SECRET }
  for name, value in pairs(more or {}) do given[name] = value end
  return given
end

local function job_params(t)
  return { video_url = t.video, audio_url = t.audio }
end

local function numbers_to(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

--- The headers of the requests for `at`, in their order.
local function headers_of(t, at)
  local list = {}
  for i, request in ipairs(t.service:requests(at)) do list[i] = request.headers end
  return list
end

describe("an api_key", function()
  local t = fixture.new()

  it("is sent as x-api-key with every request, and nothing else is", function()
    local client = t.client()
    local job = t.job(client)
    assert(client:info(job))
    assert(client:credits())
    t.service:advance(60)
    assert(client:wait(job))
    local all = headers_of(t)
    assert.are.equal(4, #all)
    for _, headers in ipairs(all) do
      assert.are.equal(KEY, headers["x-api-key"])
      assert.is_nil(headers.authorization)
      assert.is_nil(headers.cookie)
    end
  end)

  it("is not sent with a download", function()
    local job = t.completed()
    assert(t.client():download(job, t.path "out.mp4"))
    local headers = headers_of(t, "file")[1]
    assert.is_nil(headers["x-api-key"])
    assert.is_nil(headers.authorization)
    for _, request in ipairs(t.service:requests "file") do
      assert.is_nil(request.raw:find(KEY, 1, true))
    end
  end)

  it("is not renewed when the service refuses it", function()
    local client = t.client { api_key = "a-wrong-key" }
    local credits, err = client:credits()
    assert.is_nil(credits)
    assert.are.equal("auth", err.kind)
    assert.are.equal(1101, err.code)
    assert.are.equal(1, t.service:count())
    local made, why = client:create(job_params(t))
    assert.is_nil(made)
    assert.are.equal("auth", why.kind)
    assert.is_false(why.maybe_created)
    assert.are.equal(1, t.service:count "create")
  end)
end)

describe("a token", function()
  local t = fixture.new()

  it("is sent as a bearer token, without x-api-key", function()
    assert(t.client(pair()):credits())
    local token = headers_of(t, "credits")[1].authorization:match "^Bearer (%S+)$"
    assert.are.equal(1000, (assert(t.client({ token = token }):credits())))
    local headers = headers_of(t, "credits")[2]
    assert.are.equal("Bearer " .. token, headers.authorization)
    assert.is_nil(headers["x-api-key"])
    assert.are.equal(1, t.service:count "token")
  end)

  it("is not renewed when the service refuses it", function()
    local credits, err = t.client({ token = "an-old-token" }):credits()
    assert.is_nil(credits)
    assert.are.equal("auth", err.kind)
    assert.are.equal(1, t.service:count())
    assert.is_nil(tostring(err):find("an-old-token", 1, true))
  end)

  it("gives way to an api_key: only one of them is sent", function()
    local client = assert(lipsync.new { api_key = KEY, token = "some-token",
      base_url = t.service.url })
    assert(client:credits())
    local headers = headers_of(t)[1]
    assert.are.equal(KEY, headers["x-api-key"])
    assert.is_nil(headers.authorization)
  end)
end)

describe("a client_id with its client_secret", function()
  local t = fixture.new()

  it("is exchanged for a token, which is then what is sent", function()
    assert(t.client(pair()):credits())
    local exchange, request = t.service:requests "token"[1], t.service:requests "credits"[1]
    assert.are.equal("POST", exchange.method)
    assert.are.equal("/api/open/v3/getToken", exchange.target)
    assert.are.same({ clientId = PAIR_ID, clientSecret = PAIR_SECRET },
      cjson.decode(exchange.body))
    assert.is_nil(exchange.headers["x-api-key"])
    assert.is_nil(exchange.headers.authorization)
    assert.is_truthy(request.headers.authorization:find "^Bearer mock%-token%-")
    assert.is_nil(request.headers["x-api-key"])
    assert.is_nil(request.raw:find(PAIR_SECRET, 1, true))
    assert.is_nil(request.raw:find(PAIR_ID, 1, true))
  end)

  it("is not exchanged before a call needs it", function()
    t.client(pair())
    assert.are.equal(0, t.service:count())
  end)

  it("is exchanged once for many calls at once", function()
    local client = t.client(pair())
    local id = t.job().id
    local found, errors = lipsync.map(numbers_to(50), function() return client:info(id) end,
      { concurrency = 50 })
    assert.are.same({}, errors)
    assert.are.equal(50, #found)
    assert.are.equal(50, t.service:count "info")
    assert.are.equal(1, t.service:count "token")
  end)

  it("is exchanged once for many calls after each other", function()
    local client = t.client(pair())
    local job = t.job(client)
    for _ = 1, 5 do assert(client:info(job)) end
    assert(client:credits())
    assert.are.equal(1, t.service:count "token")
  end)

  it("is exchanged by each client for itself", function()
    assert(t.client(pair()):credits())
    assert(t.client(pair()):credits())
    assert.are.equal(2, t.service:count "token")
    local headers = headers_of(t, "credits")
    assert.are_not.equal(headers[1].authorization, headers[2].authorization)
  end)

  it("goes on for the others when the call that began the exchange is cancelled", function()
    local client = t.client(pair())
    t.service:fail { at = "token", delay = 0.2 }
    local tasks = {}
    for i = 1, 3 do
      tasks[i] = lipsync.spawn(function() return client:credits() end)
    end
    lipsync.run(function()
      lipsync.sleep(0.05)
      tasks[1]:cancel()
    end)
    local gone, err = tasks[1]:join()
    assert.is_nil(gone)
    assert.are.equal("cancelled", err.kind)
    assert.are.equal(1000, (tasks[2]:join()))
    assert.are.equal(1000, (tasks[3]:join()))
    assert.are.equal(1, t.service:count "token")
  end)
end)

describe("a token that the service does not take any more", function()
  local t = fixture.new()

  it("is renewed once, and the refused call is repeated", function()
    local client = t.client(pair())
    local job = t.job(client)
    t.service:expire_tokens()
    assert.are.equal(job.id, assert(client:info(job, { max_retries = 0 })).id)
    assert.are.equal(2, t.service:count "token")
    local headers = headers_of(t, "info")
    assert.are.equal(2, #headers)
    assert.are_not.equal(headers[1].authorization, headers[2].authorization)
    assert(client:info(job))
    assert.are.equal(headers[2].authorization, headers_of(t, "info")[3].authorization)
  end)

  it("is renewed once for many calls at once", function()
    local client = t.client(pair())
    local id = t.job(client).id
    t.service:expire_tokens()
    local _, errors = lipsync.map(numbers_to(20), function() return client:info(id) end,
      { concurrency = 20 })
    assert.are.same({}, errors)
    assert.are.equal(2, t.service:count "token")
    assert.is_true(t.service:count "info" <= 40)
  end)

  it("is not renewed again for a refusal that comes late", function()
    local client = t.client(pair())
    local id = t.job(client).id
    t.service:expire_tokens()
    t.service:fail { at = "info", delay = 0.3 } -- the first is told that late
    local _, errors = lipsync.map(numbers_to(2), function() return client:info(id) end)
    assert.are.same({}, errors)
    assert.are.equal(4, t.service:count "info")
    assert.are.equal(2, t.service:count "token")
  end)

  it("is not renewed twice for one call", function()
    local client = t.client(pair())
    t.service:fail { at = "info", code = 1101, times = "always" }
    local found, err = client:info(ID)
    assert.is_nil(found)
    assert.are.equal("auth", err.kind)
    assert.are.equal("invalid_authorization", err.name)
    assert.are.equal(1101, err.code)
    assert.is_false(err.retryable)
    assert.are.equal(2, t.service:count "token")
    assert.are.equal(2, t.service:count "info")
  end)

  it("costs no second job when it was refused to a create", function()
    local client = t.client(pair())
    assert(client:credits())
    t.service:expire_tokens()
    local job = assert(client:create(job_params(t), { max_retries = 0 }))
    local jobs = t.service:jobs()
    assert.are.equal(1, #jobs)
    assert.are.equal(job.id, jobs[1]._id)
    local requests = t.service:requests "create"
    assert.are.equal(2, #requests)
    assert.are_not.equal(requests[1].headers.authorization, requests[2].headers.authorization)
    assert.are.equal(requests[1].body, requests[2].body)
  end)

  it("makes no job at all when the new one is refused, too", function()
    local client = t.client(pair())
    t.service:fail { at = "create", code = 1101, times = "always" }
    local made, err = client:create(job_params(t))
    assert.is_nil(made)
    assert.are.equal("auth", err.kind)
    assert.is_false(err.maybe_created)
    assert.are.equal(2, t.service:count "create")
    assert.are.equal(0, #t.service:jobs())
  end)

  it("does not end the following of a job, however often that happens", function()
    local client = t.client(pair())
    local job = t.job(client)
    local seen = {}
    local done = assert(client:wait(job, { on_status = function(status)
      seen[#seen + 1] = status
      t.service:expire_tokens()
      t.service:advance(6)
      if status == "processing" then t.service:advance(60) end
    end }))
    assert.are.equal("completed", done.status)
    assert.are.same({ "queueing", "processing", "completed" }, seen)
    assert.are.equal(3, t.service:count "token")
  end)
end)

describe("an exchange that fails", function()
  local t = fixture.new()

  local FAILURES = {
    ["is refused"] = { order = { code = 1101, msg = "no" }, kind = "auth",
      name = "invalid_authorization" },
    ["is refused for good"] = { order = { code = 1200 }, kind = "account",
      name = "account_banned" },
    ["meets a server in trouble"] = { order = { status = 500 }, kind = "server",
      name = "http_server_error" },
    ["gets no answer"] = { order = { stall = "after" }, kind = "timeout",
      name = "answer_timeout" },
    ["loses its connection"] = { order = { reset = "after" }, kind = "network",
      name = "connection_lost" },
    ["gets a web page"] = { order = { raw = "<html></html>" }, kind = "protocol",
      name = "html_answer" },
    ["gets an answer without a token"] = { order = { raw = '{"code":1000}' }, kind = "protocol",
      name = "unexpected_answer" },
    ["gets a number for a token"] = { order = { raw = '{"code":1000,"token":12}' },
      kind = "protocol", name = "unexpected_answer" },
    ["gets a token with a line end"] = { order = { raw = '{"code":1000,"token":"a\\r\\nb"}' },
      kind = "protocol", name = "unexpected_answer" },
  }

  for what, expected in pairs(FAILURES) do
    it(("fails every call that waits when it %s, and the next call tries again"):format(what),
      function()
        local client = t.client(pair { timeout = 0.3, max_retries = 0 })
        local order = { at = "token" }
        for key, value in pairs(expected.order) do order[key] = value end
        t.service:fail(order)
        local found, errors = lipsync.map(numbers_to(5), function(i)
          if i == 5 then return client:create(job_params(t)) end
          return client:info(ID .. i)
        end, { concurrency = 5 })
        assert.are.same({}, found)
        for i = 1, 5 do
          assert.are.equal(expected.kind, errors[i].kind)
          assert.are.equal(expected.name, errors[i].name)
          assert.is_false(errors[i].maybe_created)
          assert.are.equal(i < 5 and ID .. i or nil, errors[i].job and errors[i].job.id)
          fixture.assert_no_secret(errors[i])
        end
        assert.are.equal(1, t.service:count "token")
        assert.are.equal(1, t.service:count()) -- without a token nothing else is sent
        assert.are.equal(1000, (assert(client:credits({ timeout = 30 }))))
        assert.are.equal(2, t.service:count "token")
      end)
  end

  it("is repeated where that may help", function()
    local client = t.client(pair())
    t.service:fail { at = "token", status = 502 }
    assert(client:credits())
    assert.are.equal(2, t.service:count "token")
  end)

  it("does not make the service see another request while it is down", function()
    local client = t.client(pair { max_retries = 0 })
    t.service:down()
    local credits, err = client:credits()
    t.service:up()
    assert.is_nil(credits)
    assert.are.equal("connection_refused", err.name)
    assert(client:credits())
  end)
end)

describe("a credential given as a function", function()
  local t = fixture.new()

  it("is asked when a call needs it, not before", function()
    local asked = 0
    local client = t.client { api_key = function()
      asked = asked + 1
      return KEY
    end }
    assert.are.equal(0, asked)
    assert(client:credits())
    assert.are.equal(1, asked)
    assert(t.job(client))
    assert.is_true(asked >= 2)
    for _, headers in ipairs(headers_of(t)) do assert.are.equal(KEY, headers["x-api-key"]) end
  end)

  it("may rotate: what it returns next is used next", function()
    local keys, at = { KEY, "second-key" }, 0
    local client = t.client { api_key = function()
      at = at + 1
      return keys[at]
    end }
    assert(client:credits())
    t.service:fail { at = "credits", raw = '{"code":1000,"data":{"credit":1}}' } -- takes any key
    assert.are.equal(1, (assert(client:credits())))
    assert.are.equal("second-key", headers_of(t)[2]["x-api-key"])
  end)

  for _, way in ipairs { "info", "wait", "credits", "create" } do
    it(("is asked again once when client:%s is refused"):format(way), function()
      local job, keys, asked = t.job(), { "an-old-key", KEY }, 0
      t.service:advance(60)
      local client = t.client { api_key = function()
        asked = asked + 1
        return keys[asked] or KEY
      end }
      assert(client[way](client, way == "create" and job_params(t) or way ~= "credits" and job.id
        or nil))
      assert.are.equal(2, asked)
      assert.are.equal(way == "create" and 2 or 1, #t.service:jobs())
      local all = headers_of(t)
      assert.are.equal(3, #all) -- the job at first, the refused one and its repetition
      assert.are.equal("an-old-key", all[2]["x-api-key"])
      assert.are.equal(KEY, all[3]["x-api-key"])
    end)
  end

  it("is not asked for ever", function()
    local client = t.client { api_key = function() return "always-wrong" end }
    for at, call in ipairs {
      function() return client:info(ID) end,
      function() return client:wait(ID) end,
      function() return client:create(job_params(t)) end,
    } do
      local found, err = call()
      assert.is_nil(found)
      assert.are.equal("auth", err.kind)
      assert.are.equal(2 * at, t.service:count())
    end
  end)

  it("is asked again in the middle of following a job", function()
    local asked = 0
    local client = t.client { api_key = function()
      asked = asked + 1
      return KEY
    end }
    local job = t.job(client)
    local done = assert(client:wait(job, { on_status = function(status)
      if status ~= "queueing" then return end
      t.service:fail { at = "info", code = 1101 } -- the key that is in use has been replaced
      t.service:advance(60)
    end }))
    assert.are.equal("completed", done.status)
    assert.are.equal(3, asked) -- for the create, for the wait, and for its refused request
  end)

  it("may be either half of a pair, or a token", function()
    local client = t.client { client_id = function() return PAIR_ID end,
      client_secret = function() return PAIR_SECRET end }
    for _ = 1, 3 do assert(client:credits()) end
    assert.are.equal(1, t.service:count "token") -- the same pair keeps its token
    assert(t.client({ client_id = PAIR_ID, client_secret = function() return PAIR_SECRET end })
      :credits())
    local token = headers_of(t, "credits")[1].authorization:match "^Bearer (%S+)$"
    assert(t.client({ token = function() return token end }):credits())
  end)

  it("fails the call when it returns nil", function()
    local client = t.client { api_key = function() return nil end }
    for _, call in ipairs {
      function() return client:info(ID) end,
      function() return client:wait(ID) end,
      function() return client:create(job_params(t)) end,
      function() return client:credits() end,
    } do
      local found, err = call()
      assert.is_nil(found)
      assert.are.equal("auth", err.kind)
      assert.are.equal("no_credentials", err.name)
      assert.is_truthy(err.message:find("api_key", 1, true))
    end
    local _, err = t.client({ client_id = PAIR_ID, client_secret = function() end }):credits()
    assert.is_truthy(err.message:find("client_secret", 1, true))
    for status, why in client:poll(ID) do
      assert.are.equal("error", status)
      assert.are.equal("no_credentials", why.name)
    end
    assert.are.equal(0, t.service:count())
  end)

  it("raises when it returns something else", function()
    for _, value in ipairs { 123454321, true, {}, print } do
      local client = t.client { api_key = function() return value end }
      local ok, why = pcall(function() return client:info(ID) end)
      assert.is_false(ok)
      assert.is_truthy(why:find("api_key", 1, true))
      assert.is_truthy(why:find(type(value), 1, true))
      assert.is_nil(why:find("12345", 1, true))
    end
    assert.are.equal(0, t.service:count())
  end)

  it("may raise, and the call raises that", function()
    local problem = { "no keyring" }
    local client = t.client { api_key = function() error(problem) end }
    local ok, why = pcall(function() return client:info(ID) end)
    assert.is_false(ok)
    assert.are.equal(problem, why)
  end)

  it("may itself wait", function()
    local client = t.client { api_key = function()
      lipsync.sleep(0.01)
      return KEY
    end }
    assert.are.equal(1000, (lipsync.run(function() return client:credits() end)))
    assert.are.equal(1000, (client:credits()))
  end)

  it("is checked as strictly as any other", function()
    local client = t.client { api_key = function() return "planted\r\nx-evil: 1" end }
    local found, err = client:info(ID)
    assert.is_nil(found)
    assert.are.equal("invalid", err.kind)
    assert.are.equal("bad_credentials", err.name)
    assert.is_nil(tostring(err):find("planted", 1, true))
    assert.are.equal(0, t.service:count())
  end)
end)

describe("a credential that cannot be one", function()
  local t = fixture.new()

  local MALFORMED = { "", "planted\n", "planted\r\nx-evil: 1", "\tplanted", " planted", "planted ",
    "plan ted", "planted\0", "plänted", "planted\127", "planted\27[0m", ("planted"):rep(1000) }

  for _, name in ipairs { "api_key", "token", "client_id", "client_secret" } do
    it(("is refused as %s without being shown or sent"):format(name), function()
      for _, value in ipairs(MALFORMED) do
        local given = { [name] = value, base_url = t.service.url }
        if name == "client_id" then given.client_secret = PAIR_SECRET end
        if name == "client_secret" then given.client_id = PAIR_ID end
        local client, err = lipsync.new(given)
        assert.is_nil(client, value)
        assert.are.equal("invalid", err.kind)
        assert.are.equal("bad_credentials", err.name)
        assert.is_truthy(err.message:find("^" .. name .. " "), err.message)
        assert.is_nil(tostring(err):find("plan", 1, true))
        assert.is_nil(tostring(err):find("evil", 1, true))
        fixture.assert_no_secret(err)
      end
      assert.are.equal(0, t.service:count())
    end)
  end

  it("is not merely long", function()
    local long = ("k"):rep(4096)
    assert.are.equal("auth", select(2, t.client({ api_key = long }):credits()).kind)
    assert.are.equal(long, headers_of(t)[1]["x-api-key"])
  end)

  it("is refused with a quote or a backslash only by the service", function()
    local odd = [[a"b\c{}/<>%s]]
    local client = t.client { client_id = odd, client_secret = odd, max_retries = 0 }
    assert.are.equal("auth", select(2, client:credits()).kind)
    assert.are.same({ clientId = odd, clientSecret = odd },
      cjson.decode(t.service:requests "token"[1].body))
  end)
end)

describe("an event", function()
  local t = fixture.new()

  local function told(op)
    local list = {}
    for _, event in ipairs(t.events) do
      if not op or event.op == op then list[#list + 1] = event.op .. " " .. event.type end
    end
    return list
  end

  it("tells of every exchange for a token and of every request, in their order", function()
    local client = t.client(pair())
    assert(client:credits())
    assert.are.same({ "credits token", "token request", "token answer", "credits request",
      "credits answer" }, told())
    t.events = {}
    assert(client:credits())
    assert.are.same({ "credits request", "credits answer" }, told())
  end)

  it("tells of a renewal", function()
    local client = t.client(pair())
    assert(client:credits())
    t.events = {}
    t.service:expire_tokens()
    assert(client:credits())
    assert.are.same({ "credits request", "credits answer", "credits token", "token request",
      "token answer", "credits request", "credits answer" }, told())
    assert.are.equal(1101, t.events[2].code)
  end)

  it("shows where a request goes and how it ended, and never a secret", function()
    local client = t.client(pair())
    local job = t.job(client)
    t.service:expire_tokens()
    assert(client:info(job))
    t.service:fail { at = "info", status = 500 }
    assert(client:info(job))
    local requests, tokens = 0, {}
    for _, event in ipairs(t.events) do
      if event.type == "request" then
        requests = requests + 1
        assert.is_truthy(event.request:find(t.service.url, 1, true))
        assert.is_nil(event.request:find("?", 1, true))
      end
    end
    assert.are.equal(t.service:count(), requests)
    for _, headers in ipairs(headers_of(t)) do
      tokens[#tokens + 1] = headers.authorization and headers.authorization:match "^Bearer (.+)$"
    end
    assert.is_true(#tokens >= 4)
    local text = cjson.encode(t.events)
    for _, token in ipairs(tokens) do assert.is_nil(text:find(token, 1, true)) end
    fixture.assert_no_secret(t.events)
    fixture.assert_no_secret(client)
  end)

  it("shows the beginning of an address that is very long", function()
    local base = t.service.url .. "/" .. ("long/"):rep(1000)
    assert.is_nil((t.client { base_url = base, max_retries = 0 }:credits()))
    local shown = assert(t.events_of("request")[1].request:match "^GET (.+)$")
    assert.is_true(#shown > 400 and #shown < 1000)
    assert.are.equal(base:sub(1, #shown), shown)
  end)

  it("shows no api_key in anything that a refused call says", function()
    local client = t.client()
    for _, order in ipairs { { code = 1101 }, { status = 401 }, { raw = "<html>" },
      { reset = "after" } } do
      order.at = "info"
      t.service:fail(order)
      local _, err = client:info(ID, { max_retries = 0 })
      fixture.assert_no_secret(err)
      fixture.assert_no_secret { tostring(err) }
    end
    fixture.assert_no_secret(t.events)
    fixture.assert_no_secret { tostring(client) }
  end)
end)
