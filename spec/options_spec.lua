-- options: what a program may set, how mistakes in it are told, and where a value comes from: the
-- call, else the client, else the environment, else the default.

local child = require "support.child"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local lipsync = require "akool.lipsync"
local options = require "akool.lipsync.options"

local ID = "66160f989dfc997ac289037b"
local KEY = fixture.secrets.api_key
local NAN, INF = 0 / 0, math.huge

--- Raise unless `call`, a function on one line, raises at that line. Returns the text behind it.
local function raised_at(call)
  local where = debug.getinfo(call, "S")
  local ok, why = pcall(call)
  assert.is_false(ok)
  assert.is_string(why)
  local prefix = ("%s:%d: "):format(where.short_src, where.linedefined)
  assert.are.equal(prefix, why:sub(1, #prefix), why)
  return why:sub(#prefix + 1)
end

local function has(text, what)
  assert.is_truthy(text:find(what, 1, true), text)
end

--- Run a program in a process of its own, with this environment and nothing else. Returns what it
--- said on standard output, and on standard error.
local function says(environment, program)
  local said, _, errors = child.run('local lipsync = require "akool.lipsync"\n' .. program,
    { environment = environment, bare = true, errors = true })
  return said, errors
end

describe("the table of options", function()
  it("has these names and defaults", function()
    local defaults, names = {}, {}
    for _, row in ipairs(options.list) do
      defaults[row.name] = row.default
      names[#names + 1] = row.name
      assert.is_true(#row.meaning > 3)
      assert.is_truthy(({ client = true, call = true, both = true })[row.scope])
    end
    assert.are.same({
      base_url = "https://openapi.akool.com",
      connect_timeout = 10, timeout = 30, create_timeout = 120, stall_timeout = 30,
      wait_timeout = 1800,
      max_retries = 3,
      poll = { first = 5.7, factor = 1.158, max = 90, jitter = 0.05 },
      max_connections = 64,
      user_agent = "akool-lipsync/" .. core._VERSION,
      allow_http = false, allow_private = false,
      overwrite = false, resume = true, max_bytes = 2 * 1024 ^ 3,
    }, defaults)
    table.sort(names)
    assert.are.same({ "allow_http", "allow_private", "api_key", "base_url", "ca_file", "client_id",
      "client_secret", "connect_timeout", "create_timeout", "max_bytes", "max_connections",
      "max_retries", "on_event", "on_progress", "on_status", "overwrite", "poll", "proxy", "resume",
      "stall_timeout", "timeout", "token", "user_agent", "wait_timeout", "webhook" }, names)
  end)

  it("lets a call's value win over the client's, and that over the default", function()
    local base = options.merge(nil, { timeout = 7, poll = { first = 1, max = 3 } })
    local merged = options.merge(base, { max_retries = 0, poll = { max = 9 }, resume = false })
    assert.are.equal(7, merged.timeout)
    assert.are.equal(0, merged.max_retries)
    assert.is_false(merged.resume)
    assert.are.equal(120, merged.create_timeout)
    assert.are.same({ first = 1, max = 9, factor = 1.158, jitter = 0.05 }, merged.poll)
    assert.are.same({ first = 1, max = 3, factor = 1.158, jitter = 0.05 }, base.poll)
  end)

  it("keeps no credentials with the other options", function()
    local merged = options.merge(nil, { api_key = "a", token = "b", client_id = "c",
      client_secret = "d" })
    assert.is_nil(merged.api_key or merged.token or merged.client_id or merged.client_secret)
  end)
end)

describe("an option that does not exist", function()
  local t = fixture.new()
  local PARAMS = { video_url = "https://h/v.mp4", audio_url = "https://h/a.wav" }

  for wrong, right in pairs { timout = "timeout", Timeout = "timeout", baseurl = "base_url",
    ["base-url"] = "base_url", apikey = "api_key", apiKey = "api_key", api_kye = "api_key",
    maxRetries = "max_retries", max_retry = "max_retries", on_evnt = "on_event",
    clientSecret = "client_secret", wait_timout = "wait_timeout", useragent = "user_agent" } do
    it(("raises and asks about %s when it is %s"):format(right, wrong), function()
      local why = raised_at(function() local _ = lipsync.new { [wrong] = "x" } end)
      has(why, ('unknown option "%s": did you mean "%s"?'):format(wrong, right))
    end)
  end

  it("is refused at once however long its name is", function()
    local name, why = ("timeout"):rep(1e5), nil
    debug.sethook(function() error("this takes too long", 0) end, "", 1e6)
    local ok = pcall(function() why = raised_at(function() lipsync.new { [name] = 1 } end) end)
    debug.sethook()
    assert.is_true(ok)
    has(why, "unknown option")
    assert.is_nil(why:find("did you mean", 1, true))
  end)

  it("raises without a guess when no name is near", function()
    local why = raised_at(function() local _ = lipsync.new { xyzzy = 1 } end)
    assert.are.equal('unknown option "xyzzy"', why)
    has(raised_at(function() local _ = lipsync.new { "value" } end), "unknown option")
    has(raised_at(function() local _ = lipsync.new { [true] = 1 } end), "unknown option")
  end)

  it("raises at the line of every kind of call", function()
    local c, p, bad = t.client(), PARAMS, { timout = 1 }
    local job = t.job(c)
    for _, call in ipairs {
      function() local _ = lipsync.new { timout = 1 } end,
      function() local _ = c:create(p, bad) end,
      function() local _ = c:info(ID, bad) end,
      function() local _ = c:poll(ID, bad) end,
      function() local _ = c:wait(ID, bad) end,
      function() local _ = c:download(ID, "x", bad) end,
      function() local _ = c:generate(p, "x", bad) end,
      function() local _ = c:credits(bad) end,
      function() local _ = job:info(bad) end,
      function() local _ = job:poll(bad) end,
      function() local _ = job:wait(bad) end,
      function() local _ = job:download("x", bad) end,
    } do
      has(raised_at(call), 'unknown option "timout": did you mean "timeout"?')
    end
    assert.are.equal(1, t.service:count()) -- the job; nothing else was sent
  end)

  it("raises inside the option poll", function()
    local c = t.client()
    has(raised_at(function() local _ = lipsync.new { poll = { frist = 1 } } end),
      'unknown field of the option poll "frist": did you mean "first"?')
    has(raised_at(function() local _ = c:wait(ID, { poll = { maximum = 1 } }) end),
      'unknown field of the option poll "maximum"')
  end)

  it("raises for a field of a new job", function()
    local c = t.client()
    has(raised_at(function() local _ = c:create { videoUrl = "x" } end),
      'unknown field "videoUrl": did you mean "video_url"?')
    has(raised_at(function() local _ = c:create { webhookUrl = "x" } end),
      'unknown field "webhookUrl": did you mean "webhook_url"?')
    has(raised_at(function() local _ = c:generate({ audiourl = "x" }, "p") end),
      'unknown field "audiourl": did you mean "audio_url"?')
  end)

  it("raises for lipsync.map", function()
    has(raised_at(function() local _ = lipsync.map({}, print, { concurency = 1 }) end),
      'unknown option "concurency": did you mean "concurrency"?')
    for _, value in ipairs { 0, -1, 1.5, NAN, "2" } do
      has(raised_at(function() local _ = lipsync.map({}, print, { concurrency = value }) end),
        "option concurrency: a whole number")
    end
  end)
end)

describe("an option of the wrong type or size", function()
  local t = fixture.new()

  local NO_TIME = { 0, -1, -INF, NAN, "10", true, {} }
  local NO_SWITCH = { 1, "true", {}, print }
  local NO_FUNCTION = { "print", {}, true, 1 }
  local WRONG = {
    api_key = { true, {} }, token = { true, {} }, client_id = { true, {} },
    client_secret = { true, {} },
    base_url = { 5, true, {} }, ca_file = { 5, true, {} },
    user_agent = { 5, true, {}, "a\r\nx-evil: 1" },
    proxy = { 5, true, {} },
    connect_timeout = NO_TIME, timeout = NO_TIME, create_timeout = NO_TIME, stall_timeout = NO_TIME,
    wait_timeout = NO_TIME,
    max_retries = { -1, 1.5, 101, NAN, INF, -INF, "3", true, {} },
    max_connections = { 0, -1, 1.5, 10001, NAN, INF, "3", true, {} },
    max_bytes = { 0, -1, NAN, "1", true, {} },
    allow_http = NO_SWITCH, allow_private = NO_SWITCH, overwrite = NO_SWITCH, resume = NO_SWITCH,
    on_status = NO_FUNCTION, on_progress = NO_FUNCTION, on_event = NO_FUNCTION,
    poll = { 5, "5", true, print },
    webhook = { true, 5, "http://example.com", print, {} },
  }

  it("raises for every option, at the caller's line", function()
    local c = t.client()
    for _, row in ipairs(options.list) do
      local name = row.name
      assert.is_table(WRONG[name], name)
      for _, value in ipairs(WRONG[name]) do
        if row.scope ~= "call" then
          local why = raised_at(function() local _ = lipsync.new { [name] = value } end)
          has(why, "option " .. name .. ": ")
          has(why, " expected, got ")
        end
        if row.scope ~= "client" then
          local why = raised_at(function() local _ = c:info(ID, { [name] = value }) end)
          has(why, "option " .. name .. ": ")
        end
      end
    end
    assert.are.equal(0, t.service:count())
  end)

  it("raises for the fields of poll", function()
    for name, values in pairs {
      first = { 0, -1, NAN, "5", true }, max = { 0, -1, NAN, "5", true },
      factor = { 0.5, -1, NAN, INF, "2", true }, jitter = { 1, 1.5, -0.1, NAN, "0", true },
    } do
      for _, value in ipairs(values) do
        local why = raised_at(function() local _ = lipsync.new { poll = { [name] = value } } end)
        has(why, "option poll." .. name .. ": ")
      end
    end
  end)

  it("raises when the options are no table", function()
    local c = t.client()
    for _, value in ipairs { "x", 5, true, print } do
      has(raised_at(function() local _ = lipsync.new(value) end), "options: a table expected, got")
      has(raised_at(function() local _ = c:info(ID, value) end), "options: a table expected, got")
      has(raised_at(function() local _ = c:credits(value) end), "options: a table expected, got")
    end
  end)

  it("does not show a credential, even one that is a number", function()
    for _, name in ipairs { "api_key", "token", "client_id", "client_secret" } do
      local why = raised_at(function() local _ = lipsync.new { [name] = 123454321 } end)
      assert.is_nil(why:find("12345", 1, true), why)
    end
  end)

  it("belongs to the client, not to a call", function()
    local c = t.client()
    for _, name in ipairs { "api_key", "token", "client_id", "client_secret", "base_url" } do
      local why = raised_at(function() local _ = c:info(ID, { [name] = "planted" }) end)
      has(why, ("option %s belongs to lipsync.new"):format(name))
      assert.is_nil(why:find("planted", 1, true))
    end
  end)

  it("belongs to a call, not to the client", function()
    local why = raised_at(function() local _ = lipsync.new { webhook = {} } end)
    has(why, "option webhook belongs to a single call")
  end)

  it("may be as large as numbers get where only time is meant", function()
    local c = t.client { timeout = INF, connect_timeout = 1e300, wait_timeout = INF,
      create_timeout = INF, stall_timeout = INF, max_bytes = INF }
    assert.is_truthy(c:credits())
    assert.are.equal("completed", t.completed(c).status)
  end)
end)

describe("an option given to a call", function()
  local t = fixture.new()

  it("wins over the client's: timeout", function()
    local job = t.job()
    t.service:fail { at = "info", stall = "after" }
    local found, err = t.client():info(job, { timeout = 0.1, max_retries = 0 })
    assert.is_nil(found)
    assert.are.equal("answer_timeout", err.name)
    t.service:fail { at = "info", delay = 0.3 }
    local hasty = t.client { timeout = 0.05, max_retries = 0 }
    assert.are.equal(job.id, assert(hasty:info(job, { timeout = 30 })).id)
  end)

  it("wins over the client's: create_timeout", function()
    t.service:fail { at = "create", stall = "after" }
    local made, err = t.client():create({ video_url = t.video, audio_url = t.audio },
      { create_timeout = 0.1 })
    assert.is_nil(made)
    assert.are.equal("answer_timeout", err.name)
    has(err.message, "within 0.1")
  end)

  it("wins over the client's: user_agent", function()
    local c = t.client { user_agent = "mine/1" }
    assert(c:credits())
    assert(c:credits { user_agent = "this-call/2" })
    assert(c:credits())
    assert(t.client():credits())
    local seen = {}
    for i, request in ipairs(t.service:requests()) do seen[i] = request.headers["user-agent"] end
    assert.are.same({ "mine/1", "this-call/2", "mine/1", "akool-lipsync/" .. core._VERSION }, seen)
  end)

  it("wins over the client's: max_retries", function()
    t.service:fail { at = "credits", status = 502, times = "always" }
    local c = t.client { max_retries = 0 }
    assert.is_nil((c:credits()))
    assert.are.equal(1, t.service:count())
    assert.is_nil((c:credits { max_retries = 2 }))
    assert.are.equal(4, t.service:count())
  end)

  it("wins over the client's: on_event", function()
    local heard = 0
    assert(t.client():credits { on_event = function() heard = heard + 1 end })
    assert.is_true(heard > 0)
    assert.are.equal(0, #t.events)
    assert(t.client():credits())
    assert.is_true(#t.events > 0)
    local client = assert(lipsync.new { api_key = KEY, base_url = t.service.url })
    heard = 0
    assert(client:credits { on_event = function() heard = heard + 1 end })
    assert.is_true(heard > 0)
  end)

  it("wins over the client's: wait_timeout and parts of poll", function()
    local c = t.client { poll = { first = 0.01, max = 3600, factor = 1, jitter = 0 } }
    local job = t.job(c)
    local done, err = c:wait(job, { wait_timeout = 0.2, poll = { max = 0.02 } })
    assert.is_nil(done)
    assert.are.equal("wait_timeout", err.name)
    assert.is_true(t.service:count "info" > 1) -- asked again after `first`, which is the client's
  end)

  it("cannot add a header through user_agent", function()
    pcall(function() assert(t.client { user_agent = "x\r\nx-evil: 1" }):credits() end)
    pcall(function() t.client():credits { user_agent = "x\r\nx-evil: 1" } end)
    for _, request in ipairs(t.service:requests()) do
      assert.is_nil(request.headers["x-evil"])
    end
  end)
end)

describe("base_url", function()
  local t = fixture.new()

  local function new(base_url, more)
    local given = { api_key = KEY, base_url = base_url }
    for name, value in pairs(more or {}) do given[name] = value end
    return lipsync.new(given)
  end

  it("is https, or plain http to this machine", function()
    for _, url in ipairs { "https://openapi.akool.com", "https://openapi.akool.com/",
      "HTTPS://OPENAPI.AKOOL.COM", "https://openapi.akool.com:8443", "https://10.0.0.1/api",
      "http://127.0.0.1:8080", "http://127.8.8.8", "http://localhost", "http://[::1]:8080",
      "http://sub.localhost" } do
      assert.is_truthy(new(url), url)
    end
  end)

  it("is plain http to other machines only on request", function()
    for _, url in ipairs { "http://openapi.akool.com", "http://10.0.0.1", "http://192.168.1.1",
      "http://127.0.0.1.example.com", "http://localhost.example.com", "http://notlocalhost" } do
      local client, err = new(url)
      assert.is_nil(client, url)
      assert.are.equal("invalid", err.kind)
      assert.are.equal("bad_base_url", err.name)
      has(err.message, "allow_http")
      assert.is_truthy(new(url, { allow_http = true }))
    end
  end)

  it("is refused when it is no address of a service", function()
    for _, url in ipairs { "", "openapi.akool.com", "//openapi.akool.com", "/api", "https://",
      "ftp://openapi.akool.com", "file:///etc", "javascript:alert(1)",
      "https://user:planted@openapi.akool.com", "https://planted@openapi.akool.com",
      "https://openapi.akool.com?key=planted", "https://openapi.akool.com/#planted",
      "https://openapi.akool.com/api?", "https://openapi.akool.com/#",
      "https://openapi .akool.com", "https://openapi.akool.com\n", "https://openapi.akool.com\r\n",
      "https://openapi.akool.com\0.example.com", "https://openapi.akool.com/\127", " https://h",
      "https://openapi.akool.com:99999", "https://h/" .. ("x"):rep(9000) } do
      local client, err = new(url, { allow_http = true })
      assert.is_nil(client, url)
      assert.are.equal("invalid", err.kind)
      assert.are.equal("bad_base_url", err.name)
      assert.is_truthy(err.message:find "^base_url ", err.message)
      assert.is_nil(tostring(err):find("planted", 1, true))
    end
  end)

  it("is refused for what is wrong with it", function()
    for url, words in pairs { ["ftp://openapi.akool.com"] = "neither http nor https",
      ["http://me@openapi.akool.com"] = "a user name", ["http://openapi.akool.com?a"] = "a query",
      ["http://openapi.akool.com"] = "plain http", [""] = "empty" } do
      local client, err = new(url)
      assert.is_nil(client)
      has(err.message, words)
    end
  end)

  it("may end in slashes", function()
    local job = t.job()
    for _, tail in ipairs { "", "/", "//" } do
      assert.are.equal(job.id, assert(t.client({ base_url = t.service.url .. tail }):info(job)).id)
    end
    for _, request in ipairs(t.service:requests "info") do
      assert.are.equal("/api/open/v3/content/video/infobymodelid", request.path)
    end
  end)

  it("may have a path in front of the service's own", function()
    local found, err = t.client({ base_url = t.service.url .. "/proxy/akool/" }):info(ID)
    assert.is_nil(found)
    assert.are.equal("not_found", err.kind)
    assert.are.equal("/proxy/akool/api/open/v3/content/video/infobymodelid?video_model_id=" .. ID,
      t.service:requests()[1].target)
  end)

  it("is what a client prints, and no more", function()
    local client = t.client()
    has(tostring(client), t.service.url)
    fixture.assert_no_secret(client)
  end)
end)

describe("the environment", function()
  local t = fixture.new()

  local TELL = [[
    local credits, err = client:credits()
    print(credits or tostring(err))
  ]]
  local NEW = "local client = assert(lipsync.new())\n" .. TELL

  local function service_with(more)
    more.AKOOL_BASE_URL = more.AKOOL_BASE_URL or t.service.url
    return more
  end

  it("gives the key and the address", function()
    assert.are.equal("1000\n", (says(service_with { AKOOL_API_KEY = KEY }, NEW)))
    assert.are.equal(KEY, t.service:requests()[1].headers["x-api-key"])
  end)

  it("gives a token", function()
    local said = says(service_with { AKOOL_TOKEN = "some-token" }, NEW)
    has(said, "auth/invalid_authorization (code 1101)") -- the mock never issued this one
    local headers = t.service:requests()[1].headers
    assert.are.equal("Bearer some-token", headers.authorization)
    assert.is_nil(headers["x-api-key"])
  end)

  it("gives a client_id and its client_secret", function()
    local said = says(service_with { AKOOL_CLIENT_ID = fixture.secrets.client_id,
      AKOOL_CLIENT_SECRET = fixture.secrets.client_secret }, NEW)
    assert.are.equal("1000\n", said)
    assert.are.equal(1, t.service:count "token")
  end)

  it("gives the key before the token, and only one of them is sent", function()
    says(service_with { AKOOL_API_KEY = KEY, AKOOL_TOKEN = "some-token" }, NEW)
    local headers = t.service:requests()[1].headers
    assert.are.equal(KEY, headers["x-api-key"])
    assert.is_nil(headers.authorization)
  end)

  it("does not win over what is explicit", function()
    local said = says({ AKOOL_API_KEY = "not-this-one", AKOOL_TOKEN = "nor-this",
      AKOOL_BASE_URL = "https://does-not-exist.invalid" }, ([[
      local client = assert(lipsync.new { api_key = %q, base_url = %q })
    ]]):format(KEY, t.service.url) .. TELL)
    assert.are.equal("1000\n", said)
    said = says(service_with { AKOOL_API_KEY = KEY },
      "local client = assert(lipsync.new { token = 'explicit' })\n" .. TELL)
    has(said, "code 1101")
    local headers = t.service:requests()[2].headers
    assert.are.equal("Bearer explicit", headers.authorization)
    assert.is_nil(headers["x-api-key"])
  end)

  it("says nothing when a variable is empty", function()
    local said = says(service_with { AKOOL_API_KEY = "", AKOOL_TOKEN = "",
      AKOOL_CLIENT_ID = fixture.secrets.client_id,
      AKOOL_CLIENT_SECRET = fixture.secrets.client_secret }, NEW)
    assert.are.equal("1000\n", said)
    said = says({ AKOOL_BASE_URL = "", AKOOL_API_KEY = KEY },
      "print(tostring(lipsync.new()))")
    has(said, "https://openapi.akool.com")
  end)

  it("is checked as strictly as anything else", function()
    local said = says({ AKOOL_BASE_URL = "http://openapi.akool.com", AKOOL_API_KEY = KEY },
      "print(select(2, lipsync.new()))")
    has(said, "invalid/bad_base_url: base_url is plain http")
    said = says(service_with { AKOOL_API_KEY = "planted key" },
      "print(select(2, lipsync.new()))")
    has(said, "invalid/bad_credentials: api_key has a space")
    assert.is_nil(said:find("planted", 1, true))
  end)

  it("is named when there are no credentials", function()
    local said = says({}, [[
      local client, err = lipsync.new()
      print(client, err.kind, err.name, err.message)
    ]])
    assert.is_truthy(said:find("^nil\tauth\tno_credentials\t"), said)
    has(said, "AKOOL_API_KEY")
    has(said, "api_key")
    has(said, "client_secret")
  end)

  it("is told which half of a pair is missing", function()
    local program = "local c, err = lipsync.new() print(c, err.name, err.message)"
    has(says({ AKOOL_CLIENT_ID = "half" }, program),
      "nil\tno_credentials\tThere is no client_secret (AKOOL_CLIENT_SECRET).")
    has(says({ AKOOL_CLIENT_SECRET = "half" }, program),
      "nil\tno_credentials\tThere is no client_id (AKOOL_CLIENT_ID).")
    program = "local c, err = lipsync.new { %s = 'half' } print(c, err.name, err.message)"
    has(says({}, program:format "client_id"),
      "There is no client_secret (AKOOL_CLIENT_SECRET).")
    has(says({}, program:format "client_secret"), "There is no client_id (AKOOL_CLIENT_ID).")
  end)

  it("makes the default client, of lipsync.create and the other calls", function()
    local said = says(service_with { AKOOL_API_KEY = KEY }, ([[
      local params = { video_url = %q, audio_url = %q }
      local quick = { poll = { first = 0.01, max = 0.01 } }
      local job = assert(lipsync.create(params))
      print(assert(lipsync.info(job)).id == job.id)
      for status in lipsync.poll(job.id, quick) do print(status) break end
      local done, err = lipsync.wait(job, { wait_timeout = 0.05, poll = quick.poll })
      print(done, err.name)
      print(lipsync.download(job, %q))
      local file
      file, err = lipsync.generate(params, "/does/not/exist/x.mp4")
      print(file, err.kind)
      print((lipsync.credits()))
    ]]):format(t.video, t.audio, t.path "out.mp4"))
    local lines = {}
    for line in said:gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.are.equal("true", lines[1], said)
    assert.are.equal("queueing", lines[2])
    assert.are.equal("nil\twait_timeout", lines[3])
    has(lines[4], "nil\tinvalid/not_ready")
    assert.are.equal("nil\tio", lines[5])
    assert.are.equal("980", lines[6])
    assert.are.equal(1, t.service:count "create")
  end)

  it("makes no default client without credentials, and every call says so", function()
    local said = says({}, ([[
      local params = { video_url = "https://h/v", audio_url = "https://h/a" }
      local function tell(v, err) print(v, err.name) end
      tell(lipsync.create(params)) tell(lipsync.info(%q)) tell(lipsync.wait(%q))
      tell(lipsync.download(%q, "x")) tell(lipsync.generate(params, "x")) tell(lipsync.credits())
      for status, err in lipsync.poll(%q) do print(status, err.name) end
    ]]):format(ID, ID, ID, ID))
    assert.are.equal(("nil\tno_credentials\n"):rep(6) .. "error\tno_credentials\n", said)
  end)

  it("can be given its key after a first call failed", function()
    local said = says({}, ([[
      print((lipsync.credits()))
      local getenv = os.getenv
      local more = { AKOOL_API_KEY = %q, AKOOL_BASE_URL = %q }
      os.getenv = function(name) return more[name] or getenv(name) end
      print((lipsync.credits()))
    ]]):format(KEY, t.service.url))
    assert.are.equal("nil\n1000\n", said)
  end)

  it("raises at the caller's line through the default client, too", function()
    local said = says(service_with { AKOOL_API_KEY = KEY },
      "\nprint(pcall(function() local _ = lipsync.info('x', { timout = 1 }) end))")
    has(said, ':4: unknown option "timout": did you mean "timeout"?')
  end)

  it("lets AKOOL_LOG=debug tell on standard error what happens, without a secret", function()
    local program = ([[
      local job = assert(lipsync.create { video_url = %q, audio_url = %q })
      lipsync.wait(job, { wait_timeout = 0.05, poll = { first = 0.01, max = 0.01 } })
      lipsync.info(%q)
    ]]):format(t.video .. "?planted-query", t.audio, ID)
    for _, environment in ipairs {
      { AKOOL_API_KEY = KEY },
      { AKOOL_CLIENT_ID = fixture.secrets.client_id,
        AKOOL_CLIENT_SECRET = fixture.secrets.client_secret },
    } do
      local said, log = says(service_with(environment), program)
      assert.are.equal("", said)
      assert.are.equal("", log)
      environment.AKOOL_LOG = "debug"
      said, log = says(service_with(environment), program)
      assert.are.equal("", said)
      has(log, "create request request=POST " .. t.service.url)
      has(log, "create answer http_status=200")
      has(log, "poll status")
      has(log, "status=queueing")
      has(log, "info answer")
      has(log, "code=1008")
      assert.is_nil(log:find("?", 1, true)) -- a query may hold a signature
      for line in log:gmatch "[^\n]+" do assert.is_truthy(line:find "^akool%.lipsync %d", line) end
    end
    assert.are.equal(2, t.service:count "token")
  end)
end)
