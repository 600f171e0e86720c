-- The same calls wait in every setting: blocking, in tasks side by side, in coroutines of the
-- program's own, under a host's loop. What is started ends, cancelling works in every state, and
-- nothing is left behind.

local child = require "support.child"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local lipsync = require "akool.lipsync"
local shell = require "support.shell"
local uv = require "luv"

local UNKNOWN = "66160f989dfc997ac289037b"

uv.new_pipe(false):close() -- libuv's first one opens a descriptor that it keeps

--- Wait until something is so; only a broken library makes this fail.
local function eventually(is_so)
  local deadline = core.now() + 20
  while not is_so() do
    assert(core.now() < deadline, "it never came to that")
    lipsync.sleep(0.002)
  end
end

--- Drive the loop until no task is left.
local function drain()
  local deadline = core.now() + 20
  while lipsync.step(0.05) > 0 do assert(core.now() < deadline, "tasks were left behind") end
end

--- What `f` returns, by way of a generator: a coroutine that is not a task.
local function generated(f)
  return coroutine.wrap(function() coroutine.yield(f()) end)()
end

--- Run a program in an interpreter of its own, for what might never end. Returns what it printed.
local function in_other_process(program)
  local said, status = child.run(
    "local core, lipsync = require 'akool.lipsync.core', require 'akool.lipsync'\n" .. program)
  assert.equal(0, status, said)
  return said
end

describe("a call", function()
  local t = fixture.new { credits = 1e9 }

  it("blocks outside a task and lets other tasks go on inside one", function()
    local client, order = t.client(), {}
    local job = t.job(client)
    t.service:fail { at = "info", delay = 0.1, times = "always" }
    assert(client:info(job))
    local function ask(name)
      order[#order + 1] = name .. " asks"
      assert(client:info(job))
      order[#order + 1] = name .. " knows"
    end
    local one, two = lipsync.spawn(ask, "one"), lipsync.spawn(ask, "two")
    one:join()
    two:join()
    assert.same({ "one asks", "two asks" }, { order[1], order[2] })
    assert.equal(4, #order)
  end)

  it("keeps the tasks going while it blocks outside of them", function()
    local client, ticks = t.client(), 0
    local job = t.job(client)
    local ticking = lipsync.spawn(function()
      while true do
        if not lipsync.sleep(0.005) then return end
        ticks = ticks + 1
      end
    end)
    t.service:fail { at = "info", delay = 0.3 }
    assert(client:info(job))
    assert.is_true(ticks >= 3)
    ticking:cancel()
    ticking:join()
  end)

  it("works in a plain coroutine of the program's", function()
    local client = t.client()
    local job = t.job(client)
    assert.equal(job.id, generated(function() return client:info(job) end).id)
    assert.equal(job.id, generated(function()
      return generated(function() return client:info(job) end)
    end).id)
  end)

  it("works in a generator inside a task, and in a generator inside that", function()
    local client = t.client()
    local job = t.job(client)
    lipsync.run(function()
      assert.equal(job.id, generated(function() return client:info(job) end).id)
      assert.equal(job.id, generated(function()
        return generated(function() return client:info(job) end)
      end).id)
    end)
  end)

  it("works in the generators of thirty tasks at once", function()
    local client, jobs = t.client(), {}
    for i = 1, 30 do jobs[i] = t.job(client) end
    t.service:fail { at = "info", delay = 0.02, times = "always" }
    local function statuses(job)
      return coroutine.wrap(function()
        for _ = 1, 3 do coroutine.yield(assert(client:info(job)).id) end
      end)
    end
    local seen, errors = lipsync.map(jobs, function(job)
      local count = 0
      for id in statuses(job) do
        assert.equal(job.id, id)
        count = count + 1
        lipsync.sleep(0.001)
      end
      return count
    end, { concurrency = 30 })
    assert.same({}, errors)
    for i = 1, 30 do assert.equal(3, seen[i]) end
    assert.equal(90, t.service:count "info")
  end)

  it("works in generators that spawn and join tasks with generators", function()
    local function depth(n)
      if n == 0 then return lipsync.sleep(0.005) and 0 end
      return 1 + generated(function() return lipsync.spawn(depth, n - 1):join() end)
    end
    assert.equal(6, lipsync.run(depth, 6))
  end)

  it("says so rather than hang, when generators and tasks are nested too deeply", function()
    assert.is_truthy(in_other_process([[
      local function depth(n)
        if n == 0 then return lipsync.sleep(0.005) and 0 end
        return 1 + coroutine.wrap(function()
          coroutine.yield(lipsync.spawn(depth, n - 1):join())
        end)()
      end
      local ok, value = pcall(lipsync.run, depth, 40)
      print(ok and value == 40 or type(value) == "string" and "ended")
    ]]):find "^%a+\n$")
  end)

  it("works in a task inside pcall, an iterator and callbacks of functions in C", function()
    lipsync.run(function()
      assert.same({ true, true }, { pcall(lipsync.sleep, 0.001) })
      local function once(_, before)
        local slept = not before and lipsync.sleep(0.001)
        return slept or nil
      end
      for slept in once do assert.is_true(slept) end
      assert.equal("true", (("x"):gsub("x", function() return tostring(lipsync.sleep(0.001)) end)))
      table.sort({ 2, 1 }, function(a, b) return lipsync.sleep(0.001) and a < b end)
    end)
  end)

  it("works in a task where Lua 5.1 cannot tell that it cannot yield: that raises there", function()
    local lazy = setmetatable({}, { __index = function() return lipsync.sleep(0.001) end })
    for _, wait in ipairs {
      function() return lazy.field end,
      function()
        local slept
        local function once() if not slept then return lipsync.sleep(0.001) end end
        for now in once do slept = now end
        return slept
      end,
    } do
      local ok, value = pcall(lipsync.run, wait)
      if _VERSION == "Lua 5.1" and not jit then
        assert.is_false(ok)
        assert.is_truthy(value:find("attempt to yield across metamethod/C-call boundary", 1, true))
      else
        assert.same({ true, true }, { ok, value })
      end
    end
    core.engine():close() -- nobody is told of what ends here
    assert.is_true(lipsync.run(lipsync.sleep, 0.001))
  end)

  it("lets others go on when a task yields by itself", function()
    local order = {}
    local function count(name)
      for i = 1, 3 do
        order[#order + 1] = name .. i
        coroutine.yield()
      end
    end
    local a, b = lipsync.spawn(count, "a"), lipsync.spawn(count, "b")
    a:join()
    b:join()
    assert.same({ "a1", "b1", "a2", "b2", "a3", "b3" }, order)
  end)

  it("gets its answer though another task never stops to yield by itself", function()
    local client, over = t.client(), false
    local job = t.job(client)
    local busy = lipsync.spawn(function() while not over do coroutine.yield() end end)
    assert(client:info(job))
    assert.is_true(lipsync.sleep(0.02))
    over = true
    busy:join()
  end)
end)

describe("lipsync.map", function()
  local t = fixture.new { credits = 1e9 }

  it("takes 1,000 jobs, no more at once than it was told, and keeps their order", function()
    local client, ids, list = t.client(), {}, {}
    for i = 1, 10 do ids[i] = t.job(client).id end
    t.events = {}
    for i = 1, 1000 do list[i] = ids[i % 10 + 1] end
    local engine, now, most = core.engine(), 0, 0
    local results, errors = lipsync.map(list, function(id, i)
      now = now + 1
      most = math.max(most, now)
      local job, err = client:info(id)
      now = now - 1
      assert(core.engine() == engine, "another engine")
      if i % 100 == 0 then return nil, "no " .. i end
      if i % 100 == 50 then error("raised " .. i, 0) end
      return job and { i = i, id = job.id }, err
    end, { concurrency = 50 })
    assert.equal(50, most)
    assert.is_true(t.service:connections() <= 51)
    assert.equal(1000, t.service:count "info")
    local asked, at_once = 0, 0
    for _, event in ipairs(t.events) do
      if event.type == "request" then asked = asked + 1 end
      if event.type == "answer" then asked = asked - 1 end
      at_once = math.max(at_once, asked)
    end
    assert.is_true(at_once <= 50 and at_once > 10, at_once)
    for i = 1, 1000 do
      if i % 100 == 0 then
        assert.equal("no " .. i, errors[i])
      elseif i % 100 == 50 then
        assert.equal("raised " .. i, errors[i])
      else
        assert.equal(i, results[i].i)
        assert.equal(list[i], results[i].id)
      end
      assert.is_true((results[i] == nil) ~= (errors[i] == nil))
    end
  end)

  it("does nothing with an empty list, and needs no more tasks than items", function()
    local results, errors = lipsync.map({}, error)
    assert.same({}, results)
    assert.same({}, errors)
    assert.same({ 2, 4 }, (lipsync.map({ 1, 2 }, function(n) return 2 * n end,
      { concurrency = 1000 })))
  end)

  it("keeps false as a result, and an error that is a table as it is", function()
    local mine = {}
    local results, errors = lipsync.map({ 1, 2 }, function(n)
      if n == 1 then return false end
      error(mine)
    end)
    assert.is_false(results[1])
    assert.equal(mine, errors[2])
  end)

  it("works inside a task, and ends with that task's cancelling", function()
    local began, started = core.now(), 0
    lipsync.run(function()
      local list = {}
      for i = 1, 100 do list[i] = i end
      local mapping = lipsync.spawn(lipsync.map, list, function()
        started = started + 1
        return lipsync.sleep(60)
      end, { concurrency = 5 })
      eventually(function() return started == 5 end)
      mapping:cancel()
      mapping:join()
    end)
    assert.is_true(core.now() - began < 20)
    drain()
    assert.equal(5, started)
  end)

  it("tells of every item when it is cancelled, once all of them have ended", function()
    local client = t.client()
    t.service:fail { at = "create", stall = "after", times = "always" }
    local results, errors
    local mapping = lipsync.spawn(function()
      results, errors = lipsync.map({ 1, 2, 3, 4 }, function()
        return client:create { video_url = t.video, audio_url = t.audio }
      end, { concurrency = 2 })
    end)
    local deadline = core.now() + 20
    while t.service:count "create" < 2 and core.now() < deadline do lipsync.step(0.01) end
    mapping:cancel()
    mapping:join()
    assert.same({}, results)
    for i = 1, 4 do assert.equal("cancelled", errors[i].kind) end
    assert.is_true(errors[1].maybe_created and errors[2].maybe_created)
    assert.is_false(errors[3].maybe_created or errors[4].maybe_created)
    assert.equal(2, t.service:count "create")
  end)

  it("raises at the caller's line when it is misused", function()
    for _, given in ipairs {
      { 7, print }, { {}, 7 }, { {}, print, { concurrency = 0 } },
      { {}, print, { concurrency = 1.5 } }, { {}, print, { concurency = 2 } },
      { { one = 1, two = 2 }, print }, -- it would do nothing, and say that all is well
    } do
      local ok, why = pcall(function() lipsync.map(given[1], given[2], given[3]) end)
      assert.is_false(ok)
      assert.is_truthy(why:find("loop_spec.lua:%d+: "), why)
    end
  end)
end)

describe("a task", function()
  local t = fixture.new { credits = 1e9 }

  it("gives its results to everybody who joins it", function()
    local slow = lipsync.spawn(function(...)
      lipsync.sleep(0.02)
      return nil, ..., "end"
    end, 1)
    local joiners = {}
    for i = 1, 5 do joiners[i] = lipsync.spawn(function() return slow:join() end) end
    for i = 1, 5 do
      local a, b, c = joiners[i]:join()
      assert.is_nil(a)
      assert.equal(1, b)
      assert.equal("end", c)
    end
    assert.equal(3, select("#", slow:join())) -- again, after its end
  end)

  it("raises its error in everybody who joins it, as it is", function()
    local mine = {}
    local failing = lipsync.spawn(function()
      lipsync.sleep(0.01)
      error(mine)
    end)
    local joiner = lipsync.spawn(function() return select(2, pcall(failing.join, failing)) end)
    assert.equal(mine, joiner:join())
    assert.equal(mine, select(2, pcall(failing.join, failing)))
    assert.equal(0, lipsync.step(0)) -- the error was taken: nobody else hears of it
  end)

  it("cannot join itself", function()
    local ok, why = pcall(lipsync.run, function()
      local me
      me = lipsync.spawn(function() return me:join() end)
      return me:join()
    end)
    assert.is_false(ok)
    assert.is_truthy(why:find("a task cannot join itself", 1, true), why)
  end)

  it("that waits for one that waits for it is an error, not a wait for ever", function()
    local a, b
    a = lipsync.spawn(function() return b:join() end)
    b = lipsync.spawn(function() return a:join() end)
    local ok, why = pcall(a.join, a)
    assert.is_false(ok)
    assert.is_truthy(why:find("every task waits for another one", 1, true), why)
    a:cancel()
    a:join()
    b:join()
  end)

  it("that failed and was never joined raises in run", function()
    lipsync.spawn(function() error("nobody listens", 0) end)
    assert.has_error(function() lipsync.run(lipsync.sleep, 0.01) end, "nobody listens")
    assert.equal("once", lipsync.run(function() return "once" end))
  end)

  it("that failed and was never joined raises in step", function()
    lipsync.spawn(function() error("nobody listens", 0) end)
    assert.has_error(function()
      for _ = 1, 3 do lipsync.step(0) end
    end, "nobody listens")
    assert.equal(0, lipsync.step(0))
  end)

  it("hands what run's function returns or raises to run", function()
    local function pack(...) return { n = select("#", ...), ... } end
    assert.same({ 1, nil, 3, n = 3 }, pack(lipsync.run(function(...)
      lipsync.sleep(0)
      return ...
    end, 1, nil, 3)))
    local mine = {}
    local ok, why = pcall(lipsync.run, function() error(mine) end)
    assert.is_false(ok)
    assert.equal(mine, why)
  end)

  it("can run another function as a task of its own", function()
    assert.equal("inner", lipsync.run(function()
      return lipsync.run(function()
        lipsync.sleep(0.001)
        return "inner"
      end)
    end))
    assert.has_error(function()
      lipsync.run(function() lipsync.run(error, "inner") end)
    end, "inner")
  end)

  it("goes on after run has ended, whenever the loop is driven", function()
    local done = false
    local going = lipsync.spawn(function()
      lipsync.sleep(0.05)
      done = true
    end)
    lipsync.run(function() end)
    assert.is_false(done)
    going:join()
    assert.is_true(done)
  end)

  it("must be given a function", function()
    for _, start in ipairs { lipsync.spawn, lipsync.run } do
      local ok, why = pcall(function() start(7) end)
      assert.is_false(ok)
      assert.is_truthy(why:find("loop_spec.lua:%d+: "), why)
    end
  end)

  describe("that is cancelled", function()
    --- For each state: what happens before, what the task does, and when it is in that state.
    local states = {
      ["while it sleeps"] = {
        run = function() return lipsync.sleep(60) end,
        reached = function() return core.engine():stats().calls == 1 end,
      },
      ["in a create that waits for its turn"] = {
        prepare = function(client)
          t.service:fail { at = "info", stall = "after" }
          t.blocker = lipsync.spawn(client.info, client, UNKNOWN, { max_connections = 1 })
          eventually(function() return t.service:count "info" == 1 end)
        end,
        run = function(client)
          return client:create({ video_url = t.video, audio_url = t.audio },
            { max_connections = 1 })
        end,
        reached = function() return core.engine():stats().queued == 1 end,
        check = function(err)
          assert.is_false(err.maybe_created)
          t.blocker:cancel()
          t.blocker:join()
          assert.equal(0, #t.service:requests "create")
        end,
      },
      ["in a create that was sent"] = {
        fault = { at = "create", stall = "after" },
        run = function(client)
          return client:create { video_url = t.video, audio_url = t.audio }
        end,
        reached = function() return t.service:count "create" == 1 end,
        check = function(err)
          assert.is_true(err.maybe_created)
          assert.equal(1, #t.service:jobs())
        end,
      },
      ["in a create that waits to be repeated"] = {
        fault = { at = "create", status = 503, retry_after = 30 },
        run = function(client)
          return client:create { video_url = t.video, audio_url = t.audio }
        end,
        reached = function() return #t.events_of "retry" == 1 end,
        check = function(err) assert.is_false(err.maybe_created) end,
      },
      ["in an info"] = {
        fault = { at = "info", stall = "after" },
        run = function(client) return client:info(UNKNOWN) end,
        reached = function() return t.service:count "info" == 1 end,
      },
      ["while it waits for a token"] = {
        pair = true,
        fault = { at = "token", stall = "after" },
        run = function(client) return client:info(UNKNOWN) end,
        reached = function() return t.service:count "token" == 1 end,
        token = true,
      },
      ["before an info is repeated"] = {
        fault = { at = "info", status = 503, retry_after = 30 },
        run = function(client) return client:info(UNKNOWN) end,
        reached = function() return #t.events_of "retry" == 1 end,
      },
      ["while the client's pace holds it back"] = {
        prepare = function(client)
          t.service:fail { at = "info", code = 1005, retry_after = 30 }
          client:info(UNKNOWN, { max_retries = 0 })
        end,
        run = function(client) return client:info(UNKNOWN) end,
        reached = function() return core.engine():stats().calls == 1 end,
      },
      ["between two polls"] = {
        poll = { first = 600, max = 600 },
        run = function(client) return client:wait(t.job(client)) end,
        reached = function()
          return t.service:count "create" == 1 and core.engine():stats().running == 0
            and core.engine():stats().calls == 1
        end,
      },
      ["in a poll"] = {
        fault = { at = "info", stall = "after" },
        run = function(client) return client:wait(UNKNOWN) end,
        reached = function() return t.service:count "info" == 1 end,
      },
      ["during a download"] = {
        prepare = function(client)
          t.done = t.completed(client)
          t.service:set(t.done.id, { bytes = 1000000 })
          t.service:fail { at = "file", stall_at = 100000 }
        end,
        run = function(client)
          return client:download(t.done, t.path "out.mp4", { on_progress = function()
            t.progressed = true
          end })
        end,
        reached = function() return t.progressed end,
        check = function() assert.is_nil(io.open(t.path "out.mp4")) end,
      },
      ["in a join"] = {
        prepare = function() t.slow = lipsync.spawn(lipsync.sleep, 60) end,
        run = function() return t.slow:join() end,
        reached = function() return core.engine():stats().calls == 1 end,
        check = function()
          t.slow:cancel()
          assert.is_nil((t.slow:join()))
        end,
      },
      ["in a generator"] = {
        run = function() return generated(function() return lipsync.sleep(3) end) end,
        reached = function() return true end,
      },
    }

    for what, state in pairs(states) do
      it("returns nil and an error of kind cancelled: " .. what, function()
        local client = t.client {
          client_id = state.pair and fixture.secrets.client_id,
          client_secret = state.pair and fixture.secrets.client_secret, poll = state.poll,
        }
        t.progressed = nil
        local value, err, took
        lipsync.run(function()
          if state.prepare then state.prepare(client) end
          if state.fault then t.service:fail(state.fault) end
          local task = lipsync.spawn(state.run, client)
          lipsync.sleep(0)
          eventually(state.reached)
          local began = core.now()
          task:cancel()
          value, err = task:join()
          took = core.now() - began
          if state.check then state.check(err) end
        end)
        assert.is_nil(value)
        assert.equal("cancelled", err.kind)
        assert.is_true(took < 2, "it took " .. took)
        fixture.assert_no_secret(err)
        -- A token that is on its way is fetched to the end: others may want it.
        if state.token then core.engine():close() end
        assert.equal(0, core.engine():stats().calls)
        assert.equal(0, core.engine():stats().running)
      end)
    end

    it("before it began never begins", function()
      local began = false
      local task = lipsync.spawn(function() began = true end)
      task:cancel()
      local value, err = task:join()
      assert.is_nil(value)
      assert.equal("cancelled", err.kind)
      assert.is_false(began)
    end)

    it("stays cancelled: whatever it starts ends at once", function()
      local client = t.client()
      local job, kinds = t.job(client), {}
      lipsync.run(function()
        local task = lipsync.spawn(function()
          for _, call in ipairs {
            function() return lipsync.sleep(60) end,
            function() return lipsync.sleep(60) end,
            function() return client:info(job) end,
            function() return client:wait(job) end,
            function() return lipsync.spawn(lipsync.sleep, 0.01):join() end,
            function() return lipsync.run(lipsync.sleep, 60) end,
          } do
            local value, err = call()
            kinds[#kinds + 1] = value == nil and err.kind
          end
          return "the end"
        end)
        lipsync.sleep(0.01)
        task:cancel()
        task:cancel()
        assert.equal("the end", task:join())
      end)
      assert.same({ "cancelled", "cancelled", "cancelled", "cancelled", "cancelled",
        "cancelled" }, kinds)
      drain()
    end)

    it("creates nothing more", function()
      local client = t.client()
      lipsync.run(function()
        local task = lipsync.spawn(function()
          lipsync.sleep(60)
          return client:create { video_url = t.video, audio_url = t.audio }
        end)
        lipsync.sleep(0.01)
        task:cancel()
        local job, err = task:join()
        assert.is_nil(job)
        assert.equal("cancelled", err.kind)
        assert.is_false(err.maybe_created)
      end)
      assert.equal(0, #t.service:jobs())
    end)

    it("after its end keeps its results", function()
      local task = lipsync.spawn(function() return 7 end)
      task:join()
      task:cancel()
      assert.equal(7, task:join())
    end)
  end)
end)

describe("lipsync.step", function()
  local t = fixture.new { credits = 1e9 }

  it("drives the tasks of a host with a frame loop, and counts those that are alive", function()
    local client = t.client()
    local job, found = t.job(client), nil
    t.service:fail { at = "info", delay = 0.05 }
    lipsync.spawn(function() found = client:info(job) end)
    local sleeping = lipsync.spawn(lipsync.sleep, 60)
    assert.equal(2, lipsync.step(0))
    local frames, deadline = 0, core.now() + 20
    while lipsync.step(0.001) == 2 do
      frames = frames + 1
      assert(core.now() < deadline, "no progress")
    end
    assert.is_true(frames > 3)
    assert.equal(job.id, found.id)
    sleeping:cancel()
    lipsync.step(0)
    assert.equal(0, lipsync.step(0))
  end)

  it("never blocks longer than it was asked to", function()
    local sleeping = lipsync.spawn(lipsync.sleep, 60)
    for _, timeout in ipairs { 0, 0.01, 0.1 } do
      local began = core.now()
      lipsync.step(timeout)
      assert.is_true(core.now() - began < timeout + 1)
    end
    local began = core.now()
    lipsync.step()
    assert.is_true(core.now() - began < 1)
    sleeping:cancel()
    sleeping:join()
  end)

  it("comes back early when there is news", function()
    local sleeping, began = lipsync.spawn(lipsync.sleep, 0.05), core.now()
    lipsync.step(0)
    assert.equal(0, lipsync.step(30))
    assert.is_true(core.now() - began < 10)
    sleeping:join()
  end)

  it("cannot be called inside a task", function()
    local ok, why = pcall(lipsync.run, function() lipsync.step(0) end)
    assert.is_false(ok)
    assert.is_truthy(why:find("loop_spec.lua:%d+: .*inside"), why)
  end)

  it("wants a number", function()
    local ok, why = pcall(function() lipsync.step "soon" end)
    assert.is_false(ok)
    assert.is_truthy(why:find("loop_spec.lua:%d+: "), why)
  end)
end)

describe("lipsync.sleep", function()
  fixture.new()

  it("takes as long as it was asked to, and no less", function()
    for _, seconds in ipairs { 0, 1e-9, 0.0005, 0.05 } do
      local began = core.now()
      assert.is_true(lipsync.sleep(seconds))
      local took = core.now() - began
      assert.is_true(took >= seconds - 1e-6 and took < seconds + 2, took)
    end
    assert.is_true(lipsync.sleep(-1))
  end)

  it("raises at the caller's line when it is not given a number", function()
    for _, given in ipairs { "1", false, {}, 0 / 0 } do
      local ok, why = pcall(function() lipsync.sleep(given) end)
      assert.is_false(ok)
      assert.is_truthy(why:find("loop_spec.lua:%d+: sleep: a number"), why)
    end
    assert.is_false((pcall(function() lipsync.sleep() end)))
  end)

  it("wakes 5,000 tasks in the order of their times", function()
    local woken, seed = {}, 7
    for _ = 1, 5000 do
      seed = seed * 16807 % 2147483647
      local seconds = 0.05 + seed % 1000 / 4000
      lipsync.spawn(function()
        local earliest = core.now() + seconds
        lipsync.sleep(seconds)
        woken[#woken + 1] = { earliest = earliest, at = core.now() }
      end)
    end
    drain()
    assert.equal(5000, #woken)
    local latest = 0
    for _, one in ipairs(woken) do
      assert.is_true(one.at >= one.earliest - 1e-6, "woken too early")
      latest = math.max(latest, one.earliest)
      assert.is_true(latest - one.earliest < 1, "woken out of order")
    end
  end)
end)

describe("the engine", function()
  local t = fixture.new { credits = 1e9 }

  it("can be driven by a host that watches one descriptor", function()
    local client, ops, ended = t.client { on_event = function() end }, {}, 0
    local job = t.job(client)
    local engine = core.engine()
    local poll, timer, watchdog = uv.new_poll(engine:pollfd()), uv.new_timer(), uv.new_timer()
    local ticks, began, hung = 0, core.now(), false
    t.service:fail { at = "info", delay = 0.02, times = "always" }
    for i = 1, 50 do ops[client.core:info(client.settings, job.id)] = i end
    ops[core.sleep(0.2)] = "sleep"
    local function stop()
      for _, handle in ipairs { poll, timer, watchdog } do
        if not handle:is_closing() then handle:close() end
      end
    end
    uv.update_time()
    watchdog:start(20000, 0, function()
      hung = true
      stop()
    end)
    timer:start(5, 5, function() ticks = ticks + 1 end)
    poll:start("r", function()
      engine:step(0)
      for op in function() return engine:ready() end do
        local kind
        repeat kind = op:next() until kind ~= "event"
        if kind == "done" then
          ops[op] = nil
          ended = ended + 1
        end
      end
      if ended == 51 then stop() end
    end)
    uv.run()
    assert.is_false(hung, ended .. " of 51 ended")
    assert.is_nil(next(ops))
    assert.is_true(core.now() - began >= 0.2)
    assert.is_true(ticks >= 4, "the host's timer did not go on")
    assert.equal(50, t.service:count "info")
  end)

  it("tells a watching host of what is started or cancelled outside of its callbacks", function()
    local engine = core.engine()
    local poll, fired = uv.new_poll(engine:pollfd()), 0
    local watchdog = uv.new_timer()
    uv.update_time()
    watchdog:start(20000, 0, function() uv.stop() end)
    poll:start("r", function()
      engine:step(0)
      while engine:ready() do
        fired = fired + 1
        uv.stop()
      end
    end)
    local kept = { core.sleep(0.02) }
    uv.run()
    assert.equal(1, fired)
    kept[2] = core.sleep(60)
    kept[2]:cancel()
    uv.run()
    assert.equal(2, fired)
    poll:close()
    watchdog:close()
    uv.run "nowait"
  end)

  it("ends what is under way when it is closed, and a new one is made", function()
    local client = t.client()
    local job = t.job(client)
    t.service:fail { at = "info", stall = "after" }
    local first = core.engine()
    local ops = { client.core:info(client.settings, job.id), core.sleep(60),
      client.core:poll(client.settings, job.id, 0) }
    first:step(0)
    first:close()
    for _, op in ipairs(ops) do
      local kind, err
      repeat kind, err = op:next() until kind ~= "event"
      assert.equal("failed", kind)
      assert.equal("cancelled", err.kind)
      assert.equal("engine_closed", err.name)
    end
    assert.has_error(function() first:step(0) end, "attempt to use a closed engine")
    first:close()
    assert.not_equal(first, core.engine())
    t.service:clear()
    assert(client:info(job))
  end)

  it("wakes the tasks that wait, when it is closed", function()
    assert.equal("nil cancelled\nnil cancelled\n", in_other_process [[
      local tasks = { lipsync.spawn(lipsync.sleep, 60), lipsync.spawn(lipsync.sleep, 60) }
      lipsync.step(0)
      core.engine():close()
      for _, task in ipairs(tasks) do
        local value, err = task:join()
        print(value, (err or {}).kind)
      end
    ]]:gsub("\t", " "))
  end)

  it("wakes the tasks that wait, when one of them closes it", function()
    assert.equal("nil cancelled\ntrue\n", in_other_process [[
      local task = lipsync.spawn(lipsync.sleep, 60)
      lipsync.run(function()
        lipsync.sleep(0.01)
        core.engine():close()
        local value, err = task:join()
        print(value, (err or {}).kind)
        print((lipsync.sleep(0.01)))
      end)
    ]]:gsub("\t", " "))
  end)

  it("wakes the tasks that wait for a host, when one of them closes it", function()
    assert.equal("nil cancelled\ntrue\n", in_other_process [[
      lipsync.use "luv"
      local task = lipsync.spawn(lipsync.sleep, 60)
      lipsync.spawn(function()
        lipsync.sleep(0.01)
        core.engine():close()
        local value, err = task:join()
        print(value, (err or {}).kind)
        print((lipsync.sleep(0.01)))
      end)
      require("luv").run()
    ]]:gsub("\t", " "))
  end)

  it("wakes the tasks that wait for a host with coroutines, when one of them closes it", function()
    assert.equal("nil cancelled\ntrue\n", in_other_process [[
      local threads = {}
      lipsync.use {
        wait = function(engine, seconds) coroutine.yield(engine, seconds) end,
        spawn = function(f) table.insert(threads, coroutine.create(f)) end,
      }
      local task = lipsync.spawn(lipsync.sleep, 60)
      lipsync.spawn(function()
        lipsync.sleep(0.01)
        core.engine():close()
        local value, err = task:join()
        print(value, (err or {}).kind)
        print((lipsync.sleep(0.01)))
      end)
      while coroutine.status(threads[1]) ~= "dead" do
        local _, engine, seconds = assert(coroutine.resume(threads[1]))
        if engine then
          local slept = os.time() + seconds
          repeat local news = engine:timeout() until news and news <= 0 or os.time() >= slept
        end
      end
    ]]:gsub("\t", " "))
  end)
end)

describe("a forked child", function()
  local t = fixture.new { credits = 1e9 }
  local process

  --- Run `f` in a child; true if it returned.
  local function in_child(f)
    io.stdout:flush() -- or what waits to be printed is printed by both
    local pid = process.fork()
    if pid == 0 then
      local ok, why = pcall(f)
      if not ok then io.stderr:write("in the child: ", tostring(why), "\n") end
      process.exit(ok and 0 or 1)
    end
    return process.wait(pid) == 0
  end

  local function compiled()
    process = require("support.fork").load(t.path "fork")
    return process ~= nil
  end

  it("leaves its parent's exchange alone and works with an engine of its own", function()
    if not compiled() then return pending "there is no C compiler" end
    local client = t.client { on_event = function() end }
    local job = t.job(client)
    local engine = core.engine()
    local asking = client.core:info(client.settings, job.id)
    local loading = client.core:download(client.settings, t.video, t.path "out.mp4")
    -- However slow the machine is, none of them may be over before there are children: the service
    -- rests until no step is taken any more.
    shell.must_run("kill -STOP %d", t.service.pid)
    for _ = 1, 10 do engine:step(0.01) end
    shell.must_run("kill -CONT %d", t.service.pid)
    local sleeping, forgotten = core.sleep(0.1), core.sleep(0.1)
    local deadline = core.now() + 20
    while t.service:count "info" == 0 or t.service:count "file" == 0 do
      assert(core.now() < deadline, "the requests were never sent")
    end

    local children = 0
    for _, what_it_does_first in ipairs {
      function() assert(core.engine() ~= engine) end,
      function() sleeping:cancel() end,
      function() forgotten = nil collectgarbage() end,
    } do
      assert.is_true(in_child(function()
        assert.has_error(function() engine:step(0) end)
        assert.has_error(function() engine:pollfd() end)
        what_it_does_first()
        for _, op in ipairs { asking, sleeping, loading } do
          op:cancel()
          local kind, err
          repeat kind, err = op:next() until kind ~= "event"
          assert.equal("failed", kind)
          assert.equal("cancelled", err.kind)
        end
        assert(client:info(job))
        assert(lipsync.sleep(0.01))
        core.engine():close()
        engine:close()
        collectgarbage()
      end))
      children = children + 1
    end

    -- The answers are here by now. A poller that a child took them from would see them only when a
    -- timer looks again, a hundred steps later.
    local ended, steps = {}, 0
    while not (ended[asking] and ended[sleeping] and ended[loading] and ended[forgotten]) do
      assert(steps < 50, "the parent's ops never ended")
      engine:step(0.1)
      steps = steps + 1
      for op in function() return engine:ready() end do
        local kind
        repeat kind = op:next() until kind ~= "event"
        ended[op] = op:over() and kind
      end
    end
    for _, op in ipairs { asking, sleeping, loading, forgotten } do
      assert.equal("done", ended[op])
    end
    assert.same({ "fork.c", "fork.so", "out.mp4" }, fixture.files(t.folder))
    assert.equal(1 + children, t.service:count "info")
    assert(client:info(job))
  end)

  it("tells nobody of its parent's when its own engine closes", function()
    if not compiled() then return pending "there is no C compiler" end
    local told = 0
    local engine = core.engine()
    engine:on_close(function() told = told + 1 end)
    assert.is_true(in_child(function()
      engine:close()
      assert(told == 0)
      core.engine():close()
      assert(told == 0)
      core.engine():on_close(function() told = told + 10 end)
      core.engine():close()
      assert(told == 10)
    end))
    core.engine():close()
    assert.equal(1, told)
  end)

  it("that only ends does not disturb its parent", function()
    if not compiled() then return pending "there is no C compiler" end
    local client = t.client()
    local job = t.job(client)
    t.service:fail { at = "info", delay = 0.2 }
    lipsync.run(function()
      local asking = lipsync.spawn(client.info, client, job)
      eventually(function() return t.service:count "info" == 1 end)
      assert.is_true(in_child(function() collectgarbage() end))
      assert.equal(job.id, assert(asking:join()).id)
    end)
  end)
end)
