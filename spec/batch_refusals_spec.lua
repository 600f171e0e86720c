-- What a batch makes of the service's refusals and failures: it waits, or submits nothing more, or
-- stops, or gives one row up; and whatever may have been paid is never sent again by itself.

local batches = require "support.batches"

describe("A batch", function()
  local t = batches.new { queue = 5, process = 10 }
  local b

  before_each(function() b = t.batch() end)

  local function complete() t.service:advance(20) end

  --- Run it to an end in which every job at the service is completed at once.
  local function run(on)
    on = on or {}
    on.submitted = on.submitted or complete
    return assert(t.run(b, on))
  end

  -- Later -------------------------------------------------------------------------------------------

  it("told that it asks too often submits nothing for a while, each time longer; films still come",
    function()
      b = t.batch(nil, { concurrency = 2 })
      b:add(t.films(2))
      t.service:fail { at = "create", skip = 1, times = 2, code = 1005 }
      local pauses = {}
      local summary = run { paused = function(event)
        assert.equal(1005, event.error.code)
        pauses[#pauses + 1] = event.seconds
        if #pauses == 2 then b:stop() end
      end, submitted = function() end, planned = complete }
      assert.same({ 5, 10 }, pauses)
      assert.equal("stop", summary.interrupted)
      assert.same({ 1, 1 }, { summary.done, summary.planned })
      assert.equal(1005, b:rows("planned")[1].error.code)
      assert.equal(2, run().done)
      assert.equal(2, #t.service:jobs())
    end)

  it("is not told to hurry by a create that it sent before it was told to wait", function()
    b = t.batch(nil, { concurrency = 2 })
    b:add(t.films(2))
    t.service:fail { at = "create", delay = 0.5 }
    t.service:fail { at = "create", times = 2, code = 1005 }
    local pauses = {}
    assert.equal(1, run({ paused = function(event)
      pauses[#pauses + 1] = event.seconds
      if #pauses == 2 then b:stop() end
    end }).planned)
    assert.same({ 5, 10 }, pauses)
    assert.same({}, t.told "resumed")
  end)

  it("takes refusals of what it sent at once for one", function()
    b = t.batch(nil, { concurrency = 3 })
    b:add(t.films(3))
    t.service:fail { at = "create", times = 3, code = 1005 }
    local pauses = {}
    run { paused = function(event)
      pauses[#pauses + 1] = event.seconds
      if #pauses == 3 then b:stop() end
    end }
    assert.same({ 5, 5, 5 }, pauses)
  end)

  it("goes on after such a pause, and says so", function()
    b:add(t.film "f1")
    t.service:fail { at = "create", code = 1005 }
    assert.equal(1, run().done)
    assert.equal("submitting planned submitting submitted ready downloading done", t.said "f1")
    assert.same({ 1, 1 }, { #t.told "paused", #t.told "resumed" })
    assert.is_nil(b:row "f1".error)
    assert.equal(2, b:row "f1".attempts)
  end)

  -- No more -----------------------------------------------------------------------------------------

  for _, code in ipairs { 1006, 1104, 1103, 1009 } do
    it(("told %d submits nothing more, follows the rest, and says why"):format(code), function()
      b = t.batch(nil, { concurrency = 2 })
      b:add(t.films(4))
      t.service:fail { at = "create", skip = 1, times = "always", code = code }
      local summary = run { submitted = function() end, stopping = complete }
      assert.same({ 1, 3 }, { summary.done, summary.planned })
      assert.equal(code, summary.stopped.code)
      assert.equal(code, t.told "stopping"[1].error.code)
      assert.is_nil(summary.interrupted)
      assert.equal(2, t.service:count "create")
      t.service:clear()
      assert.equal(4, run().done) -- the account was put in order
      assert.equal(4, #t.service:jobs())
    end)
  end

  for _, code in ipairs { 1101, 1102, 1200 } do
    it(("told %d for a create stops everything"):format(code), function()
      b = t.batch(nil, { concurrency = 1 })
      b:add(t.films(3))
      t.service:fail { at = "create", times = "always", code = code }
      local summary = run()
      assert.equal(code, summary.stopped.code)
      assert.equal(3, summary.planned)
      assert.equal(1, t.service:count "create")
    end)

    it(("told %d for a job stops everything, and follows it next time"):format(code), function()
      b = t.batch(nil, { concurrency = 1 })
      b:add(t.films(2))
      t.service:fail { at = "info", times = "always", code = code }
      local summary = run()
      assert.equal(code, summary.stopped.code)
      assert.equal("submitted planned", t.states(b))
      t.service:clear()
      assert.equal(2, run().done)
      assert.equal(2, t.service:count "create")
    end)
  end

  -- This one ----------------------------------------------------------------------------------------

  for _, code in ipairs { 1203, 1204, 1007, 1003, 1015 } do
    it(("told %d gives up that row, and never sends it again by itself"):format(code), function()
      b = t.batch(nil, { concurrency = 1 })
      b:add(t.films(2))
      t.service:fail { at = "create", code = code }
      local summary = run()
      assert.same({ 1, 1 }, { summary.failed, summary.done })
      assert.is_nil(summary.stopped)
      local row = b:row "f1"
      assert.equal(code, row.error.code)
      assert.is_true(#row.error.message > 10)
      assert.equal("submitting failed", t.said "f1")
      assert.equal(1, run().failed)
      assert.equal(2, t.service:count "create")
      assert.is_true(b:retry "f1")
      assert.equal(2, run().done)
    end)
  end

  it("gives up a row whose job failed, keeps its id, and retries it by the user's word", function()
    b:add(t.film "f1")
    local summary = run { submitted = function(event)
      t.service:set(event.job, { video_status = 4 })
    end }
    assert.equal(1, summary.failed)
    local row = b:row "f1"
    assert.same({ "failed", t.service:jobs()[1]._id }, { row.error.kind, row.job_id })
    assert.is_true(b:retry "f1")
    assert.equal(1, run().done)
    assert.equal(2, t.service:count "create")
  end)

  -- The same film -----------------------------------------------------------------------------------

  it("told that a film was made before takes the job of the row that made it", function()
    b:add { t.film("f1", { audio_url = t.audio }) }
    run()
    b:add { t.film("f2", { audio_url = t.audio, force = true }) }
    t.service:fail { at = "create", code = 1202 }
    assert.equal(2, run().done)
    local one, two = b:row "f1", b:row "f2"
    assert.same({ one.job_id, one.sha256, true }, { two.job_id, two.sha256, two.adopted })
    assert.equal("submitting adopted downloading done", t.said "f2")
    assert.equal(1, #t.service:jobs())
  end)

  it("that does not know who made a film before gives the row up, until the user names the job",
    function()
      local job = t.job()
      b:add(t.film "f1")
      t.service:fail { at = "create", code = 1202 }
      assert.equal(1, run().failed)
      assert.equal("duplicate", b:row "f1".error.kind)
      complete()
      assert.is_true(b:adopt("f1", job))
      assert.equal(1, run().done)
      assert.equal(1, #t.service:jobs())
    end)

  -- In doubt ----------------------------------------------------------------------------------------

  describe("that loses the answer to a create", function()
    before_each(function()
      b:add(t.film("f1", { audio_url = t.audio }))
      t.service:fail { at = "create", reset = "after" }
      local summary = run()
      assert.equal(1, summary.unknown)
      assert.equal("submitting unknown", t.said "f1")
      assert.is_true(t.told "unknown"[1].error.maybe_created)
      assert.equal("unknown", b:row "f1".state)
    end)

    it("reports it and never sends it again", function()
      for _ = 1, 2 do assert.equal(1, run().unknown) end
      assert.equal(1, t.service:count "create")
    end)

    it("sends it again by the user's word", function()
      assert.is_true(b:resubmit "f1")
      assert.equal(1, run().done)
      assert.equal(2, #t.service:jobs())
      assert.equal(2, b:row "f1".attempts)
    end)

    it("takes the job that the user names", function()
      complete()
      assert.is_true(b:adopt("f1", t.service:jobs()[1]._id))
      assert.equal(1, run().done)
      assert.equal(1, t.service:count "create")
    end)

    it("holds rows that want the same film back, and says why", function()
      b:add { t.film("f2", { audio_url = t.audio }), t.film "f3" }
      local summary = run()
      assert.equal("unknown planned done", t.states(b))
      assert.equal("held_back", summary.stopped.name)
      assert.is_true(b:adopt("f1", t.service:jobs()[1]._id))
      assert.equal(3, run().done)
      assert.equal(2, t.service:count "create")
    end)
  end)

  -- Gone --------------------------------------------------------------------------------------------

  it("whose result is gone says so, and buys it again by the user's word", function()
    b:add(t.film "f1")
    local summary = run { submitted = function(event)
      complete()
      t.expire(event.job)
    end }
    assert.equal(1, summary.expired)
    assert.equal("expired", b:row "f1".error.kind)
    assert.equal(1, run().expired)
    assert.equal(1, t.service:count "create")
    assert.is_true(b:retry "f1")
    assert.equal(1, run().done)
    assert.equal(2, t.service:count "create")
  end)

  it("does not buy what the user had, when the result of the job that he named is gone", function()
    local job = t.job()
    complete()
    t.expire(job.id)
    b:add(t.film "f1")
    assert.is_true(b:adopt("f1", job))
    assert.equal(1, run().expired)
    assert.equal(1, t.service:count "create")
  end)

  it("leaves a row alone whose job the service does not know, and says so", function()
    b:add(t.films(2))
    assert.is_true(b:adopt("f1", "66160f989dfc997ac289037b"))
    local summary = run()
    assert.equal("submitted done", t.states(b))
    assert.equal("not_found", summary.stopped.kind)
    assert.equal("not_found", t.told "trouble"[1].error.kind)
  end)
end)
