-- cli, jobs: the commands about single jobs, as processes: what they print where, and with which status
-- they end.

local cjson = require "cjson"
local fixture = require "support.fixture"
local program = require "support.program"

local QUICK = { "--poll-first", "0.05", "--poll-max", "0.05" }

describe("akool-lipsync", function()
  local t = fixture.new()
  local akool = program.new(t)

  --- Arguments with the quick schedule behind them.
  local function quick(arguments)
    for _, word in ipairs(QUICK) do arguments[#arguments + 1] = word end
    return arguments
  end

  --- What was said as a document. There is exactly one, in one line.
  local function document(said)
    assert.truthy(said.out:find "^[^\n]+\n$", said.out)
    return cjson.decode(said.out)
  end

  --- The documents of a stream.
  local function documents(said)
    local list = {}
    for line in said.out:gmatch "([^\n]*)\n" do list[#list + 1] = cjson.decode(line) end
    return list
  end

  --- Run something while the service's clock goes on.
  local function run_to_the_end(arguments, says)
    local running = akool.start(arguments)
    running:until_it_says(says)
    t.service:advance(60)
    return running:wait()
  end

  it("credits prints the balance, and nothing else", function()
    assert.same({ out = "1000\n", err = "", status = 0 }, akool.run { "credits" })
    assert.same({ credits = 1000 }, document(akool.run { "credits", "--json" }))
  end)

  it("create prints the id alone, for scripts", function()
    local said = akool.run { "create", t.video, t.audio }
    local job = t.service:jobs()[1]
    assert.same({ out = job._id .. "\n", err = "", status = 0 }, said)
    assert.equal(1, t.service:count "create")
  end)

  it("create passes on where the service should call", function()
    akool.run { "create", t.video, t.audio, "--webhook-url", "https://example.com/hook" }
    assert.equal("https://example.com/hook", t.service:jobs()[1].webhookUrl)
  end)

  it("info prints a line for each job, and the gravest status", function()
    local one, two = t.job(), t.completed()
    local said = akool.run { "info", one.id, two.id }
    assert.equal(0, said.status)
    assert.equal("", said.err)
    assert.equal(one.id .. " completed", said.out:match "^[^\n]- completed")
    said = akool.run { "info", two.id, "nothing-like-it" }
    assert.equal(3, said.status)
    assert.truthy(said.out:find("^" .. two.id .. " completed http%S+\n$"))
    assert.truthy(said.err:find("^akool%-lipsync: nothing%-like%-it: not_found/[^\n]+\n$"),
      said.err)
    local all = document(akool.run { "info", two.id, "nothing-like-it", "--json" })
    assert.equal("completed", all.jobs[1].status)
    assert.equal("not_found", all.jobs[2].error.kind)
    assert.equal(3, all.exit)
  end)

  it("wait follows a job to its end, and tells of it on standard error", function()
    local job = t.job()
    local said = run_to_the_end(quick { "wait", job.id }, "queueing")
    assert.equal(0, said.status)
    assert.truthy(said.out:find("^" .. job.id .. " completed http%S+\n$"))
    assert.equal(("%s: queueing\n%s: completed\n"):format(job.id, job.id), said.err)
  end)

  it("wait says nothing on the way when asked for quiet", function()
    local job = t.completed()
    local said = akool.run { "wait", job.id, "-q" }
    assert.equal("", said.err)
    assert.equal(0, said.status)
  end)

  it("wait ends with 4 when its time is over, and says how to go on", function()
    local job = t.job()
    local said = akool.run(quick { "wait", job.id, "--wait-timeout", "0.3" })
    assert.equal(4, said.status)
    assert.equal("", said.out)
    assert.truthy(said.err:find("akool-lipsync wait " .. job.id .. "\n", 1, true), said.err)
  end)

  it("wait ends with 3 when the job failed", function()
    local job = t.job()
    t.service:set(job.id, { video_status = 4 })
    local said = akool.run { "wait", job.id, "--json" }
    assert.equal(3, said.status)
    local entry = document(said).jobs[1]
    assert.same({ job.id, "failed" }, { entry.id, entry.error.kind })
  end)

  it("download leaves the file whole, and says what it is", function()
    local job = t.completed()
    local said = akool.run { "download", job.id, "out.mp4" }
    assert.equal(0, said.status)
    assert.truthy(said.out:find "^out%.mp4  %d+ bytes  sha256 %x+\n$", said.out)
    assert.equal(fixture.read "examples/media/clip.mp4", fixture.read(t.path "out.mp4"))
  end)

  it("download does not write over a file, ends with 7 then, and does when told to", function()
    local job = t.completed()
    akool.run { "download", job.id, "out.mp4" }
    local said = akool.run { "download", job.id, "out.mp4" }
    assert.equal(7, said.status)
    assert.truthy(said.err:find("akool-lipsync download --wait " .. job.id .. " out.mp4", 1, true))
    assert.equal(0, akool.run({ "download", job.id, "out.mp4", "--overwrite" }).status)
  end)

  it("download of a job that runs ends with 4, or waits for it", function()
    local job = t.job()
    local said = akool.run { "download", job.id, "it's.mp4" }
    assert.equal(4, said.status)
    assert.truthy(said.err:find("download --wait " .. job.id .. " 'it'\\''s.mp4'", 1, true),
      said.err)
    said = run_to_the_end(quick { "download", "--wait", job.id, "it's.mp4" }, "queueing")
    assert.equal(0, said.status)
    assert.truthy(said.out:find("it's.mp4", 1, true))
  end)

  it("generate does all of it, into a file that is called after both", function()
    local said = run_to_the_end(quick { "generate", t.video, t.audio }, "queueing")
    assert.equal(0, said.status)
    assert.truthy(said.out:find "^clip%-voice%.mp4  %d+ bytes  sha256 %x+\n$", said.out)
    local id = t.service:jobs()[1]._id
    assert.equal(("%s: queueing\n%s: completed\n%s: downloading\n"):format(id, id, id), said.err)
    assert.equal(1, t.service:count "create")
  end)

  it("generate pays nothing when the file cannot be", function()
    local said = akool.run { "generate", t.video, t.audio, "-o", "absent/out.mp4" }
    assert.equal(7, said.status)
    assert.equal(0, t.service:count "create")
  end)

  it("generate tells of everything as it happens, and of the result last", function()
    local said = run_to_the_end(quick { "generate", t.video, t.audio, "--events" }, "queueing")
    local list = documents(said)
    assert.equal("status", list[1].type)
    assert.equal("queueing", list[1].job.status)
    assert.equal("result", list[#list].type)
    assert.equal("clip-voice.mp4", list[#list].file.path)
  end)

  it("generate that cannot go on says with which command to go on", function()
    local said = akool.run(quick { "generate", t.video, t.audio, "--wait-timeout", "0.3",
      "--json" })
    assert.equal(4, said.status)
    local told, id = document(said), t.service:jobs()[1]._id
    assert.equal(id, told.job.id)
    assert.equal("wait_timeout", told.error.name)
    assert.equal(4, told.error.exit)
    assert.truthy(said.err:find("akool-lipsync download --wait " .. id .. " clip-voice.mp4", 1,
      true))
    assert.truthy(told.error.advice:find("download --wait", 1, true))
  end)

  it("ends with 5 when the answer to a create was lost, and says what that means", function()
    t.service:fail { at = "create", reset = "after" }
    local said = akool.run { "create", t.video, t.audio }
    assert.equal(5, said.status)
    assert.equal("", said.out)
    assert.truthy(said.err:find("may exist, and be paid", 1, true), said.err)
    assert.equal(1, t.service:count "create")
    t.service:fail { at = "create", reset = "after" }
    local told = document(akool.run { "create", t.video, t.audio, "--json" })
    assert.is_true(told.error.maybe_created)
    assert.equal(5, told.error.exit)
  end)

  it("ends with 3 when the service refuses", function()
    for _, code in ipairs { 1104, 1204, 1200 } do
      t.service:fail { at = "create", code = code }
      local said = akool.run { "create", t.video, t.audio, "--json" }
      assert.equal(3, said.status)
      assert.equal(code, document(said).error.code)
    end
    local said = akool.run({ "credits" }, { environment = { AKOOL_API_KEY = "another" } })
    assert.equal(3, said.status)
    assert.truthy(said.err:find "code 1101", said.err)
  end)

  it("ends with 6 when the network fails", function()
    local nobody = { environment = { AKOOL_BASE_URL = "http://127.0.0.1:1" } }
    local said = akool.run({ "credits", "--max-retries", "0" }, nobody)
    assert.equal(6, said.status)
    assert.truthy(said.err:find("network/connection_refused", 1, true))
    said = akool.run({ "credits", "--max-retries", "0", "--json" }, nobody)
    assert.equal(6, document(said).error.exit)
  end)

  it("tells of what is tried again", function()
    t.service:fail { at = "credits", status = 503 }
    local said = akool.run { "credits" }
    assert.same({ "1000\n", 0 }, { said.out, said.status })
  end)

  it("prints nothing that a terminal would act on, whatever the service says", function()
    local nasty = "\27]0;owned\7 \194\155" .. "31m \226\128\174abc \155"
    t.service:fail { at = "credits", code = 1003, msg = nasty, times = "always" }
    for _, arguments in ipairs { { "credits" }, { "credits", "--json" } } do
      local said = akool.run(arguments)
      local all = said.out .. said.err
      assert.equal(3, said.status)
      assert.truthy(all:find("owned", 1, true), all)
      assert.is_nil(all:gsub("\n", ""):find "%c", all)
      assert.is_nil(all:find("\194\155", 1, true))
      assert.is_nil(said.err:find("\226\128\174", 1, true))
    end
  end)
end)
