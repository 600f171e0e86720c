--- The mock service, seen from a raw socket: what it answers, and that each fault is on the wire
--- what its name says.

local child = require "support.child"
local cjson = require "cjson"
local uv = require "luv"
local mock = require "akool.lipsync.mock"

local CREATE = "/api/open/v3/content/video/lipsync"
local INFO = "/api/open/v3/content/video/infobymodelid"
local TOKEN = "/api/open/v3/getToken"
local CREDITS = "/api/open/v3/faceswap/quota/info"
local KEY = { ["x-api-key"] = "mock-api-key" }
local JOB = { video_url = "https://example.com/v.mp4", audio_url = "https://example.com/a.wav" }

-- A raw client ----------------------------------------------------------------------------

local PATIENCE = 10 -- seconds; only a broken mock makes us wait for so long

local function turn_until(done)
  local deadline, tick = uv.hrtime() + PATIENCE * 1e9, uv.new_timer()
  tick:start(0, 5, function() end)
  while not done() and uv.hrtime() < deadline do uv.run("once") end
  tick:close()
  assert(done(), "the mock service did not do it in time")
end

local peer = {}
peer.__index = peer

local function connect(port)
  local self = setmetatable({ socket = uv.new_tcp(), got = "", pieces = 0 }, peer)
  local state
  self.socket:connect("127.0.0.1", port, function(err) state = err or "open" end)
  turn_until(function() return state end)
  if state ~= "open" then
    self:close()
    return nil, state
  end
  self.socket:read_start(function(err, bytes)
    if bytes then
      self.got, self.pieces = self.got .. bytes, self.pieces + 1
    else
      -- libuv calls it an end too when an RST follows data; the socket itself still knows.
      local _, _, name = uv.fs_read(self.socket:fileno(), 1, -1)
      self.ended = err or name or "FIN"
    end
  end)
  return self
end

function peer:send(bytes) self.socket:write(bytes) end

function peer:close()
  if not self.socket:is_closing() then self.socket:close() end
  uv.run("nowait")
end

function peer:ending()
  turn_until(function() return self.ended end)
  self:close()
  return self.ended
end

local function compose(method, target, headers, body)
  local lines = { ("%s %s HTTP/1.1"):format(method, target), "Host: localhost" }
  for name, value in pairs(headers or {}) do lines[#lines + 1] = name .. ": " .. value end
  if body then lines[#lines + 1] = "Content-Length: " .. #body end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

-- Takes one answer off what was received.
function peer:answer(bodiless)
  local head, size
  turn_until(function()
    head = self.got:match("^(.-\r\n)\r\n")
    size = head and tonumber(head:match("Content%-Length: (%d+)") or 0) or 0
    return self.ended or head and #self.got >= #head + 2 + (bodiless and 0 or size)
  end)
  assert(head, "no answer, but " .. tostring(self.ended))
  local answer = { status = tonumber(head:match("^HTTP/1.1 (%d+)")), headers = {}, head = head }
  for name, value in head:gmatch("([%w-]+): (.-)\r\n") do answer.headers[name:lower()] = value end
  answer.body = self.got:sub(#head + 3, bodiless and #head + 2 or #head + 2 + size)
  self.got = self.got:sub(#head + 3 + #answer.body)
  local ok, json = pcall(cjson.decode, answer.body)
  answer.json = ok and json or nil
  return answer
end

describe("the mock service", function()
  local service

  setup(function()
    service = assert(mock.start { manual_clock = true, files = "examples/media" })
  end)
  teardown(function() assert(service:stop()) end)
  before_each(function() service:reset() end)

  local function open() return assert(connect(service.port)) end

  local function ask(method, target, headers, body)
    local client = open()
    client:send(compose(method, target, headers, body))
    local answer = client:answer(method == "HEAD")
    client:close()
    return answer
  end

  local function post(target, headers, document)
    local all = { ["content-type"] = "application/json" }
    for name, value in pairs(headers) do all[name] = value end
    local body = type(document) == "string" and document or cjson.encode(document)
    return ask("POST", target, all, body)
  end

  local function create(fields) return post(CREATE, KEY, fields or JOB).json.data end
  local function info(id) return ask("GET", INFO .. "?video_model_id=" .. id, KEY) end
  local function info_request() return compose("GET", INFO .. "?video_model_id=x", KEY) end
  local function create_request()
    return compose("POST", CREATE, {
      ["x-api-key"] = "mock-api-key", ["content-type"] = "application/json",
    }, cjson.encode(JOB))
  end
  local function film(id) return (info(id).json.data.video:gsub("^http://[^/]+", "")) end

  describe("authentication", function()
    local function code(headers) return ask("GET", CREDITS, headers).json.code end
    local function token()
      return post(TOKEN, {}, {
        clientId = "mock-client-id", clientSecret = "mock-client-secret-with-32-bytes",
      }).json.token
    end

    it("takes an API key or a token that it issued", function()
      assert.equal(1000, code(KEY))
      assert.equal(1000, code { Authorization = "Bearer " .. token() })
    end)

    it("says 1101 for wrong ones and 1102 for none, with HTTP 200", function()
      assert.equal(1101, code { ["x-api-key"] = "wrong" })
      assert.equal(1101, code { Authorization = "Bearer wrong" })
      assert.equal(1102, code {})
      assert.equal(200, ask("GET", CREDITS, {}).status)
    end)

    it("prefers Authorization and ignores the key beside it", function()
      assert.equal(1101, code { Authorization = "Bearer no", ["x-api-key"] = "mock-api-key" })
      assert.equal(1000, code { Authorization = "Bearer " .. token(), ["x-api-key"] = "no" })
    end)

    it("forgets tokens that were revoked or are too old", function()
      local old = token()
      service:expire_tokens()
      assert.equal(1101, code { Authorization = "Bearer " .. old })
      old = token()
      service:advance(401 * 24 * 3600)
      assert.equal(1101, code { Authorization = "Bearer " .. old })
    end)

    it("checks the pair that a token is asked with", function()
      local wrong = { clientId = "mock-client-id", clientSecret = "wrong" }
      assert.equal(1101, post(TOKEN, {}, wrong).json.code)
      assert.equal(1003, post(TOKEN, {}, { clientId = "mock-client-id" }).json.code)
    end)
  end)

  describe("validation", function()
    it("refuses a create that is not as documented, and makes no job of it", function()
      local v, a = JOB.video_url, JOB.audio_url
      for _, body in ipairs {
        "", "{", "[]x", "1", '{"video_url":NaN}', { audio_url = a }, { video_url = v },
        { video_url = "", audio_url = a }, { video_url = 5, audio_url = a },
        { video_url = v, audio_url = cjson.null }, { video_url = "ftp://x/v", audio_url = a },
        { video_url = v, audio_url = "/tmp/a.wav" },
        { video_url = v, audio_url = a, webhookUrl = "nowhere" },
      } do
        assert.equal(1003, post(CREATE, KEY, body).json.code)
      end
      assert.same({}, service:jobs())
    end)

    it("wants the content type of JSON", function()
      local headers = { ["x-api-key"] = "mock-api-key", ["content-type"] = "text/plain" }
      local answer = post(CREATE, headers, JOB)
      assert.equal(415, answer.status)
      assert.equal(1003, answer.json.code)
    end)

    it("knows unknown ids, paths and methods", function()
      assert.equal(1008, info("66160f989dfc997ac289037b").json.code)
      assert.equal(1003, info("").json.code)
      assert.equal(1003, ask("GET", INFO, KEY).json.code)
      assert.equal(404, ask("GET", "/api/open/v3/nothing", KEY).status)
      assert.equal(405, ask("GET", CREATE, KEY).status)
      assert.equal("POST", ask("GET", CREATE, KEY).headers.allow)
    end)

    it("answers bytes that are not HTTP with 400", function()
      local client = open()
      client:send("hello\r\n\r\n")
      assert.equal(400, client:answer().status)
      assert.equal("FIN", client:ending())
    end)
  end)

  describe("a job", function()
    it("is made with every documented field", function()
      local answer = post(CREATE, KEY, JOB)
      local data = answer.json.data
      assert.equal(1000, answer.json.code)
      assert.equal(1, data.video_status)
      assert.equal("", data.video)
      assert.equal(JOB.video_url, data.target_video)
      assert.equal(JOB.audio_url, data.input_audio)
      assert.matches("^%x+$", data._id)
      assert.equal(24, #data._id)
      assert.matches("^%x+%-%x+%-4%x+%-a%x+%-%x+$", data.video_id)
      assert.matches('"create_time":%d%d%d%d%d%d%d%d%d%d%d%d%d,', answer.body)
      for _, name in ipairs { "uid", "type", "from", "faceswap_quality", "video_lock_duration",
        "deduction_lock_duration", "external_video", "storage_loc", "webhookUrl", "task_id",
        "lipsync", "__v" } do
        assert.is_not_nil(data[name], name)
      end
      assert.not_equal(data._id, create()._id)
    end)

    it("goes from 1 to 2 to 3 as the clock moves, and then has a link", function()
      local id = create()._id
      local function state() return info(id).json.data.video_status end
      assert.equal(1, state())
      service:advance(0.5)
      assert.equal(2, state())
      service:advance(1.4)
      assert.equal(2, state())
      assert.equal("", info(id).json.data.video)
      service:advance(0.1)
      assert.equal(3, state())
      assert.equal(1, (info(id).json.data.video:find(service.url .. "/results/" .. id, 1, true)))
    end)

    it("gives the same bytes for the same state", function()
      local id = create()._id
      assert.equal(info(id).body, info(id).body)
    end)

    it("can be overwritten", function()
      local id = create()._id
      service:set(id, { video_status = 4, error_msg = "no face" })
      assert.equal(4, info(id).json.data.video_status)
      assert.equal("no face", info(id).json.data.error_msg)
      service:set(id, { video_status = 3, video = "" })
      assert.equal("", info(id).json.data.video)
      assert.equal(3, service:jobs()[1].video_status)
      assert.has_error(function() service:set("unknown", { video_status = 3 }) end)
    end)

    it("costs credits until there are none", function()
      assert.equal(1000, ask("GET", CREDITS, KEY).json.data.credit)
      for _ = 1, 50 do create() end
      assert.equal(0, ask("GET", CREDITS, KEY).json.data.credit)
      assert.equal(1104, post(CREATE, KEY, JOB).json.code)
      assert.equal(50, #service:jobs())
    end)
  end)

  describe("files", function()
    local whole, path

    local function create_from(url)
      return create({ video_url = url .. "/files/clip.mp4", audio_url = JOB.audio_url })._id
    end

    before_each(function()
      local file = assert(io.open("examples/media/clip.mp4", "rb"))
      whole = file:read("*a")
      file:close()
      local id = create_from(service.url)
      service:advance(2)
      path = film(id)
    end)

    local function range(text, more)
      local headers = { Range = text }
      for name, value in pairs(more or {}) do headers[name] = value end
      return ask("GET", path, headers)
    end

    it("are the input, whole, with what a resumed download needs", function()
      local answer = ask("GET", path)
      assert.equal(200, answer.status)
      assert.is_true(answer.body == whole)
      assert.equal("video/mp4", answer.headers["content-type"])
      assert.equal("bytes", answer.headers["accept-ranges"])
      assert.matches('^"[^"]+"$', answer.headers.etag)
      assert.matches("GMT$", answer.headers["last-modified"])
      assert.equal(answer.headers.etag, ask("HEAD", path).headers.etag)
      assert.equal(tostring(#whole), ask("HEAD", path).headers["content-length"])
    end)

    it("come in ranges", function()
      local size = #whole
      for text, bounds in pairs {
        ["bytes=0-0"] = { 0, 0 }, ["bytes=5-"] = { 5, size - 1 },
        ["bytes=-7"] = { size - 7, size - 1 }, ["bytes=3-999999999"] = { 3, size - 1 },
      } do
        local answer = range(text)
        assert.equal(206, answer.status)
        assert.equal(("bytes %d-%d/%d"):format(bounds[1], bounds[2], size),
          answer.headers["content-range"])
        assert.is_true(answer.body == whole:sub(bounds[1] + 1, bounds[2] + 1))
      end
      assert.equal(416, range("bytes=" .. size .. "-").status)
      assert.equal("bytes */" .. size, range("bytes=" .. size .. "-").headers["content-range"])
      assert.equal(200, range("bytes=5-2").status)
    end)

    it("are whole again if they are not the ones that If-Range means", function()
      local etag = ask("HEAD", path).headers.etag
      assert.equal(206, range("bytes=5-", { ["If-Range"] = etag }).status)
      assert.equal(200, range("bytes=5-", { ["If-Range"] = '"other"' }).status)
    end)

    it("need the signature of their link, and last seven days", function()
      assert.equal(403, ask("GET", (path:gsub("%?.*", ""))).status)
      service:advance(7 * 24 * 3600 - 1)
      assert.equal(200, ask("GET", path).status)
      service:advance(2)
      local answer = ask("GET", path)
      assert.equal(403, answer.status)
      assert.matches("<Code>AccessDenied</Code>", answer.body)
    end)

    it("are fetched from elsewhere, or else the built-in clip", function()
      local there = mock.start { files = "examples/media" }
      local id = create_from(there.url)
      service:advance(2)
      assert.is_true(ask("GET", film(id)).body == whole)
      there:stop()
      assert.is_true(ask("GET", film(id)).body == whole)
      id = create()._id
      service:advance(2)
      assert.is_true(ask("GET", film(id)).body == require "akool.lipsync.mock.clip")
    end)

    it("are as long as was asked for, and the same in parts", function()
      local id = service:jobs()[1]._id
      service:set(id, { bytes = 300001 })
      local long = ask("GET", path).body
      assert.equal(300001, #long)
      assert.is_true(long:sub(65001, 140000) == range("bytes=65000-139999").body)
      assert.is_true(long:sub(1, 65536) ~= long:sub(65537, 131072))
    end)

    it("stay in their folder", function()
      assert.is_true(ask("GET", "/files/clip.mp4").body == whole)
      assert.equal(404, ask("GET", "/files/..%2Fmedia%2Fclip.mp4").status)
      assert.equal(404, ask("GET", "/files/nothing.mp4").status)
    end)

    it("misbehave as ordered", function()
      service:fail { at = "file", expired = true }
      assert.equal(403, ask("GET", path).status)
      service:fail { at = "file", etag = '"new"' }
      assert.equal('"new"', ask("GET", path).headers.etag)
      service:fail { at = "file", etag = false }
      assert.is_nil(ask("GET", path).headers.etag)
      service:fail { at = "file", norange = true }
      assert.equal(200, range("bytes=5-").status)
      service:fail { at = "file", wrong_range = true }
      assert.equal(("bytes 0-%d/%d"):format(#whole - 1, #whole),
        range("bytes=5-").headers["content-range"])
    end)
  end)

  describe("a fault", function()
    -- Sends one request into the fault; returns the client, all it got and how that ended.
    local function broken(order, request)
      service:fail(order)
      local client = open()
      client:send(request or create_request())
      return client:ending(), client.got
    end

    local function faulty(order)
      service:fail(order)
      return post(CREATE, KEY, JOB)
    end

    -- The service answers in order: whoever has nothing after this has been left waiting.
    local function is_left_waiting(client, got)
      info("x")
      turn_until(function() return #client.got >= got end)
      info("x")
      assert.equal(got, #client.got)
      assert.is_nil(client.ended)
    end

    it("is refused with a reason if it makes no sense", function()
      for order, reason in pairs {
        [{ foo = 1 }] = 'no "foo"', [{ at = "info" }] = "what goes wrong",
        [{ at = "nowhere", code = 1 }] = '"at"', [{ code = "1005" }] = '"code"',
        [{ cut = -1 }] = '"cut"', [{ reset = "never" }] = '"reset"',
        [{ times = 1.5, cut = 1 }] = '"times"', [{ drip = { bites = 1 } }] = '"drip"',
        [{ headers = { "x" } }] = '"headers"',
      } do
        local ok, err = pcall(function()
          local id = service:fail(order)
          return id
        end)
        assert.is_false(ok)
        assert.matches("^[^:]*mock_spec.lua:%d+: ", err)
        assert.is_truthy(err:find(reason, 1, true), err)
      end
    end)

    it("takes the requests that it is for, in the order of the orders", function()
      service:fail { at = "info", code = 1005, skip = 1, times = 2 }
      service:fail { at = "info", code = 1201 }
      local codes = {}
      for i = 1, 5 do codes[i] = info("x").json.code end
      assert.same({ 1201, 1005, 1005, 1008, 1008 }, codes)
      service:fail { at = "info", code = 1005, times = "always" }
      assert.equal(1000, ask("GET", CREDITS, KEY).json.code)
      for _ = 1, 3 do assert.equal(1005, info("x").json.code) end
      service:clear()
      assert.equal(1008, info("x").json.code)
    end)

    it("answers a code, as a number or a string, and carries nothing out", function()
      local answer = faulty { at = "create", code = 1005, msg = "slow down" }
      assert.equal(200, answer.status)
      assert.same({ code = 1005, msg = "slow down" }, answer.json)
      assert.equal("1005", faulty({ code = 1005, code_as_string = true }).json.code)
      assert.equal(2, service:count("create"))
      assert.same({}, service:jobs())
    end)

    it("answers as a gateway does", function()
      local answer = faulty { status = 503, retry_after = 2, headers = { ["X-Gate"] = "g" } }
      assert.equal(503, answer.status)
      assert.equal("2", answer.headers["retry-after"])
      assert.equal("g", answer.headers["x-gate"])
      assert.equal("text/html", answer.headers["content-type"])
      assert.matches("<html>", answer.body)
      assert.matches("^%a%a%a, %d%d .* GMT$",
        faulty({ status = 429, retry_after_date = 2 }).headers["retry-after"])
      answer = faulty { status = 502, body = "oops", content_type = "text/plain" }
      assert.equal("oops", answer.body)
      assert.equal("text/plain", answer.headers["content-type"])
      assert.same({}, service:jobs())
      faulty { status = 504, carry_out = true }
      assert.equal(1, #service:jobs())
    end)

    it("redirects", function()
      local answer = faulty { redirect = "http://127.0.0.1:9/x", status = 307 }
      assert.equal(307, answer.status)
      assert.equal("http://127.0.0.1:9/x", answer.headers.location)
      assert.equal(302, faulty({ redirect = "/y" }).status)
      assert.same({}, service:jobs())
    end)

    it("breaks the connection before, during or after the work, by RST or FIN", function()
      for key, ending in pairs { reset = "ECONNRESET", close = "FIN" } do
        for moment, jobs in pairs { before = 0, during = 0, after = 1 } do
          service:reset()
          local how, got = broken { at = "create", [key] = moment }
          assert.equal(ending, how)
          assert.equal("", got)
          assert.equal(jobs, #service:jobs())
          assert.equal(jobs, service:count("create"))
          assert.equal(moment == "after", service:requests("create")[1].complete)
        end
      end
    end)

    it("breaks before the headers, or before the body", function()
      for moment, sent in pairs {
        before = "POST " .. CREATE .. " HTTP/1.1\r\n",
        during = "POST " .. CREATE .. " HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
      } do
        assert.equal("ECONNRESET", (broken({ reset = moment }, sent)))
      end
    end)

    it("cuts the answer after the bytes that were ordered", function()
      local client = open()
      client:send(info_request())
      turn_until(function() return client.got:find("}", 1, true) end)
      local size = #client.got
      client:close()
      for _, k in ipairs { 0, 1, 20, size - 1, size } do
        for with, ending in pairs { fin = "FIN", rst = "ECONNRESET" } do
          local how, got = broken({ at = "info", cut = k, with = with }, info_request())
          assert.equal(ending, how)
          assert.equal(k, #got)
        end
      end
      broken { at = "create", cut = 0 }
      assert.equal(1, #service:jobs())
    end)

    it("stalls with or without having done the work, or in the midst of the answer", function()
      for _, case in ipairs {
        { order = { stall = "before" }, got = 0, jobs = 0, count = 0 },
        { order = { stall = "after" }, got = 0, jobs = 1, count = 1 },
        { order = { stall_at = 30 }, got = 30, jobs = 1, count = 1 },
      } do
        service:reset()
        service:fail(case.order)
        local client = open()
        client:send(create_request())
        turn_until(function() return #service:requests("create") == 1 end)
        is_left_waiting(client, case.got)
        assert.equal(case.jobs, #service:jobs())
        assert.equal(case.count, service:count("create"))
        turn_until(function() return service:connections() == 1 end)
        client:close()
        turn_until(function() return service:connections() == 0 end)
      end
    end)

    it("slows the answer down", function()
      service:fail { drip = { bytes = 50, every = 0.002 } }
      local client, began = open(), uv.hrtime()
      client:send(create_request())
      local answer = client:answer()
      assert.equal(1000, answer.json.code)
      local pieces = math.floor((#answer.head + 2 + #answer.body) / 50)
      assert.is_true(client.pieces > 2)
      assert.is_true(uv.hrtime() - began > pieces * 1e6)
      client:close()
      service:fail { delay = 0.05 }
      began = uv.hrtime()
      create()
      assert.is_true(uv.hrtime() - began > 45e6)
    end)

    it("answers something else than is documented", function()
      assert.equal(50000, #faulty({ oversize = 50000 }).body)
      local deep = ("["):rep(5000) .. ("]"):rep(5000)
      assert.is_truthy(faulty({ depth = 5000 }).body:find(deep, 1, true))
      assert.equal("{\0\255", faulty({ raw = "{\0\255" }).body)
      assert.equal("0", faulty({ raw = "" }).headers["content-length"])
      assert.same({ a = 1 }, faulty({ json = { a = 1 } }).json)
      local data = faulty({ data = { _id = 5, video = cjson.null } }).json.data
      assert.equal(5, data._id)
      assert.equal(cjson.null, data.video)
      assert.is_nil(faulty({ drop = { "video_status" } }).json.data.video_status)
      assert.is_nil(faulty({ top_drop = { "data" } }).json.data)
      assert.equal("1000", faulty({ code_as_string = true }).json.code)
      assert.equal(9, #service:jobs())
    end)

    it("frames the answer in another way", function()
      local client = open()
      service:fail { framing = "chunked" }
      client:send(info_request())
      turn_until(function() return client.got:find("\r\n0\r\n\r\n", 1, true) end)
      local head, first, second = client.got:match(
        "^(.-)\r\n\r\n%x+\r\n(.-)\r\n%x+\r\n(.-)\r\n0\r\n")
      assert.is_nil(head:find("Content-Length", 1, true))
      assert.equal(1008, cjson.decode(first .. second).code)
      client.got = ""
      service:fail { header_flood = 5000 }
      client:send(info_request())
      local flood = client:answer().head:match("x%-flood.*")
      assert.equal(5000, #flood)
      client:close()
      local how, got = broken({ framing = "none" }, info_request())
      assert.equal("FIN", how)
      assert.is_nil(got:find("Content-Length", 1, true))
      assert.equal(1008, cjson.decode(got:match("\r\n\r\n(.*)")).code)
    end)

    it("announces more than it sends", function()
      service:fail { length = 10 }
      local client = open()
      client:send(info_request())
      local head, body
      turn_until(function()
        head, body = client.got:match("^(.-)\r\n\r\n(.*})$")
        return head
      end)
      assert.equal(#body + 10, tonumber(head:match("Content%-Length: (%d+)")))
      is_left_waiting(client, #client.got)
      client:close()
    end)

    it("leaves a kept connection that dies of the next request", function()
      service:fail { at = "info", stale = true }
      local client = open()
      client:send(info_request())
      assert.equal(1008, client:answer().json.code)
      client:send(create_request())
      assert.equal("FIN", client:ending())
      assert.equal("", client.got)
      assert.equal(1, service:count("create"))
      assert.same({}, service:jobs())
    end)
  end)

  describe("the record", function()
    it("has the exact bytes and the connection of each request", function()
      local body = '{"video_url":"\255\0","x":"' .. ("é\n"):rep(2000) .. '"}'
      local sent = compose("POST", CREATE .. "?a=b%20c", KEY, body)
      local client = open()
      client:send(sent:sub(1, 80))
      turn_until(function() return #service:requests() == 1 end)
      assert.is_false(service:requests()[1].complete)
      assert.equal(0, service:count("create"))
      client:send(sent:sub(81))
      client:answer()
      client:send(info_request())
      client:answer()
      client:close()
      info("x")
      local list = service:requests()
      assert.is_true(list[1].raw == sent)
      assert.is_true(list[1].body == body)
      assert.same({ a = "b c" }, list[1].query)
      assert.equal("mock-api-key", list[1].headers["x-api-key"])
      assert.is_true(list[1].complete)
      assert.equal(list[1].connection, list[2].connection)
      assert.not_equal(list[1].connection, list[3].connection)
      assert.equal(2, #service:requests("info"))
      assert.equal(2, service:count("info"))
      assert.equal("3", tostring(service:count())) -- an integer on every Lua
    end)

    it("keeps the beginning of what is very long", function()
      local sent = compose("POST", CREATE, KEY, ("x"):rep(1024 * 1024))
      local client = open()
      client:send(sent)
      client:answer()
      client:close()
      local request = service:requests()[1]
      assert.is_true(request.truncated)
      assert.is_true(request.raw == sent:sub(1, 65536))
    end)
  end)

  describe("its connections", function()
    it("are kept, or closed when the client says so", function()
      local client = open()
      for _ = 1, 3 do
        client:send(info_request())
        assert.equal(1008, client:answer().json.code)
      end
      turn_until(function() return service:connections() == 1 end)
      client:send(compose("GET", CREDITS, { Connection = "close" }))
      assert.equal("close", client:answer().headers.connection)
      assert.equal("FIN", client:ending())
    end)

    it("are refused while it is down", function()
      local client = open()
      client:send(info_request())
      client:answer()
      service:down()
      client:ending()
      local _, err = connect(service.port)
      assert.equal("ECONNREFUSED", err)
      service:up()
      assert.equal(1008, info("x").json.code)
    end)
  end)

  it("can be controlled over HTTP", function()
    local function tell(verb, args) return ask("POST", "/_mock/" .. verb, {}, args or "") end
    assert.equal("[]", ask("GET", "/_mock/jobs").body)
    local id = create()._id
    assert.equal(200, tell("advance", '{"seconds":1}').status)
    assert.equal(2, ask("GET", "/_mock/jobs").json[1].video_status)
    tell("set", cjson.encode { id = id, fields = { video_status = 4 } })
    assert.equal(4, info(id).json.data.video_status)
    tell("fail", '{"at":"info","code":1005}')
    assert.equal(1005, info(id).json.code)
    assert.equal(2, #ask("GET", "/_mock/requests?at=info").json)
    assert.equal("2", ask("GET", "/_mock/count?at=info").body)
    assert.equal(400, tell("fail", '{"foo":1}').status)
    assert.matches("foo", tell("fail", '{"foo":1}').json.error)
    assert.equal(400, tell("nonsense").status)
    assert.equal(400, ask("GET", "/_mock/reset").status)
    tell("reset")
    assert.same({}, service:requests())
  end)

  describe("its process", function()
    it("ends with stop, which may come twice", function()
      local other = assert(mock.start {})
      local port = other.port
      assert.is_true(other:stop())
      assert.is_nil(uv.kill(other.pid, 0))
      assert.equal("ECONNREFUSED", select(2, connect(port)))
      assert.is_true(other:stop())
      assert.is_nil(other:count())
    end)

    it("lets its handle say so when it has died", function()
      local other = assert(mock.start {})
      uv.kill(other.pid, "sigkill")
      local _, err = other:fail { raw = ("x"):rep(200000) }
      assert.matches("ended", err)
      assert.is_true(other:stop())
    end)

    it("ends when the one who started it dies", function()
      local code = ("package.path, package.cpath = %q, %q "):format(package.path, package.cpath)
        .. "local s = require('akool.lipsync.mock').start() "
        .. "io.write(s.port, ' ', s.pid) io.flush() "
        .. "local uv = require 'luv' uv.kill(uv.os_getpid(), 'sigkill')"
      local output, said, died = uv.new_pipe(false), "", false
      local parent = uv.spawn(uv.exepath(), { args = { "-e", code }, stdio = { nil, output, 2 } },
        function() died = true end)
      output:read_start(function(_, bytes) said = said .. (bytes or "") end)
      turn_until(function() return died and said:find("^%d+ %d+$") end)
      local port = tonumber(said:match("^%d+"))
      turn_until(function()
        local client, err = connect(port)
        if client then client:close() end
        return err == "ECONNREFUSED"
      end)
      output:close()
      parent:close()
    end)

    it("does not start with options that do not exist, or on a port that is taken", function()
      assert.has_error(function() mock.start { colour = "red" } end)
      assert.has_error(function() mock.start { queue = -1 } end)
      assert.has_error(function() mock.start { process = 0 / 0 } end)
      assert.is_nil((mock.start { port = 70000 }))
      local none, err = mock.start { port = service.port }
      assert.is_nil(none)
      assert.matches("EADDRINUSE", err)
    end)

    it("says what is wrong with the words that it was started with", function()
      for words, complaint in pairs {
        ["--colour red"] = "there is no option --colour",
        ["--port"] = "--port needs a value",
        ["--port 80x"] = '--port needs a number from 0 on, not "80x"',
        ["--queue -1"] = '--queue needs a number from 0 on, not "-1"',
        ["--credits nan"] = '--credits needs a number from 0 on, not "nan"',
        ["--files /does/not/exist"] = "/does/not/exist is not a folder",
      } do
        local arguments = {}
        for word in words:gmatch "%S+" do arguments[#arguments + 1] = word end
        local said, status = child.run('os.exit(require("akool.lipsync.mock").main(arg))',
          { arguments = arguments })
        assert.equal(2, status)
        assert.equal("akool-lipsync-mock: " .. complaint, said:match "^[^\n]*")
      end
    end)
  end)
end)
