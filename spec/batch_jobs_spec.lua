-- Which job a row of a batch has: one that is gone is bought once more, whoever asks for it; one that
-- was given to it by mistake can be taken from it again.

local batches = require "support.batches"

describe("A batch", function()
  local t = batches.new { queue = 0, process = 0 }
  local b

  before_each(function() b = t.batch() end)

  --- Rows that ask for the film of f1.
  local function twins(...)
    local list = {}
    for i, key in ipairs { ... } do
      list[i] = t.film(key, { audio_url = t.film("f1").audio_url })
    end
    return list
  end

  --- The film of f1 is gone from the disk, and eight days later its job's result from the service.
  local function lose()
    os.remove(b:row "f1".path)
    t.expire(b:row "f1".job_id)
    assert(b.ledger.db:change "UPDATE lipsync_jobs SET expires_at = 1")
  end

  local function bought_and_gone()
    b:add(t.film "f1")
    assert.equal(1, assert(t.run(b)).done)
    lose()
  end

  describe("whose film is gone, from the disk and from the service,", function()
    it("buys it once more, however many rows ask for it", function()
      bought_and_gone()
      b:add(twins("f2", "f3", "f4"))
      assert.equal(4, assert(t.run(b)).done)
      assert.equal(2, t.service:count "create")
      local ids = {}
      for _, row in ipairs(b:rows()) do
        assert.is_false(row.forced)
        assert.equal(row.key == "f1", row.gone)
        ids[row.job_id] = true
      end
      assert.is_truthy(ids[b:row "f2".job_id] and ids[b:row "f1".job_id])
    end)

    it("does not order it again and again when the service says that it made it", function()
      bought_and_gone()
      b:add(twins "f2")
      t.service:fail { at = "create", code = 1202, times = "always" }
      local summary = assert(t.run(b))
      assert.equal(1, summary.failed)
      assert.equal(1202, b:row "f2".error.code)
      assert.equal(2, t.service:count "create")
    end)

    it("copies it from any row that still has it on disk", function()
      b:add(t.film "f1")
      assert(t.run(b))
      b:add(twins "f2")
      assert(t.run(b))
      lose()
      b:add(twins "f3")
      assert.equal(3, assert(t.run(b)).done)
      assert.equal(1, t.service:count "create")
    end)

    it("buys it by the user's word when the user had named that job", function()
      local job = t.job()
      b:add(t.film "f1")
      assert.is_true(b:adopt("f1", job))
      assert.equal(1, assert(t.run(b)).done)
      lose()
      b:add(twins "f2")
      assert.equal(1, assert(t.run(b)).expired)
      assert.equal(1, t.service:count "create")
      assert.is_true(b:retry "f2")
      assert.equal(2, assert(t.run(b)).done)
      assert.equal(2, t.service:count "create")
    end)
  end)

  describe("with a job that the service does not know", function()
    local WRONG = "66160f989dfc997ac289037b"

    before_each(function()
      b = t.batch(nil, { concurrency = 1 })
      b:add(t.films(2))
      assert.is_true(b:adopt("f1", WRONG))
      assert.equal("content_not_found", assert(t.run(b)).stopped.name)
      assert.equal("submitted planned", t.states(b))
    end)

    it("takes another in its place", function()
      assert.is_true(b:adopt("f1", t.job()))
      assert.equal(2, assert(t.run(b)).done)
      assert.equal(2, t.service:count "create")
    end)

    it("buys the film if the user says so", function()
      assert.is_true(b:retry "f1")
      assert.is_nil(b:row "f1".job_id)
      assert.equal(2, assert(t.run(b)).done)
      assert.equal(2, t.service:count "create")
    end)
  end)

  it("keeps a job of a row's own from being taken from it", function()
    b:add(t.film "f1")
    t.service:fail { at = "info", times = "always", code = 1008 }
    assert(t.run(b))
    assert.equal("submitted", b:row "f1".state)
    for _, verb in ipairs { "retry", "adopt", "resubmit", "cancel" } do
      assert.equal("wrong_state", select(2, b[verb](b, "f1", t.job().id)).name)
    end
    t.service:clear()
    assert.equal(1, assert(t.run(b)).done)
  end)
end)
