-- TLS: everything works behind it, over HTTP/1.1 and HTTP/2, and nothing is sent to a server that
-- cannot prove who it is.

local child = require "support.child"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local http = require "akool.lipsync.http"
local lipsync = require "akool.lipsync"
local nginx = require "support.nginx"
local silent = require "support.silent"
local uv = require "luv"
local wire = require "support.wire"

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  assert(file:close())
end

local function pattern(size)
  return http.pattern(size).read(0, size)
end

-- What nginx wrote about the requests whose line holds `word`: a list of tables, once there are
-- at least `count`.
local function log_of(server, word, count)
  local found = {}
  for i, line in ipairs(server:log(count, word)) do
    found[i] = {
      protocol = line:match("^(%S+)"), tls = line:match("tls=(%S+)"),
      connection = line:match("connection=(%d+)"), status = line:match("status=(%d+)"),
    }
  end
  return found
end

local function connections(lines)
  local seen, count = {}, 0
  for _, line in ipairs(lines) do
    if not seen[line.connection] then count = count + 1 end
    seen[line.connection] = true
  end
  return count
end

-- A describe block with an nginx of its own; returns the table in which `server` will be.
local function behind(given)
  local held = {}
  setup(function()
    given.upstream = held.t.service.port
    held.server = nginx.start(given)
  end)
  teardown(function() held.server:stop() end)
  function held.client(more)
    local all = { base_url = held.server.url, ca_file = held.server.ca_file }
    for k, v in pairs(more or {}) do all[k] = v end
    return held.t.client(all)
  end
  -- A completed job whose result is behind TLS too.
  function held.result(client, size)
    local t = held.t
    local job = t.completed(client)
    t.service:set(job.id, { bytes = size,
      video = held.server.url .. job.video:match("^http://[^/]+(/.*)$") })
    return assert(client:info(job))
  end
  return held
end

for _, version in ipairs {
  { name = "HTTP/1.1", http2 = false, logged = "HTTP/1.1" },
  { name = "HTTP/2", http2 = true, logged = "HTTP/2.0" },
} do
  describe("over TLS and " .. version.name, function()
    local t = fixture.new()
    local held = behind { http2 = version.http2 }
    held.t = t

    it("a job is made, followed and downloaded", function()
      local client = held.client()
      local job = held.result(client, 50000)
      local out = t.path("out.mp4")
      local file = assert(client:download(job, out))
      assert.equal(50000, file.bytes)
      assert.is_true(fixture.read(out) == pattern(50000))
      assert.same({ "out.mp4" }, fixture.files(t.folder))

      for _, word in ipairs { "POST /api/", "GET /api/", "GET /results/" } do
        local lines = log_of(held.server, word, 1)
        assert.is_true(#lines > 0)
        for _, line in ipairs(lines) do
          assert.equal(version.logged, line.protocol)
          assert.equal("TLSv1.3", line.tls)
        end
      end
      assert.equal(1, t.service:count("create"))
    end)

    it("a token is fetched, used, and renewed when the service refuses it", function()
      local client = held.client {
        client_id = fixture.secrets.client_id, client_secret = fixture.secrets.client_secret,
      }
      assert(client:credits())
      t.service:expire_tokens()
      assert(client:credits())
      assert.equal(2, t.service:count("token"))
    end)

    it("an answer may come in pieces whose sum nobody tells", function()
      t.service:fail { at = "credits", framing = "chunked" }
      assert(held.client():credits())
    end)

    it("connections are kept and used again", function()
      local client = held.client { user_agent = "six" }
      for _ = 1, 6 do assert(client:credits()) end
      local lines = log_of(held.server, 'agent="six"', 6)
      assert.equal(6, #lines)
      assert.equal(1, connections(lines))
    end)

    it("many infos at once share connections as the protocol allows", function()
      local client = held.client { max_connections = 8, user_agent = "many" }
      local job, ids = t.job(held.client()), {}
      for i = 1, 100 do ids[i] = job.id end
      core.engine():close() -- so that none of them finds a connection
      local results = lipsync.map(ids, function(id) return assert(client:info(id)) end,
        { concurrency = 100 })
      assert.equal(100, #results)
      assert.equal(100, t.service:count("info"))
      local lines = log_of(held.server, 'agent="many"', 100)
      assert.equal(100, #lines)
      local most = version.http2 and 1 or 8
      assert.is_true(connections(lines) <= most, connections(lines) .. " connections")
    end)

    if version.http2 then
      it("no more are sent at once than every server takes, however many are allowed", function()
        local client, ids = held.client { max_connections = 200, user_agent = "crowd" }, {}
        local job, most = t.job(held.client()), 0
        for i = 1, 300 do ids[i] = job.id end
        local results = lipsync.map(ids, function(id)
          local found = assert(client:info(id))
          most = math.max(most, core.engine():stats().running)
          return found
        end, { concurrency = 300 })
        assert.equal(300, #results)
        assert.is_true(most <= 100, most .. " at once")
      end)
    end

    it("an answer that is cut behind the gateway is never a success", function()
      local client = held.client()
      local job = t.job(client)
      local whole, cuts = assert(client:info(job)), 0
      for at = 0, 1000, 11 do
        t.service:fail { at = "info", cut = at, with = at % 2 == 0 and "fin" or "rst" }
        local found, err = client:info(job, { max_retries = 0 })
        t.service:clear()
        if found then
          assert.same(whole, found)
          break
        end
        cuts = cuts + 1
        assert.is_true(err.kind == "network" or err.kind == "server", tostring(err))
        assert.is_true(err.retryable)
      end
      assert.is_true(cuts > 20 and cuts < 90)
    end)

    it("a result that is cut behind the gateway is never a file", function()
      local client = held.client()
      local job = held.result(client, 2000)
      for at = 0, 2200, 60 do
        t.service:fail { at = "file", cut = at, with = at % 40 == 0 and "fin" or "rst" }
        local file, err = client:download(job, t.path("out.mp4"), { max_retries = 0,
          resume = false })
        assert.is_nil(file, ("cut after %d bytes"):format(at))
        assert.is_true(err.kind == "network" or err.kind == "server", tostring(err))
        assert.same({}, fixture.files(t.folder))
        t.service:clear()
      end
    end)

    it("a result that is cut is resumed", function()
      local client = held.client()
      local job = held.result(client, 50000)
      t.service:fail { at = "file", cut = 30000 }
      assert(client:download(job, t.path("out.mp4")))
      assert.is_true(fixture.read(t.path("out.mp4")) == pattern(50000))
      local seen = t.service:requests("file")
      assert.equal(2, #seen)
      assert.is_string(seen[2].headers.range)
      assert.is_string(seen[2].headers["if-range"])
    end)

    for _, how in ipairs { "reset", "close" } do
      it(("a create whose answer was lost by %s is not repeated"):format(how), function()
        assert(held.client():credits()) -- there is a connection that could be used again
        t.service:fail { at = "create", [how] = "after" }
        local job, err = held.client():create { video_url = t.video, audio_url = t.audio }
        assert.is_nil(job)
        assert.is_true(err.maybe_created)
        assert.equal(1, t.service:count("create"))
        assert.equal(1, #t.service:jobs())
      end)
    end

    it("a redirect of a result to plain http on another server is not followed", function()
      local client = held.client()
      local job = held.result(client, 2000)
      local seen = #t.service:requests("file")
      t.service:fail { at = "file", redirect = t.video, times = "always" }
      local file, err = client:download(job, t.path("out.mp4"))
      assert.is_nil(file)
      assert.equal("redirect_refused", err.name)
      assert.equal(seen + 1, #t.service:requests("file"))
      assert.same({}, fixture.files(t.folder))
    end)
  end)
end

describe("a connection that dies under a create", function()
  local t = fixture.new()

  for _, http2 in ipairs { false, true } do
    it("leaves its outcome open, over " .. (http2 and "HTTP/2" or "HTTP/1.1"), function()
      local server = nginx.start { upstream = t.service.port, http2 = http2 }
      finally(function() server:stop() end)
      local client = t.client { base_url = server.url, ca_file = server.ca_file }
      t.service:fail { at = "create", delay = 20 }
      local job, err
      lipsync.run(function()
        local task = lipsync.spawn(function()
          return client:create { video_url = t.video, audio_url = t.audio }
        end)
        while t.service:count("create") == 0 do lipsync.sleep(0.005) end
        uv.kill(server.pid, "sigkill")
        job, err = task:join()
      end)
      assert.is_nil(job)
      assert.equal("network", err.kind)
      assert.is_true(err.maybe_created)
      assert.equal(1, t.service:count("create"))
    end)
  end
end)

describe("a connection that breaks during the TLS handshake", function()
  local t = fixture.new()

  it("is a matter of the network: what certainly did not arrive is sent again", function()
    local bad = nginx.launch("", { stream = "stream { server { listen 127.0.0.1:PORT; "
      .. "return ''; } }" })
    finally(function() bad:stop() end)
    local client = t.client { base_url = "https://127.0.0.1:" .. bad.port, max_retries = 1 }
    local job = { id = "66160f989dfc997ac289037b" }
    for what, call in pairs {
      create = function() return client:create { video_url = t.video, audio_url = t.audio } end,
      info = function() return client:info(job) end,
    } do
      t.events = {}
      local value, err = call()
      assert.is_nil(value, what)
      assert.equal("network/connection_lost", err.kind .. "/" .. err.name, tostring(err))
      assert.is_true(err.retryable)
      assert.is_false(err.maybe_created)
      assert.equal(1, #t.events_of "retry", what)
    end
    assert.same({}, t.service:requests())
  end)
end)

describe("a server that cannot be trusted", function()
  local t = fixture.new()

  -- Every call fails for this reason, and the service has seen none of them.
  local function nothing_is_sent(client, name)
    local job = { id = "66160f989dfc997ac289037b" }
    for what, call in pairs {
      create = function() return client:create { video_url = t.video, audio_url = t.audio } end,
      info = function() return client:info(job) end,
      credits = function() return client:credits() end,
      wait = function() return client:wait(job) end,
    } do
      local value, err = call()
      assert.is_nil(value, what)
      assert.equal("tls", err.kind)
      assert.equal(name, err.name)
      assert.is_false(err.retryable)
      assert.is_false(err.maybe_created)
      fixture.assert_no_secret(err)
    end
    assert.same({}, t.service:requests())
    assert.same({}, t.service:jobs())
    for _, event in ipairs(t.events) do assert.not_equal("retry", event.type) end
  end

  local function in_front(given, test)
    given.upstream = t.service.port
    local server = nginx.start(given)
    finally(function() server:stop() end)
    test(server)
  end

  for cert, name in pairs {
    expired = "certificate_expired",
    not_yet = "certificate_expired",
    wrong_host = "certificate_wrong_host",
    unknown = "certificate_unknown_issuer",
    self_signed = "certificate_unknown_issuer",
  } do
    it(("gets nothing when its certificate is refused: %s, %s"):format(cert, name), function()
      in_front({ cert = cert }, function(server)
        nothing_is_sent(t.client { base_url = server.url, ca_file = server.ca_file }, name)
      end)
    end)
  end

  it("gets nothing when only the system's issuers count", function()
    in_front({}, function(server)
      nothing_is_sent(t.client { base_url = server.url }, "certificate_unknown_issuer")
    end)
  end)

  it("gets nothing over HTTP/2 either", function()
    in_front({ cert = "wrong_host", http2 = true }, function(server)
      nothing_is_sent(t.client { base_url = server.url, ca_file = server.ca_file },
        "certificate_wrong_host")
    end)
  end)

  it("gets nothing when ca_file is missing, empty, garbage or a folder", function()
    in_front({}, function(server)
      write(t.path("empty.pem"), "")
      write(t.path("garbage.pem"), "-----BEGIN CERTIFICATE-----\nnonsense\n")
      for _, path in ipairs { "missing.pem", "empty.pem", "garbage.pem", "" } do
        nothing_is_sent(t.client { base_url = server.url, ca_file = t.path(path) },
          "ca_file_unreadable")
      end
      -- what was wrong is not remembered
      assert(t.client({ base_url = server.url, ca_file = server.ca_file }):credits())
    end)
  end)

  it("gets nothing when it speaks no TLS", function()
    local server = nginx.launch(("server { listen 127.0.0.1:PORT; "
      .. "location / { proxy_pass %s; } }"):format(t.service.url))
    finally(function() server:stop() end)
    assert(t.client({ base_url = server.url }):credits()) -- it does answer those who speak plainly
    t.service:reset()
    nothing_is_sent(t.client { base_url = "https://127.0.0.1:" .. server.port },
      "tls_handshake_failed")
  end)

  it("gets no more than connect_timeout when it says nothing at all", function()
    local server = silent.listen(16)
    local client = t.client { base_url = "https://127.0.0.1:" .. server.port }
    local job, err = client:create({ video_url = t.video, audio_url = t.audio },
      { connect_timeout = 1, max_retries = 0 }) -- time to read the CA bundle first
    server:close()
    assert.is_nil(job)
    assert.equal("tls_timeout", err.name)
    assert.is_false(err.maybe_created)
  end)

  -- What another process says of a server, where OpenSSL is set up to take any TLS at all.
  local function careless(server)
    write(t.path("openssl.cnf"), "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n"
      .. "[c]\nMinProtocol = None\nCipherString = DEFAULT:@SECLEVEL=0\n")
    return (child.run(([[
      local lipsync = require "akool.lipsync"
      local client = lipsync.new { api_key = "a-key", base_url = %q, ca_file = %q }
      print(select(2, client:credits()).name)
    ]]):format(server.url, server.ca_file),
      { environment = { OPENSSL_CONF = t.path("openssl.cnf") } }))
  end

  for _, version in ipairs { "1.1", "1" } do
    it("gets nothing when it speaks nothing newer than TLS " .. version, function()
      in_front({ directives = ("ssl_protocols TLSv%s; ssl_ciphers DEFAULT:@SECLEVEL=0;")
        :format(version) }, function(server)
        -- it does speak, to those who are less careful
        local pipe = io.popen(("openssl s_client -connect 127.0.0.1:%d -tls%s "
          .. "-cipher DEFAULT:@SECLEVEL=0 </dev/null 2>&1"):format(server.port,
          (version:gsub("%.", "_"))))
        local said = pipe:read("*a")
        pipe:close()
        if not said:find("Protocol *: TLSv" .. version:gsub("%.", "%%.")) then
          pending("this OpenSSL cannot serve TLS " .. version .. " at all")
          return
        end
        nothing_is_sent(t.client { base_url = server.url, ca_file = server.ca_file },
          "tls_handshake_failed")
        assert.equal("tls_handshake_failed\n", careless(server))
        assert.same({}, t.service:requests())
      end)
    end)
  end

  it("gets nothing when the handshake is cut, wherever that is", function()
    in_front({}, function(server)
      local limits, names = { 0, 1, 4, 5, 6, 50, 100, 127, 128, 200, 300, 500 }, {}
      for _, limit in ipairs(limits) do
        local relay = wire.start { upstream = server.port, limit = limit }
        local job, err = t.client({ base_url = "https://127.0.0.1:" .. relay.port,
          ca_file = server.ca_file, connect_timeout = 5, max_retries = 0 })
          :create { video_url = t.video, audio_url = t.audio }
        assert.is_true(relay:seen().connections == 1 and relay:seen().sent == limit)
        relay:stop()
        assert.is_nil(job)
        assert.is_false(err.maybe_created)
        names[err.kind .. "/" .. err.name] = true
      end
      assert.same({ ["network/connection_lost"] = true }, names)
      assert.same({}, t.service:requests())
    end)
  end)

  it("is trusted by no word of a program's or its environment's", function()
    for _, name in ipairs { "verify", "ssl_verify", "tls_verify", "verify_peer", "verify_host",
      "insecure", "allow_insecure", "verifypeer", "cert_reqs", "ciphers", "tls_version", "cert" } do
      assert.has_error(function() lipsync.new { api_key = "a-key", [name] = false } end)
      assert.has_error(function() t.client():credits { [name] = false } end)
    end
    in_front({ cert = "self_signed" }, function(server)
      local said = child.run(([[
        local lipsync = require "akool.lipsync"
        print(select(2, lipsync.new({ api_key = "a-key", base_url = %q }):credits()).name)
      ]]):format(server.url), { environment = { CURL_INSECURE = "1", SSL_VERIFY = "0",
        CURLOPT_SSL_VERIFYPEER = "0", INSECURE = "1", NODE_TLS_REJECT_UNAUTHORIZED = "0",
        PYTHONHTTPSVERIFY = "0", GIT_SSL_NO_VERIFY = "1" } })
      assert.equal("certificate_unknown_issuer\n", said)
      assert.same({}, t.service:requests())
    end)
  end)

  it("gives no file", function()
    local job = t.completed()
    in_front({ cert = "unknown" }, function(server)
      local url = job.video:gsub("^http://[^/]+", server.url)
      job.video = url
      t.events = {}
      local file, err = t.client({ ca_file = server.ca_file }):download(job, t.path("out.mp4"))
      assert.is_nil(file)
      assert.equal("certificate_unknown_issuer", err.name)
      assert.same({}, t.service:requests("file"))
      assert.same({}, fixture.files(t.folder))
    end)
  end)

  it("gets nothing over the connection of a client that trusts it", function()
    in_front({}, function(server)
      local trusting = t.client { base_url = server.url, ca_file = server.ca_file }
      assert(trusting:credits())
      local seen = t.service:count()
      local value, err = t.client({ base_url = server.url }):credits()
      assert.is_nil(value)
      assert.equal("tls", err.kind)
      assert.equal(seen, t.service:count())
    end)
  end)
end)
