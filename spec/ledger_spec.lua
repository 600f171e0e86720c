-- The ledger: what is in it, what may become of a row, and who may say so. Nothing is sent to the
-- service that is not written down before. On SQLite and on PostgreSQL alike.

local child = require "support.child"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local ledger = require "akool.lipsync.ledger"
local ledgers = require "support.ledgers"

local item, job, keys_of = ledgers.item, ledgers.job, ledgers.keys_of
local refused = ledgers.refused

local t = ledgers.new()
local add, bring, open, state = t.add, t.bring, t.open, t.state

for name, new_dsn in pairs(ledgers.databases(t)) do
  describe("A ledger on " .. name, function()
    local dsn, book, ours

    before_each(function()
      dsn = new_dsn()
      book, ours = t.start(dsn)
    end)

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
        refused("row_conflict", "webhook_url",
          book:add { item("a", { webhook_url = "https://w/" }) })
        refused("row_conflict", "without force", book:add { item("a", { force = true }) })
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
      assert(book.db:change "UPDATE lipsync_ledger SET version = 3")
      local err = refused("ledger_damaged", "format 3, and this version of akool-lipsync knows 2",
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
