-- cli, webhook: opening deliveries, and listening for them.

local batch = require "akool.lipsync.batch"
local cjson = require "cjson"
local fixture = require "support.fixture"
local program = require "support.program"
local sockets = require "support.sockets"
local webhook = require "akool.lipsync.webhook"

local PAIR = { client_id = fixture.secrets.client_id,
  client_secret = fixture.secrets.client_secret }
local ENVIRONMENT = { AKOOL_CLIENT_ID = PAIR.client_id, AKOOL_CLIENT_SECRET = PAIR.client_secret }
local ID = "66160f989dfc997ac289037b"

describe("akool-lipsync webhook", function()
  local t = fixture.new()
  local akool = program.new(t)

  local function sealed(event, more)
    local given = { timestamp = more and more.timestamp }
    for name, value in pairs(PAIR) do given[name] = value end
    local body = assert(webhook.seal(event, given))
    return body
  end

  local function open(arguments, input, environment)
    table.insert(arguments, 1, "open")
    table.insert(arguments, 1, "webhook")
    return akool.run(arguments, { input = input, environment = environment or ENVIRONMENT })
  end

  it("open prints what a delivery says", function()
    local body = sealed { id = ID, status = "completed", video = "https://example.com/v.mp4" }
    assert.same({ out = ID .. " completed https://example.com/v.mp4\n", err = "", status = 0 },
      open({}, body))
    local event = cjson.decode(open({ "-", "--json" }, body).out).event
    assert.same({ ID, "completed" }, { event.id, event.status })
  end)

  it("open reads a file, and refuses what is too old unless told otherwise", function()
    local file = assert(io.open(t.path "body", "wb"))
    file:write(sealed({ id = ID, status = "failed" }, { timestamp = 1700000000000 }))
    file:close()
    assert.equal(3, open({ "body" }).status)
    assert.equal(ID .. " failed\n", open({ "body", "--tolerance", "0" }).out)
    assert.equal(7, open({ "absent" }).status)
    assert.equal(2, open({ "body", "--tolerance", "old" }).status)
  end)

  it("open refuses what nobody sealed, with 3, and without a pair, with 2", function()
    local said = open({}, '{"id":1}')
    assert.equal(3, said.status)
    assert.truthy(said.err:find("webhook_refused", 1, true))
    said = open({}, "", { AKOOL_CLIENT_ID = false })
    assert.equal(2, said.status)
    assert.truthy(said.err:find("AKOOL_CLIENT_ID", 1, true))
  end)

  --- Start to listen; where.
  local function listen(arguments)
    table.insert(arguments, 1, "listen")
    table.insert(arguments, 1, "webhook")
    local port = sockets.free_port()
    arguments[#arguments + 1], arguments[#arguments + 2] = "--port", ("%d"):format(port)
    local running = akool.start(arguments, { environment = ENVIRONMENT })
    running:until_it_says(("127.0.0.1:%d/"):format(port))
    return running, ("http://127.0.0.1:%d/"):format(port)
  end

  it("listen prints what the service says when it is told of something", function()
    local running, url = listen { "--count", "1" }
    local job = t.job()
    t.service:advance(60)
    assert(t.service:deliver { id = job.id, status = "failed", url = url })
    local said = running:wait()
    assert.equal(0, said.status)
    assert.truthy(said.out:find("^" .. job.id .. " completed http%S+\n$"), said.out)
  end)

  it("listen writes into a ledger what the service says of its jobs", function()
    local job, path = t.job(), t.path "jobs.db"
    local b = assert(batch.open(path))
    assert(b:add { key = "clip", video_url = t.video, audio_url = t.audio })
    assert(b:adopt("clip", job.id))
    local running, url = listen { "--count", "2", "--ledger", path }
    t.service:advance(60)
    assert(t.service:deliver { id = t.job().id, status = "failed", url = url }) -- of nobody here
    assert(t.service:deliver { id = job.id, status = "failed", url = url })
    local said = running:wait()
    assert.equal(0, said.status)
    assert.truthy(said.err:find("clip: ready\n", 1, true), said.err)
    assert.equal("ready", b:row "clip".state)
    b:close()
    assert.equal(7, akool.run({ "webhook", "listen", "--ledger", t.path "absent.db" },
      { environment = ENVIRONMENT }).status)
  end)

  it("listen prints what deliveries say when it trusts them", function()
    local running, url = listen { "--trust", "--count", "2", "--events" }
    for _, id in ipairs { ID, ID .. "2" } do
      assert(t.service:deliver { id = id, status = "failed", url = url })
    end
    local said = running:wait()
    assert.equal(0, said.status)
    local list = {}
    for line in said.out:gmatch "[^\n]+" do list[#list + 1] = cjson.decode(line) end
    assert.same({ "listening", "delivery", "delivery", "result" },
      { list[1].type, list[2].type, list[3].type, list[4].type })
    assert.equal(2, list[4].deliveries)
  end)

  it("listen ends with 7 when the port is taken", function()
    local said = akool.run({ "webhook", "listen", "--trust", "--port",
      ("%d"):format(t.service.port) }, { environment = ENVIRONMENT })
    assert.equal(7, said.status)
  end)
end)
