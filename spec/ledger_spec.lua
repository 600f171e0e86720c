-- The ledger: what is in it, what may become of a row, and who may say so. Nothing is sent to the
-- service that is not written down before; what may have been paid is never planned again by itself;
-- and what a worker has comes free when it is gone. On SQLite and on PostgreSQL alike.

local child = require "support.child"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local ledger = require "akool.lipsync.ledger"
local postgres = require "support.postgres"

local LEASE = 30

local opened = {} -- to be closed after each spec, before the fixture looks
after_each(function()
  for _, book in ipairs(opened) do book:close() end
  opened = {}
end)

local t = fixture.new()
local server
setup(function() server = postgres.start() end)
teardown(function() server:stop() end)

local function open(dsn)
  local book = assert(ledger.open(dsn))
  opened[#opened + 1] = book
  return book
end

local function item(key, given)
  local all = { key = key, video_url = "https://example.com/clip.mp4",
    audio_url = "https://example.com/" .. key .. ".wav", output = key .. ".mp4" }
  for name, value in pairs(given or {}) do all[name] = value end
  return all
end

local function job(id, given)
  local all = { id = id, status = "processing", created_at = 1795406750, credits = 20,
    duration = 11.7 }
  for name, value in pairs(given or {}) do all[name] = value end
  return all
end

local function keys_of(rows)
  local keys = {}
  for i, row in ipairs(rows) do keys[i] = row.key end
  return table.concat(keys, " ")
end

--- By key: in what order a claim returns its rows, no database promises.
local function sorted(rows)
  table.sort(rows, function(a, b) return a.key < b.key end)
  return rows
end

--- It was refused for this reason, which names what it is about.
local function refused(name, about, value, err)
  assert.is_nil(value)
  assert.are.equal(name, err.name, tostring(err))
  assert.is_truthy(err.message:find(about, 1, true), err.message)
  return err
end

local DSN = {
  SQLite = function() return t.path "jobs.db" end,
  PostgreSQL = function() return (server:new_database()) end,
}

for name, new_dsn in pairs(DSN) do
  describe("A ledger on " .. name, function()
    local dsn, book, ours

    before_each(function()
      dsn = new_dsn()
      book = open(dsn)
      ours = assert(book:worker("ours", LEASE))
    end)

    --- Another worker, with a connection of its own.
    local function other()
      return assert(open(dsn):worker("theirs", LEASE))
    end

    local function add(...)
      local list = {}
      for i, one in ipairs { ... } do list[i] = type(one) == "string" and item(one) or one end
      return assert(book:add(list))
    end

    local function state(key) return assert(book:row(key)).state end

    --- Let the database's clock have moved on by so many seconds since a worker renewed its lease.
    local function age(worker, seconds)
      assert.are.equal(1, book.db:change([[UPDATE lipsync_workers SET leased_at = leased_at - ?,
        held_until = held_until - ? WHERE name = ?]], seconds, seconds, worker))
    end

    --- A row in some state, on the way that leads there.
    local function bring(key, where)
      add(key)
      if where == "planned" then return end
      if where == "cancelled" then return assert(book:obey("cancel", key)) end
      local row = assert(ours:claim_planned(1000))
      assert.are.equal(key, row.key)
      if where == "submitting" then return end
      if where == "unknown" or where == "failed" then
        return assert(ours:ended(key, where, core.error("worker_lost", "It was lost.")))
      end
      assert.is_true(ours:submitted(key, row.attempts, job("j" .. key)))
      if where == "submitted" then return end
      assert.is_true(ours:moved(key, "processing", job("j" .. key)))
      if where == "processing" then return end
      if where == "expired" then
        return assert(ours:ended(key, where, core.error("worker_lost", "It expired.")))
      end
      assert.is_true(ours:moved(key, "ready", job("j" .. key, { status = "completed",
        video = "https://example.com/film.mp4", expires_at = 1796011550 })))
      if where == "ready" then return end
      assert.is_true(ours:done(key, { path = "/films/" .. key, bytes = 5, sha256 = "abc" }))
    end

    -- Adding ----------------------------------------------------------------------------------

    describe("takes rows", function()
      it("as they were given, planned, in their order", function()
        assert.are.equal(3, add("c", item("a", { webhook_url = "https://example.com/hook" }), "b"))
        assert.are.equal("c a b", keys_of(book:rows()))
        local row = book:row "a"
        assert.are.same({ "planned", "https://example.com/clip.mp4", "https://example.com/a.wav",
          "https://example.com/hook", "a.mp4", 0, false, false, false },
          { row.state, row.video_url, row.audio_url, row.webhook_url, row.output, row.attempts,
            row.adopted, row.forced, row.saving })
        assert.is_nil(row.job_id)
        assert.is_nil(row.error)
        assert.is_true(math.abs(row.added_at - os.time()) < 60)
      end)

      it("behind those that are there", function()
        add("b", "c")
        add "a"
        assert.are.equal("b c a", keys_of(book:rows()))
      end)

      it("that are there already, as none", function()
        bring("a", "done")
        add "b"
        assert.are.equal(1, add("a", "b", "c"))
        assert.are.equal("done", state "a")
        assert.are.equal(0, add())
      end)

      it("all or none", function()
        add "b"
        local err = refused("row_conflict", '"b"', book:add { item "a", item("b",
          { audio_url = "https://example.com/other.wav" }), item "c" })
        assert.are.equal(2, err.item)
        assert.are.equal("b", keys_of(book:rows()))
      end)

      it("but not two with one key", function()
        add "a"
        refused("row_conflict", "another video or voice",
          book:add { item("a", { video_url = "https://example.com/other.mp4" }) })
        refused("row_conflict", "a.mp4", book:add { item("a", { output = "b.mp4" }) })
        local err = refused("row_conflict", '"x"',
          book:add { item "x", item("x", { output = "y.mp4" }) })
        assert.are.equal(2, err.item)
      end)

      it("but not two with one output", function()
        add "a"
        refused("row_conflict", 'row "a"', book:add { item("b", { output = "a.mp4" }) })
      end)

      it("from two programs that add the same list at once", function()
        local path = child.script(([[
          local book = assert(require("akool.lipsync.ledger").open(%q))
          local list = {}
          for i = 1, 300 do
            list[i] = { key = "k" .. i, video_url = "https://example.com/v.mp4",
              audio_url = "https://example.com/" .. i, output = i .. ".mp4" }
          end
          io.write(tostring(assert(book:add(list))))
          book:close()
        ]]):format(dsn), t.path "adding.lua")
        local one, two = child.start(path), child.start(path)
        local said = { (one()), (two()) }
        table.sort(said)
        assert.are.same({ "0", "300" }, said)
        assert.are.equal(300, book:count().total)
      end)
    end)

    it("knows a row that is not there", function()
      refused("no_such_row", '"nobody"', book:row "nobody")
      refused("no_such_row", '"nobody"', book:obey("retry", "nobody"))
    end)

    it("counts its rows by state", function()
      bring("a", "done")
      add("b", "c")
      local counts = book:count()
      assert.are.same({ 3, 2, 1, 0, 0 }, { counts.total, counts.planned, counts.done,
        counts.unknown, counts.failed })
      for _, word in ipairs(ledger.STATES) do assert.is_number(counts[word]) end
    end)

    -- The way of a row --------------------------------------------------------------------------

    describe("follows a row", function()
      it("from its plan to its film", function()
        add "a"
        local row = ours:claim_planned(1)
        assert.are.same({ "a", "submitting", 1, "ours" },
          { row.key, row.state, row.attempts, row.worker })
        assert.is_true(row.held_until > row.updated_at)

        assert.is_true(ours:submitted("a", 1, job("j1", { status = "queueing" })))
        row = book:row "a"
        assert.are.same({ "submitted", "j1", 20, 1795406750, "ours" },
          { row.state, row.job_id, row.credits, row.created_at, row.worker })

        assert.is_true(ours:moved("a", "processing", job "j1"))
        assert.are.equal("processing", state "a")

        assert.is_true(ours:moved("a", "ready", job("j1", { status = "completed",
          video = "https://example.com/film.mp4", expires_at = 1796011550 })))
        row = book:row "a"
        assert.are.same({ "ready", "https://example.com/film.mp4", 1796011550 },
          { row.state, row.video, row.expires_at })

        assert.is_true(ours:saving "a")
        assert.is_true(ours:done("a", { path = "/films/a.mp4", bytes = 5, sha256 = "abc" }))
        row = book:row "a"
        assert.are.same({ "done", "/films/a.mp4", 5, "abc" },
          { row.state, row.path, row.bytes, row.sha256 })
        assert.is_nil(row.worker)
      end)

      it("to an error, with the service's code, which a later success takes away", function()
        bring("a", "submitting")
        local err = core.error("worker_lost", "The video is too long.")
        err.code = 1204
        assert.is_true(ours:ended("a", "failed", err))
        local row = book:row "a"
        assert.are.same({ kind = err.kind, name = err.name, code = 1204, message = err.message },
          row.error)
        assert.is_nil(row.worker)
        assert.is_true(book:obey("retry", "a"))
        assert.is_nil(book:row "a".error)
      end)

      it("back to its plan when the service certainly did not take it", function()
        bring("a", "submitting")
        assert.is_true(ours:put_back("a", core.error("worker_lost", "Too many requests.")))
        local row = book:row "a"
        assert.are.same({ "planned", 1 }, { row.state, row.attempts })
        assert.is_nil(row.worker)
        assert.are.equal(2, ours:claim_planned(1).attempts)
      end)
    end)

    -- The user's word ---------------------------------------------------------------------------

    local ALLOWED = {
      retry = { failed = "planned", expired = "planned" },
      resubmit = { unknown = "planned" },
      cancel = { planned = "cancelled" },
      adopt = { planned = "submitted", unknown = "submitted", failed = "submitted",
        expired = "submitted", cancelled = "submitted" },
    }

    for verb, allowed in pairs(ALLOWED) do
      it("lets the user " .. verb .. " what may be, and nothing else", function()
        for _, from in ipairs(ledger.STATES) do
          bring(from, from)
          local before = book:row(from)
          local fine, err = book:obey(verb, from, verb == "adopt" and "f" .. from or nil)
          if allowed[from] then
            assert.is_true(fine, from)
            assert.are.equal(allowed[from], state(from))
            if from == "planned" and verb == "adopt" then assert.is_true(book:row(from).adopted) end
            -- so that the next row is the only one that is planned
            if state(from) == "planned" then assert(book:obey("cancel", from)) end
          else
            refused("wrong_state", ("Row %q is %s: "):format(from, from), fine, err)
            assert.are.same(before, book:row(from))
            if from == "planned" then assert(book:obey("cancel", from)) end
          end
        end
      end)
    end

    it("forgets the former job of a row that is planned again", function()
      bring("a", "expired")
      assert(book:obey("retry", "a"))
      local row = book:row "a"
      for _, gone in ipairs { "job_id", "video", "created_at", "expires_at", "credits", "duration",
        "error" } do
        assert.is_nil(row[gone], gone)
      end
    end)

    it("gives an adopted job to the next worker", function()
      bring("a", "unknown")
      assert(book:obey("adopt", "a", "j7"))
      local row = ours:claim_started(10)[1]
      assert.are.same({ "a", "j7", "submitted" }, { row.key, row.job_id, row.state })
    end)

    -- Twins -------------------------------------------------------------------------------------

    describe("buys a film once", function()
      local SAME = { audio_url = "https://example.com/same.wav" }

      local function twins(...)
        for _, key in ipairs { ... } do add(item(key, SAME)) end
      end

      it("for rows with the same video and voice, wherever they go", function()
        twins("a", "b")
        add(item("c", { audio_url = SAME.audio_url, video_url = "https://example.com/x.mp4" }))
        assert.are.equal(book:row "a".fingerprint, book:row "b".fingerprint)
        assert.are_not.equal(book:row "a".fingerprint, book:row "c".fingerprint)
      end)

      it("however the parts of two rows are cut", function()
        add(item("a", { video_url = "https://h/1", audio_url = "https://h/23" }),
          item("b", { video_url = "https://h/12", audio_url = "https://h/3" }))
        assert.are_not.equal(book:row "a".fingerprint, book:row "b".fingerprint)
      end)

      it("and waits while another row is buying it", function()
        twins("a", "b")
        assert.are.equal("a", ours:claim_planned(5).key)
        assert.is_nil((ours:claim_planned(5)))
        assert.are.equal("planned", state "b")
      end)

      for _, where in ipairs { "submitted", "processing", "ready" } do
        it("and takes the job that is " .. where .. ", though no other may be started", function()
          twins("a", "b")
          local row = ours:claim_planned(1)
          assert.is_true(ours:submitted("a", row.attempts, job "j1"))
          if where ~= "submitted" then
            assert.is_true(ours:moved("a", where, job("j1", { expires_at = 1796011550 })))
          end
          row = ours:claim_planned(1)
          assert.are.same({ "b", where, "j1", true, 0, "ours" }, { row.key, row.state, row.job_id,
            row.adopted, row.attempts, row.worker })
        end)
      end

      it("and copies the film that is done", function()
        bring("a", "done")
        add(item("b", { audio_url = "https://example.com/a.wav" }))
        local row = ours:claim_planned(1)
        assert.are.same({ "b", "ready", "ja", true, 0 },
          { row.key, row.state, row.job_id, row.adopted, row.attempts })
        assert.are.equal("a", ours:twin_of(row).key)
      end)

      it("and holds it back while it may have been bought", function()
        bring("a", "unknown")
        add(item("b", { audio_url = "https://example.com/a.wav" }), "c")
        assert.are.equal("c", ours:claim_planned(5).key)
        assert.is_nil((ours:claim_planned(5)))
        assert(book:obey("adopt", "a", "j1"))
        assert.are.equal("j1", ours:claim_planned(5).job_id)
      end)

      it("unless the user says so", function()
        bring("a", "unknown")
        bring("c", "done")
        add(item("b", { audio_url = "https://example.com/a.wav", force = true }),
          item("d", { audio_url = "https://example.com/c.wav", force = true }))
        for _, key in ipairs { "b", "d" } do
          local row = ours:claim_planned(5)
          assert.are.same({ key, "submitting", true }, { row.key, row.state, row.forced })
        end
      end)

      it("and again when the first ended without a film", function()
        bring("a", "failed")
        bring("b", "expired")
        for _, key in ipairs { "a", "b" } do
          add(item(key .. "2", { audio_url = "https://example.com/" .. key .. ".wav" }))
          assert.are.equal("submitting", ours:claim_planned(5).state)
        end
      end)

      it("when the service says so: code 1202", function()
        bring("a", "processing")
        add(item("b", { audio_url = "https://example.com/a.wav", force = true }))
        local row = ours:adopt_bought(ours:claim_planned(5))
        assert.are.same({ "b", "processing", "ja", true },
          { row.key, row.state, row.job_id, row.adopted })
        bring("c", "submitting")
        assert.is_nil((ours:adopt_bought(book:row "c"))) -- this ledger knows nothing of it
      end)
    end)

    -- Claims ------------------------------------------------------------------------------------

    describe("lets a worker have", function()
      it("what was added first", function()
        add("c", "a", "b")
        for _, key in ipairs { "c", "a", "b" } do
          assert.are.equal(key, ours:claim_planned(5).key)
        end
        assert.is_nil((ours:claim_planned(5)))
      end)

      it("as many jobs as may be at the service, whoever submits them", function()
        local another = other()
        add("a", "b", "c", "d")
        assert.are.equal("a", ours:claim_planned(2).key)
        assert.are.equal("b", another:claim_planned(2).key)
        assert.is_nil((ours:claim_planned(2)))
        assert.is_nil((another:claim_planned(2)))
        assert.is_true(another:submitted("b", 1, job "jb"))
        assert.is_nil((ours:claim_planned(2)))
        assert.is_true(another:moved("b", "ready", job "jb"))
        assert.are.equal("c", ours:claim_planned(2).key)
        assert(ours:ended("a", "failed", core.error("worker_lost", "No.")))
        assert.are.equal("d", another:claim_planned(2).key)
      end)

      it("what nobody has, the first to expire first", function()
        for i, key in ipairs { "a", "b", "c" } do
          bring(key, "processing")
          assert.is_true(ours:moved(key, "ready", job("j" .. key, { expires_at = 2000 - i })))
        end
        assert(ours:sign_off())
        local another = other()
        assert.are.equal("b c", keys_of(sorted(another:claim_started(2))))
        assert.are.equal("a", keys_of(another:claim_started(10)))
        assert.are.equal(0, #another:claim_started(10))
      end)

      it("nothing that another has", function()
        bring("a", "processing")
        local another = other()
        assert.are.equal(0, #another:claim_started(10))
        assert.is_false(another:moved("a", "ready", job "ja"))
        assert.is_false(another:done("a", { path = "x", bytes = 1, sha256 = "y" }))
        assert.is_false(another:ended("a", "failed", core.error("worker_lost", "No.")))
        assert.are.equal("processing", state "a")
        local count, held_until = another:held_by_others()
        assert.are.equal(1, count)
        assert.are.equal(held_until, book:row "a".held_until)
        assert.are.equal(0, (ours:held_by_others()))
      end)
    end)

    -- Leases ------------------------------------------------------------------------------------

    describe("frees what a worker had", function()
      it("that has signed off; what it was submitting is unknown", function()
        bring("a", "processing")
        bring("b", "submitting")
        assert(ours:sign_off())
        assert.are.equal("unknown", state "b")
        assert.are.equal("worker_lost", book:row "b".error.name)
        assert.are.equal("a", keys_of(other():claim_started(10)))
      end)

      it("whose lease has ended, and tells which of it may have been paid", function()
        bring("a", "processing")
        bring("b", "submitting")
        local another = other()
        age("ours", LEASE - 1)
        assert.are.same({}, another:sweep())
        age("ours", 1)
        assert.are.same({ "b" }, another:sweep())
        assert.are.equal("a", keys_of(another:claim_started(10)))
        assert.are.equal("unknown", state "b")
        assert.are.same({}, another:sweep())
      end)

      it("and never sends again what may have been paid", function()
        bring("a", "submitting")
        age("ours", LEASE)
        local another = other()
        another:sweep()
        assert.is_nil((another:claim_planned(5)))
        assert.are.equal(0, #another:claim_started(10))
      end)

      it("but not of one that renews its lease", function()
        bring("a", "processing")
        age("ours", LEASE - 1)
        assert(ours:renew())
        age("ours", LEASE - 1)
        assert.are.same({}, other():sweep())
        assert.are.equal("ours", book:row "a".worker)
      end)

      it("whose lease is from the future, because the clock was set back", function()
        bring("a", "submitting")
        age("ours", -3600)
        assert.are.same({ "a" }, other():sweep())
      end)

      it("though its lease ended before it took it, in its sleep", function()
        add("a", "b")
        age("ours", LEASE)
        local another = other()
        another:sweep()
        assert.are.equal("a", ours:claim_planned(5).key) -- and was then killed
        assert.are.same({ "a" }, another:sweep())
        assert.are.equal("unknown", state "a")
      end)
    end)

    describe("after a claim that may have come about", function()
      --- Have the next transaction's end be lost on the way back.
      local function lose_the_answer()
        local real = book.db.transaction
        book.db.transaction = function(db, ...)
          book.db.transaction = nil -- that of its class again
          assert(real(db, ...))
          return nil, core.error("ledger_in_doubt", "The connection was lost.")
        end
      end

      it("submits the row that it began, and no other in its place", function()
        add("a", "b")
        lose_the_answer()
        refused("ledger_in_doubt", "lost", ours:claim_planned(3))
        local row = assert(ours:claim_planned(3))
        assert.are.same({ "a", 1 }, { row.key, row.attempts })
        assert.are.equal("b", assert(ours:claim_planned(3)).key)
        assert.is_nil((ours:claim_planned(3)))
        assert.are.equal(2, book:count().submitting)
      end)

      it("lets go of what it does not know to have, and takes it up", function()
        add "a"
        assert(book:obey("adopt", "a", "job"))
        lose_the_answer()
        refused("ledger_in_doubt", "lost", ours:claim_started(3))
        assert.are.same({}, ours:claim_started(3))
        assert.is_true(ours.in_doubt)
        assert.is_true(ours:let_go())
        assert.are.equal("a", keys_of(ours:claim_started(3)))
      end)
    end)

    it("takes the same id of a job twice", function()
      add "a"
      local row = assert(ours:claim_planned(3))
      for _ = 1, 2 do assert.is_true(ours:submitted("a", row.attempts, job "one")) end
      assert.is_false(ours:submitted("a", row.attempts, job "two"))
      assert.are.equal("one", book:row "a".job_id)
    end)

    describe("lets a worker that comes back late", function()
      local another

      before_each(function()
        bring("a", "submitting")
        age("ours", LEASE)
        another = other()
        assert.are.same({ "a" }, another:sweep())
      end)

      it("write down the job that it has made", function()
        assert.is_true(ours:submitted("a", 1, job "late"))
        local row = book:row "a"
        assert.are.same({ "submitted", "late" }, { row.state, row.job_id })
        assert.is_nil(row.error)
        assert.are.equal("a", keys_of(another:claim_started(10)))
      end)

      it("go on with a new lease", function()
        add "b"
        assert(ours:renew())
        assert.are.equal("b", ours:claim_planned(5).key)
        assert.are.same({}, another:sweep())
      end)

      it("not touch a row that was planned again meanwhile", function()
        assert(book:obey("resubmit", "a"))
        assert.is_false(ours:submitted("a", 1, job "late"))
        assert.are.equal(2, another:claim_planned(5).attempts)
        assert.is_false(ours:submitted("a", 1, job "late"))
        assert.is_true(another:submitted("a", 2, job "second"))
        assert.are.equal("second", book:row "a".job_id)
      end)

      it("nor one whose job the user knew", function()
        assert(book:obey("adopt", "a", "known"))
        assert.is_false(ours:submitted("a", 1, job "late"))
        assert.are.equal("known", book:row "a".job_id)
      end)
    end)

    -- Reading what is left ----------------------------------------------------------------------

    it("tells what expires soon and is not on disk, the first first", function()
      local now = book.db:rows("SELECT " .. book.db.now .. " AS now")[1].now
      for key, seconds in pairs { late = 7200, soon = 60, gone = -60 } do
        bring(key, "processing")
        assert.is_true(ours:moved(key, "ready", job("j" .. key, { expires_at = now + seconds })))
      end
      bring("done", "done")
      assert.are.equal("gone soon", keys_of(book:expiring(3600)))
      assert.are.equal("gone soon late", keys_of(book:expiring(10000)))
      assert.are.equal("gone", keys_of(book:expiring(0)))
    end)

    it("hears of a job from a delivery, whoever has it, and never backwards", function()
      bring("a", "submitted")
      local another = open(dsn)
      assert.are.equal("a", keys_of(another:rows_of "ja"))
      assert.is_true(another:heard("a", "processing", job "ja"))
      assert.is_true(another:heard("a", "ready", job("ja", { video = "https://example.com/f" })))
      assert.is_false(another:heard("a", "processing", job "ja"))
      assert.is_false(another:heard_failed("a", core.error("worker_lost", "No.")))
      assert.are.same({ "ready", "ours" }, { state "a", book:row "a".worker })
    end)

    -- The file itself ---------------------------------------------------------------------------

    it("is the same when it is opened again", function()
      bring("a", "done")
      local before = book:row "a"
      assert.are.same(before, open(dsn):row "a")
      assert.are.equal(1, #book.db:rows "SELECT version FROM lipsync_ledger")
    end)

    it("of a later version is left alone", function()
      add "a"
      assert(book.db:change "UPDATE lipsync_ledger SET version = 2")
      local err = refused("ledger_damaged", "format 2, and this version of akool-lipsync knows 1",
        ledger.open(dsn))
      fixture.assert_no_secret(err)
      assert.are.equal("planned", state "a")
    end)

    it("is made once by programs that open it at the same time", function()
      local fresh = name == "SQLite" and t.path "fresh.db" or new_dsn()
      local path = child.script(([[
        local book, err = require("akool.lipsync.ledger").open(%q)
        io.write(book and "open" or tostring(err))
        if book then book:close() end
      ]]):format(fresh), t.path "opening.lua")
      local waits = {}
      for i = 1, 4 do waits[i] = child.start(path) end
      for i = 1, 4 do assert.are.equal("open", (waits[i]())) end
      assert.are.equal(1, #open(fresh).db:rows "SELECT version FROM lipsync_ledger")
    end)
  end)
end

describe("Two workers on one PostgreSQL", function()
  it("do not wait for each other: each passes over what the other is just taking", function()
    local dsn = server:new_database()
    local book = open(dsn)
    local dead, two = assert(book:worker("dead", LEASE)), assert(open(dsn):worker("two", LEASE))
    assert(book:add { item "a", item "b", item "c" })
    for _, key in ipairs { "a", "b", "c" } do
      dead:claim_planned(5)
      assert.is_true(dead:submitted(key, 1, job(key)))
    end
    assert(dead:sign_off())
    local first, second
    assert(book.db:transaction(function()
      first = book.db:rows(book.text.claim_started, "one", 1)
      second = two:claim_started(10) -- while the other has not committed
      return true
    end))
    assert.are.equal("a", keys_of(first))
    assert.are.equal("b c", keys_of(sorted(second)))
  end)
end)
