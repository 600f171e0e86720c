-- webhook.listen: a receiver answers at once, tells the program of every event once, and stands
-- whatever its peers, the program's callbacks and the end of the Lua state do to it.

local child = require "support.child"
local fixture = require "support.fixture"
local lipsync = require "akool.lipsync"
local peer = require "support.peer"
local uv = require "luv"
local webhook = require "akool.lipsync.webhook"

local PAIR = {
  client_id = fixture.secrets.client_id, client_secret = fixture.secrets.client_secret,
}

local function with_pair(given)
  local all = {}
  for name, value in pairs(PAIR) do all[name] = value end
  for name, value in pairs(given or {}) do all[name] = value end
  return all
end

local number = 0

--- The body of a delivery; each is of another moment.
local function sealed(event, given)
  number = number + 1
  local all = { id = "job", status = "completed", video = "https://example.com/film.mp4" }
  for name, value in pairs(event or {}) do all[name] = value end
  if all.status ~= "completed" then all.video = nil end
  return assert(webhook.seal(all, with_pair(given or { nonce = tostring(number) })))
end

describe("a receiver", function()
  local receiver, events, complaints

  after_each(function() if receiver then receiver:close() end end)
  fixture.new() -- for what it looks for after each spec

  setup(function() webhook.listen(with_pair()):close() end) -- luv has all descriptors it keeps

  local function listen(given)
    local all = with_pair { path = "/hook",
      on_event = function(event) events[#events + 1] = event end,
      on_error = function(why) complaints[#complaints + 1] = tostring(why) end }
    for name, value in pairs(given or {}) do all[name] = value end
    receiver = assert(webhook.listen(all))
    return receiver
  end

  before_each(function() receiver, events, complaints, number = nil, {}, {}, 0 end)

  --- The status that it answers some bytes with.
  local function answer(bytes) return peer.ask(receiver.port, bytes).status end

  local function deliver(body) return answer(peer.post("/hook", body)) end

  -- Answers ------------------------------------------------------------------------------------

  it("answers a delivery with 200 and tells of it", function()
    listen()
    assert.equal(200, deliver(sealed { id = "a1" }))
    assert.equal(1, #events)
    assert.same({ "a1", "completed", "https://example.com/film.mp4", "lipsync" },
      { events[1].id, events[1].status, events[1].video, events[1].type })
  end)

  it("answers a repeated one with 200 and does not tell of it again", function()
    listen()
    local body = sealed()
    for _ = 1, 3 do assert.equal(200, deliver(body)) end
    assert.equal(1, #events)
  end)

  it("tells of each step of a job once, and of none after its end", function()
    listen()
    for _, status in ipairs { "processing", "queueing", "processing", "completed", "processing",
      "completed", "failed" } do
      assert.equal(200, deliver(sealed { status = status }))
    end
    assert.equal(200, deliver(sealed { id = "other", status = "failed" }))
    local told = {}
    for i, event in ipairs(events) do told[i] = event.id .. " " .. event.status end
    assert.same({ "job processing", "job completed", "other failed" }, told)
  end)

  it("answers what is none with 400 and tells nobody", function()
    listen()
    for _, body in ipairs { "", "{}", "nonsense", sealed():sub(2), sealed():gsub("%x", "0", 1),
      sealed(nil, { client_id = "another" }), sealed(nil, { client_secret = ("x"):rep(32) }),
      sealed(nil, { timestamp = (os.time() - 3600) * 1000 }) } do
      assert.equal(400, deliver(body))
    end
    assert.same({}, events)
    assert.same({}, complaints)
  end)

  it("knows its path, its method and its limits", function()
    listen()
    assert.equal(404, answer(peer.post("/", sealed { id = "a" })))
    assert.equal(404, answer(peer.post("/hook/", sealed { id = "b" })))
    assert.equal(200, answer(peer.post("/hook?from=akool", sealed { id = "c" })))
    local get = peer.ask(receiver.port, "GET /hook HTTP/1.1\r\n\r\n")
    assert.equal(405, get.status)
    assert.is_truthy(get.said:find("\r\nAllow: POST\r\n", 1, true))
    assert.equal(405, answer "HEAD /hook HTTP/1.1\r\n\r\n")
    assert.equal(413, answer "POST /hook HTTP/1.1\r\nContent-Length: 65537\r\n\r\n")
    assert.equal(413, answer "POST /hook HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n")
    assert.equal(400, deliver((" "):rep(65536)))
    assert.equal(431, answer("POST /hook HTTP/1.1\r\nX: " .. ("x"):rep(9000) .. "\r\n"))
    assert.equal(431, answer("POST /" .. ("x"):rep(9000)))
    assert.equal(400, answer "\1\2\3\r\n")
    assert.equal(400, answer "POST /hook HTTP/1.1\r\nContent-Length: -1\r\n\r\n")
    assert.equal(501, answer "POST /hook HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    assert.equal(1, #events)
  end)

  it("says that a body may come, where it may", function()
    listen()
    local body = sealed()
    local head = "POST %s HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: " .. #body
      .. "\r\n\r\n"
    local one = peer.say(receiver.port, head:format "/hook")
    peer.turn_until(function() return one.status == 100 end)
    one:say(body)
    peer.turn_until(function() return one.over end)
    assert.equal(200, one.status)
    local other = peer.ask(receiver.port, head:format "/elsewhere")
    assert.is_truthy(other.said:find "^HTTP/1.1 404")
  end)

  it("takes one request of a connection, whatever else is said", function()
    listen()
    local one = peer.ask(receiver.port, peer.post("/hook", sealed { id = "a" })
      .. peer.post("/hook", sealed { id = "b" }))
    local _, answers = one.said:gsub("HTTP/1%.1 ", "")
    assert.equal(1, answers)
    assert.is_truthy(one.said:find("\r\nConnection: close\r\n", 1, true))
    assert.equal(1, #events)
  end)

  it("takes a request that comes byte by byte, and from a peer that has said all", function()
    listen()
    local slow, done = peer.say(receiver.port), peer.say(receiver.port)
    peer.turn_until(function() return slow.connected and done.connected end)
    for byte in peer.post("/hook", sealed { id = "slow" }):gmatch "." do
      slow:say(byte)
      uv.run "nowait"
    end
    done:say(peer.post("/hook", sealed { id = "done" }))
    done:finish()
    peer.turn_until(function() return slow.over and done.over end)
    assert.same({ 200, 200 }, { slow.status, done.status })
  end)

  -- Limits -------------------------------------------------------------------------------------

  it("lets slow peers go, with 408", function()
    listen { timeout = 0.1 }
    local silent = peer.say(receiver.port)
    local slow = peer.say(receiver.port, "POST /hook HTTP/1.1\r\nContent-Length: 10\r\n\r\n12")
    peer.turn_until(function() return silent.over and slow.over end)
    assert.same({ 408, 408 }, { silent.status, slow.status })
  end)

  it("serves so many at once, and others when these have gone", function()
    listen { max_connections = 2 }
    local one, two = peer.say(receiver.port, "POST"), peer.say(receiver.port, "POST")
    peer.turn_until(function() return receiver.server.count == 2 end)
    assert.equal("", peer.ask(receiver.port, peer.post("/hook", sealed())).said)
    one:leave()
    two:leave(true)
    peer.turn_until(function() return receiver.server.count == 0 end)
    assert.equal(200, deliver(sealed()))
  end)

  it("remembers only so much", function()
    listen { seen = webhook.seen(100) }
    for i = 1, 3000 do receiver:hear { id = "job" .. i, status = "failed" } end
    local kept = 0
    for i = 1, 3000 do kept = kept + (receiver:ended("job" .. i) and 1 or 0) end
    assert.is_true(kept >= 500 and kept <= 1000, kept)
    assert.is_truthy(receiver:ended "job3000")
  end)

  -- The program's callbacks --------------------------------------------------------------------

  it("reports what on_event raises, and goes on", function()
    listen { on_event = function(event) error("no " .. event.id, 0) end }
    assert.equal(200, deliver(sealed { id = "a" }))
    assert.equal(200, deliver(sealed { id = "b" }))
    assert.same({ "no a", "no b" }, complaints)
  end)

  it("prints it where nobody listens, or the listener raises too", function()
    for _, on_error in ipairs { "nil", "function() error 'again' end" } do
      local said, status = child.run(([[
        local lipsync = require "akool.lipsync"
        local webhook = require "akool.lipsync.webhook"
        local receiver = webhook.listen { client_id = "id", client_secret = ("s"):rep(16),
          on_event = function() error "mine" end, on_error = %s }
        lipsync.run(function() receiver:hear { id = "a", status = "processing" } end)
        lipsync.step(0)
        receiver:close()
      ]]):format(on_error))
      assert.equal(0, status, said)
      assert.is_truthy(said:find "receiver of webhooks: .*: mine\n$", said)
    end
  end)

  it("answers 500 when the memory of deliveries raises, so that they come again", function()
    local broken = true
    listen { seen = { add = function() if broken then error("no memory", 0) end return true end } }
    local body = sealed()
    assert.equal(500, deliver(body))
    broken = false
    assert.equal(200, deliver(body))
    assert.same({ "no memory" }, complaints)
    assert.equal(1, #events)
  end)

  it("answers before on_event is through, which may wait", function()
    local order = {}
    listen { on_event = function()
      lipsync.sleep(0.2)
      order[#order + 1] = "told"
    end }
    assert.equal(200, deliver(sealed()))
    order[#order + 1] = "answered"
    peer.turn_until(function() return #order == 2 end)
    assert.same({ "answered", "told" }, order)
  end)

  it("may be closed by on_event", function()
    listen { on_event = function() receiver:close() end }
    local others = { peer.say(receiver.port, "POST"), peer.say(receiver.port) }
    peer.turn_until(function() return receiver.server.count == 2 end)
    assert.equal(200, deliver(sealed()))
    peer.turn_until(function() return others[1].over and others[2].over end)
    assert.is_true(receiver.closed)
    assert.equal("akool.lipsync.receiver (closed)", tostring(receiver))
  end)

  -- Beginning and end --------------------------------------------------------------------------

  it("leaves its port when it is closed, once or again", function()
    local port = listen().port
    assert.equal("akool.lipsync.receiver (127.0.0.1:" .. port .. "/hook)", tostring(receiver))
    receiver:close()
    receiver:close()
    listen { port = port }
    assert.equal(port, receiver.port)
    assert.equal(200, deliver(sealed()))
  end)

  it("says why it cannot listen", function()
    listen()
    local other, err = webhook.listen(with_pair { port = receiver.port })
    assert.same({ nil, "io", "webhook_listen" }, { other, err.kind, err.name })
    assert.is_truthy(err.message:find("EADDRINUSE", 1, true))
    other, err = webhook.listen(with_pair { host = "no address" })
    assert.same({ nil, "webhook_listen" }, { other, err.name })
    other, err = webhook.listen { client_id = "id", client_secret = "short" }
    assert.same({ nil, "webhook_credentials" }, { other, err.name })
  end)

  it("raises for options that are none, at the caller's line", function()
    for option, value in pairs { port = 1.5, path = "hook", max_connections = 0, timeout = 0,
      tolerance = -1, trust = "yes", on_evnt = print } do
      local ok, why = pcall(function() webhook.listen(with_pair { [option] = value }) end)
      assert.is_false(ok)
      assert.is_truthy(why:find("^spec/webhook_receiver_spec.lua:%d+: .*" .. option), why)
    end
  end)

  --- Run a program that has a receiver, and `post`, which delivers to it.
  local function program(code)
    return child.run([[
      local lipsync = require "akool.lipsync"
      local webhook = require "akool.lipsync.webhook"
      local pair = { client_id = "id", client_secret = ("s"):rep(24) }
      local function listen(on_event)
        return assert(webhook.listen { client_id = "id", client_secret = ("s"):rep(24),
          on_event = on_event })
      end
      local function body(id)
        return assert(webhook.seal({ id = id or "job", status = "processing" }, pair))
      end
    ]] .. code)
  end

  it("is harmless at the end of the Lua state, open or closed, with peers or without", function()
    for _, last in ipairs { "", "receiver:close()",
      "receiver:close() receiver = nil collectgarbage()", "os.exit(0, true)",
      "receiver:close() os.exit(0, true)" } do
      for _, said in ipairs { "nil", "'POST / HTTP/1.1'", "peer.post('/', body())" } do
        for _, host in ipairs { "", "lipsync.use 'luv'" } do
          local text, status = program(([[
            %s
            local uv, peer = require "luv", require "support.peer"
            local receiver = listen()
            local one = peer.say(receiver.port, %s)
            for _ = 1, 3 do uv.run "nowait" end
            %s
          ]]):format(host, said, last))
          assert.equal(0, status, table.concat({ host, said, last, text }, "; "))
        end
      end
    end
  end)

  it("stands a peer that is gone when the answer comes", function()
    local said, status = program [[
      local uv, peer = require "luv", require "support.peer"
      local receiver = listen()
      for _ = 1, 20 do
        local one = peer.say(receiver.port, peer.post("/", body()))
        peer.turn_until(function() return one.connected end)
        one.socket:shutdown(function() one:leave(true) end)
        for _ = 1, 5 do uv.run "nowait" end
      end
      peer.turn_until(function() return receiver.server.count == 0 end)
      print(peer.ask(receiver.port, peer.post("/", body())).status)
      receiver:close()
    ]]
    assert.same({ "200\n", 0 }, { said, status })
  end)

  it("may be the first to load luv, in a task that ends", function()
    local said, status = program [[
      local receiver, loader, caller
      lipsync.run(function()
        loader = coroutine.running()
        receiver = listen(function() end)
      end)
      local uv, peer = require "luv", require "support.peer"
      uv.new_timer():start(0, 0, function() caller = coroutine.running() end)
      print(peer.ask(receiver.port, peer.post("/", body())).status, caller ~= loader)
      receiver:close()
    ]]
    assert.same({ "200\ttrue\n", 0 }, { said, status })
  end)

  it("works in luv's loop, with the library in it or without", function()
    for _, host in ipairs { "", "lipsync.use 'luv'" } do
      local said, status = program(host .. [[

        local uv, peer = require "luv", require "support.peer"
        local receiver
        receiver = listen(function(event)
          if lipsync.use() then lipsync.sleep(0.01) end
          print(event)
          receiver:close()
        end)
        peer.say(receiver.port, peer.post("/", body()))
        uv.run()
      ]])
      assert.same({ "akool.lipsync.webhook_event (job, processing)\n", 0 }, { said, status })
    end
  end)
end)

describe("webhook.handler", function()
  it("gives a web server the status to answer, and the event or what is wrong", function()
    local handle = assert(webhook.handler(with_pair()))
    local body = sealed()
    local status, event = handle(body)
    assert.same({ 200, "job" }, { status, event.id })
    local again, err = handle(body)
    assert.same({ 200, "webhook_repeated" }, { again, err.name })
    status, err = handle "nonsense"
    assert.same({ 400, "webhook_refused" }, { status, err.name })
  end)

  it("needs the pair", function()
    local handle, err = webhook.handler { client_id = "id", client_secret = "short" }
    assert.same({ nil, "webhook_credentials" }, { handle, err.name })
  end)
end)
