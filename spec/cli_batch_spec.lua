-- cli, batch: many jobs and a ledger, from the command line.

local cjson = require "cjson"
local fixture = require "support.fixture"
local program = require "support.program"
local screens = require "support.screen"

local unpack = table.unpack or unpack -- luacheck: ignore 143 (Lua 5.1)

local QUICK = { "--poll-first", "0.05", "--poll-max", "0.05" }

local screen

describe("akool-lipsync batch", function()
  after_each(function() -- before that of the fixture, whose folder has its socket
    if screen then screen:close() end
    screen = nil
  end)

  local t = fixture.new { queue = 0, process = 0, manual_clock = false }
  local akool = program.new(t)

  local function write(name, text)
    local file = assert(io.open(t.path(name), "wb"))
    file:write(text)
    file:close()
  end

  --- Words of a command of batch, with the quick schedule behind those that run.
  local function words(verb, ...)
    local list = { "batch", verb, ... }
    for _, word in ipairs(verb == "run" and QUICK or {}) do list[#list + 1] = word end
    return list
  end

  local function batch(...)
    return akool.run(words(...))
  end

  --- The document of a command that says `--json`.
  local function document(...)
    local said = batch(...)
    assert.truthy(said.out:find "^[^\n]+\n$", said.out .. said.err)
    return cjson.decode(said.out), said
  end

  --- A ledger with rows a, b, c, … in it, of which some are there already.
  local function filled(count, known)
    local lines = { "key,video_url,audio_url" }
    for i = 1, count do
      lines[i + 1] = ("%s,%s,%s?%d"):format(string.char(96 + i), t.video, t.audio, i)
    end
    write("jobs.csv", table.concat(lines, "\r\n"))
    local said = batch("add", "jobs.db", "jobs.csv")
    local expected = known and ("%d added, %d were there\n"):format(count - known, known)
      or ("%d added\n"):format(count)
    assert.same({ expected, "", 0 }, { said.out, said.err, said.status })
  end

  local function counts()
    return document("status", "jobs.db", "--json").counts
  end

  it("add puts the lines of a table into a ledger, once", function()
    filled(3)
    local said = batch("add", "jobs.db", "jobs.csv")
    assert.same({ "0 added, 3 were there\n", 0 }, { said.out, said.status })
    assert.same({ 3, 3 }, { counts().total, counts().planned })
  end)

  it("add reads standard input, and one video for all", function()
    local said = akool.run({ "batch", "add", "jobs.db", "-", "--video", t.video, "--output",
      "films-{key}.mp4" }, { input = t.audio .. "?1\n" .. t.audio:gsub("voice", "other") .. "\n" })
    assert.same({ "2 added\n", 0 }, { said.out, said.status }, said.err)
    local rows = document("export", "jobs.db", "--json").rows
    assert.same({ "voice", "other" }, { rows[1].key, rows[2].key })
    assert.truthy(rows[1].output:find("films%-voice%.mp4$"))
  end)

  it("is not a new ledger when a name is misspelt", function()
    for _, verb in ipairs { "run", "status", "export" } do
      local said = batch(verb, "jbos.db")
      assert.equal(7, said.status)
      assert.truthy(said.err:find("There is no ledger jbos.db", 1, true), said.err)
    end
    assert.same({}, fixture.files(t.folder))
  end)

  it("add adds nothing when a line is wrong, and says which", function()
    write("jobs.csv", ("key,video_url,audio_url\none,%s,%s\ntwo,%s,nothing\n"):format(t.video,
      t.audio, t.video))
    local said = batch("add", "jobs.db", "jobs.csv")
    assert.same({ "", 2 }, { said.out, said.status })
    assert.truthy(said.err:find("line 3: audio_url is no http(s) URL", 1, true), said.err)
    assert.same({ "jobs.csv" }, fixture.files(t.folder))
  end)

  it("add says which line has a key that is another job's in the ledger", function()
    filled(1)
    write("more.csv", ("b,%s,%s\na,%s,%s?other\n"):format(t.video, t.audio, t.video, t.audio))
    local said = batch("add", "jobs.db", "more.csv")
    assert.equal(2, said.status, said.err)
    assert.truthy(said.err:find("line 2: ", 1, true), said.err)
    assert.equal(1, counts().total)
  end)

  it("run does everything, says so, and has nothing to do the second time", function()
    filled(5)
    local said = batch("run", "jobs.db", "--output-dir", ".", "--concurrency", "2")
    assert.same({ "5 of 5 done\n", 0 }, { said.out, said.status }, said.err)
    for _, key in ipairs { "a", "b", "c", "d", "e" } do
      assert.equal(fixture.read "examples/media/clip.mp4", fixture.read(t.path(key .. ".mp4")))
      assert.truthy(said.err:find(key .. ": done\n", 1, true), said.err)
    end
    assert.equal(5, t.service:count "create")
    said = batch("run", "jobs.db")
    assert.same({ "5 of 5 done\n", 0 }, { said.out, said.status }, said.err)
    assert.equal(5, t.service:count "create")
  end)

  it("run and others make no sense with these, and say so", function()
    filled(1)
    for said_why, given in pairs {
      ["a whole number from 1 to 1000000"] = { "run", "jobs.db", "--concurrency", "2000000" },
      ["--output-dir: the path of a folder"] = { "run", "jobs.db", "--output-dir", "" },
      ["no row \"nobody\""] = { "resubmit", "jobs.db", "nobody" },
    } do
      local said = batch(unpack(given))
      assert.equal(2, said.status, said.err)
      assert.truthy(said.err:find(said_why, 1, true), said.err)
      assert.falsy(said.err:find("defect", 1, true), said.err)
    end
    assert.equal(0, t.service:count "create")
  end)

  it("run tells of everything in JSON lines, the last of which is the result", function()
    filled(1)
    local list = {}
    for line in batch("run", "jobs.db", "--events", "-q").out:gmatch "[^\n]+" do
      list[#list + 1] = cjson.decode(line)
    end
    local types = {}
    for _, event in ipairs(list) do types[event.type] = event end
    for _, kind in ipairs { "submitting", "submitted", "done" } do
      assert.equal("a", types[kind].key, kind)
    end
    assert.equal("result", list[#list].type)
    assert.equal(1, list[#list].counts.done)
    assert.truthy(types.done.sha256)
  end)

  it("run ends with 3 when some failed, and retry makes them again", function()
    filled(2)
    t.service:fail { at = "create", code = 1204 }
    local said = batch("run", "jobs.db", "--concurrency", "1")
    assert.equal(3, said.status, said.err)
    assert.equal("1 of 2 done, 1 failed\n", said.out)
    assert.truthy(said.err:find("batch retry jobs.db", 1, true), said.err)
    local status = batch("status", "jobs.db")
    assert.truthy(status.out:find("\nfailed    a  -  ", 1, true), status.out)
    said = batch("retry", "jobs.db", "a")
    assert.same({ "a: planned again; it will be paid again\n", 0 }, { said.out, said.status })
    assert.equal(0, batch("run", "jobs.db").status)
    assert.equal(2, batch("retry", "jobs.db").status)
    assert.equal(0, batch("retry", "jobs.db", "--all").status)
  end)

  it("run ends with 5 when an outcome is unknown, which only a person decides", function()
    filled(1)
    t.service:fail { at = "create", reset = "after" }
    local said = batch("run", "jobs.db")
    assert.equal(5, said.status, said.err)
    assert.truthy(said.err:find("batch resubmit jobs.db KEY", 1, true), said.err)
    assert.equal(5, batch("run", "jobs.db").status)
    assert.equal(1, t.service:count "create")
    local id = t.service:jobs()[1]._id
    said = batch("adopt", "jobs.db", "a", id)
    assert.equal(0, said.status, said.err)
    assert.equal(0, batch("run", "jobs.db").status)
    assert.equal(1, t.service:count "create")
  end)

  it("resubmit makes such a job again, and says what that may cost", function()
    filled(1)
    t.service:fail { at = "create", reset = "after" }
    batch("run", "jobs.db")
    assert.equal(2, batch("resubmit", "jobs.db").status) -- no keys
    local said = batch("resubmit", "jobs.db", "a")
    assert.truthy(said.out:find("paid twice", 1, true), said.out)
    assert.equal(0, batch("run", "jobs.db").status)
    assert.equal(2, t.service:count "create")
  end)

  it("run ends with 3 when the quota is used up, and says so", function()
    filled(2)
    t.service:fail { at = "create", code = 1104, times = "always" }
    local said = batch("run", "jobs.db", "--json", "--output-dir", "./")
    assert.equal(3, said.status, said.err)
    local told = cjson.decode(said.out)
    assert.equal(1104, told.stopped.code)
    local again = "akool-lipsync batch run jobs.db --output-dir ./" -- into the same folder
    assert.truthy(said.err:find(again, 1, true), said.err)
  end)

  it("cancel takes back what is only planned", function()
    filled(2)
    assert.equal(0, batch("cancel", "jobs.db", "b").status)
    local said = batch("cancel", "jobs.db", "b", "nothing")
    assert.is_true(said.status ~= 0)
    assert.equal("1 of 2 done, 1 cancelled\n", batch("run", "jobs.db").out)
  end)

  it("export prints a table that add can read again", function()
    filled(2)
    batch("run", "jobs.db")
    local said = batch("export", "jobs.db")
    assert.equal(0, said.status)
    assert.truthy(said.out:find("^key,state,video_url,audio_url,output,"), said.out)
    write("again.csv", said.out)
    assert.equal("2 added\n", batch("add", "other.db", "again.csv").out)
    local lines = {}
    for line in batch("export", "jobs.db", "--format", "jsonl").out:gmatch "[^\n]+" do
      lines[#lines + 1] = cjson.decode(line)
    end
    assert.same({ "a", "done", "b", "done" },
      { lines[1].key, lines[1].state, lines[2].key, lines[2].state })
  end)

  it("takes the ledger from the environment, and keeps passwords to itself", function()
    local environment = { environment = { AKOOL_LEDGER = "jobs.db" } }
    filled(1)
    assert.equal(1, cjson.decode(akool.run({ "batch", "status", "-", "--json" }, environment).out)
      .counts.total)
    assert.equal(2, batch("status", "-").status)
    local said = batch("status", "postgresql://me:very-secret@127.0.0.1:1/jobs")
    assert.equal(6, said.status)
    assert.is_nil((said.out .. said.err):find("very-secret", 1, true), said.err)
  end)

  it("Ctrl-C ends a run with 130 and its ids, and the next run brings them home", function()
    filled(2)
    for _ = 1, 2 do t.service:fail { at = "info", data = { video_status = 2 }, times = 1000 } end
    local running = akool.start(words("run", "jobs.db"))
    running:until_it_says "a: processing"
    running:until_it_says "b: processing"
    running:signal "sigint"
    local said = running:wait()
    assert.equal(130, said.status, said.err)
    for _, job in ipairs(t.service:jobs()) do
      assert.truthy(said.err:find(job._id, 1, true), said.err)
    end
    assert.truthy(said.err:find("akool-lipsync batch run jobs.db", 1, true), said.err)
    t.service:clear()
    assert.equal(0, batch("run", "jobs.db").status)
    assert.equal(2, t.service:count "create")
  end)

  it("doctor looks at a ledger, too", function()
    filled(1)
    local said = akool.run { "doctor", "--ledger", "jobs.db" }
    assert.equal(0, said.status)
    assert.truthy(said.out:find("ok    ledger         0 of 1 done, 1 planned", 1, true), said.out)
    write("broken.db", ("this is no database\n"):rep(100))
    assert.equal(7, akool.run({ "doctor", "--ledger", "broken.db" }).status)
  end)

  for _, columns in ipairs { 80, 40 } do
    it(("run is a picture of %d columns"):format(columns), function()
      filled(1)
      batch("run", "jobs.db")
      filled(6, 1)
      t.service:fail { at = "create", code = 1204 }
      t.service:fail { at = "info", data = { video_status = 2 }, times = "always" }
      screen = screens.open(t, words("run", "jobs.db"), { columns = columns })
      screen:until_it(function(text)
        return select(2, text:gsub("processing", "")) == 3 and text:find("1 failed", 1, true)
      end)
      local text = screen:golden()
      assert.equal(screens.golden(("run-%d"):format(columns), text), text)
      t.service:clear()
      screen:until_it_shows "status 3"
    end)
  end
end)
