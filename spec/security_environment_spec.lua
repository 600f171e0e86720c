-- What the environment of a program may decide: which proxy leads to other machines, unless the option
-- says otherwise. Nothing else of it reaches a request: no password of .netrc, no cookie.

local child = require "support.child"
local elsewhere = require "support.elsewhere"
local fixture = require "support.fixture"
local mock = require "akool.lipsync.mock"
local wire = require "support.wire"

local secrets = fixture.secrets

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  assert(file:close())
end

describe("the environment", function()
  local t = fixture.new()
  local trap

  setup(function() trap = assert(mock.start()) end)
  teardown(function() trap:stop() end)
  before_each(function() trap:reset() end)

  local PROXIES = { "http_proxy", "https_proxy", "all_proxy" } -- also in capitals

  -- An environment full of proxies, with a .netrc for every host and curl's own file of options.
  local function hostile(proxy)
    write(t.path(".netrc"), "machine 127.0.0.1 login me password hunter2\n"
      .. "machine 192.0.2.1 login me password hunter2\ndefault login me password hunter2\n")
    write(t.path(".curlrc"), "header = \"x-evil: 1\"\ncookie = \"a=b\"\nuser = me:hunter2\n")
    local environment = { HOME = t.folder, CURL_HOME = t.folder, NETRC = t.path(".netrc"),
      no_proxy = false, NO_PROXY = false, HTTP_PROXY = proxy }
    for _, name in ipairs(PROXIES) do
      environment[name], environment[name:upper()] = proxy, proxy
    end
    return { environment = environment }
  end

  it("puts no proxy before this machine and no password of .netrc into a request", function()
    local id = t.job().id
    t.service:set(id, { video_status = 3 })
    for _, url in ipairs { t.service.url, ("http://localhost:%d"):format(t.service.port) } do
      local before = t.service:count()
      local said = child.run(([[
        local lipsync = require "akool.lipsync"
        local client = assert(lipsync.new { api_key = %q, base_url = %q, overwrite = true })
        assert(client:credits())
        assert(client:create { video_url = %q, audio_url = %q })
        assert(client:info(%q))
        assert(client:download(%q, %q))
        print "ok"
      ]]):format(secrets.api_key, url, t.video, t.audio, id, id, t.path("out.mp4")),
        hostile(trap.url))
      assert.equal("ok\n", said)
      assert.same({}, trap:requests())
      assert.is_true(t.service:count() - before >= 5)
    end
    for _, request in ipairs(t.service:requests()) do
      for _, name in ipairs { "authorization", "proxy-authorization", "cookie", "x-evil" } do
        assert.is_nil(request.headers[name])
      end
    end
  end)

  -- Which proxy is asked for the balance of a service at `url`, in an environment with `set` and with
  -- the option `proxy` as written; 192.0.2.1 is kept for documentation, and elsewhere.lua sees to it
  -- that nothing leaves this machine.
  local function proxy_of(url, set, proxy)
    local one = wire.start { head = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n" }
    local two = wire.start { head = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n" }
    local environment = elsewhere.environment(t.folder)
    environment.no_proxy, environment.NO_PROXY = false, false
    for _, name in ipairs(PROXIES) do
      environment[name], environment[name:upper()] = false, false
    end
    for name, value in set:gmatch("(%S+)=(%S+)") do
      environment[name] = value:gsub("ONE", one.url):gsub("TWO", two.url)
    end
    local said = child.run(([[
      local lipsync = require "akool.lipsync"
      local value, err = lipsync.new({ api_key = "a-key", base_url = %q, allow_http = true,
        max_retries = 0, connect_timeout = 0.2, proxy = %s }):credits()
      io.stdout:setvbuf "no"
      print(value)
    ]]):format(url, proxy:gsub("ONE", one.url):gsub("TWO", two.url)), { environment = environment })
    local asked = { one:seen().requests[1], two:seen().requests[1] }
    one:stop()
    two:stop()
    local direct = not asked[1] and not asked[2]
    assert.equal((direct and "connects to 192.0.2.1\n" or "") .. "nil\n", said)
    assert.is_true(asked[1] == nil or asked[2] == nil)
    for _, request in pairs(asked) do
      assert.is_nil(request:lower():find("authorization"))
      local secure = url:find("^https")
      assert.is_truthy(request:find(secure and "^CONNECT 192%.0%.2%.1:443 " or "^GET " .. url))
      assert.equal(not secure, request:find("a-key", 1, true) ~= nil) -- TLS hides it from a proxy
    end
    return asked[1] and "ONE" or asked[2] and "TWO" or "none"
  end

  it("and the option proxy name the proxy for other machines", function()
    local plain, secure = "http://192.0.2.1", "https://192.0.2.1"
    local wrong = {}
    for i, row in ipairs {
      -- URL, environment, option → who is asked
      { plain, "", "nil", "none" },
      { plain, "http_proxy=ONE", "nil", "ONE" },
      { plain, "HTTP_PROXY=ONE", "nil", "none" }, -- a CGI program's header "Proxy:"
      { plain, "https_proxy=ONE HTTPS_PROXY=ONE", "nil", "none" },
      { plain, "all_proxy=ONE", "nil", "ONE" },
      { plain, "ALL_PROXY=ONE", "nil", "ONE" },
      { plain, "http_proxy=ONE all_proxy=TWO", "nil", "ONE" },
      { secure, "", "nil", "none" },
      { secure, "http_proxy=ONE", "nil", "none" },
      { secure, "https_proxy=ONE", "nil", "ONE" },
      { secure, "HTTPS_PROXY=ONE", "nil", "ONE" },
      { secure, "https_proxy=ONE HTTPS_PROXY=TWO all_proxy=TWO", "nil", "ONE" },
      { secure, "all_proxy=ONE", "nil", "ONE" },
      { plain, "http_proxy=ONE no_proxy=192.0.2.1", "nil", "none" },
      { plain, "http_proxy=ONE NO_PROXY=192.0.2.1", "nil", "none" },
      { plain, "http_proxy=ONE no_proxy=*", "nil", "none" },
      { plain, "http_proxy=ONE no_proxy=example.com", "nil", "ONE" },
      { secure, "https_proxy=ONE no_proxy=192.0.2.1", "nil", "none" },
      { plain, "http_proxy=ONE all_proxy=ONE", "false", "none" },
      { secure, "https_proxy=ONE ALL_PROXY=ONE", "false", "none" },
      { plain, "http_proxy=ONE", "'TWO'", "TWO" },
      { secure, "https_proxy=ONE", "'TWO'", "TWO" },
      { plain, "", "'TWO'", "TWO" },
      { secure, "", "'TWO'", "TWO" },
    } do
      local asked = proxy_of(row[1], row[2], row[3])
      if asked ~= row[4] then
        wrong[#wrong + 1] = ("row %d: %s %s proxy = %s asks %s"):format(i, row[1], row[2], row[3],
          asked)
      end
    end
    assert.same({}, wrong)
  end)

  it("adds no password of .netrc to a request by way of a proxy", function()
    local said = child.run([[
      local lipsync = require "akool.lipsync"
      local value = lipsync.new({ api_key = "a-key", base_url = "http://192.0.2.1",
        allow_http = true, max_retries = 0 }):credits()
      print(value)
    ]], hostile(trap.url))
    assert.equal("nil\n", said)
    assert.equal(1, trap:count())
    assert.is_nil(trap:requests()[1].headers.authorization)
    assert.is_nil(trap:requests()[1].headers["proxy-authorization"])
  end)

  it("leaves no cookie for another request", function()
    local client = t.client()
    t.service:fail { at = "credits", headers = { ["Set-Cookie"] = "a=b; Path=/" }, times = 2 }
    for _ = 1, 3 do assert(client:credits()) end
    local job = t.completed(client)
    t.service:fail { at = "file", redirect = job.video, headers = { ["Set-Cookie"] = "c=d" } }
    assert(client:download(job, t.path("out.mp4")))
    for _, request in ipairs(t.service:requests()) do assert.is_nil(request.headers.cookie) end
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
