-- No byte of what a program or the service hands over can end a line of a request, begin another one,
-- or write to a terminal by way of a message. All 256 bytes are tried in every place.

local cjson = require "cjson"
local child = require "support.child"
local fixture = require "support.fixture"
local lipsync = require "akool.lipsync"
local wire = require "support.wire"

local secrets = fixture.secrets
local PUBLIC = "https://openapi.akool.com"

local function is_control(byte) return byte < 0x20 or byte == 0x7f end

describe("a control character", function()
  local t = fixture.new()

  -- Try all bytes in one place. use(text) returns what a call returns; sent(request, byte) returns
  -- where the text must be found again.
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
        assert.equal(text, sent(seen[1], byte), ("byte %d came as another"):format(byte))
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

  it("in base_url is refused, and nothing is sent", function()
    in_all_bytes(function(text)
      local client, err = lipsync.new { api_key = secrets.api_key, max_retries = 0,
        base_url = t.service.url .. "/" .. text }
      if not client then return nil, err end
      return client:credits()
    end, "bad_base_url", "other", function(request, byte)
      local path = request.target:match("^/(.*)/api/open/v3/faceswap/quota/info$")
      return (path:gsub(byte < 0x80 and "$^" or ("%%%%%02x"):format(byte), string.char(byte)))
    end)
  end)

  -- Options are the program's own words: a control character in one is misuse, and raises.
  local function raises_in_all_bytes(set, at, sent)
    in_all_bytes(function(text)
      local ran, client = pcall(set, text)
      if not ran then
        assert.is_truthy(tostring(client):find("without control characters", 1, true))
        assert.is_nil(tostring(client):find(text, 1, true))
        return nil, { kind = "invalid", name = "raised" }
      end
      return client:credits()
    end, "raised", at, sent)
  end

  it("in user_agent is refused, and nothing is sent", function()
    raises_in_all_bytes(function(text) return t.client { user_agent = text } end, "credits",
      function(request) return request.headers["user-agent"] end)
  end)

  it("in proxy is refused, and nothing is sent", function()
    local proxy = wire.start { head = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n" }
    finally(function() proxy:stop() end)
    for byte = 0, 255 do
      local before = #proxy:seen().requests
      local text = "http://me" .. string.char(byte) .. "x-evil:1@127.0.0.1:" .. proxy.port
      local ran, client = pcall(t.client, { base_url = PUBLIC, proxy = text, max_retries = 0 })
      assert.equal(not is_control(byte), ran, byte)
      if ran then client:credits() end
      local seen = proxy:seen().requests
      assert.is_true(#seen - before <= 1)
      for i = before + 1, #seen do
        assert.is_truthy(seen[i]:find("^CONNECT openapi%.akool%.com:443 HTTP/1%.1\r\n"))
        assert.is_nil(seen[i]:lower():find("\n%s*x%-evil"))
      end
    end
    assert.is_true(#proxy:seen().requests > 100)
  end)

  it("in an id that the service gave is not believed", function()
    local client = t.client { max_retries = 0 }
    for byte = 0, 255 do
      local id = "66160f98" .. string.char(byte) .. "9dfc"
      if byte < 0x80 then -- JSON is made of characters
        t.service:reset()
        t.service:fail { at = "create", data = { _id = id } }
        local job, err = client:create { video_url = t.video, audio_url = t.audio }
        if is_control(byte) then
          assert.is_nil(job)
          assert.equal("unexpected_answer", err.name)
          assert.is_true(err.maybe_created)
        elseif job then
          assert.equal(id, job.id)
        end
      end
    end
  end)

  it("in a token that the service gave is not sent back", function()
    for byte = 0, 127 do
      local token = "66160f98" .. string.char(byte) .. "9dfc"
      t.service:reset()
      t.service:fail { at = "token", json = { code = 1000, token = token } }
      t.service:fail { at = "credits", code = 1003, times = "always" }
      local value, err = t.client({ client_id = secrets.client_id, max_retries = 0,
        client_secret = secrets.client_secret }):credits()
      assert.is_nil(value)
      local seen = t.service:requests("credits")
      if is_control(byte) or byte == 0x20 then
        assert.equal("unexpected_answer", err.name, byte)
        assert.same({}, seen)
      elseif #seen > 0 then
        assert.equal("Bearer " .. token, seen[1].headers.authorization)
      end
    end
  end)

  it("in the name of a file's version is not sent back", function()
    local asked = 0
    for byte = 0, 255 do
      if byte ~= 0x0A and byte ~= 0x0D then -- which end the header that it stands in
        local etag = '"v' .. string.char(byte) .. 'x-evil: 1"'
        local job = t.completed()
        t.service:set(job.id, { bytes = 100000 })
        t.service:fail { at = "file", etag = etag, cut = 40000 }
        local file = t.client():download(job, t.path("out.mp4"), { max_retries = 0 })
        assert.is_nil(file)
        assert(t.client():download(job, t.path("out.mp4")))
        local headers = t.service:requests("file")[2].headers
        assert.is_nil(headers["x-evil"])
        assert.is_true(headers["if-range"] == nil or headers["if-range"] == etag)
        assert.is_true(headers["if-range"] == nil or not is_control(byte))
        if headers["if-range"] then asked = asked + 1 end
        os.remove(t.path("out.mp4"))
        t.service:reset()
      end
    end
    assert.is_true(asked >= 62)
  end)

  -- A message is printed: what stands in it may not move the cursor or paint the screen.
  local function is_printable(err)
    for _, text in ipairs { tostring(err), err.message, err.server_message or "" } do
      assert.is_nil(text:find("[%z\1-\31\127]"), ("%q"):format(text))
    end
  end

  it("that the service says is in no message", function()
    local job = t.completed()
    local words = "red \27[31m and \r\n a second line \127"
    for _, fault in ipairs {
      { at = "credits", code = 1003, msg = words },
      { at = "credits", raw = words },
      { at = "credits", json = { code = words } },
      { at = "credits", status = 404, body = words },
      { at = "credits", status = 302, headers = { Location = "x\27[31mx://y" } },
      { at = "file", content_type = "text/html\27[31m" },
      { at = "file", status = 404, body = words },
      { at = "file", status = 302, headers = { Location = "x\27[31mx://y" } },
      { at = "file", status = 302, headers = { Location = "http://y\27[31my" } },
      { at = "file", status = 302, headers = { Location = "http://127.0.0.1:1\27[31m" } },
    } do
      t.service:fail(fault)
      local value, err
      if fault.at == "file" then
        value, err = t.client():download(job, t.path("out.mp4"), { max_retries = 0 })
      else
        value, err = t.client():credits({ max_retries = 0 })
      end
      assert.is_nil(value)
      is_printable(err)
      t.service:clear()
    end
    t.service:set(job.id, { video_status = 4, video = "", error_msg = words })
    local done, err = t.client():wait(job.id)
    assert.is_nil(done)
    assert.is_truthy(err.server_message:find("a second line", 1, true))
    is_printable(err)
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

describe("a code", function()
  it("that is explained is shown as the number it is", function()
    local row, err = lipsync.explain "4711\v"
    assert.is_nil(row)
    assert.truthy(err.message:find("Code 4711 is not", 1, true), err.message)
  end)
end)

describe("an answer", function()
  -- libcurl from 7.84.0 until 8.1.0 appends such a line to the headers of the handle's last exchange,
  -- which are gone by then.
  it("whose first header line is folded harms nobody", function()
    local said = child.run([[
      local core = require "akool.lipsync.core"
      local lipsync = require "akool.lipsync"
      local uv = require "luv"
      local server, requests = uv.new_tcp(), 0
      local STATUSES = { "HTTP/1.1 200 OK\r\n", -- and whatever else libcurl takes for one
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", "http/1.1 200 OK\r\n",
        " HTTP/1.1 200 OK\r\n", "HTTP 200 OK\r\n",
        "HTTP/1.1 200 " .. ("O"):rep(20000) .. "K\r\n", -- which libcurl shows in pieces
        "HTTP/1.1 200 " .. (" "):rep(20000) .. "K\r\n" }
      server:bind("127.0.0.1", 0)
      server:listen(8, function()
        local peer = uv.new_tcp()
        server:accept(peer)
        peer:read_start(function(_, bytes)
          if not bytes then return end
          requests = requests + 1
          local fold = (requests % 4 == 0 and " " or "\t") .. "folded: 1\r\n"
          local status = STATUSES[math.ceil(requests / 2) % #STATUSES + 1]
          peer:write(requests % 2 == 0 and status .. fold .. "Content-Length: 2\r\n\r\n{}"
            or "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        end)
      end)
      local client = lipsync.new { api_key = "a-key", max_retries = 0,
        base_url = ("http://127.0.0.1:%d"):format(server:getsockname().port) }
      local task = lipsync.spawn(function()
        for _ = 1, 28 do
          local _, err = client:credits()
          io.write(err.kind, " ")
        end
      end)
      while lipsync.step(0) > 0 do uv.run "nowait" end
      task:join()
      core.engine():close()
      io.write "survived"
    ]])
    assert.equal(("protocol network "):rep(14) .. "survived", said)
  end)

  it("has an HTTP status of three digits, or none", function()
    for _, status in ipairs { "HTTP/2 -7 x", "HTTP/2 114296 x", "HTTP/2 0 x", "HTTP/1.1 -12 x" } do
      local server = wire.start { head = status .. "\r\nContent-Length: 2\r\n\r\n{}" }
      local seen
      local client = assert(lipsync.new { api_key = "a-key", base_url = server.url, max_retries = 0,
        on_event = function(event) if event.type == "answer" then seen = event end end })
      local value, err = client:credits()
      assert.is_nil(value)
      assert.equal("network", err.kind, status)
      assert.is_nil(err.http_status)
      assert.is_nil(seen.http_status)
      server:stop()
    end
  end)
end)
