-- The workers of a ledger: what each may have, how long, and what becomes of it when it is gone, in doubt
-- or late. What may have been paid is never planned again by itself, and the rest comes free. On SQLite
-- and on PostgreSQL alike.

local core = require "akool.lipsync.core"
local ledgers = require "support.ledgers"

local item, job, keys_of = ledgers.item, ledgers.job, ledgers.keys_of
local refused, sorted = ledgers.refused, ledgers.sorted
local LEASE = ledgers.LEASE

local t = ledgers.new()
local add, age, bring, open, other, state = t.add, t.age, t.bring, t.open, t.other, t.state

for name, new_dsn in pairs(ledgers.databases(t)) do
  describe("A ledger on " .. name, function()
    local book, ours

    before_each(function() book, ours = t.start(new_dsn()) end)

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
        local held = another:held_by_others()
        assert.are.same({ 1, book:row "a".held_until }, { held.many, held.held_until })
        assert.are.equal(0, ours:held_by_others().many)
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
  end)
end

describe("Two workers on one PostgreSQL", function()
  it("do not wait for each other: each passes over what the other is just taking", function()
    local dsn = t.server:new_database()
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
