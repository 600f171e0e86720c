-- Secrets stay with the service they are for, and nobody else decides where requests go.

local cjson = require "cjson"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local lfs = require "lfs"
local lipsync = require "akool.lipsync"
local loop = require "akool.lipsync.loop"
local mock = require "akool.lipsync.mock"
local options = require "akool.lipsync.options"
local uv = require "luv"

local secrets = fixture.secrets
local PUBLIC = "https://openapi.akool.com"
local SCHEMES = { "file", "ftp", "ftps", "gopher", "dict", "ldap", "scp", "sftp", "smb", "telnet",
  "tftp", "rtsp", "imap", "ws", "data", "javascript", "httpx" }

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  assert(file:close())
end

-- Run a program in another process, with these assignments in its environment.
local function child(environment, code, ...)
  local path = os.tmpname()
  write(path, ("package.path, package.cpath = %q, %q\n"):format(package.path, package.cpath)
    .. code:format(...))
  local pipe = assert(io.popen(("env %s '%s' '%s' 2>&1"):format(environment, uv.exepath(), path)))
  local said = pipe:read("*a")
  pipe:close()
  os.remove(path)
  return said
end

-- The most memory that this process ever had, in kB.
local function peak()
  return tonumber(fixture.read("/proc/self/status"):match("VmHWM:%s*(%d+) kB"))
end

-- The ways to be known to the service.
local WAYS = {
  api_key = function() return { api_key = secrets.api_key } end,
  token = function(t)
    assert(t.client({ client_id = secrets.client_id,
      client_secret = secrets.client_secret }):credits())
    local token = t.service:requests("credits")[1].headers.authorization:match("^Bearer (.*)$")
    t.service:reset()
    return { token = token }
  end,
  client_id = function()
    return { client_id = secrets.client_id, client_secret = secrets.client_secret }
  end,
}

describe("credentials", function()
  local t = fixture.new()
  local trap -- another server, which must not see any of them

  setup(function() trap = assert(mock.start { files = "examples/media" }) end)
  teardown(function() trap:stop() end)
  before_each(function() trap:reset() end)

  local calls = {
    create = function(client, opts)
      return client:create({ video_url = t.video, audio_url = t.audio }, opts)
    end,
    info = function(client, opts) return client:info("66160f989dfc997ac289037b", opts) end,
    credits = function(client, opts) return client:credits(opts) end,
    wait = function(client, opts) return client:wait("66160f989dfc997ac289037b", opts) end,
  }

  for what, call in pairs(calls) do
    it("do not follow a redirect of " .. what, function()
      for _, status in ipairs { 301, 302, 303, 307, 308 } do
        for _, target in ipairs { trap.url .. "/x", t.service.url .. "/x", "file:///etc/passwd" } do
          t.service:fail { at = what == "wait" and "info" or what, redirect = target,
            status = status }
          local value, err = call(t.client())
          assert.is_nil(value)
          assert.equal("redirect_refused", err.name)
          assert.equal(status, err.http_status)
          assert.is_false(err.retryable)
          assert.is_false(err.maybe_created)
          fixture.assert_no_secret(err)
        end
      end
      assert.same({}, trap:requests())
      assert.same({}, t.service:requests("other"))
    end)
  end

  it("do not follow a redirect of the exchange for a token", function()
    t.service:fail { at = "token", redirect = trap.url .. "/x", status = 307 }
    local value, err = t.client(WAYS.client_id()):credits()
    assert.is_nil(value)
    assert.equal("redirect_refused", err.name)
    assert.same({}, trap:requests())
  end)

  for way, get in pairs(WAYS) do
    it(("given as %s go to the API, and never to a download's server"):format(way), function()
      local given = get(t)
      local client = t.client(given)
      local job = t.completed(client)
      for _, request in ipairs(t.service:requests("info")) do
        local headers = request.headers
        assert.is_true((headers["x-api-key"] == nil) ~= (headers.authorization == nil))
      end
      assert(client:download(job, t.path("plain.mp4")))
      t.service:fail { at = "file", redirect = trap.url .. "/files/clip.mp4" }
      assert(client:download(job, t.path("redirected.mp4")))
      local seen = t.service:requests("file")
      assert.equal(2, #seen)
      assert.equal(1, #trap:requests())
      seen[3] = trap:requests()[1]
      for _, request in ipairs(seen) do
        assert.is_nil(request.headers["x-api-key"])
        assert.is_nil(request.headers.authorization)
        assert.is_nil(request.headers.cookie)
        fixture.assert_no_secret(request)
        if given.token then assert.is_nil(request.raw:find(given.token, 1, true)) end
      end
    end)
  end

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
  local function are_in_no_error(faults)
    for _, fault in ipairs(faults) do
      fault.times = "always"
      t.service:fail(fault)
      for _, get in ipairs { WAYS.api_key, WAYS.client_id } do
        local client = t.client(get(t))
        for what, call in pairs(calls) do
          if what ~= "wait" then
            local _, err = call(client, { max_retries = 0 })
            assert.is_table(err)
            fixture.assert_no_secret { err, tostring(err) }
          end
        end
      end
      t.service:clear()
    end
  end

  it("are in no error", function()
    are_in_no_error { { code = 1101 }, { code = 1102 }, { code = 1003 }, { status = 401 },
      { status = 500 }, { raw = "{" }, { raw = "<html>" }, { cut = 20 }, { reset = "after" } }
  end)

  it("are in no error, even if the service repeats them in its answer", function()
    are_in_no_error {
      { code = 1101, msg = "invalid key " .. secrets.api_key },
      { code = 4711, msg = secrets.client_id .. " does not go with " .. secrets.client_secret },
    }
  end)

  it("are in no error, even if the service takes one for a job's id", function()
    t.service:fail { at = "info", times = "always",
      raw = ('{"code":1000,"data":{"_id":"%s","video_status":1}}'):format(secrets.api_key) }
    local job, err = t.client():info "66160f989dfc997ac289037b"
    assert.is_nil(job)
    assert.equal("wrong_job", err.name)
    fixture.assert_no_secret { err, tostring(err) }
    t.service:clear()
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
    local said = child("AKOOL_LOG=debug", [[
      local lipsync = require "akool.lipsync"
      for _, given in ipairs { { api_key = %q }, { client_id = %q, client_secret = %q } } do
        given.base_url = %q
        local client = lipsync.new(given)
        client:credits()
        client:info(%q)
        assert(client:download(%q, %q, { overwrite = true }))
      end
    ]], secrets.api_key, secrets.client_id, secrets.client_secret, t.service.url, job.id, job.id,
      t.path("out.mp4"))
    assert.truthy(said:find("akool.lipsync %d+%.%d+ credits request"))
    fixture.assert_no_secret(said)
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
  end)
end)

describe("a control character", function()
  local t = fixture.new()

  local function is_control(byte) return byte < 0x20 or byte == 0x7f end

  -- Try all bytes in one place. use(text) returns what a call returns; sent(request) returns where
  -- the text must be found again.
  local function in_all_bytes(use, name, at, sent)
    local taken = 0
    for byte = 0, 255 do
      local text = "66160f98" .. string.char(byte) .. "9dfc"
      t.service:reset()
      local value, err = use(text)
      if value == nil and err.kind == "invalid" and not err.code then
        assert.equal(name, err.name)
        assert.same({}, t.service:requests(), ("byte %d was sent"):format(byte))
      else
        assert.is_false(is_control(byte), ("byte %d was taken"):format(byte))
        local seen = t.service:requests(at)
        assert.equal(1, #seen)
        assert.equal(text, sent(seen[1]), ("byte %d came as another"):format(byte))
        taken = taken + 1
      end
    end
    assert.is_true(taken >= 62) -- letters and digits at least
  end

  it("in an API key is refused, and nothing is sent", function()
    in_all_bytes(function(text)
      local client, err = lipsync.new { api_key = text, base_url = t.service.url }
      if not client then return nil, err end
      return client:credits()
    end, "bad_credentials", "credits", function(request) return request.headers["x-api-key"] end)
  end)

  it("in a token is refused, and nothing is sent", function()
    in_all_bytes(function(text)
      local client, err = lipsync.new { token = text, base_url = t.service.url }
      if not client then return nil, err end
      return client:credits()
    end, "bad_credentials", "credits", function(request)
      return request.headers.authorization:match("^Bearer (.*)$")
    end)
  end)

  for _, name in ipairs { "client_id", "client_secret" } do
    it(("in %s is refused, and nothing is sent"):format(name), function()
      in_all_bytes(function(text)
        local given = { client_id = "an-id", client_secret = "a-secret", base_url = t.service.url }
        given[name] = text
        local client, err = lipsync.new(given)
        if not client then return nil, err end
        return client:credits()
      end, "bad_credentials", "token", function(request)
        return cjson.decode(request.body)[name == "client_id" and "clientId" or "clientSecret"]
      end)
    end)
  end

  it("in a key that a function returns is refused, and nothing is sent", function()
    for _, text in ipairs { "key\r\nx-evil: 1", "key\n", "\0key", " key", "" } do
      local client = assert(lipsync.new { base_url = t.service.url,
        api_key = function() return text end })
      local value, err = client:credits()
      assert.is_nil(value)
      assert.equal("bad_credentials", err.name)
    end
    assert.same({}, t.service:requests())
  end)

  it("in a job's id is refused, and nothing is sent", function()
    local client = t.client()
    in_all_bytes(function(text) return client:info(text) end, "bad_id", "info", function(request)
      return request.query.video_model_id
    end)
  end)

  for _, name in ipairs { "video_url", "audio_url", "webhook_url" } do
    it(("in %s is refused, and nothing is sent"):format(name), function()
      local client = t.client()
      in_all_bytes(function(text)
        local params = { video_url = t.video, audio_url = t.audio }
        params[name] = "https://example.com/" .. text
        return client:create(params)
      end, "bad_url", "create", function(request)
        local field = name == "webhook_url" and "webhookUrl" or name
        return cjson.decode(request.body)[field]:match("^https://example%.com/(.*)$")
      end)
    end)
  end

  it("in base_url is refused", function()
    for byte = 0, 255 do
      if is_control(byte) then
        local client, err = lipsync.new { api_key = secrets.api_key,
          base_url = t.service.url .. "/" .. string.char(byte) }
        assert.is_nil(client)
        assert.equal("bad_base_url", err.name)
      end
    end
  end)

  it("in a result's address is refused, and nothing is asked of it", function()
    local job = t.completed()
    for byte = 0, 127 do
      if is_control(byte) then
        job.video = t.service.url .. "/results/" .. string.char(byte) .. "\r\nx-evil: 1"
        local file, err = t.client():download(job, t.path("out.mp4"))
        assert.is_nil(file)
        assert.equal("bad_result_url", err.name)
      end
    end
    assert.same({}, t.service:requests("file"))
    assert.same({}, fixture.files(t.folder))
  end)
end)

describe("an address", function()
  local t = fixture.new()

  it("of the service is http or https", function()
    for _, scheme in ipairs(SCHEMES) do
      for _, rest in ipairs { "://127.0.0.1/", ":///etc/passwd", ":x" } do
        local client, err = lipsync.new { api_key = secrets.api_key, base_url = scheme .. rest }
        assert.is_nil(client)
        assert.equal("bad_base_url", err.name)
      end
    end
  end)

  it("of the service is https unless it is this machine", function()
    for _, url in ipairs { "http://openapi.akool.com", "http://10.0.0.1", "HTTP://example.com",
      "http://127.0.0.1.example.com", "http://localhost.example.com" } do
      local client, err = lipsync.new { api_key = secrets.api_key, base_url = url }
      assert.is_nil(client, url)
      assert.equal("bad_base_url", err.name)
      assert(lipsync.new { api_key = secrets.api_key, base_url = url, allow_http = true })
    end
    for _, url in ipairs { "http://127.0.0.1", "http://localhost:80", "http://[::1]:1" } do
      assert(lipsync.new { api_key = secrets.api_key, base_url = url })
    end
    -- Only an address in brackets has a zone; this is a name of somebody else's.
    local client, err = lipsync.new { api_key = secrets.api_key,
      base_url = "http://localhost%25.example.com" }
    assert.is_nil(client)
    assert.equal("bad_base_url", err.name)
  end)

  it("of a medium is http or https", function()
    for _, name in ipairs { "video_url", "audio_url", "webhook_url" } do
      for _, scheme in ipairs(SCHEMES) do
        local params = { video_url = t.video, audio_url = t.audio }
        params[name] = scheme .. "://example.com/x"
        local job, err = t.client():create(params)
        assert.is_nil(job)
        assert.equal("bad_url", err.name)
      end
    end
    assert.same({}, t.service:requests())
  end)

  it("of a result is http or https", function()
    local job = t.completed()
    for _, scheme in ipairs(SCHEMES) do
      for _, rest in ipairs { "://127.0.0.1/x", ":///etc/passwd" } do
        t.service:set(job.id, { video = scheme .. rest })
        local file, err = t.client():download(job.id, t.path("out.mp4"))
        assert.is_nil(file)
        assert.is_true(err.kind == "invalid" or err.kind == "protocol", tostring(err))
        job.video = scheme .. rest
        file, err = t.client():download(job, t.path("out.mp4"))
        assert.is_nil(file)
        assert.equal("bad_result_url", err.name)
      end
    end
    assert.same({}, t.service:requests("file"))
    assert.same({}, fixture.files(t.folder))
  end)

  it("that a result is redirected to is http or https", function()
    local job = t.completed()
    for _, scheme in ipairs(SCHEMES) do
      local rest = scheme == "file" and ":///etc/passwd" or "://127.0.0.1/x"
      t.service:fail { at = "file", redirect = scheme .. rest }
      local file, err = t.client():download(job, t.path("out.mp4"), { max_retries = 0 })
      assert.is_nil(file, scheme)
      assert.equal("redirect_refused", err.name)
      assert.same({}, fixture.files(t.folder))
    end
    assert.equal(#SCHEMES, #t.service:requests("file"))
  end)

  it("that a result is redirected to in vain does the next download no harm", function()
    local job = t.completed()
    for _, target in ipairs { "ftp://127.0.0.1/x", "httpx://127.0.0.1/x", "http://[x/" } do
      t.service:fail { at = "file", redirect = target }
      local file, err = t.client():download(job, t.path("out.mp4"), { max_retries = 0 })
      assert.is_nil(file)
      assert.equal(302, err.http_status)
      assert(t.client():download(job, t.path("out.mp4")))
      os.remove(t.path("out.mp4"))
    end
  end)
end)

describe("a private address", function()
  local t = fixture.new()
  local HOSTS = { "127.0.0.1", "127.1", "127%2e1", "%30%2e1", "127.255.255.254",
    "2130706433", "0177.0.0.1", "017700000001", "0x7f000001", "0x7f.1", "0", "0.0.0.0", "localhost",
    "LOCALHOST", "localhost.", "x.localhost", "10.0.0.1", "172.16.0.1", "172.31.255.255",
    "192.168.1.1", "100.64.0.1", "169.254.169.254", "2852039166", "224.0.0.1", "255.255.255.255",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[64:ff9b::7f00:1]", "[fe80::1]", "[fd00::1]", "[ff02::1]", "[2002:7f00:1::]" }

  -- A client of the public service, and what takes the place of its settings.
  local function public(given)
    local client = assert(core.client(PUBLIC))
    assert(client:credentials("api_key", secrets.api_key))
    return client, options.settings(options.merge(nil, given))
  end

  it("is no place for a result of a public service", function()
    local client, settings = public()
    for _, host in ipairs(HOSTS) do
      for _, scheme in ipairs { "http", "https" } do
        local url = ("%s://%s:%d/x.mp4"):format(scheme, host, t.service.port)
        local op, err = client:download(settings, url, t.path("out.mp4"))
        assert.is_nil(op, url)
        assert.equal("private_address", err.name)
        assert.equal("protocol", err.kind)
      end
    end
    assert.equal(0, core.engine():stats().calls)
    assert.equal(0, t.service:connections())
    assert.same({}, fixture.files(t.folder))
  end)

  it("is one with allow_private", function()
    local client, settings = public { allow_private = true }
    local job = t.completed()
    local kind, file = loop.next(assert(client:download(settings, job.video, t.path("out.mp4"))))
    assert.equal("done", kind)
    assert.equal(t.path("out.mp4"), file.path)
  end)

  local NO_NAME = "no name but localhost leads to this machine here"

  -- A name other than localhost that leads to this machine, or to just this address of it.
  local function name_of_this_machine(wanted)
    local name
    for line in io.lines("/etc/hosts") do
      local address, names = line:match("^%s*([%d.:a-f]+)%s+([^#]+)")
      for word in (names or ""):gmatch("%S+") do
        local ours = address == wanted
          or not wanted and (address == "::1" or address:find("^127%."))
        if ours and not word:find("localhost$") then name = word end
      end
    end
    return name
  end

  it("is found out when a name leads to it", function()
    local name = name_of_this_machine()
    if not name then
      pending(NO_NAME)
      return
    end
    local client, settings = public { proxy = false, max_retries = 0, connect_timeout = 5 }
    local url = ("https://%s:%d/x.mp4"):format(name, t.service.port)
    local kind, err = loop.next(assert(client:download(settings, url, t.path("out.mp4"))))
    assert.equal("failed", kind)
    assert.equal("private_address", err.name)
    assert.equal(0, t.service:connections())
    assert.same({}, fixture.files(t.folder))
  end)

  it("is found out behind a name although the environment speaks of proxies", function()
    local name = name_of_this_machine("127.0.0.1")
    if not name then
      pending(NO_NAME)
      return
    end
    local job = t.completed()
    core.engine():close()
    t.service:reset()
    local url = job.video:gsub("//127%.0%.0%.1:", "//" .. name .. ":")
    local none = "-u http_proxy -u HTTP_PROXY -u https_proxy -u HTTPS_PROXY -u all_proxy "
      .. "-u ALL_PROXY -u no_proxy -u NO_PROXY "
    for _, environment in ipairs {
      "",
      "https_proxy=$P HTTPS_PROXY=$P HTTP_PROXY=$P", -- of which none is for plain http
      "https_proxy=$P HTTP_PROXY=$P no_proxy=$N",
      "http_proxy=$P no_proxy=$N",
      "http_proxy=$P NO_PROXY=$N",
      "all_proxy=$P no_proxy='example.com, .$N'",
      "ALL_PROXY=$P no_proxy='*'",
    } do
      environment = environment:gsub("%$P", t.service.url):gsub("%$N", name)
      local said = child(none .. environment, [[
        local core = require "akool.lipsync.core"
        local loop = require "akool.lipsync.loop"
        local options = require "akool.lipsync.options"
        local client = assert(core.client(%q))
        assert(client:credentials("api_key", "a-key"))
        local settings = options.settings(options.merge(nil, { allow_http = true, max_retries = 0,
          connect_timeout = 5 }))
        local kind, value = loop.next(assert(client:download(settings, %q, %q)))
        print(kind, value.name)
      ]], PUBLIC, url, t.path("out.mp4"))
      assert.equal("failed\tprivate_address\n", said, environment)
      assert.same({}, t.service:requests())
      assert.same({}, fixture.files(t.folder))
    end
  end)

  it("is not reached by a connection that a less strict client left open", function()
    local name = name_of_this_machine("127.0.0.1")
    if not name then
      pending(NO_NAME)
      return
    end
    local job = t.completed()
    local url = job.video:gsub("//127%.0%.0%.1:", "//" .. name .. ":")
    local client = public()
    local given = { proxy = false, max_retries = 0, connect_timeout = 5, allow_http = true }
    local strict = options.settings(options.merge(nil, given))
    given.allow_private = true
    local lenient = options.settings(options.merge(nil, given))
    local kind = loop.next(assert(client:download(lenient, url, t.path("first.mp4"))))
    assert.equal("done", kind)
    local open = t.service:connections()
    local err
    kind, err = loop.next(assert(client:download(strict, url, t.path("second.mp4"))))
    assert.equal("failed", kind)
    assert.equal("private_address", err.name)
    assert.is_true(t.service:connections() <= open)
    assert.equal(1, #t.service:requests("file"))
    assert.same({ "first.mp4" }, fixture.files(t.folder))
  end)

  it("is no place for media that a public service is to fetch", function()
    local client = t.client { base_url = PUBLIC, proxy = t.service.url }
    for _, host in ipairs(HOSTS) do
      for _, name in ipairs { "video_url", "audio_url", "webhook_url" } do
        local params = { video_url = "https://example.com/v", audio_url = "https://example.com/a" }
        params[name] = ("https://%s/x"):format(host)
        local job, err = client:create(params)
        assert.is_nil(job)
        assert.equal("bad_url", err.name)
      end
    end
    assert.same({}, t.events)
  end)

  it("is what it looks like only where it is a host", function()
    local client, settings = public()
    for _, host in ipairs { "127.0.0.1.example.com", "localhost.example.com", "11.0.0.1",
      "172.32.0.1", "192.169.0.1", "100.128.0.1", "[2600::1]" } do
      local op = client:download(settings, "https://" .. host .. "/x", t.path("out.mp4"))
      assert.is_not_nil(op, host)
      op:cancel()
    end
  end)

  it("or not, a result of a public service does not come by plain http", function()
    local client, settings = public()
    local op, err = client:download(settings, "http://example.com/x.mp4", t.path("out.mp4"))
    assert.is_nil(op)
    assert.equal("bad_result_url", err.name)
  end)
end)

describe("the environment", function()
  local t = fixture.new()
  local trap

  setup(function() trap = assert(mock.start()) end)
  teardown(function() trap:stop() end)
  before_each(function() trap:reset() end)

  -- An environment full of proxies, with a .netrc for every host.
  local function hostile()
    write(t.path(".netrc"), "machine 127.0.0.1 login me password hunter2\n"
      .. "default login me password hunter2\n")
    local words = { "HOME='" .. t.folder .. "'", "NETRC='" .. t.path(".netrc") .. "'",
      "-u no_proxy", "-u NO_PROXY" }
    for name in ("http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY"):gmatch("%S+") do
      words[#words + 1] = name .. "=" .. trap.url
    end
    table.sort(words, function(a) return a:sub(1, 1) == "-" end)
    return table.concat(words, " ")
  end

  it("puts no proxy before this machine and no password of .netrc into a request", function()
    local job = t.completed()
    t.service:reset()
    local id = t.job().id
    t.service:set(id, { video_status = 3 })
    assert.not_equal(id, job.id)
    local said = child(hostile(), [[
      local lipsync = require "akool.lipsync"
      local client = assert(lipsync.new { api_key = %q, base_url = %q })
      assert(client:credits())
      assert(client:create { video_url = %q, audio_url = %q })
      assert(client:info(%q))
      assert(client:download(%q, %q))
      print "ok"
    ]], secrets.api_key, t.service.url, t.video, t.audio, id, id, t.path("out.mp4"))
    assert.equal("ok\n", said)
    assert.same({}, trap:requests())
    assert.is_true(t.service:count() >= 5)
    for _, request in ipairs(t.service:requests()) do
      assert.is_nil(request.headers.authorization)
      assert.is_nil(request.headers["proxy-authorization"])
    end
  end)

  it("may name a proxy for other machines, unless proxy = false", function()
    -- 192.0.2.1 is kept for documentation: nobody is there
    local said = child(hostile(), [[
      local lipsync = require "akool.lipsync"
      local given = { api_key = "a-key", base_url = "http://192.0.2.1", allow_http = true,
        max_retries = 0, connect_timeout = 0.2 }
      local value, err = lipsync.new(given):credits()
      print(value, err.code)
      given.proxy = false
      value, err = lipsync.new(given):credits()
      print(value, err.code)
    ]])
    assert.equal("nil\t1101\nnil\tnil\n", said)
    assert.equal(1, trap:count())
    assert.truthy(trap:requests()[1].target:find("^http://192%.0%.2%.1/"))
    assert.is_nil(trap:requests()[1].headers.authorization)
  end)

  it("and the option proxy put no proxy before this machine", function()
    local client = t.client { proxy = trap.url }
    assert(client:credits())
    local job = t.completed(client)
    assert(client:download(job, t.path("out.mp4")))
    assert.same({}, trap:requests())
    assert.equal(0, trap:connections())
  end)
end)

describe("an answer", function()
  local t = fixture.new()

  it("cannot leave a cookie", function()
    local client = t.client()
    t.service:fail { at = "credits", headers = { ["Set-Cookie"] = "a=b; Path=/" }, times = 2 }
    for _ = 1, 3 do assert(client:credits()) end
    local job = t.completed(client)
    t.service:fail { at = "file", redirect = job.video, headers = { ["Set-Cookie"] = "c=d" } }
    assert(client:download(job, t.path("out.mp4")))
    for _, request in ipairs(t.service:requests()) do assert.is_nil(request.headers.cookie) end
  end)

  it("cannot be compressed beyond what it says", function()
    assert(t.client():credits())
    assert(t.client():download(t.completed(), t.path("out.mp4")))
    for _, request in ipairs(t.service:requests()) do
      assert.is_nil(request.headers["accept-encoding"])
    end
  end)

  for what, fault in pairs {
    ["a flood of headers"] = { header_flood = 40e6 },
    ["a huge body"] = { oversize = 40e6 },
    ["a huge body of a gateway"] = { status = 500, body = ("x"):rep(4e6) },
    ["a huge body in chunks"] = { oversize = 40e6, framing = "chunked" },
  } do
    it("is bounded: " .. what, function()
      assert(t.client():credits())
      fault.at, fault.times = "credits", "always"
      t.service:fail(fault)
      collectgarbage()
      local before = peak()
      local value, err = t.client():credits({ max_retries = 0 })
      assert.is_nil(value)
      assert.equal("answer_too_large", err.name)
      assert.is_true(peak() - before < 16 * 1024)
    end)
  end

  for what, fault in pairs {
    ["a flood of headers"] = { header_flood = 40e6 },
    ["a huge page of a gateway"] = { status = 500, body = ("x"):rep(4e6) },
  } do
    it("to a download is bounded: " .. what, function()
      local job = t.completed()
      fault.at, fault.times = "file", "always"
      t.service:fail(fault)
      local file, err = t.client():download(job, t.path("out.mp4"), { max_retries = 0 })
      assert.is_nil(file)
      assert.equal("answer_too_large", err.name)
      assert.same({}, fixture.files(t.folder))
    end)
  end

  it("to the client is told who asks", function()
    assert(t.client():credits())
    assert(t.client({ user_agent = "film-machine/2" }):credits())
    local seen = t.service:requests("credits")
    assert.equal("akool-lipsync/" .. lipsync._VERSION, seen[1].headers["user-agent"])
    assert.equal("film-machine/2", seen[2].headers["user-agent"])
  end)

  it("names no file: what it is called is the caller's choice alone", function()
    local job = t.completed()
    t.service:fail { at = "file", headers = {
      ["Content-Disposition"] = 'attachment; filename="../../evil.mp4"',
    } }
    assert(t.client():download(job, t.path("out.mp4")))
    assert.same({ "out.mp4" }, fixture.files(t.folder))
    assert.is_nil(lfs.attributes(t.path("../../evil.mp4")))
  end)
end)
