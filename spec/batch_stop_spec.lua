-- A run of a batch can be stopped at any time, by the program, by a signal or by an error: what is at
-- the service goes on there, nothing is forgotten, and the next run pays nothing twice.

local batches = require "support.batches"
local child = require "support.child"
local fixture = require "support.fixture"
local lipsync = require "akool.lipsync"
local uv = require "luv"
local webhook = require "akool.lipsync.webhook"

local SIGNALLED = 128

describe("A batch", function()
  webhook.listen({ client_id = "id", client_secret = ("s"):rep(16) }):close() -- luv's descriptors
  local t = batches.new { queue = 5, process = 10 }
  local b

  before_each(function() b = t.batch() end)

  local function complete() t.service:advance(20) end

  --- The next run brings all to their films, with one create for each.
  local function finishes(count)
    complete()
    assert.equal(count, assert(t.run(t.batch(), { submitted = complete })).done)
    assert.equal(count, t.service:count "create")
    assert.equal(count, #t.service:jobs())
  end

  -- By the program --------------------------------------------------------------------------------

  it("stops when it is told to, and begins nothing new", function()
    b = t.batch(nil, { concurrency = 1 })
    b:add(t.films(3))
    local summary = assert(t.run(b, { submitted = function() b:stop() end }))
    assert.equal("stop", summary.interrupted)
    assert.is_nil(summary.stopped)
    assert.equal("submitted planned planned", t.states(b))
    assert.equal(1, #t.told "stopping")
    assert.is_nil(b:row "f1".worker)
    finishes(3)
  end)

  it("waits for the answers to creates before it stops", function()
    b:add(t.films(3))
    t.service:fail { at = "create", times = "always", delay = 0.05 }
    assert(t.run(b, { submitting = function() b:stop() end }))
    assert.equal(0, b:status().unknown)
    assert.equal(#t.service:jobs(), b:status().submitted)
    t.service:clear()
    finishes(3)
  end)

  it("is not running when it is told to stop: nothing happens", function()
    b:stop()
    b:add(t.film "f1")
    finishes(1)
  end)

  it("ends with what the program's function raises, and has forgotten nothing", function()
    for _, type in ipairs { "submitting", "submitted", "ready", "downloading", "progress",
      "done" } do
      t.service:reset()
      b = t.batch(t.path(type .. ".db"))
      b:add(t.film(type))
      local thing = { type }
      local on = { submitted = complete }
      on[type] = function() error(thing) end
      local fine, why = pcall(t.run, b, on)
      assert.is_false(fine)
      assert.equal(thing, why)
      complete()
      assert.equal(1, assert(t.run(b, { submitted = complete })).done, type)
      assert.equal(1, t.service:count "create", type)
      b:close()
    end
  end)

  it("ends with its task", function()
    b:add(t.films(2))
    lipsync.run(function()
      local task = lipsync.spawn(t.run, b)
      t.await(function() return b:status().submitted == 2 end)
      task:cancel()
      assert.equal("cancelled", task:join().interrupted)
    end)
    assert.equal("submitted submitted", t.states(b))
    finishes(2)
  end)

  -- Beside others -----------------------------------------------------------------------------------

  it("runs in a task beside others", function()
    b:add(t.films(2))
    lipsync.run(function()
      local ticks, task = 0, lipsync.spawn(t.run, b, { submitted = complete })
      while b.running or ticks == 0 do
        ticks = ticks + 1
        lipsync.sleep(0.001)
      end
      assert.equal(2, task:join().done)
      assert.is_true(ticks > 5)
    end)
  end)

  it("runs in another program's loop", function()
    b:add(t.films(2))
    lipsync.use "luv"
    finally(function() lipsync.use(false) end)
    local summary
    lipsync.spawn(function() summary = t.run(b, { submitted = complete }) end)
    uv.run()
    assert.equal(2, summary.done)
  end)

  it("is told by a receiver of webhooks what came of its jobs", function()
    local receiver = assert(webhook.listen { path = "/hook",
      client_id = fixture.secrets.client_id, client_secret = fixture.secrets.client_secret })
    receiver.url = ("http://127.0.0.1:%d/hook"):format(receiver.port)
    b = t.batch(nil, { client = t.client { max_retries = 0, poll = { first = 600, max = 600 } } })
    b:add { t.film "f1", t.film("f2", { webhook_url = t.service.url .. "/elsewhere" }) }
    local summary
    lipsync.run(function()
      local running = lipsync.spawn(t.run, b, nil, { webhook = receiver })
      t.await(function() return b:status().submitted == 2 end)
      assert.equal(receiver.url, t.service:jobs()[1].webhookUrl)
      complete()
      t.await(function() return b:row "f1".state == "done" end)
      assert.equal("submitted", b:row "f2".state) -- nobody told us of that one
      b:stop()
      summary = running:join()
    end)
    receiver:close()
    assert.equal(1, summary.done)
  end)

  -- By a signal -------------------------------------------------------------------------------------

  --- A program that runs the batch and sends itself signals: at an event of a type, `name`.
  local function program(signals, lease)
    return ([[
      local batch, lipsync = require "akool.lipsync.batch", require "akool.lipsync"
      local signals, pid = { %s }, require("luv").os_getpid()
      local b = assert(batch.open(%q, { output_dir = %q, concurrency = 1, lease = %s,
        client = assert(lipsync.new { poll = { first = 0.01, max = 0.02 } }) }))
      local function on_event(event)
        local name = signals[event.type]
        if not name then return end
        local kill = io.popen(("kill -%%s %%d"):format(name, pid))
        kill:read "*a"
        kill:close()
      end
      local summary, err = b:run { on_event = on_event }
      if not summary then error(err) end
      print(summary.interrupted, summary.stopped)
      b:close()
    ]]):format(signals, t.path "jobs.db", t.films_folder, lease or 30)
  end

  local function run_program(...)
    return child.run(program(...), { environment = { AKOOL_API_KEY = fixture.secrets.api_key,
      AKOOL_BASE_URL = t.service.url, AKOOL_TOKEN = false, AKOOL_CLIENT_ID = false,
      AKOOL_CLIENT_SECRET = false } })
  end

  it("begins no create once it is told to stop", function()
    b:add(t.films(3))
    local summary = assert(t.run(b, { submitting = function() b:stop() end }))
    assert.equal("stop", summary.interrupted)
    assert.equal(0, t.service:count "create")
    assert.equal("planned planned planned", t.states(b))
    assert.equal(1, #t.told "submitting")
    finishes(3)
  end)

  for _, name in ipairs { "INT", "TERM" } do
    it("stops cleanly at SIG" .. name .. ", and the next run goes on", function()
      b:add(t.films(3))
      local said, status = run_program(('submitted = "%s"'):format(name))
      assert.equal(("SIG%s\tnil\n"):format(name), said)
      assert.equal(0, status)
      assert.equal("submitted planned planned", t.states(b))
      finishes(3)
    end)
  end

  it("writes down the job whose create was under way at the signal", function()
    b:add(t.films(2))
    local said = run_program 'submitting = "TERM"'
    assert.equal("SIGTERM\tnil\n", said)
    assert.equal("submitted planned", t.states(b))
    finishes(2)
  end)

  it("ends at once at a second signal; what was under way is in doubt, not sent again", function()
    b = t.batch(nil, { lease = 1 })
    b:add(t.films(2))
    t.service:fail { at = "create", stall = "after" }
    local _, status = run_program('submitting = "TERM", stopping = "TERM"', 1)
    assert.equal(SIGNALLED + 15, status)
    assert.equal("submitting planned", t.states(b))
    local summary = assert(t.run(b, { submitted = complete }))
    assert.same({ 1, 1 }, { summary.unknown, summary.done })
    assert.equal("unknown done", t.states(b))
    assert.is_true(t.service:count "create" <= 2)
  end)

  it("that is killed leaves nothing that is lost or paid twice", function()
    b = t.batch(nil, { lease = 1 })
    for _, at in ipairs { "submitted", "ready", "progress" } do
      t.service:reset()
      complete()
      b:add(t.film(at))
      lipsync.run(function()
        local task = lipsync.spawn(function()
          t.await(function() return b:row(at).job_id end)
          complete()
        end)
        local path = child.script(program(('%s = "KILL"'):format(at), 1), t.path(at .. ".lua"))
        local ends = child.start(path, { environment = {
          AKOOL_API_KEY = fixture.secrets.api_key, AKOOL_BASE_URL = t.service.url } })
        task:join()
        local _, status = ends()
        assert.equal(SIGNALLED + 9, status)
      end)
      assert.equal(0, assert(t.run(b)).unknown)
      assert.equal("done", b:row(at).state)
      assert.equal(1, t.service:count "create")
    end
  end)
end)
