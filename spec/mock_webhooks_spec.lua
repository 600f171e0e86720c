-- The webhooks of the mock service, as whoever it calls gets them: opened by the openssl program, not
-- by the library. A second mock service is the one that is called: it keeps what it receives.

local cjson = require "cjson"
local mock = require "akool.lipsync.mock"
local uv = require "luv"

local CREATE = "/api/open/v3/content/video/lipsync"
local PATIENCE = 10 -- seconds

--- What a command of the shell says when it is given a text.
local function filter(command, text)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  local pipe = assert(io.popen(command .. " <" .. path))
  local said = pipe:read "*a"
  pipe:close()
  os.remove(path)
  return said
end

local function hex(text)
  return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

--- The four fields of a delivery as they are written, its signature as it should be, and its text.
local function open(body, service)
  local signature, sealed, timestamp, nonce = body:match(
    '^{"signature":"(%x+)","dataEncrypt":"([%w+/=]+)","timestamp":(%d+),"nonce":"?(%d+)"?}$')
  local parts = { service.client_id, timestamp, nonce, sealed }
  table.sort(parts)
  local right = filter("openssl dgst -sha1 -r", table.concat(parts)):match "^%x+"
  local iv = (service.client_id .. ("\0"):rep(16)):sub(1, 16)
  local text = filter(("openssl enc -d -aes-%d-cbc -base64 -A -K %s -iv %s 2>/dev/null"):format(
    #service.client_secret * 8, hex(service.client_secret), hex(iv)), sealed)
  local fine, data = pcall(cjson.decode, text)
  return { signed = signature == right, data = fine and data or nil, nonce = nonce,
    timestamp = tonumber(timestamp), nonce_is_number = body:find '"nonce":%d' ~= nil }
end

describe("the webhooks of the mock service", function()
  local service, sink

  local function start(options)
    options.manual_clock = true
    service = assert(mock.start(options))
  end

  before_each(function()
    sink = assert(mock.start())
    sink:fail { at = "other", status = 200, times = "always" }
    start {}
  end)
  after_each(function()
    service:stop()
    sink:stop()
  end)

  local function until_true(condition)
    local deadline = uv.hrtime() + PATIENCE * 1e9
    while not condition() do
      assert(uv.hrtime() < deadline, "what was waited for did not come")
      uv.sleep(5)
    end
  end

  --- What was received, once there are so many.
  local function received(count)
    local list
    until_true(function()
      list = sink:requests "other"
      return #list >= count
    end)
    return list
  end

  --- Wait until the service knows how its n-th delivery went.
  local function settled(n, answers)
    until_true(function()
      local one = service:deliveries()[n]
      return one and #one.answers >= answers and one
    end)
    return service:deliveries()[n]
  end

  --- Make a job, by a request from this process.
  local function create(url)
    local body = cjson.encode { video_url = "https://example.com/v.mp4",
      audio_url = "https://example.com/a.wav", webhookUrl = url or sink.url .. "/hook?a=1" }
    local socket, answer = uv.new_tcp(), ""
    socket:connect("127.0.0.1", service.port, function()
      socket:write(("POST %s HTTP/1.1\r\nx-api-key: %s\r\nContent-Type: application/json\r\n"
        .. "Connection: close\r\nContent-Length: %d\r\n\r\n%s"):format(CREATE, service.api_key,
        #body, body))
      socket:read_start(function(_, bytes)
        if bytes then answer = answer .. bytes else socket:close() end
      end)
    end)
    uv.run()
    return answer:match '"_id":"(%x+)"'
  end

  it("tell of each change of a job, signed and sealed as the service does", function()
    local id = create()
    service:advance(1)
    received(1)
    service:advance(10)
    local list = received(2)
    for i, status in ipairs { 2, 3 } do
      local request = list[i]
      assert.same({ "POST", "/hook?a=1", "application/json" },
        { request.method, request.target, request.headers["content-type"] })
      local one = open(request.body, service)
      assert.is_true(one.signed)
      assert.is_false(one.nonce_is_number)
      assert.is_true(math.abs(one.timestamp / 1000 - os.time()) < 60)
      assert.same({ _id = id, status = status, type = "lipsync",
        url = status == 3 and service:jobs()[1].video or "" }, one.data)
    end
  end)

  it("tell of a failure, and of no job that has no webhookUrl", function()
    local id = create()
    create ""
    create "https://example.com/hook" -- no TLS is spoken here
    service:set(id, { video_status = 4 })
    service:advance(60)
    assert.same({ _id = id, status = 4, type = "lipsync", url = "" },
      open(received(1)[1].body, service).data)
    assert.equal(1, #service:deliveries())
  end)

  it("come by themselves when the clock does", function()
    service:stop()
    service = assert(mock.start { queue = 0.05, process = 0.05 })
    create()
    settled(2, 1)
    assert.same({ "processing", "completed" },
      { service:deliveries()[1].status, service:deliveries()[2].status })
  end)

  it("are sealed with a secret of 16, 24 or 32 bytes, and with no other", function()
    for _, size in ipairs { 16, 24, 32 } do
      service:stop()
      start { client_secret = ("secret+/"):rep(4):sub(1, size), client_id = "id" .. size }
      sink:reset()
      sink:fail { at = "other", status = 200, times = "always" }
      local id = create()
      service:advance(60)
      assert.equal(id, open(received(1)[1].body, service).data._id)
    end
    service:stop()
    start { client_secret = "short" }
    create()
    service:advance(60)
    assert.equal("unsealed", service:deliveries()[1].state)
  end)

  it("come again, the same, until they are answered with 200", function()
    sink:clear()
    sink:fail { at = "other", status = 500 }
    sink:fail { at = "other", status = 204 }
    sink:fail { at = "other", reset = "after" }
    sink:fail { at = "other", status = 200, times = "always" }
    create()
    service:advance(60)
    local one = settled(1, 4)
    assert.same({ "delivered", { 500, 204, 0, 200 } }, { one.state, one.answers })
    local list = sink:requests "other"
    for i = 2, 4 do assert.equal(list[1].body, list[i].body) end
  end)

  it("are spoilt as ordered", function()
    local facts = {
      wrong_signature = { signed = false, opened = true },
      tampered = { signed = false, opened = false },
      forged = { signed = true, opened = false },
      stale = { signed = true, opened = true, stale = true },
      number_nonce = { signed = true, opened = true, nonce_is_number = true },
    }
    for how, expected in pairs(facts) do
      service:reset()
      sink:reset()
      sink:fail { at = "other", status = 200, times = "always" }
      service:fail { at = "webhook", delivery = how }
      create()
      service:advance(60)
      local one = open(received(1)[1].body, service)
      local stale = os.time() - one.timestamp / 1000 > 3000
      assert.same({ how, expected.signed, expected.opened, expected.stale or false,
        expected.nonce_is_number or false },
        { how, one.signed, one.data ~= nil, stale, one.nonce_is_number })
    end
  end)

  it("are replayed, out of order, late, lost, or something else, as ordered", function()
    service:fail { at = "webhook", delivery = "replayed" }
    create()
    service:advance(60)
    assert.same({ 200, 200 }, settled(1, 2).answers)
    assert.equal(received(2)[1].body, received(2)[2].body)

    service:fail { at = "webhook", delivery = "reordered" }
    create()
    service:advance(1)
    assert.equal("held", service:deliveries()[2].state)
    service:advance(60)
    assert.equal("delivered", settled(2, 1).state)
    local list = received(4)
    assert.same({ 3, 2 }, { open(list[3].body, service).data.status,
      open(list[4].body, service).data.status })

    service:fail { at = "webhook", delivery = "lost" }
    service:fail { at = "webhook", raw = "nonsense", delay = 0.05 }
    create()
    create()
    service:advance(60)
    assert.equal("nonsense", received(5)[5].body)
    assert.same({ "lost", {} }, { service:deliveries()[4].state, service:deliveries()[4].answers })
  end)

  it("are not touched by faults that are not for them, nor these by faults of theirs", function()
    service:fail { status = 500, times = "always" }
    service:deliver { id = "any", status = "failed", url = sink.url .. "/hook" }
    assert.equal("any", open(received(1)[1].body, service).data._id)
    for order, reason in pairs {
      [{ at = "webhook", status = 500 }] = '"status"', [{ delivery = "lost" }] = '"delivery"',
      [{ at = "webhook", delivery = "eaten" }] = '"delivery"',
      [{ at = "info", delivery = "lost" }] = '"delivery"',
    } do
      local ok, why = pcall(service.fail, service, order)
      assert.is_false(ok)
      assert.is_truthy(why:find(reason, 1, true), why)
    end
  end)

  it("can be ordered, with any status, and only where they can go", function()
    local id = create()
    assert.equal(1, service:deliver { id = id, status = "completed", video = "https://a.example/" })
    local data = open(received(1)[1].body, service).data
    assert.same({ id, 3, "https://a.example/" }, { data._id, data.status, data.url })
    for _, wrong in ipairs { { id = id }, { id = id, status = "done" }, { status = "failed" },
      { id = "none", status = "failed" },
      { id = id, status = "failed", url = "https://example.com/" } } do
      assert.is_false(pcall(service.deliver, service, wrong))
    end
  end)

  it("are forgotten with all else, and ordered and told over HTTP", function()
    sink:clear()
    sink:fail { at = "other", status = 500, times = "always" }
    create()
    service:advance(60)
    settled(1, 1)
    service:reset()
    assert.same({}, service:deliveries())
    local function ask(text)
      local socket, answer = uv.new_tcp(), ""
      socket:connect("127.0.0.1", service.port, function()
        socket:write(text)
        socket:read_start(function(_, bytes)
          if bytes then answer = answer .. bytes else socket:close() end
        end)
      end)
      uv.run()
      return answer:match "\r\n\r\n(.*)$"
    end
    local get = "GET /_mock/deliveries HTTP/1.1\r\nConnection: close\r\n\r\n"
    assert.equal("[]", ask(get))
    local body = cjson.encode { id = "any", status = "failed", url = sink.url .. "/hook" }
    assert.equal("1", ask(("POST /_mock/deliver HTTP/1.1\r\nConnection: close\r\nContent-Length: "
      .. "%d\r\n\r\n%s"):format(#body, body)))
    local only = cjson.decode(ask(get))[1]
    assert.same({ "any", "failed" }, { only.id, only.status })
  end)
end)
