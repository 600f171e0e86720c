-- Twins: rows of a ledger with the same video and voice. Their film is bought once, and not again while
-- it may have been bought, unless the user says so. On SQLite and on PostgreSQL alike.

local core = require "akool.lipsync.core"
local ledgers = require "support.ledgers"

local item, job = ledgers.item, ledgers.job

local t = ledgers.new()
local add, bring, state = t.add, t.bring, t.state

for name, new_dsn in pairs(ledgers.databases(t)) do
  describe("A ledger on " .. name, function()
    local book, ours

    before_each(function() book, ours = t.start(new_dsn()) end)

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
        local others = ours:twins_of(row)
        assert.are.same({ 1, "a" }, { #others, others[1].key })
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

      it("but not any more when the row was submitted again meanwhile", function()
        bring("a", "processing")
        add(item("b", { audio_url = "https://example.com/a.wav", force = true }))
        local row = ours:claim_planned(5)
        assert(ours:ended("b", "unknown", core.error("worker_lost", "It slept.")))
        assert(book:obey("resubmit", "b"))
        assert.are.equal(2, ours:claim_planned(5).attempts)
        assert.is_nil((ours:adopt_bought(row)))
        assert.are.same({ "submitting", nil }, { state "b", book:row "b".job_id })
      end)
    end)
  end)
end
