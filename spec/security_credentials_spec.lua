-- Credentials stay with the service that they are for: no other host, port or scheme sees them, and
-- nothing that is said or written shows them.

local child = require "support.child"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local lipsync = require "akool.lipsync"
local mock = require "akool.lipsync.mock"
local nginx = require "support.nginx"
local options = require "akool.lipsync.options"
local preload = require "support.preload"
local search = require "support.secrets"
local wire = require "support.wire"

local secrets = fixture.secrets
local PUBLIC = "https://openapi.akool.com"
local ID = "66160f989dfc997ac289037b"

-- The ways to be known to the service.
local WAYS = {
  api_key = function() return { api_key = secrets.api_key } end,
  token = function(t)
    assert(t.client({ client_id = secrets.client_id,
      client_secret = secrets.client_secret }):credits())
    local seen = t.service:requests("credits")
    local token = seen[#seen].headers.authorization:match("^Bearer (.*)$")
    t.service:reset()
    return { token = token }
  end,
  client_id = function()
    return { client_id = secrets.client_id, client_secret = secrets.client_secret }
  end,
}

-- Places that a redirect may name, each with the part of the world that would see it.
local function places(trap, other, service, tls)
  return {
    ["another port"] = trap.url,
    ["another host"] = other.url,
    ["a subdomain"] = ("http://x.localhost:%d"):format(trap.port),
    ["another scheme"] = tls.url,
    ["itself, with a user name"] = service.url:gsub("//", "//me:hunter2@"),
    ["itself"] = service.url,
  }
end

describe("credentials", function()
  local t = fixture.new()
  local trap, other, tls -- servers that must not see any of them

  setup(function()
    trap = assert(mock.start { files = "examples/media" })
    other = wire.start { address = "127.0.0.2", head = "HTTP/1.1 204 No Content\r\n\r\n" }
    tls = nginx.start { upstream = trap.port }
  end)
  teardown(function()
    tls:stop()
    other:stop()
    trap:stop()
  end)
  before_each(function() trap:reset() end)

  local calls = {
    create = function(client, opts)
      return client:create({ video_url = t.video, audio_url = t.audio }, opts)
    end,
    info = function(client, opts) return client:info(ID, opts) end,
    credits = function(client, opts) return client:credits(opts) end,
    wait = function(client, opts) return client:wait(ID, opts) end,
  }

  -- A call is redirected to every place in every way; it fails, and nobody is asked.
  local function goes_nowhere(at, call)
    local seen = #other:seen().requests
    for _, status in ipairs { 301, 302, 303, 307, 308 } do
      for place, url in pairs(places(trap, other, t.service, tls)) do
        t.service:fail { at = at, redirect = url .. "/x", status = status }
        local value, err = call()
        assert.is_nil(value)
        assert.equal("redirect_refused", err.name, place)
        assert.equal(status, err.http_status)
        assert.is_false(err.retryable)
        assert.is_false(err.maybe_created)
        fixture.assert_no_secret(err)
      end
    end
    assert.same({}, trap:requests())
    assert.same({}, t.service:requests("other"))
    assert.equal(seen, #other:seen().requests)
    assert.same({}, tls:log())
  end

  for what, call in pairs(calls) do
    it("do not follow a redirect of " .. what, function()
      local client = t.client { ca_file = tls.ca_file }
      goes_nowhere(what == "wait" and "info" or what, function() return call(client) end)
    end)
  end

  it("do not follow a redirect of the exchange for a token", function()
    local given = WAYS.client_id()
    given.ca_file = tls.ca_file
    goes_nowhere("token", function() return t.client(given):credits() end)
  end)

  -- What a foreign server, or our own as a store of files, has seen holds no credential.
  local function is_anonymous(request, token)
    local text = type(request) == "table" and request.raw or request
    assert.is_nil(text:lower():find("\nx%-api%-key:"))
    assert.is_nil(text:lower():find("\ncookie:"))
    assert.is_nil(search.find(text))
    if token then assert.is_nil(text:find(token, 1, true)) end
  end

  for way, get in pairs(WAYS) do
    it(("given as %s go to the API, and never to a download's server"):format(way), function()
      local given = get(t)
      local job = t.completed(t.client(given))
      for _, request in ipairs(t.service:requests("info")) do
        local headers = request.headers
        assert.is_true((headers["x-api-key"] == nil) ~= (headers.authorization == nil))
      end
      given.ca_file, given.overwrite, given.max_retries = tls.ca_file, true, 0
      local client = t.client(given)
      assert(client:download(job, t.path("out.mp4")))
      local path, before = "/files/clip.mp4", #other:seen().requests
      for place, url in pairs(places(trap, other, t.service, tls)) do
        t.service:fail { at = "file", redirect = url .. path }
        local file, err = client:download(job, t.path("out.mp4"))
        assert.is_true(file ~= nil or place == "another host", tostring(err))
      end
      assert.equal(3, trap:count()) -- a port, a subdomain, a scheme
      local there = other:seen().requests
      assert.equal(before + 1, #there)
      assert.equal(9, t.service:count("file")) -- the result, six redirects of it, two to itself
      local seen = trap:requests()
      for _, request in ipairs(t.service:requests("file")) do seen[#seen + 1] = request end
      seen[#seen + 1] = there[#there]
      for _, request in ipairs(seen) do is_anonymous(request, given.token) end
    end)
  end

  it("never go to a download's server, however often it redirects", function()
    local job = t.completed()
    t.service:fail { at = "file", redirect = trap.url .. "/a" }
    for i = 1, 4 do
      trap:fail { at = "other", redirect = (i % 2 == 0 and trap.url or tls.url) .. "/" .. i }
    end
    trap:fail { at = "other", redirect = trap.url .. "/files/clip.mp4", times = "always" }
    local client = t.client { ca_file = tls.ca_file, max_retries = 0 }
    local file, err = client:download(job, t.path("out.mp4"))
    assert.is_nil(file) -- the sixth is one too many
    assert.equal("redirect_refused", err.name)
    assert.equal(5, trap:count())
    trap:clear()
    trap:fail { at = "other", redirect = "/again", times = "always" } -- a loop
    t.service:fail { at = "file", redirect = trap.url .. "/again" }
    file, err = client:download(job, t.path("out.mp4"))
    assert.is_nil(file)
    assert.equal("redirect_refused", err.name)
    assert.equal(10, trap:count())
    for _, request in ipairs(trap:requests()) do is_anonymous(request) end
    assert.same({}, fixture.files(t.folder))
  end)

  it("are recognised by the specs in every form, and so are their parts", function()
    local function printed(command, text)
      local pipe = assert(io.popen(("printf %%s '%s' | %s"):format(text, command)))
      local said = pipe:read("*a")
      pipe:close()
      return said
    end
    for name, secret in pairs(secrets) do
      local half = secret:sub(5, 18)
      local encoded = half:gsub("%W", function(c) return ("%%%02X"):format(c:byte()) end)
      local forms = { half, half:reverse(), encoded, (half:gsub("/", "\\/")) }
      for _, before in ipairs { "", "x", "xy" } do
        forms[#forms + 1] = printed("base64 -w 0", before .. secret .. ".")
        forms[#forms + 1] = printed("base64 -w 0 | tr +/ -_", before .. secret .. ".")
      end
      forms[#forms + 1] = printed("od -A n -v -t x1 | tr -d ' \n'", half)
      for _, form in ipairs(forms) do
        local found = search.find("what was said: " .. form .. "…")
        assert.is_truthy(found and found:find(name, 1, true), form)
      end
      assert.is_nil(search.find(secret:sub(1, 11)))
    end
  end)

  it("are found by the specs in values, in what children say, and in what a run printed", function()
    assert.has_error(function() fixture.assert_no_secret { { [secrets.api_key] = 1 } } end)
    assert.has_error(function() child.run(("print(%q)"):format(secrets.api_key)) end)
    assert.has_error(function() child.run(("io.stderr:write(%q)"):format(secrets.client_id)) end)
    local function judged(text)
      local path = t.path("run.lua") -- whose name says that it may hold them
      local file = assert(io.open(path, "wb"))
      file:write(text)
      file:close()
      local said, status = child.start("spec/support/secrets.lua", { arguments = { path } })()
      return status, said
    end
    assert.equal(0, (judged("ok 1\nok 2\n")))
    local status, said = judged("ok 1\nnot ok: " .. secrets.client_secret:reverse() .. "\n")
    assert.equal(1, status)
    assert.is_truthy(said:find(":2: client_secret, turned around was printed", 1, true))
  end)

  it("are sent one way only", function()
    assert(t.client({ api_key = secrets.api_key }):credits())
    local headers = t.service:requests("credits")[1].headers
    assert.equal(secrets.api_key, headers["x-api-key"])
    assert.is_nil(headers.authorization)
  end)

  it("are in nothing that is printed", function()
    for _, get in pairs(WAYS) do
      local given = get(t)
      local client = t.client(given)
      local settings = options.settings(options.merge(nil, given))
      local job = t.completed(client)
      local op = client.core:info(settings, job.id)
      local shown = { tostring(client), tostring(client.core), tostring(settings), tostring(op),
        tostring(core.engine()), tostring(job), client.merged }
      op:cancel()
      t.service:fail { at = "file", cut = 2000 }
      local _, err = client:download(job, t.path("out.mp4"), { max_retries = 0 })
      shown[#shown + 1] = { err, tostring(err), fixture.read(t.path("out.mp4.part.etag")) }
      fixture.assert_no_secret(shown)
      os.remove(t.path("out.mp4.part"))
      os.remove(t.path("out.mp4.part.etag"))
    end
  end)

  -- Every call fails in each of these ways, and no error says a secret.
  local function are_in_no_error(way, faults)
    local given = way(t)
    for _, fault in ipairs(faults) do
      fault.times = "always"
      t.service:fail(fault)
      local client = t.client(given)
      for what, call in pairs(calls) do
        if what ~= "wait" then
          local _, err = call(client, { max_retries = 0 })
          assert.is_table(err)
          fixture.assert_no_secret { err, tostring(err) }
        end
      end
      t.service:clear()
    end
  end

  it("are in no error", function()
    for _, way in pairs(WAYS) do
      are_in_no_error(way, { { code = 1101 }, { code = 1102 }, { code = 1003 }, { status = 401 },
        { status = 500 }, { raw = "{" }, { raw = "<html>" }, { cut = 20 }, { reset = "after" } })
    end
  end)

  it("are in no error, even if the service repeats them in its answer", function()
    are_in_no_error(WAYS.api_key, { { code = 1101, msg = "invalid key " .. secrets.api_key },
      { code = 1101, msg = "not a key: " .. secrets.api_key:sub(9, 24) .. "…" } })
    are_in_no_error(WAYS.client_id, { { code = 4711,
      msg = secrets.client_id .. " does not go with " .. secrets.client_secret } })
    local given = WAYS.token(t)
    are_in_no_error(function() return given end,
      { { code = 1101, msg = "this has expired: " .. given.token } })
  end)

  it("are in no error, even if the service takes one for a job's id", function()
    local key = secrets.api_key:gsub("%W", "-") -- with the same parts, and fit for an id
    t.service:fail { at = "info", times = "always",
      raw = ('{"code":1000,"data":{"_id":"%s","video_status":1}}'):format(key) }
    local job, err = t.client({ api_key = key }):info(ID)
    assert.is_nil(job)
    assert.equal("wrong_job", err.name)
    fixture.assert_no_secret { err, tostring(err) }
    t.service:clear()
  end)

  it("are in no error, even if the service takes the token that it gave for a job's id", function()
    local token = "handed-out-a-moment-ago"
    local body = ('{"code":1000,"token":"%s","data":{"_id":"%s","video_status":1}}'):format(token,
      token)
    local server = wire.start { keep = true,
      head = ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(#body, body) }
    finally(function() server:stop() end)
    local job, err = t.client({ client_id = secrets.client_id, base_url = server.url,
      client_secret = secrets.client_secret }):info(ID)
    assert.is_nil(job)
    assert.equal("wrong_job", err.name)
    assert.is_truthy(err.message:find(("*"):rep(#token), 1, true), err.message)
    assert.is_nil(tostring(err):find("moment", 1, true))
  end)

  it("are in no error, even if the service gives one as the reason of a failure", function()
    local job = t.completed()
    t.service:set(job.id, { video_status = 4, error_msg = "no face for " .. secrets.api_key })
    local done, err = t.client():wait(job.id)
    assert.is_nil(done)
    assert.equal("no face for " .. ("*"):rep(#secrets.api_key), err.server_message)
    fixture.assert_no_secret(tostring(err))
  end)

  it("are in no line of the log", function()
    local job = t.completed()
    local said = child.run(([[
      local lipsync = require "akool.lipsync"
      for _, given in ipairs { { api_key = %q }, { client_id = %q, client_secret = %q } } do
        given.base_url = %q
        local client = lipsync.new(given)
        client:credits()
        client:info(%q)
        assert(client:download(%q, %q, { overwrite = true }))
      end
    ]]):format(secrets.api_key, secrets.client_id, secrets.client_secret, t.service.url, job.id,
      job.id, t.path("out.mp4")), { environment = { AKOOL_LOG = "debug" } })
    assert.truthy(said:find("akool.lipsync %d+%.%d+ credits request"))
    assert.is_nil(search.find(said))
    assert.is_nil(said:find("Signature", 1, true))
  end)

  it("of a URL are refused without being shown", function()
    for _, url in ipairs { "https://me:hunter2@example.com", "http://me:hunter2@127.0.0.1:1" } do
      local client, err = lipsync.new { api_key = secrets.api_key, base_url = url }
      assert.is_nil(client)
      assert.equal("bad_base_url", err.name)
      assert.is_nil(tostring(err):find("hunter2", 1, true))
      local job
      job, err = t.client():create { video_url = url, audio_url = t.audio }
      assert.is_nil(job)
      assert.equal("bad_url", err.name)
      assert.is_nil(tostring(err):find("hunter2", 1, true))
    end
    assert.same({}, t.service:requests())
  end)

  it("of a proxy are in no error, whatever is wrong with its address", function()
    for _, proxy in ipairs { "ftp://me:hunter2@127.0.0.1", "http://me:hunter2@[bad:1",
      "http://me:hunter2@127.0.0.1:99999", "xyz://me:hunter2@127.0.0.1:1" } do
      local client = t.client { base_url = PUBLIC, proxy = proxy, max_retries = 0 }
      local credits, err = client:credits()
      assert.is_nil(credits)
      assert.is_false(err.retryable and err.kind == "invalid")
      assert.is_nil(tostring(err):find("hunter2", 1, true), tostring(err))
    end
    local _, err = t.client { base_url = PUBLIC, proxy = "ftp://me:hunter2@127.0.0.1" }:credits()
    assert.equal("bad_proxy", err.name)
    local nowhere = ("http://me:hunter2@%s.invalid:1"):format(("x"):rep(64)) -- no name is so long
    _, err = t.client({ base_url = PUBLIC, proxy = nowhere, max_retries = 0 }):credits()
    assert.equal("proxy_failed", err.name)
    assert.is_nil(tostring(err):find("hunter2", 1, true), tostring(err))
  end)

  it("and signatures of a result's address are in no event", function()
    local job = t.completed()
    assert.truthy(job.video:find("Signature=", 1, true))
    assert(t.client():download(job, t.path("out.mp4")))
    local shown = 0
    for _, event in ipairs(t.events_of "request") do
      assert.is_nil(event.request:find("Signature", 1, true))
      if event.op == "download" then shown = shown + 1 end
    end
    assert.equal(1, shown)

    for _, tail in ipairs { "#a-fragment", "?" .. ("x"):rep(3000), "/" .. ("long/"):rep(600) } do
      local address = t.service.url .. "/files/none.mp4"
      t.client():download({ id = job.id, status = "completed", video = address .. tail },
        t.path("none.mp4"), { max_retries = 0 })
    end
    for _, event in ipairs(t.events_of "request") do
      assert.is_nil(event.request:find("fragment", 1, true))
      assert.is_true(#event.request < 1000)
    end
  end)

  it("are wiped from memory before that is given back", function()
    local maps = fixture.read "/proc/self/maps"
    if maps:find "asan" or maps:find "vgpreload" then
      return pending "a sanitizer, and valgrind, have a free of their own"
    end
    local environment = preload("unwiped", t.folder)
    finally(function() os.remove(t.path "unwiped.so") end)
    environment.SECRETS = table.concat({ secrets.api_key, "x-api-key: " .. secrets.api_key,
      secrets.client_id, "mock-token-", "Authorization: Bearer mock-token-",
      '{"clientId":', '{"clientSecret":' }, "\n")
    local said, status = child.run(([[
      local core = require "akool.lipsync.core"
      local lipsync = require "akool.lipsync"
      local url = %q
      for _, given in ipairs { { api_key = %q }, { client_id = %q, client_secret = %q } } do
        given.base_url = url
        local client = assert(lipsync.new(given))
        assert(client:credits())
        client = client.core
        assert(client:credentials("client_id", "another", "pair"))
        assert(client:credentials("api_key", "another"))
        assert(client:credentials("token", "another"))
        client = nil
        collectgarbage()
        core.engine():close()
        collectgarbage()
      end
    ]]):format(t.service.url, secrets.api_key, secrets.client_id, secrets.client_secret),
      { environment = environment })
    assert.same({ "", 0 }, { said, status })
  end)
end)
