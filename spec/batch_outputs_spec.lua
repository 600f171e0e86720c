-- Where a batch writes its films: under which name, never over a file that is there, and on from where a
-- download was left.

local batches = require "support.batches"
local fixture = require "support.fixture"
local lipsync = require "akool.lipsync"

describe("A batch", function()
  local t = batches.new { queue = 5, process = 10 }

  describe("writes a film", function()
    it("to the key, as a file name that every system takes", function()
      local b = t.batch()
      for key, output in pairs { ["../../etc/x"] = "__.._etc_x.mp4", ["a b"] = "a b.mp4",
        ["a:b?"] = "a_b_.mp4", [".hidden"] = "_hidden.mp4", ["über"] = "über.mp4" } do
        assert.equal(1, b:add(t.film(key:gsub("%W", "_"), { key = key })))
        assert.equal(output, b:row(key).output)
      end
    end)

    it("where it is told, below the folder or anywhere", function()
      local b = t.batch()
      b:add { t.film("f1", { output = "other.mp4" }),
        t.film("f2", { output = t.path "elsewhere.mp4" }) }
      assert(t.run(b, { submitted = function() t.service:advance(20) end }))
      assert.same({ "other.mp4" }, fixture.files(t.films_folder))
      assert.equal(t.path "elsewhere.mp4", b:row "f2".path)
    end)

    it("into a folder that another worker is just trying", function()
      local b, job = t.batch(), t.completed()
      t.service:fail { at = "file", stall_at = 10 }
      lipsync.run(function()
        local trying = lipsync.spawn(function()
          return t.client():download(job, t.films_folder .. "/.akool-lipsync")
        end)
        t.await(function() return t.service:count "file" == 1 end)
        assert.equal(0, assert(t.run(b)).total)
        trying:cancel()
        trying:join()
      end)
    end)

    it("once another worker is through with it", function()
      local b, job = t.batch(), t.completed()
      b:add(t.film "f1")
      local path = b:path(b:row "f1")
      t.service:fail { at = "file", stall_at = 10 }
      lipsync.run(function()
        local other = lipsync.spawn(function() return t.client():download(job, path) end)
        t.await(function() return t.service:count "file" == 1 end)
        local summary = assert(t.run(b, {
          paused = function(event)
            assert.equal("file_busy", event.error.name)
            other:cancel()
          end,
          submitted = function() t.service:advance(20) end,
        }))
        assert.same({ 1, nil }, { summary.done, summary.stopped })
        other:join()
      end)
      assert.equal(2, #t.service:jobs())
    end)

    it("not over a file that is there, and pays nothing for it", function()
      local b = t.batch()
      fixture.write(t.films_folder .. "/f1.mp4", "mine")
      b:add(t.films(2))
      assert(t.run(b, { submitted = function() t.service:advance(20) end }))
      assert.equal("failed done", t.states(b))
      assert.equal("file_exists", b:row "f1".error.name)
      assert.equal("submitting failed", t.said "f1")
      assert.equal(1, t.service:count "create")
      assert.equal("mine", fixture.read(t.films_folder .. "/f1.mp4"))
      os.remove(t.films_folder .. "/f1.mp4")
      assert(b:retry "f1")
      assert(t.run(b, { submitted = function() t.service:advance(20) end }))
      assert.equal("done done", t.states(b))
    end)

    it("not over a file that came meanwhile; it is fetched when that is gone", function()
      local b = t.batch()
      b:add(t.film "f1")
      local summary = assert(t.run(b, { submitted = function()
        fixture.write(t.films_folder .. "/f1.mp4", "mine")
        t.service:advance(20)
      end }))
      assert.equal("file_exists", summary.stopped.name)
      assert.equal("ready", t.states(b))
      assert.equal("mine", fixture.read(t.films_folder .. "/f1.mp4"))
      os.remove(t.films_folder .. "/f1.mp4")
      assert.equal(1, assert(t.run(b)).done)
      assert.equal(1, t.service:count "create")
    end)
  end)

  it("goes on with a download where the last run left it", function()
    local b = t.batch()
    b:add(t.film "f1")
    t.service:fail { at = "file", stall_at = 60000 }
    assert(t.run(b, {
      submitted = function(event)
        t.service:set(event.job, { bytes = 100000 })
        t.service:advance(20)
      end,
      progress = function(event) if event.bytes > 50000 then b:stop() end end,
    }))
    assert.equal("ready", t.states(b))
    assert.equal("f1.mp4.part", fixture.files(t.films_folder)[1])
    assert.equal(1, assert(t.run(b)).done)
    local range = t.service:requests "file"[2].headers.range
    assert.is_true(tonumber(range:match "^bytes=(%d+)%-$") > 50000, range)
    assert.equal(100000, b:row "f1".bytes)
    assert.equal(1, t.service:count "create")
  end)
end)
