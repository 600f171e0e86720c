-- cli, interrupt: Ctrl-C and SIGTERM, with real signals: nothing that is paid is lost, and whoever stopped
-- it is told how to go on.

local cjson = require "cjson"
local fixture = require "support.fixture"
local program = require "support.program"
local uv = require "luv"

local QUICK = { "--poll-first", "0.05", "--poll-max", "0.05" }

describe("a signal", function()
  local t = fixture.new()
  local akool = program.new(t)

  local function start(arguments)
    for _, word in ipairs(QUICK) do arguments[#arguments + 1] = word end
    return akool.start(arguments)
  end

  for _, name in ipairs { "sigint", "sigterm" } do
    it("ends a wait with 130, the ids, and the command that goes on: " .. name, function()
      local two, one = t.completed().id, t.job().id
      local running = start { "wait", one, two }
      running:until_it_says(two .. ": completed")
      running:until_it_says(one .. ": ")
      running:signal(name)
      local said = running:wait()
      assert.equal(130, said.status)
      assert.truthy(said.out:find("^" .. two .. " completed http%S+\n$"), said.out)
      assert.truthy(said.err:find("akool-lipsync wait " .. one .. "\n", 1, true), said.err)
    end)
  end

  it("ends a generate so that its file can still be had", function()
    local running = start { "generate", t.video, t.audio, "-o", "my film.mp4", "--json" }
    running:until_it_says "queueing"
    running:signal "sigint"
    local said, id = running:wait(), t.service:jobs()[1]._id
    assert.equal(130, said.status)
    local document = cjson.decode(said.out)
    assert.same({ id, 130 }, { document.job.id, document.error.exit })
    assert.truthy(said.err:find(("akool-lipsync download --wait %s 'my film.mp4'\n"):format(id), 1,
      true), said.err)
  end)

  it("ends a download, which goes on later where it was", function()
    local job = t.completed()
    t.service:set(job.id, { bytes = 1000000 })
    t.service:fail { at = "file", stall_at = 500000 }
    local running = start { "download", job.id, "out.mp4" }
    running:until_it_says "downloading"
    running:signal "sigint"
    local said = running:wait()
    assert.equal(130, said.status)
    assert.truthy(said.err:find(("download --wait %s out.mp4"):format(job.id), 1, true), said.err)
    said = akool.run { "download", job.id, "out.mp4" }
    assert.truthy(said.out:find("1000000 bytes", 1, true), said.out)
  end)

  --- Stop a command while its create is under way.
  local function stop_in_create(arguments)
    t.service:fail { at = "create", delay = 1 }
    local running = start(arguments)
    while t.service:count "create" == 0 do uv.sleep(5) end
    running:signal "sigint"
    return running
  end

  it("does not cut off a create: its job is paid", function()
    local said = stop_in_create({ "create", t.video, t.audio }):wait()
    assert.same({ t.service:jobs()[1]._id .. "\n", 0 }, { said.out, said.status })
    assert.truthy(said.err:find("awaited", 1, true), said.err)
  end)

  it("does not cut off the create of a generate, and ends it then", function()
    local said = stop_in_create({ "generate", t.video, t.audio }):wait()
    assert.equal(130, said.status)
    local id = t.service:jobs()[1]._id
    assert.truthy(said.err:find("akool-lipsync download --wait " .. id, 1, true), said.err)
    assert.equal(0, t.service:count "file")
  end)

  it("that is the second ends it at once", function()
    t.service:fail { at = "create", stall = "after" }
    local running = start { "create", t.video, t.audio }
    while t.service:count "create" == 0 do uv.sleep(5) end
    running:signal "sigint"
    running:until_it_says "awaited"
    running:signal "sigterm"
    assert.equal(130, running:wait().status)
  end)

  it("ends a receiver of webhooks", function()
    local running = akool.start({ "webhook", "listen", "--trust" }, { environment = {
      AKOOL_CLIENT_ID = fixture.secrets.client_id,
      AKOOL_CLIENT_SECRET = fixture.secrets.client_secret } })
    running:until_it_says "Listening"
    running:signal "sigterm"
    assert.equal(130, running:wait().status)
  end)
end)
