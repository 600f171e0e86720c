-- Where requests may go: by http and https only, and for a public service to public addresses only,
-- whoever named the place: a program, the service, or the server that a result is redirected by.

local child = require "support.child"
local core = require "akool.lipsync.core"
local elsewhere = require "support.elsewhere"
local fixture = require "support.fixture"
local lipsync = require "akool.lipsync"
local loop = require "akool.lipsync.loop"
local options = require "akool.lipsync.options"
local wire = require "support.wire"

local secrets = fixture.secrets
local PUBLIC = "https://openapi.akool.com"

-- All that a libcurl may speak besides http and https, and what it may not.
local SCHEMES = { "dict", "file", "ftp", "ftps", "gopher", "gophers", "imap", "imaps", "ldap",
  "ldaps", "mqtt", "pop3", "pop3s", "rtmp", "rtmpe", "rtmps", "rtmpt", "rtmpte", "rtmpts", "rtsp",
  "scp", "sftp", "smb", "smbs", "smtp", "smtps", "telnet", "tftp", "ws", "wss", "data",
  "javascript", "httpx" }

describe("an address", function()
  local t = fixture.new()

  it("has no scheme of libcurl's that is not tried here", function()
    local pipe = assert(io.popen("curl-config --protocols 2>&1"))
    local tried, listed = { http = true, https = true }, 0
    for _, scheme in ipairs(SCHEMES) do tried[scheme] = true end
    for scheme in pipe:read("*a"):lower():gmatch("%f[^\n%z](%w+)\n") do
      assert.is_true(tried[scheme], scheme)
      listed = listed + 1
    end
    pipe:close()
    if listed < 2 then pending("curl-config is not installed") end
  end)

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

  it("of the service has a host that can be one, and nobody's name or password", function()
    for _, url in ipairs { "https://" .. ("a"):rep(256), "https://" .. ("a."):rep(200) .. "com",
      "https://somebody@example.com", "https://:word@example.com", "https://:@example.com" } do
      local client, err = lipsync.new { api_key = secrets.api_key, base_url = url }
      assert.is_nil(client, url)
      assert.equal("bad_base_url", err.name)
    end
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

  -- What a child says of downloads of the public service's results, in the internet of elsewhere.lua:
  -- one line for each URL, with the name of the error or "done", after the addresses that it tried.
  local function said_of(urls, more)
    local environment = elsewhere.environment(t.folder)
    for name, value in pairs(more and more.environment or {}) do environment[name] = value end
    for _, name in ipairs { "http_proxy", "https_proxy", "all_proxy", "no_proxy" } do
      environment[name] = environment[name] or false
      environment[name:upper()] = environment[name:upper()] or false
    end
    local said = child.run(([[
      local core = require "akool.lipsync.core"
      local loop = require "akool.lipsync.loop"
      local options = require "akool.lipsync.options"
      local client = assert(core.client(%q))
      assert(client:credentials("api_key", "a-key"))
      local settings = options.settings(options.merge(nil, { allow_http = true, max_retries = 0,
        connect_timeout = 5, overwrite = true %s }))
      io.stdout:setvbuf "no"
      for url in (%q):gmatch "%%S+" do
        local op, err = client:download(settings, url, %q)
        local kind, value = "failed", err
        if op then kind, value = loop.next(op) end
        print(kind == "done" and kind or value.name)
      end
    ]]):format(PUBLIC, more and more.given or "", table.concat(urls, " "), t.path("out.mp4")),
      { environment = environment })
    os.remove(t.path("elsewhere.so"))
    return said
  end

  -- Private addresses, in hexadecimal digits.
  local ADDRESSES = { "7f000001", "7fffffff", "00000000", "0a000001", "ac100001", "ac1fffff",
    "c0a80101", "a9fea9fe", "64400001", "c0000001", "c6120001", "e0000001", "ffffffff",
    "00000000000000000000000000000001", "00000000000000000000000000000000",
    "00000000000000000000ffff7f000001", "00000000000000000000ffffa9fea9fe",
    "0000000000000000000000007f000001", "0064ff9b00000000000000000a000001",
    "20020a00000100000000000000000000", "fe800000000000000000000000000001",
    "fc000000000000000000000000000001", "fdffffffffffffffffffffffffffffff",
    "ff020000000000000000000000000001" }

  it("is found out when a name leads to it", function()
    local urls = {}
    for i, digits in ipairs(ADDRESSES) do
      urls[i] = ("https://%s:%d/x.mp4"):format(elsewhere.name(digits), t.service.port)
    end
    assert.equal(("private_address\n"):rep(#urls), said_of(urls))
    assert.equal(0, t.service:connections())
    assert.same({}, fixture.files(t.folder))
  end)

  it("is taken for what it is where names lead to it on purpose", function()
    local job = t.completed()
    local url = job.video:gsub("//127%.0%.0%.1:", "//" .. elsewhere.name("7f000001") .. ":")
    assert.equal("done\n", said_of({ url }, { given = ", allow_private = true" }))
    assert.equal("connects to 10.0.0.1\nconnection_refused\n", said_of(
      { "https://" .. elsewhere.name("0a000001") .. "/" }, { given = ", allow_private = true" }))
  end)

  local REDIRECT = "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"

  it("is found out when a public server redirects to it", function()
    local target = ("http://PATH:%d/x.mp4"):format(t.service.port)
    local server = wire.start { address = elsewhere.here, head = REDIRECT:format(target) }
    finally(function() server:stop() end)
    local urls = {}
    local function add(host)
      urls[#urls + 1] = ("http://%s:%d/%s"):format(elsewhere.public, server.port, host)
    end
    for _, host in ipairs(HOSTS) do add(host) end
    for _, digits in ipairs(ADDRESSES) do add(elsewhere.name(digits)) end
    assert.equal(("private_address\n"):rep(#urls), said_of(urls))
    assert.equal(#urls, #server:seen().requests)
    assert.equal(0, t.service:connections())
    assert.same({}, fixture.files(t.folder))
  end)

  it("is none of those that are public, whatever their family", function()
    local server = wire.start { address = elsewhere.here, keep = true,
      head = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfilm" }
    finally(function() server:stop() end)
    local urls = {}
    for i, host in ipairs { elsewhere.public, elsewhere.name("cb007107"), "[2001:db8::7]",
      elsewhere.name("20010db8000000000000000000000007") } do
      urls[i] = ("http://%s:%d/x.mp4"):format(host, server.port)
    end
    assert.equal(("done\n"):rep(#urls), said_of(urls))
    assert.equal(#urls, #server:seen().requests)
  end)

  it("is nothing to a download where an answer names it and redirects nobody", function()
    local place = ("Location: http://127.0.0.1:%d/x.mp4\r\n"):format(t.service.port)
    for answer, expected in pairs {
      ["HTTP/1.1 404 Not Found\r\n" .. place .. "Content-Length: 0\r\n\r\n"] = "result_expired\n",
      ["HTTP/1.1 200 OK\r\n" .. place .. "Content-Length: 4\r\n\r\nfilm"] = "done\n",
      ["HTTP/1.1 103 Early Hints\r\n" .. place .. "\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
        .. "film"] = "done\n",
    } do
      local server = wire.start { address = elsewhere.here, head = answer }
      local said = said_of { ("http://%s:%d/x.mp4"):format(elsewhere.public, server.port) }
      server:stop()
      assert.equal(expected, said, answer)
      os.remove(t.path("out.mp4"))
    end
    assert.equal(0, t.service:connections())
  end)

  it("cannot be told from a redirect that leads nowhere, which is refused as well", function()
    for place, expected in pairs { ["http://"] = "redirect_refused\n",
      ["http://[x/"] = "redirect_refused\n", ["file:///etc/passwd"] = "private_address\n",
      ["http://" .. ("a"):rep(300) .. "/x"] = "private_address\n" } do
      local server = wire.start { address = elsewhere.here, head = REDIRECT:format(place) }
      local said = said_of { ("http://%s:%d/x.mp4"):format(elsewhere.public, server.port) }
      server:stop()
      assert.equal(expected, said, place)
    end
    assert.same({}, fixture.files(t.folder))
  end)

  for what, form in pairs {
    ["as a URL"] = "http://PATH:%d/x.mp4",
    ["with one slash"] = "http:/PATH:%d/x.mp4",
    ["without a scheme"] = "//PATH:%d/x.mp4",
  } do
    it("is found out when a redirect names it that a proxy would follow: " .. what, function()
      local proxy = wire.start { head = REDIRECT:format(form:format(t.service.port)) }
      finally(function() proxy:stop() end)
      local urls = {}
      for i, host in ipairs(HOSTS) do urls[i] = ("http://%s/%s"):format(elsewhere.public, host) end
      local said = said_of(urls, { environment = { http_proxy = proxy.url } })
      assert.equal(("private_address\n"):rep(#urls), said)
      local asked = proxy:seen().requests
      assert.equal(#urls, #asked)
      for _, request in ipairs(asked) do
        assert.is_truthy(request:find("^GET http://203%.0%.113%.7/"))
      end
    end)
  end

  it("is feared behind a host that cannot be read", function()
    local proxy = wire.start { head = REDIRECT:format("http://PATH/x.mp4") }
    finally(function() proxy:stop() end)
    local url = ("http://%s/127%%2525.0.0.1"):format(elsewhere.public)
    local said = said_of({ url }, { environment = { http_proxy = proxy.url } })
    assert.equal("private_address\n", said)
    assert.equal(1, #proxy:seen().requests)
  end)

  it("or not, a redirect is looked at and not refused: to a public one it is followed", function()
    local proxy = wire.start { head = REDIRECT:format("https://PATH/x.mp4") }
    finally(function() proxy:stop() end)
    local url = ("http://%s/203.0.113.8"):format(elsewhere.public)
    local said = said_of({ url }, { environment = { http_proxy = proxy.url } })
    assert.not_equal("private_address\n", said)
    local asked = proxy:seen().requests
    assert.equal(2, #asked)
    assert.is_truthy(asked[2]:find("^CONNECT 203%.0%.113%.8:443 "))
  end)

  it("is found out behind a name although the environment speaks of proxies", function()
    local name = elsewhere.name("7f000001")
    local url = ("http://%s:%d/x.mp4"):format(name, t.service.port)
    for _, words in ipairs {
      "",
      "https_proxy=P HTTPS_PROXY=P HTTP_PROXY=P", -- of which none is for plain http
      "https_proxy=P HTTP_PROXY=P no_proxy=N",
      "http_proxy=P no_proxy=N",
      "http_proxy=P NO_PROXY=N",
      "all_proxy=P no_proxy=example.com,.N",
      "ALL_PROXY=P no_proxy=*",
      "http_proxy=P no_proxy=example", -- the domain that the name is of
      "http_proxy=P no_proxy=other,,.example",
      "http_proxy=P no_proxy=x,*",
    } do
      local environment = {}
      for key, value in words:gmatch("(%S+)=(%S+)") do
        environment[key] = value:gsub("P", t.service.url):gsub("N", name)
      end
      assert.equal("private_address\n", said_of({ url }, { environment = environment }), words)
      assert.same({}, t.service:requests())
      assert.same({}, fixture.files(t.folder))
    end
  end)

  it("is for a proxy to judge, if the environment takes out other names only", function()
    local name = elsewhere.name("7f000001")
    for _, others in ipairs { "xample", "a." .. name, ",", "4-7f000001.example", "x" } do
      t.service:reset()
      local url = ("http://%s:%d/x.mp4"):format(name, t.service.port)
      local environment = { http_proxy = t.service.url, no_proxy = others }
      assert.equal("result_expired\n", said_of({ url }, { environment = environment }), others)
      assert.equal(1, t.service:count())
    end
  end)

  it("is for the next proxy to judge where the first one is nothing but a name", function()
    local url = ("http://%s:%d/x.mp4"):format(elsewhere.name("7f000001"), t.service.port)
    local environment = { http_proxy = "", all_proxy = t.service.url, no_proxy = "",
      NO_PROXY = "example.org" }
    assert.equal("result_expired\n", said_of({ url }, { environment = environment }))
    assert.equal(1, t.service:count())
  end)

  it("is not reached by a connection that a less strict client left open", function()
    local job = t.completed()
    local url = job.video:gsub("//127%.0%.0%.1:", "//" .. elsewhere.name("7f000001") .. ":")
    local said = child.run(([[
      local core = require "akool.lipsync.core"
      local loop = require "akool.lipsync.loop"
      local options = require "akool.lipsync.options"
      local client = assert(core.client(%q))
      assert(client:credentials("api_key", "a-key"))
      for i, allowed in ipairs { true, false } do
        local settings = options.settings(options.merge(nil, { proxy = false, max_retries = 0,
          connect_timeout = 5, allow_http = true, allow_private = allowed }))
        local kind, value = loop.next(assert(client:download(settings, %q, %q .. i)))
        print(kind, value.name)
      end
    ]]):format(PUBLIC, url, t.path("out")), { environment = elsewhere.environment(t.folder) })
    os.remove(t.path("elsewhere.so"))
    assert.equal("done\tnil\nfailed\tprivate_address\n", said)
    assert.equal(1, #t.service:requests("file"))
    assert.same({ "out1" }, fixture.files(t.folder))
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
      "172.32.0.1", "192.169.0.1", "100.128.0.1", "[2600::1]", "[2001:4860::1]", "akool.com",
      "not-localhost", "my-localhost.com" } do
      local op = client:download(settings, "https://" .. host .. "/x", t.path("out.mp4"))
      assert.is_not_nil(op, host)
      op:cancel()
    end
  end)

  it("is none of a service elsewhere, to which plain http is spoken on request", function()
    local id = "66160f989dfc997ac289037b"
    local body = ('{"code":1000,"data":{"_id":"%s","video_status":1}}'):format(id)
    local server = wire.start { address = elsewhere.here,
      head = ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(#body, body) }
    finally(function() server:stop() end)
    local said = child.run(([[
      local lipsync = require "akool.lipsync"
      local client = assert(lipsync.new { api_key = "a-key", base_url = "http://%s:%d/",
        allow_http = true, proxy = false, max_retries = 0 })
      print(assert(client:info(%q)).status)
    ]]):format(elsewhere.public, server.port, id),
      { environment = elsewhere.environment(t.folder) })
    os.remove(t.path("elsewhere.so"))
    assert.equal("queueing\n", said)
    assert.is_truthy(server:seen().requests[1]:find("^GET /api/open/v3/content/video/infobymodelid"
      .. "%?video_model_id=" .. id .. " HTTP/1.1\r\n"))
  end)

  it("or not, a result of a public service does not come by plain http", function()
    local client, settings = public()
    local op, err = client:download(settings, "http://example.com/x.mp4", t.path("out.mp4"))
    assert.is_nil(op)
    assert.equal("bad_result_url", err.name)
  end)
end)
