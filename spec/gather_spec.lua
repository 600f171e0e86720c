-- A group of ops: whoever waits for it hears of each that has news, in a task, outside of tasks and
-- under a host, however many there are; and what becomes of it when others interfere.

local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local gather = require("akool.lipsync.group").new
local lipsync = require "akool.lipsync"

--- Until the group has none left: what it told, as tags and kinds.
local function all_of(group)
  local told = {}
  while true do
    local tag, kind, value = group:next()
    if not tag then return told, kind end
    told[#told + 1] = { tag = tag, kind = kind, value = value }
  end
end

--- What `f` returns, called in each of the ways in which one can wait.
local function everywhere(f)
  f()
  lipsync.run(f)
  coroutine.wrap(f)()
  lipsync.run(function() coroutine.wrap(f)() end)
end

describe("a group", function()
  local t = fixture.new { credits = 1e9 }

  it("tells of its ops in the order of their ends, wherever one can wait", function()
    everywhere(function()
      local group = gather()
      group:add(core.sleep(0.04), "late")
      group:add(core.sleep(0.02), "soon")
      group:add(core.sleep(0), "now")
      local told, why = all_of(group)
      assert.equal("empty", why)
      assert.same({ { tag = "now", kind = "done", value = true },
        { tag = "soon", kind = "done", value = true },
        { tag = "late", kind = "done", value = true } }, told)
      assert.equal("empty", select(2, group:next()))
    end)
  end)

  it("is empty when nothing was added", function()
    everywhere(function()
      assert.same({ nil, "empty" }, { gather():next() })
    end)
  end)

  it("hands back the op, which is the tag where none is given", function()
    local group, op = gather(), core.sleep(0)
    group:add(op)
    local tag, kind, value, same = group:next()
    assert.equal(op, tag)
    assert.equal("done", kind)
    assert.is_true(value)
    assert.equal(op, same)
    group:add(core.sleep(0), false)
    assert.is_false((group:next()))
  end)

  it("takes no op twice", function()
    local group, op = gather(), core.sleep(60)
    group:add(op, 1)
    local fine, why = pcall(function() group:add(op, 2) end)
    assert.is_false(fine)
    assert.is_truthy(why:find("gather_spec.lua:%d+: add: the op is in the group already"), why)
    group:remove(op)
  end)

  it("tells of every status of a job that it follows, and of every event", function()
    local client = t.client()
    local settings = client.settings
    everywhere(function()
      t.service:reset()
      local job, group, told, events = t.job(client), gather(), {}, 0
      group:add(client.core:poll(settings, job.id, 0), "job")
      while true do
        local tag, kind, value = group:next()
        if not tag then break end
        if kind == "event" then
          events = events + 1
        else
          told[#told + 1] = kind == "status" and value.status or kind
          if value.status == "queueing" then t.service:advance(6) end
          if value.status == "processing" then t.service:advance(60) end
        end
      end
      assert.same({ "queueing", "processing", "completed", "done" }, told)
      assert.is_true(events >= 6, events) -- of three requests at least: request and answer
    end)
  end)

  it("tells the news of several ops one by one, all that each has", function()
    local client = t.client()
    local group, ops = gather(), {}
    t.service:fail { at = "info", status = 404, times = "always" }
    for i = 1, 3 do
      ops[i] = client.core:info(client.settings, t.job(client).id)
      group:add(ops[i], i)
    end
    local over = lipsync.sleep(0.2) and ops[1]:over() and ops[2]:over() and ops[3]:over()
    assert.is_true(over) -- what they have to tell is there before anybody asks
    local told = all_of(group)
    local per_op = #told / 3
    for i = 1, #told do
      local last = i % per_op == 0
      assert.equal(last and "failed" or "event", told[i].kind)
      if not last then assert.equal(told[i].tag, told[i + 1].tag) end
    end
  end)

  it("tells the progress of a download with both of its numbers", function()
    local client = t.client()
    local job = t.completed(client)
    local group = gather()
    t.service:set(job.id, { bytes = 3000000 })
    group:add(client.core:download(client.settings, job.video, t.path "out.mp4", job.id, true))
    local file, bytes, total
    while true do
      local _, kind, value, _, extra = group:next()
      if kind == "progress" then bytes, total = value, extra end
      if kind == "done" then file = value break end
      assert.not_equal("failed", kind)
    end
    assert.equal(3000000, file.bytes)
    assert.is_true(bytes > 0)
    assert.equal(3000000, total)
  end)

  it("follows 1,000 jobs without a task for each", function()
    local client, group, over = t.client(), gather(), 0
    local settings = core.settings {
      connect_timeout = 30, timeout = 30, create_timeout = 30, stall_timeout = 30,
      wait_timeout = 60, poll_first = 0.01, poll_max = 0.5, poll_factor = 1.5, poll_jitter = 0.2,
      max_retries = 3, max_connections = 64, max_bytes = 1e6, allow_http = false,
      allow_private = false, overwrite = false, resume = false, events = false, user_agent = "spec",
    }
    local ids, seen = {}, {}
    lipsync.map((function()
      local list = {}
      for i = 1, 1000 do list[i] = i end
      return list
    end)(), function(i) ids[i] = t.job(client).id end, { concurrency = 50 })
    lipsync.run(function()
      for i = 1, 1000 do group:add(client.core:poll(settings, ids[i], 0), i) end
      assert.equal(1, lipsync.spawn(function() return 1 end):join()) -- the others go on
      while true do
        local tag, kind, value = group:next()
        if not tag then break end
        if kind == "status" and not seen[tag] then
          seen[tag] = value.id
          over = over + 1
          if over == 1000 then t.service:advance(60) end
        elseif kind == "done" then
          assert.equal("completed", value.status)
          assert.equal(ids[tag], value.id)
          seen[tag] = "done"
        end
        assert.not_equal("failed", kind)
      end
    end)
    for i = 1, 1000 do assert.equal("done", seen[i]) end
  end)

  it("costs little for an op that has nothing to tell", function()
    local group, ops = gather(), {}
    for i = 1, 10000 do ops[i] = core.sleep(60) end
    collectgarbage()
    collectgarbage()
    local before = collectgarbage "count"
    for i = 1, 10000 do group:add(ops[i], i) end
    group:wake()
    lipsync.run(function() group:next() end)
    local waiting = lipsync.spawn(function() return group:next() end)
    lipsync.step(0)
    collectgarbage()
    collectgarbage()
    -- Two places in tables that double, each of 40 bytes at most; a coroutine has a kilobyte.
    assert.is_true((collectgarbage "count" - before) * 1024 / 10000 < 200)
    for i = 1, 10000 do group:remove(ops[i]) end
    group:wake()
    waiting:join()
    while #ops > 0 do table.remove(ops) end
    assert.equal("empty", select(2, group:next()))
  end)

  it("takes ops while somebody waits for it", function()
    lipsync.run(function()
      local group = gather()
      group:add(core.sleep(60), "for ever")
      local waiting = lipsync.spawn(function() return group:next() end)
      lipsync.sleep(0.01)
      local early = core.sleep(0)
      lipsync.sleep(0.01) -- its news is there already
      group:add(early, "early")
      assert.equal("early", (waiting:join()))
    end)
  end)

  describe("that somebody waits for in a task", function()
    local group, op

    --- A task that waits for a group with one op that tells nothing, and has begun to.
    local function waiter()
      group, op = gather(), core.sleep(60)
      group:add(op, "sleep")
      local task = lipsync.spawn(function() return group:next() end)
      lipsync.sleep(0.01)
      return task
    end

    it("can be woken by another task", function()
      lipsync.run(function()
        local task = waiter()
        group:wake()
        group:wake()
        assert.same({ nil, "woken" }, { task:join() })
        local again = lipsync.spawn(function() return group:next() end)
        lipsync.sleep(0.01)
        assert.is_nil(again.done)
        assert.is_false(op:over())
        group:remove(op)
        again:cancel()
      end)
    end)

    it("remembers a call of wake that came before", function()
      group, op = gather(), core.sleep(60)
      group:add(op, "sleep")
      group:wake()
      assert.same({ nil, "woken" }, { group:next() })
      group:remove(op)
    end)

    it("goes on without an op that was removed, and cancels it", function()
      lipsync.run(function()
        local task = waiter()
        local kept = core.sleep(0.03)
        group:add(kept, "kept")
        group:remove(op)
        group:remove(op)
        assert.equal("kept", (task:join()))
        assert.is_true(op:over())
        assert.equal("empty", select(2, group:next()))
      end)
    end)

    it("is empty for the one who waits when its last op was removed", function()
      lipsync.run(function()
        local task = waiter()
        group:remove(op)
        assert.same({ nil, "empty" }, { task:join() })
      end)
    end)

    it("leaves its ops alone when that task is cancelled", function()
      lipsync.run(function()
        local task = waiter()
        task:cancel()
        local tag, err = task:join()
        assert.is_nil(tag)
        assert.equal("cancelled", err.kind)
        assert.is_false(op:over())
        group:add(core.sleep(0.01), "another")
        assert.equal("another", (group:next()))
        group:remove(op)
      end)
    end)

    it("is refused to a second one", function()
      lipsync.run(function()
        local task = waiter()
        local fine, why = pcall(group.next, group)
        assert.is_false(fine)
        assert.is_truthy(tostring(why):find("somebody waits for this group already", 1, true), why)
        group:remove(op)
        task:join()
      end)
    end)

    it("tells at once when a generator inside a task that was cancelled waits", function()
      local err
      local task
      task = lipsync.spawn(function()
        coroutine.wrap(function()
          group = gather()
          group:add(core.sleep(0.1), 1)
          err = select(2, group:next())
        end)()
      end)
      lipsync.spawn(function()
        lipsync.sleep(0.01)
        task:cancel()
      end)
      task:join()
      assert.equal("cancelled", err.kind)
      assert.equal(1, (group:next()))
    end)
  end)

  it("tells of each of its ops when the engine is closed", function()
    everywhere(function()
      local group = gather()
      for i = 1, 5 do group:add(core.sleep(60), i) end
      group:wake()
      group:next()
      group:wake()
      group:next() -- they are registered
      core.engine():close()
      local others = lipsync.spawn(lipsync.sleep, 0.01) -- in an op with the same place as one of ours
      group:add(core.sleep(0.02), 6)
      local told, seen = all_of(group), {}
      assert.equal(6, #told)
      for _, one in ipairs(told) do
        seen[one.tag] = one.kind == "done" or one.value.name
      end
      for i = 1, 5 do assert.equal("engine_closed", seen[i]) end
      assert.is_true(seen[6])
      assert.is_true(others:join())
    end)
  end)

  it("tells of each of its ops when another task closes the engine", function()
    lipsync.run(function()
      local group = gather()
      for i = 1, 5 do group:add(core.sleep(60), i) end
      lipsync.spawn(function()
        lipsync.sleep(0.01)
        core.engine():close()
      end)
      local told = all_of(group)
      assert.equal(5, #told)
      for _, one in ipairs(told) do assert.equal("engine_closed", one.value.name) end
    end)
  end)

  it("that nobody holds any more is collected, and its ops are cancelled", function()
    do
      local group = gather()
      for i = 1, 10 do group:add(core.sleep(60), i) end
      group:wake()
      group:next()
      group:wake()
      group:next()
    end
    assert.equal(10, core.engine():stats().calls)
    collectgarbage()
    collectgarbage()
    collectgarbage()
    assert.equal(0, core.engine():stats().calls)
    assert.is_true(lipsync.sleep(0)) -- in a place that one of them had
  end)

  it("goes on after an error broke off the loop in the middle of a turn, as tasks do", function()
    local group, told = gather(), 0
    for i = 1, 200 do group:add(core.sleep(i / 4000), i) end
    local waiting = lipsync.spawn(function()
      while true do
        local tag, kind = group:next()
        if not tag then return kind end
        told = told + 1
      end
    end)
    -- Memory that runs out raises anywhere, and so does this: in a function that changes the lists.
    local broke, heard = 0, getmetatable(group).__index.hear
    getmetatable(group).__index.hear = function(self, op)
      if broke < 20 and told > 10 * broke then
        broke = broke + 1
        error("not enough memory", 0)
      end
      return heard(self, op)
    end
    local deadline = core.now() + 20
    while not waiting.done do
      local fine, why = pcall(lipsync.step, 0.01)
      assert.is_true(fine or why == "not enough memory", why)
      assert(core.now() < deadline, "it hangs")
    end
    getmetatable(group).__index.hear = heard
    assert.equal("empty", waiting:join())
    assert.equal(200, told)
    assert.is_true(broke > 5)
  end)

  it("that is waited for outside of tasks goes on after such an error, too", function()
    local group, broke = gather(), 0
    for i = 1, 20 do group:add(core.sleep(i / 1000), i) end
    local class = getmetatable(group).__index
    local heard = class.hear
    class.hear = function(self, op)
      broke = broke + 1
      if broke % 3 == 1 then error("not enough memory", 0) end
      return heard(self, op)
    end
    local told, raised = 0, 0
    repeat
      local fine, tag, kind = pcall(group.next, group)
      if fine and tag then told = told + 1 end
      if not fine then
        assert.equal("not enough memory", tag)
        raised = raised + 1
      end
    until fine and kind == "empty"
    class.hear = heard
    assert.equal(20, told)
    assert.is_true(raised > 0)
  end)
end)

describe("a group under a host", function()
  local t = fixture.new { credits = 1e9 }
  local uv = require "luv"

  after_each(function() lipsync.use(false) end)

  it("is waited for in a task, in a coroutine of the host's, and in the main chunk", function()
    lipsync.use "luv"
    local client, ended = t.client(), {}
    local function use(name)
      local group = gather()
      local job = t.job(client)
      group:add(client.core:info(client.settings, job.id), "info")
      group:add(core.sleep(0.02), "sleep")
      local told = {}
      while true do
        local tag, kind = group:next()
        if not tag then break end
        if kind == "done" then told[#told + 1] = tag end
      end
      table.sort(told)
      ended[name] = table.concat(told, " ")
    end
    lipsync.spawn(use, "task")
    coroutine.wrap(use)("coroutine")
    uv.run()
    use "main"
    assert.same({ task = "info sleep", coroutine = "info sleep", main = "info sleep" }, ended)
  end)

  it("can be woken from a callback of the host's", function()
    lipsync.use "luv"
    local group, op, kind = gather(), core.sleep(60), nil
    group:add(op, 1)
    lipsync.spawn(function() kind = select(2, group:next()) end)
    local timer = uv.new_timer()
    uv.update_time()
    timer:start(20, 0, function()
      timer:close()
      group:wake()
    end)
    uv.run()
    assert.equal("woken", kind)
    group:remove(op)
    assert.equal("empty", select(2, group:next()))
  end)
end)
