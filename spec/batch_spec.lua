-- A batch brings every row to its film, pays each of them once, writes down what it does before and
-- after it does it, and may be run again at any time: it does what is left.

local batches = require "support.batches"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local ledger = require "akool.lipsync.ledger"
local ledgers = require "support.ledgers"
local lipsync = require "akool.lipsync"

local COMPLETED = { queue = 0, process = 0, postgres = true } -- every job is at once

for name in pairs { SQLite = true, PostgreSQL = true } do
  describe("A batch on " .. name, function()
    local t = batches.new(COMPLETED)
    local dsn
    before_each(function() dsn = ledgers.databases(t)[name]() end)

    -- To the end ------------------------------------------------------------------------------

    it("brings every row to its film, and pays each once", function()
      local b = t.batch(dsn)
      assert.equal(3, b:add(t.films(3)))
      local summary = assert(t.run(b))
      assert.same({ 3, 3 }, { summary.total, summary.done })
      assert.is_nil(summary.stopped)
      assert.is_nil(summary.interrupted)
      assert.equal(3, t.service:count "create")
      for _, row in ipairs(b:rows()) do
        local bytes = fixture.read(row.path)
        assert.equal(t.films_folder .. "/" .. row.key .. ".mp4", row.path)
        assert.equal(row.path, b:path(row))
        assert.same({ #bytes, core.sha256(bytes) }, { row.bytes, row.sha256 })
        assert.same({ "done", 1, 20, false },
          { row.state, row.attempts, row.credits, row.adopted })
        assert.is_nil(row.worker)
      end
      assert.same({ "f1.mp4", "f2.mp4", "f3.mp4" }, fixture.files(t.films_folder))
    end)

    it("has nothing to do when all is done, and asks nobody", function()
      t.batch(dsn):add(t.films(2))
      assert(t.run(t.batch(dsn)))
      local before = t.service:count()
      local told = #t.told()
      for _ = 1, 2 do
        assert.equal(2, assert(t.run(t.batch(dsn))).done)
      end
      assert.equal(before, t.service:count())
      assert.equal(told, #t.told())
    end)

    it("without rows is over at once", function()
      local summary = assert(t.run(t.batch(dsn)))
      assert.equal(0, summary.total)
    end)

    it("does what is added while it runs", function()
      local b = t.batch(dsn, { concurrency = 1 })
      b:add(t.film "f1")
      assert(t.run(b, { done = function(event)
        if event.key == "f1" then assert.equal(1, b:add(t.film "f2")) end
      end }))
      assert.equal("done done", t.states(b))
    end)

    it("does what another program adds while it runs, and tells which rows are left", function()
      local b, other = t.batch(dsn, { concurrency = 1 }), t.batch(dsn)
      b:add(t.films(1))
      assert(t.run(b, { submitted = function() other:add(t.films(2)) end }))
      assert.equal("done done", t.states(b))
    end)

    -- What is on disk, and when -------------------------------------------------------------------

    it("has the intent on disk before a create leaves", function()
      local b, looker = t.batch(dsn), assert(ledger.open(dsn))
      b:add(t.film "f1")
      t.service:fail { at = "create", stall = "after" }
      lipsync.run(function()
        local running = lipsync.spawn(t.run, b)
        t.await(function() return t.service:count "create" == 1 end)
        local row = looker:row "f1"
        assert.same({ "submitting", 1 }, { row.state, row.attempts })
        assert.is_true(row.held_until > row.updated_at)
        t.service:down() -- the answer is lost
        running:join()
      end)
      assert.equal("unknown", looker:row "f1".state)
      looker:close()
      t.service:up()
    end)

    it("has a job's id on disk before it asks about it", function()
      local b, looker = t.batch(dsn), assert(ledger.open(dsn))
      b:add(t.film "f1")
      t.service:fail { at = "info", stall = "after" }
      lipsync.run(function()
        local running = lipsync.spawn(t.run, b)
        t.await(function() return t.service:count "info" == 1 end)
        local row = looker:row "f1"
        assert.same({ "submitted", t.service:jobs()[1]._id }, { row.state, row.job_id })
        b:stop()
        assert.equal("stop", running:join().interrupted)
      end)
      looker:close()
      assert.equal(1, assert(t.run(b)).done)
      assert.equal(1, t.service:count "create")
    end)

    -- Twins ---------------------------------------------------------------------------------------

    it("buys a film once, however many rows want it", function()
      local b = t.batch(dsn)
      local list = t.films(4)
      for _, film in ipairs(list) do film.audio_url = t.audio end
      list[4].force = true
      b:add(list)
      assert.equal(4, assert(t.run(b)).done)
      assert.equal(2, t.service:count "create")
      local rows = b:rows()
      local made = { [rows[1].job_id] = true, [rows[4].job_id] = true }
      assert.is_true(rows[1].job_id ~= rows[4].job_id and made[rows[2].job_id]
        and made[rows[3].job_id])
      assert.same({ false, true, true, false },
        { rows[1].adopted, rows[2].adopted, rows[3].adopted, rows[4].adopted })
      assert.equal(fixture.read(rows[1].path), fixture.read(rows[3].path))
      assert.equal("adopted downloading done", t.said "f2":gsub(" ready", ""))
    end)

    it("copies a film that is on disk already, and asks nobody", function()
      local b = t.batch(dsn)
      b:add(t.film("f1", { audio_url = t.audio }))
      assert(t.run(b))
      local before = t.service:count()
      b:add(t.film("f2", { audio_url = t.audio }))
      assert.equal(2, assert(t.run(b)).done)
      assert.equal(before, t.service:count())
      assert.equal(b:row "f1".sha256, b:row "f2".sha256)
    end)

    it("fetches it again when the one on disk is not what it was", function()
      local b = t.batch(dsn)
      b:add(t.film("f1", { audio_url = t.audio }))
      assert(t.run(b))
      fixture.write(b:row "f1".path, "edited")
      b:add(t.film("f2", { audio_url = t.audio }))
      assert.equal(2, assert(t.run(b)).done)
      assert.equal(1, t.service:count "create")
      assert.equal(b:row "f1".sha256, core.sha256(fixture.read(b:row "f2".path)))
      assert.equal("edited", fixture.read(b:row "f1".path))
    end)

    it("leaves nothing of a copy that is not the film, when no other can be had", function()
      local b = t.batch(dsn)
      b:add(t.film("f1", { audio_url = t.audio }))
      assert(t.run(b))
      fixture.write(b:row "f1".path, "edited")
      t.service:down()
      b:add(t.film("f2", { audio_url = t.audio }))
      local path, left = b:path(b:row "f2"), "not looked for"
      assert(t.run(b, { trouble = function()
        left = io.open(path, "rb")
        b:stop()
      end }))
      assert.is_nil(left)
      assert.equal("ready", b:row "f2".state)
      t.service:up()
    end)

    it("buys it again when it can be had nowhere any more", function()
      local b = t.batch(dsn)
      b:add(t.film("f1", { audio_url = t.audio }))
      assert(t.run(b))
      os.remove(b:row "f1".path)
      t.expire(b:row "f1".job_id)
      assert(b.ledger.db:change "UPDATE lipsync_jobs SET expires_at = expires_at - 8 * 86400")
      b:add(t.film("f2", { audio_url = t.audio }))
      assert.equal(2, assert(t.run(b)).done)
      assert.equal(2, t.service:count "create")
      assert.is_false(b:row "f2".adopted)
    end)

    -- Several workers -----------------------------------------------------------------------------

    it("shares its rows with another worker, and neither waits for nothing", function()
      local one, two = t.batch(dsn, { concurrency = 4 }), t.batch(dsn, { concurrency = 4 })
      one:add(t.films(12))
      lipsync.run(function()
        local tasks = { lipsync.spawn(t.run, one), lipsync.spawn(t.run, two) }
        for _, task in ipairs(tasks) do assert.equal(12, assert(task:join()).done) end
      end)
      assert.equal(12, t.service:count "create")
      for i = 1, 12 do assert.equal(1, one:row("f" .. i).attempts) end
    end)

    it("waits for what a dead worker had, and sends nothing again that may be paid", function()
      local b = t.batch(dsn, { lease = 0.6, concurrency = 5 })
      b:add(t.films(3))
      local dead = assert(b.ledger:worker("dead", 0.5))
      dead:claim_planned(5)
      dead:claim_planned(5)
      dead:submitted("f2", 1, t.job())
      local summary = assert(t.run(b))
      assert.equal("unknown done done", t.states(b))
      assert.equal(1, summary.unknown)
      assert.equal(2, t.service:count "create") -- the one above, and that of f3
      local waiting = t.told "waiting"[1]
      assert.is_true(waiting.count > 0 and type(waiting["until"]) == "number")
      assert.equal("unknown", t.said "f1")
      assert.equal("worker_lost", b:row "f1".error.name)
    end)

    it("follows a job once that it wrote down after its lease had ended", function()
      local b, looker = t.batch(dsn, { lease = 0.3 }), assert(ledger.open(dsn))
      b:add(t.film "f1")
      t.service:fail { at = "create", delay = 0.3 }
      t.service:fail { at = "info", data = { video_status = 2 }, times = 10 }
      lipsync.run(function()
        local running = lipsync.spawn(t.run, b)
        t.await(function() return t.service:count "create" == 1 end)
        looker.db:change "UPDATE lipsync_workers SET held_until = 0"
        local other = assert(looker:worker("other", 30))
        assert.same({ "f1" }, other:sweep())
        other:sign_off()
        t.await(function() return (looker:row "f1".worker or "other") ~= "other" end) -- has it again
        assert.equal(1, assert(running:join()).done)
      end)
      looker:close()
      assert.equal(1, #t.told "ready")
      assert.equal(1, #t.told "done")
      assert.equal(1, t.service:count "create")
    end)

    it("believes no lease from the future", function()
      local b = t.batch(dsn, { lease = 30 })
      b:add(t.film "f1")
      local dead = assert(b.ledger:worker("dead", 30))
      dead:claim_planned(5)
      dead:submitted("f1", 1, t.job())
      assert(b.ledger.db:change [[UPDATE lipsync_workers SET leased_at = leased_at + 86400,
        held_until = held_until + 86400]])
      assert.equal(1, assert(t.run(b)).done)
      assert.same({}, t.told "waiting")
    end)

    -- Deliveries ----------------------------------------------------------------------------------

    it("hears of a job, asks the service about it, and fetches it next time", function()
      local b = t.batch(dsn)
      local job = t.job()
      b:add(t.film "f1")
      assert.is_true(b:adopt("f1", job))
      local row = assert(b:hear { id = job.id, status = "completed" })
      assert.same({ "f1", "ready" }, { row.key, row.state })
      local nobody, err = b:hear { id = "66160f989dfc997ac289037b", status = "completed" }
      assert.is_nil(nobody)
      assert.equal("no_such_row", err.name)
      assert.equal(1, assert(t.run(b)).done)
      assert.equal(1, t.service:count "create")
      assert.equal("downloading done", t.said "f1")
    end)

    it("fetches first what expires first, and tells what will expire", function()
      local b = t.batch(dsn)
      local order = { "f3", "f1", "f4", "f2" }
      b:add(t.films(4))
      for _, key in ipairs(order) do
        local job = t.job()
        t.service:advance(3600)
        assert(b:adopt(key, job.id))
        assert(b:hear { id = job.id, status = "completed" })
      end
      local expiring = {}
      for i, row in ipairs(b:expiring(30 * 24 * 3600)) do expiring[i] = row.key end
      assert.same(order, expiring)
      assert.same({}, b:expiring(3600))
      assert(t.run(b))
      local fetched = {}
      for i, event in ipairs(t.told "downloading") do fetched[i] = event.key end
      assert.same(order, fetched)
    end)
  end)
end

-- The database does not matter ------------------------------------------------------------------------

describe("A batch", function()
  local t = batches.new { queue = 5, process = 10 }

  --- The service goes on as soon as it has no more to wait for: whenever nothing else happens.
  local function let_time_pass(b, seen)
    return lipsync.spawn(function()
      while b.running do
        local busy = 0
        for _, job in ipairs(t.service:jobs()) do
          if job.video_status < 3 then busy = busy + 1 end
        end
        if seen then seen.most = math.max(seen.most or 0, busy) end
        if seen and busy >= (seen.at or 1) or b:status().planned == 0 then t.service:advance(20) end
        if not lipsync.sleep(0.01) then return end
      end
    end)
  end

  it("has no more jobs at the service than it may", function()
    local b, seen = t.batch(nil, { concurrency = 2 }), { at = 2 }
    b:add(t.films(6))
    lipsync.run(function()
      local running = lipsync.spawn(t.run, b)
      t.await(function() return b.running end)
      let_time_pass(b, seen):join()
      assert.equal(6, running:join().done)
    end)
    assert.equal(2, seen.most)
    assert.equal(6, t.service:count "create")
  end)

  it("has no more there than it may, however many workers it has", function()
    local one, two = t.batch(nil, { concurrency = 2 }), t.batch(nil, { concurrency = 2 })
    local seen = { at = 2 }
    one:add(t.films(6))
    lipsync.run(function()
      local tasks = { lipsync.spawn(t.run, one), lipsync.spawn(t.run, two) }
      t.await(function() return one.running end)
      let_time_pass(one, seen):join()
      for _, task in ipairs(tasks) do assert.equal(6, task:join().done) end
    end)
    assert.equal(2, seen.most)
    assert.equal(6, t.service:count "create")
  end)

  it("goes on with what another worker had that stopped", function()
    local one, two = t.batch(nil, { concurrency = 2 }), t.batch(nil, { concurrency = 2 })
    one:add(t.films(3))
    lipsync.run(function()
      local stops = lipsync.spawn(one.run, one)
      t.await(function() return t.service:count "create" == 2 end)
      local goes_on = lipsync.spawn(t.run, two, { waiting = function() one:stop() end,
        submitted = function() t.service:advance(20) end })
      assert.equal("stop", stops:join().interrupted)
      t.service:advance(20)
      local summary = goes_on:join()
      assert.is_nil(summary.stopped)
      assert.equal(3, summary.done)
    end)
    assert.equal(3, t.service:count "create")
  end)

  it("tells of every step of a row, and carries it as it is then", function()
    local b = t.batch()
    b:add(t.film "f1")
    assert(t.run(b, {
      submitted = function() t.service:advance(6) end,
      processing = function() t.service:advance(10) end,
    }))
    assert.equal("submitting submitted processing ready downloading done", t.said "f1")
    for _, event in ipairs(t.told()) do
      if event.type == "progress" then
        assert.is_number(event.bytes)
      else
        assert.equal(event.type == "downloading" and "ready" or event.type, event.row.state)
      end
      assert.equal("f1", event.key)
      assert.equal(event.type ~= "submitting" and t.service:jobs()[1]._id or nil, event.job)
    end
    assert.is_true(#t.told "progress" > 0)
  end)

  it("follows what the last run left, and pays nothing for it", function()
    local b = t.batch()
    b:add(t.films(2))
    assert.equal("stop", assert(t.run(b, { submitted = function() b:stop() end })).interrupted)
    t.service:advance(20)
    assert.equal(2, assert(t.run(t.batch())).done)
    assert.equal(2, t.service:count "create")
  end)

  it("cancels what is planned, and that alone", function()
    local b = t.batch()
    b:add(t.films(2))
    assert.is_true(b:cancel "f1")
    assert(t.run(b, { submitted = function(event)
      assert.equal("wrong_state", select(2, b:cancel(event.key)).name)
      t.service:advance(20)
    end }))
    assert.equal("cancelled done", t.states(b))
    assert.equal(1, t.service:count "create")
  end)
end)
