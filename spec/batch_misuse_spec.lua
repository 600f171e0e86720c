-- What a batch says to who misuses it, at the line of the mistake, and what it says of rows that cannot
-- be added.

local batch = require "akool.lipsync.batch"
local batches = require "support.batches"
local lipsync = require "akool.lipsync"

describe("A batch", function()
  local t = batches.new { queue = 5, process = 10 }

  describe("raises at the line of who misuses it", function()
    local b
    before_each(function() b = t.batch() end)

    local function raises(words, f)
      local fine, why = pcall(f)
      assert.is_false(fine)
      assert.is_truthy(tostring(why):find "^spec/batch_misuse_spec%.lua:%d+: ", why)
      assert.is_truthy(tostring(why):find(words, 1, true), why)
    end

    local WRONG = {
      ["expected, got string"] = function() b:add "f1" end,
      ["did you mean \"video_url\""] = function() b:add { key = "a", vidoe_url = "x" } end,
      ["video_url should be a string"] = function() b:add { key = "a", video_url = 3 } end,
      ["did you mean \"concurrency\""] = function() batch.open("x.db", { concurency = 2 }) end,
      ["option concurrency"] = function() batch.open("x.db", { concurrency = 0 }) end,
      ["a client"] = function() batch.open("x.db", { client = {} }) end,
      ["lease"] = function() batch.open("x.db", { lease = 0 }) end,
      ["a ledger such as"] = function() batch.open(nil) end,
      ["did you mean \"on_event\""] = function() b:run { on_evnet = print } end,
      ["option on_event"] = function() b:run { on_event = 3 } end,
      ["option webhook"] = function() b:run { webhook = {} } end,
      ["did you mean \"planned\""] = function() b:rows "plannd" end,
      ["row: the key"] = function() b:row(3) end,
      ["retry: the key"] = function() b:retry() end,
      ["resubmit: the key"] = function() b:resubmit {} end,
      ["cancel: the key"] = function() b:cancel(1) end,
      ["adopt: a job or its id"] = function() b:adopt("f1", 3) end,
      ["expiring: a number"] = function() b:expiring "soon" end,
      ["hear: an event"] = function() b:hear "f1" end,
    }

    for words, f in pairs(WRONG) do
      it(words, function() raises(words, f) end)
    end

    it("and runs once at a time", function()
      b:add(t.film "f1")
      assert(t.run(b, { submitting = function()
        raises("is running", function() b:run() end)
        raises("is running", function() b:close() end)
      end, submitted = function() t.service:advance(20) end }))
    end)
  end)

  it("raises where nothing can wait, begins nothing, and runs elsewhere", function()
    local b, step = t.batch(), nil
    b:add(t.films(2))
    lipsync.use { name = "frames", watch = function(_, its_step)
      step = its_step
      return function() end
    end }
    finally(function() lipsync.use(false) end)
    local fine, why = pcall(b.run, b)
    assert.is_false(fine)
    assert.is_truthy(tostring(why):find("would block frames", 1, true), why)
    for _ = 1, 10 do
      if step then step() end
    end
    assert.equal(0, t.service:count "create")
    lipsync.use(false)
    assert.equal(2, assert(t.run(b, { submitted = function() t.service:advance(20) end })).done)
  end)

  it("says what is wrong with what is to be added, and adds none of it", function()
    local b = t.batch()
    local long = ("k"):rep(256)
    for _, case in ipairs { { "bad_item", "key", { key = "" } },
      { "bad_item", "255", { key = long } },
      { "bad_item", "control character", { key = "a\nb" } },
      { "bad_url", "video_url", { video_url = "file:///etc/passwd" } },
      { "bad_url", "webhook_url", { webhook_url = "nonsense" } },
      { "bad_item", "output", { output = "" } } } do
      local new, err = b:add { t.film "good", t.film("bad", case[3]) }
      assert.is_nil(new)
      assert.same({ case[1], 2 }, { err.name, err.item })
      assert.is_truthy(err.message:find(case[2], 1, true), err.message)
    end
    local new, err = b:add { key = "bad", audio_url = t.audio }
    assert.is_nil(new)
    assert.is_truthy(err.message:find("has no video_url", 1, true))
    assert.equal(0, b:status().total)
    assert.equal(0, b:add {})
  end)
end)
