-- The core holds when a host calls back from finalizers, comes late, or closes things in any order.

local child = require "support.child"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local loop = require "akool.lipsync.loop"
local options = require "akool.lipsync.options"
local preload = require "support.preload"

local unpack = table.unpack or unpack -- luacheck: ignore 143 (Lua 5.1)

local secrets = fixture.secrets
local MEDIA = "http://127.0.0.1:1/medium"

local function settings(given)
  return options.settings(options.merge(nil, given))
end

-- A client of the service as the core knows it, with a key unless `way` says otherwise.
local function client_of(t, way, ...)
  local client = assert(core.client(t.service.url))
  if way ~= false then
    assert(client:credentials(way or "api_key", way and (...) or secrets.api_key, select(2, ...)))
  end
  return client
end

-- Let the engine work, at most ten seconds, until done().
local function step_until(done)
  local deadline = core.now() + 10
  while not done() do
    assert(core.now() < deadline, "it took too long")
    core.engine():step(0.005)
  end
end

-- Be busy with something else.
local function be_away(seconds)
  local back = core.now() + seconds
  repeat until core.now() >= back
end

-- What begins every program for another process: finalizers that run all the time. `on(action)`
-- lets them call the action until `off()`, which returns how often they did.
local PRELUDE = [[
  local core = require "akool.lipsync.core"
  local options = require "akool.lipsync.options"
  local client = assert(core.client(%q))
  assert(client:credentials("api_key", %q))
  local ID, MEDIA = %q, %q

  local function settings(given) return options.settings(options.merge(nil, given)) end

  -- Is an answer read: did a function in C call the one that made us run?
  local function reading()
    return debug.getinfo(4, "S").what == "C"
  end

  local action, only_reading, inside, hits, over = nil, false, false, 0, false
  local function plant()
    local function run()
      if over then return end
      if action and not inside and (not only_reading or reading()) then
        inside, hits = true, hits + 1
        local fine, why = pcall(action)
        if not fine then print("a finalizer failed: " .. tostring(why)) end
        inside = false
      end
      plant()
    end
    if newproxy then
      getmetatable(newproxy(true)).__gc = run
    else
      setmetatable({}, { __gc = run })
    end
  end
  local function on(f) action = f end
  local function off()
    local count = hits
    action, hits = nil, 0
    return count
  end
  plant()
  if _VERSION == "Lua 5.4" then
    collectgarbage("incremental", 1, 10000, 1)
  else
    collectgarbage("setpause", 1)
    collectgarbage("setstepmul", 10000)
  end

  -- Step until an op is over, and return its last word. Finalizers act only while answers are read.
  local function last_word(op, f)
    local deadline = core.now() + 20
    while not op:over() do
      assert(core.now() < deadline, "an op does not end")
      local engine = core.engine()
      on(f)
      only_reading = true
      engine:step(0.05)
      action, only_reading = nil, false
    end
    local kind, value
    repeat kind, value = op:next() until kind == "done" or kind == "failed"
    return kind, value
  end
]]

describe("the core", function()
  local t = fixture.new { credits = 1e9 }

  -- Run a program after the prelude in another process, to its good end; `prefix` are words of a
  -- shell before it.
  local function is_fine(code, prefix)
    local said, status = child.run(PRELUDE:format(t.service.url, secrets.api_key, t.completed().id,
      MEDIA) .. code .. "\nover = true\nprint 'fine'\n", { prefix = prefix })
    assert.equal("fine\n", said)
    assert.equal(0, status)
  end

  it("says what a host has to watch its descriptor for, and until when", function()
    local engine = core.engine()
    assert.equal("r", engine:events())
    assert.is_nil(engine:timeout()) -- nothing is under way
    local sleep = core.sleep(60)
    assert.is_true(engine:timeout() > 0 and engine:timeout() <= 60)
    sleep:cancel()
    assert.equal(0, engine:timeout()) -- there is news
    repeat until not engine:ready()
    assert.is_nil(engine:timeout())
    assert.equal("done", (loop.next(client_of(t):credits(settings()))))
    engine:step(0)
    assert.is_nil(engine:timeout()) -- a connection that is kept wants nothing
  end)

  it("tells a host, the last that asked for it and once, before its descriptor closes", function()
    for _, words in ipairs { false, "the host has no words for it" } do
      local engine, told = core.engine(), 0
      local pollfd = engine:pollfd()
      engine:on_close(function() error "somebody else is told" end)
      engine:on_close(function()
        told = told + 1
        assert.equal(pollfd, engine:pollfd())
        if words then error(words) end
      end)
      engine:close()
      engine:close()
      assert.equal(1, told)
      core.engine():close() -- another one, of which nobody asked to be told
      assert.equal(1, told)
    end
  end)

  it("waits in a step for as long as there is nothing to do", function()
    local engine, sleep, steps = core.engine(), core.sleep(0.3), 0
    repeat
      engine:step(60)
      steps = steps + 1
    until sleep:over()
    assert.is_true(steps <= 3, steps)
  end)

  it("wakes in a step for what it waits for, and for nothing else", function()
    local engine, steps = core.engine(), 0
    t.service:fail { at = "credits", delay = 0.3 }
    local op = assert(client_of(t):credits(settings()))
    repeat
      engine:step(60)
      steps = steps + 1
    until op:over()
    assert.is_true(steps <= 20, steps)
  end)

  describe("hurries", function()
    local function start()
      local id = t.job().id
      local op = assert(client_of(t):poll(settings { poll = { first = 60 } }, id, 0))
      core.engine():step(0)
      assert.equal(0, t.service:count "info")
      return op
    end

    it("a poll that waits for its next request, which goes on afterwards", function()
      local op = start()
      for asked = 1, 3 do
        op:hurry()
        step_until(function() return t.service:count "info" == asked end)
        step_until(function() return core.engine():stats().running == 0 end)
        assert.is_false(op:over())
      end
      t.service:advance(60)
      op:hurry()
      step_until(function() return op:over() end)
      op:hurry()
      op:cancel()
    end)

    it("none that is failing", function()
      local op = start()
      t.service:fail { at = "info", status = 503 }
      op:hurry()
      step_until(function() return t.service:count "info" == 1 end)
      step_until(function() return core.engine():stats().running == 0 end)
      op:hurry()
      for _ = 1, 20 do core.engine():step(0.005) end
      assert.equal(1, t.service:count "info")
      op:cancel()
    end)

    it("none that has to wait for its turn among many", function()
      local client, id, ops = client_of(t), t.job().id, {}
      local slow = settings { poll = { first = 600, max = 600 } }
      for i = 1, 12 do ops[i] = assert(client:poll(slow, id, 0)) end
      local function asked()
        for _, op in ipairs(ops) do op:hurry() end
        core.engine():step(0)
        step_until(function() return core.engine():stats().running == 0 end)
        return t.service:count "info"
      end
      local first = asked()
      assert.is_true(first >= 1 and first < 12, first)
      assert.equal(first, asked())
      for _, op in ipairs(ops) do op:cancel() end
    end)

    it("nothing else", function()
      local sleep = core.sleep(60)
      sleep:hurry()
      core.engine():step(0)
      assert.is_false(sleep:over())
      sleep:cancel()
      core.engine():close()
      sleep:hurry()
    end)
  end)

  it("keeps every status of a poll for who asks late", function()
    local client, id = client_of(t), t.job().id
    local op = assert(client:poll(settings { poll = { first = 0.01, max = 0.02 } }, id))
    for asked, seconds in ipairs { 6, 20, 0 } do
      step_until(function() return t.service:count "info" > asked or op:over() end)
      t.service:advance(seconds)
    end
    step_until(function() return op:over() end)
    local told = {}
    repeat
      local kind, job = op:next()
      told[#told + 1] = kind .. " " .. job.status
    until kind == "done"
    assert.same({ "status queueing", "status processing", "status completed", "done completed" },
      told)
  end)

  it("holds no job of which it has told, unless that is its result", function()
    local id = t.job().id
    local op = assert(client_of(t):poll(settings { poll = { first = 0.01, max = 0.02 } }, id))
    for _, seconds in ipairs { 6, 0 } do
      local asked = t.service:count "info"
      step_until(function() return t.service:count "info" > asked + 1 end)
      t.service:advance(seconds)
    end
    local told = setmetatable({}, { __mode = "v" })
    local function take(status)
      local kind, job = op:next()
      assert.equal("status", kind)
      assert.equal(status, job.status)
      told[status] = job
    end
    take "queueing"
    take "processing"
    collectgarbage()
    collectgarbage()
    assert.is_nil(told.queueing)
    assert.equal(_VERSION == "Lua 5.1", told.processing ~= nil) -- which has it until the next
    op:cancel()
  end)

  it("asks no more about a job that failed", function()
    local id = t.job().id
    t.service:set(id, { video_status = 4 })
    local op = assert(client_of(t):poll(settings(), id))
    step_until(function() return op:over() end)
    assert.equal("status", (op:next()))
    local kind, job = op:next()
    assert.equal("done", kind)
    assert.equal("failed", job.status)
    assert.equal(1, t.service:count "info")
  end)

  it("waits for as long as it is asked to, even if the system has no number for it", function()
    local engine = core.engine()
    engine:pollfd() -- so that what is started wakes a step
    local sleep = core.sleep(3e6)
    engine:step(4e6)
    assert.is_false(sleep:over())
    sleep:cancel()
  end)

  it("keeps the first events of a call that nobody asks for, and no more", function()
    local client, id = client_of(t), t.job().id
    local given = settings { on_event = print, poll = { first = 0.001, max = 0.001 } }
    local op = assert(client:poll(given, id))
    step_until(function() return t.service:count "info" > 150 end)
    op:cancel()
    local types = {}
    for kind, event in op.next, op do
      if kind ~= "event" then break end
      types[#types + 1] = event.type
    end
    assert.same({ "request", "answer", "status", "request" }, { unpack(types, 1, 4) })
    assert.equal(256, #types)
  end)

  it("frees the events that nobody asked for", function()
    local client = client_of(t)
    local given, id = settings { on_event = print }, t.completed().id
    local op = assert(client:info(given, id))
    step_until(function() return op:over() end)
    op = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    assert.is_nil((core.engine():ready()))
    assert.equal(0, core.engine():stats().calls)
  end)

  describe("while a finalizer calls back in the middle of a step", function()
    -- What the finalizers do with `target`, the op whose answer is on its way.
    local ACTIONS = {
      ["cancels the op"] = "target:cancel()",
      ["cancels the op and looks for news"] = "target:cancel() core.engine():ready()",
      ["asks the op for its news"] = "target:next() target:over() tostring(target)",
      ["asks the engine for its news"] = "core.engine():ready()",
      ["steps"] = "core.engine():step(0)",
      ["closes the engine"] = "core.engine():close()",
      ["closes the engine and steps"] = "core.engine():close() core.engine():step(0)",
      ["starts a wait"] = "core.sleep(0)",
      ["starts a request"] = "client:info(settings(), ID)",
      ["counts"] = "core.engine():stats() core.engine():timeout()",
    }
    local PROGRAM = [[
      local target, others = nil, 0
      local function f()
        others = others + 1
        if target and others <= 300 then %s end
      end
      local given = settings { on_event = print, poll = { first = 0.01 } }
      local starts = {
        function() return client:create(given, MEDIA, MEDIA) end,
        function() return client:info(given, ID) end,
        function() return client:poll(given, ID) end,
        function() return client:credits(given) end,
      }
      local count = 0
      for i = 1, 48 do
        target = assert(starts[i %% 4 + 1]())
        local other = assert(client:info(given, ID))
        local kind, value = last_word(target, f)
        count = count + off()
        assert(kind == "done" or value.kind == "cancelled", tostring(value))
        kind, value = last_word(other)
        assert(kind == "done" or value.kind == "cancelled", tostring(value))
      end
      assert(count > 0, "no finalizer ran")
      local sleeps = {} -- each needs the place among the timers that it was promised
      for i = 1, 200 do sleeps[i] = core.sleep(1000) end
      for i = 1, 200 do sleeps[i]:cancel() end
      -- and everywhere else: while ops are made and tell what they have to tell. Lua 5.2 lets
      -- finalizers run between the fetching of an engine and its step, too.
      local function step()
        local fine, why = pcall(function() core.engine():step(0.05) end)
        assert(fine or why:find("closed engine", 1, true), why)
      end
      for i = 1, 24 do
        others = 0
        on(f)
        local fine, op = pcall(starts[i %% 4 + 1])
        if fine then
          target = op
          repeat step() until op:over()
          repeat local kind = op:next() until kind == "done" or kind == "failed"
        else
          assert(op:find("closed engine", 1, true), op)
        end
        off()
      end
      core.engine():close()
    ]]
    for what, action in pairs(ACTIONS) do
      it(("stands it that it %s"):format(what), function()
        is_fine(PROGRAM:format(action))
      end)
    end

    it("does not wait in a step inside a step", function()
      is_fine [[
        local longest, count = 0, 0
        local function f()
          local before = core.now()
          core.engine():step(3)
          longest = math.max(longest, core.now() - before)
        end
        for _ = 1, 20 do
          last_word(client:info(settings(), ID), f)
          count = count + off()
          assert(longest < 2, "a step inside a step waited")
        end
        assert(count > 0, "no finalizer ran")
      ]]
    end)

    it("reads no answer in a step inside a step, while it reads another", function()
      is_fine(([[
        local ids, count = { ID, %q }, 0
        local function step() core.engine():step(0) end
        for _ = 1, 20 do
          local ops = {}
          for i = 1, 16 do ops[i] = client:info(settings(), ids[i %% 2 + 1]) end
          for _ = 1, 4 do
            on(step) -- on a slow machine the answers are there by now
            core.engine():step(0.001)
            on(nil)
          end
          local back = core.now() + 0.03 -- so that several answers are there at once
          repeat until core.now() > back
          for i, op in ipairs(ops) do
            local kind, job = last_word(op, step)
            assert(kind == "done", tostring(job))
            assert(job and job.id == ids[i %% 2 + 1], "answers were mixed up")
          end
          count = count + off()
        end
        assert(count > 0, "no finalizer ran")
      ]]):format(t.job().id))
    end)

    it("tells every event once, whoever asks for it", function()
      is_fine [[
        local seen, count = {}, 0
        local op
        local function take()
          local kind, event = op:next()
          if kind == "event" then seen[#seen + 1] = event.type end
          return kind
        end
        for _ = 1, 100 do
          seen, op = {}, client:info(settings { on_event = print }, ID)
          repeat core.engine():step(0.05) until op:over()
          on(take)
          repeat local kind = take() until kind == "done"
          count = count + off()
          table.sort(seen)
          assert(table.concat(seen, " ") == "answer request", table.concat(seen, " "))
        end
        assert(count > 0, "no finalizer ran")
      ]]
    end)

    it("reads a token to its end that nobody waits for any more, and asks for no other", function()
      for _, answer in ipairs { '"code":1000,"token":"a-token"', '"code":1201' } do
        local raw = ('{%s,"much":[%s{}]}'):format(answer, ("{},"):rep(4000)) -- for finalizers to run
        t.service:fail { at = "token", raw = raw, times = "always" }
        is_fine(([[
          local pair = assert(core.client(%q))
          local count = 0
          for i = 1, 5 do
            assert(pair:credentials("client_id", %q, %q .. i))
            local op = assert(pair:credits(settings { max_retries = 1 }))
            local kind, value = last_word(op, function() op:cancel() end)
            if off() > 0 then
              count = count + 1
              assert(value.kind == "cancelled", tostring(value))
            end
            assert(core.engine():stats().calls == 0, "it is asked for again")
          end
          assert(count > 0, "no finalizer ran")
        ]]):format(t.service.url, secrets.client_id, secrets.client_secret))
        t.service:clear()
      end
    end)

    it("leaves only a create in doubt that was cancelled while its answer was read", function()
      is_fine [[
        local given, seen = settings(), 0
        for _ = 1, 200 do
          local op = assert(client:info(given, ID))
          local _, err = last_word(op, function() op:cancel() end)
          if off() > 0 then
            assert(err.kind == "cancelled" and not err.maybe_created, tostring(err))
            seen = seen + 1
          end
          if seen == 5 then break end
        end
        assert(seen > 0, "no finalizer ran")
        seen = 0
        for _ = 1, 200 do
          local op = assert(client:create(given, MEDIA, MEDIA))
          local kind, err = last_word(op, function() op:cancel() end)
          if off() > 0 then
            assert(kind == "failed" and err.kind == "cancelled", "it was not cancelled")
            assert(err.maybe_created == true, "it says that there is no job")
            assert(err.retryable == false, "it may be sent again")
            assert(err.message:find("may exist", 1, true), err.message)
            seen = seen + 1
          end
          if seen == 5 then break end
        end
        assert(seen > 0, "no finalizer ran")
      ]]
      assert.is_true(#t.service:jobs() >= 5)
    end)
  end)

  describe("after the program was away for longer than a limit", function()
    local LIMIT = 0.5

    local function within_limit(more)
      more.timeout, more.create_timeout = LIMIT, LIMIT
      return more
    end

    local starts = {
      info = function(client, limits, id) return client:info(settings(limits), id) end,
      create = function(client, limits)
        return client:create(settings(limits), MEDIA, MEDIA)
      end,
    }

    for what, start in pairs(starts) do
      it(("takes the answer to %s that came in time"):format(what), function()
        local client, id = client_of(t), t.job().id
        local before = t.service:count(what)
        t.service:fail { at = what, delay = LIMIT / 5 }
        local op = assert(start(client, within_limit { max_retries = 0 }, id))
        step_until(function() return t.service:count(what) > before end)
        assert.is_false(op:over())
        be_away(LIMIT * 1.3)
        local kind, value = loop.next(op)
        assert.equal("done", kind, tostring(value))
        assert.equal("queueing", value.status)
      end)

      it(("can still send, once, what it had no time to send: %s"):format(what), function()
        local client, id = client_of(t), t.job().id
        local before = t.service:count(what)
        core.engine():close() -- no connection is open yet
        local op = assert(start(client, within_limit {}, id))
        be_away(LIMIT * 1.3)
        local kind, value = loop.next(op)
        assert.equal("done", kind, tostring(value))
        assert.equal(before + 1, t.service:count(what))
      end)
    end

    it("holds nothing back that had to wait for no longer than that", function()
      local client, id = client_of(t), t.job().id
      t.service:fail { at = "info", code = 1005 }
      local kind, err = loop.next(assert(client:info(settings { max_retries = 0 }, id)))
      assert.equal("failed", kind)
      assert.equal("rate_limited", err.kind)
      local early = assert(client:info(settings(), id))
      assert.equal(0, core.engine():stats().running)
      be_away(1.1)
      local late = assert(client:info(settings(), id))
      assert.equal(1, core.engine():stats().running)
      for _, op in ipairs { early, late } do assert.equal("done", (loop.next(op))) end
    end)

    it("still ends what got no answer in time", function()
      local client, id = client_of(t), t.job().id
      local before = t.service:count("info")
      t.service:fail { at = "info", stall = "after" }
      local op = assert(client:info(settings { timeout = 0.2, max_retries = 0 }, id))
      step_until(function() return t.service:count("info") > before end)
      be_away(0.3)
      local kind, err = loop.next(op)
      assert.equal("failed", kind)
      assert.equal("timeout", err.kind)
    end)
  end)

  describe("answers every question to an op", function()
    local kinds = {
      info = function(client, id) return client:info(settings(), id) end,
      create = function(client) return client:create(settings(), MEDIA, MEDIA) end,
      poll = function(client, id) return client:poll(settings(), id) end,
      credits = function(client) return client:credits(settings()) end,
      download = function(client)
        return client:download(settings(), t.video, t.path("out.mp4"))
      end,
      sleep = function() return core.sleep(0.05) end,
    }

    -- A started op of each kind.
    local function each(f)
      local client, id = client_of(t), t.completed().id
      for what, start in pairs(kinds) do
        local op = assert(start(client, id))
        f(op, what)
        os.remove(t.path("out.mp4"))
      end
    end

    it("that has just been started", function()
      each(function(op, what)
        t.service:reset()
        assert.is_false(op:over())
        assert.is_nil((op:next()))
        assert.equal(("akool.lipsync.op (%s, under way)"):format(what), tostring(op))
        op:cancel()
        local kind, err = op:next()
        assert.equal("failed", kind)
        assert.equal("cancelled", err.kind)
        assert.is_false(err.maybe_created)
        assert.same({}, t.service:requests())
      end)
    end)

    it("that is over, and keeps its last word", function()
      each(function(op, what)
        step_until(function() return op:over() end)
        local kind, value
        repeat kind, value = op:next() until kind ~= "status"
        assert.equal("done", kind)
        op:cancel()
        op:hurry()
        assert.is_true(op:over())
        local again, same = op:next()
        assert.equal("done", again)
        assert.same(value, same)
        assert.equal(("akool.lipsync.op (%s, over)"):format(what), tostring(op))
      end)
    end)

    it("whose engine was closed", function()
      each(function(op, what)
        local engine = core.engine()
        t.service:clear()
        t.service:fail { delay = 5 }
        engine:step(0)
        engine:close()
        engine:close()
        assert.is_true(op:over())
        local kind, err = op:next()
        assert.equal("failed", kind)
        assert.equal("cancelled", err.kind)
        op:cancel()
        assert.equal(err.message, select(2, op:next()).message)
        assert.equal(("akool.lipsync.op (%s, over)"):format(what), tostring(op))
      end)
    end)
  end)

  it("has an engine that closes more than once, and then only says what it is", function()
    local engine = core.engine()
    assert.equal("akool.lipsync.engine (open)", tostring(engine))
    engine:close()
    engine:close()
    assert.equal("akool.lipsync.engine (closed)", tostring(engine))
    for _, name in ipairs { "step", "ready", "pollfd", "events", "timeout", "stats" } do
      assert.has_error(function() engine[name](engine) end, "attempt to use a closed engine")
    end
    assert.not_equal(engine, core.engine())
    assert.equal("done", (loop.next(core.sleep(0))))
  end)

  it("goes on when libcurl closed sockets by itself and their numbers came back", function()
    t.service:fail { at = "credits", delay = 0.3 } -- under way while others come and go
    local said, status, changes = child.run(([[
      local lipsync = require "akool.lipsync"
      local client = assert(lipsync.new { api_key = %q, base_url = %q, max_retries = 0 })
      local task = lipsync.spawn(client.credits, client)
      lipsync.run(function()
        for _ = 1, 4 do
          print(assert(client:info(%q)).status)
          lipsync.sleep(0.001) -- a wait, for which epoll is told of all changes
        end
        assert(task:join())
      end)
    ]]):format(secrets.api_key, t.service.url, t.completed().id), { errors = true,
      environment = preload("closed_sockets", t.folder) })
    assert.equal(("completed\n"):rep(4), said, changes)
    assert.equal(0, status)
    for _, change in ipairs { "%+", "~", "%-.*%-" } do
      assert.is_truthy(changes:find(change), changes)
    end
  end)

  it("makes a handle only for what may run, however many wait", function()
    local client, id = client_of(t), t.completed().id
    local narrow, ops = settings { max_connections = 2 }, {}
    for i = 1, 50 do ops[i] = assert(client:info(narrow, id)) end
    local stats = core.engine():stats()
    assert.equal(2, stats.running)
    assert.equal(48, stats.queued)
    assert.equal(2, stats.handles)
    step_until(function() return ops[50]:over() end)
    for i = 1, 50 do assert.equal("done", (ops[i]:next())) end -- in the order in which they came
    assert.is_true(core.engine():stats().handles <= 2)
  end)

  it("keeps no handle whose exchange failed", function()
    local client = assert(core.client("http://127.0.0.1:1"))
    assert(client:credentials("api_key", secrets.api_key))
    assert.equal("failed", (loop.next(client:credits(settings { max_retries = 0 }))))
    assert.equal(0, core.engine():stats().handles)
  end)

  describe("gives an op a place", function()
    local function place_of(op)
      local kind, place = op:next()
      assert.is_nil(kind)
      return place
    end

    it("that others had before it", function()
      for _ = 1, 30 do
        local ops = { core.sleep(60), core.sleep(60) }
        assert.is_true(place_of(ops[1]) <= 2 and place_of(ops[2]) <= 2)
        for _, op in ipairs(ops) do op:cancel() end
        repeat until not core.engine():ready()
        ops = nil -- luacheck: ignore 311
        collectgarbage()
        collectgarbage()
      end
    end)

    it("that no op of an engine before this one gives to another", function()
      local old = core.sleep(60)
      core.engine():close()
      local one = core.sleep(0.01)
      assert.equal("failed", (old:next()))
      old = nil -- luacheck: ignore 311
      collectgarbage()
      collectgarbage()
      local other = core.sleep(0.01)
      assert.not_equal(place_of(one), place_of(other))
      assert.equal("done", (loop.next(one)))
      assert.equal("done", (loop.next(other)))
    end)
  end)

  it("says of every start that there is no engine while no descriptor is left for one", function()
    is_fine([[
      local lipsync = require "akool.lipsync"
      local service = assert(lipsync.new { api_key = "key", base_url = "http://127.0.0.1:1" })
      local urls = { video_url = MEDIA, audio_url = MEDIA }
      local done = { id = ID, status = "completed", video = MEDIA }
      local calls = {
        create = function() return service:create(urls) end,
        info = function() return service:info(ID) end,
        wait = function() return service:wait(ID) end,
        credits = function() return service:credits() end,
        download = function() return service:download(done, "out.mp4") end,
        generate = function() return service:generate(urls, "out.mp4") end,
        sleep = function() return lipsync.sleep(0) end,
        interruption = core.interruption,
        engine = core.engine,
      }
      local held = {}
      for file in function() return io.open "/dev/null" end do held[#held + 1] = file end
      for name, call in pairs(calls) do
        for _, value in ipairs { { call() }, { lipsync.run(call) } } do
          local err = value[2]
          assert(value[1] == nil and err.kind == "io" and err.name == "no_engine", name)
          assert(not err.maybe_created, name)
        end
      end
      assert(lipsync.step(0) == 0)
      for _, file in ipairs(held) do file:close() end
      assert(lipsync.sleep(0))
    ]], [[sh -c 'ulimit -n 48; exec "$@"' sh]])
  end)

  -- Finalizers run in the reverse order of their objects' making: what was made first sees the rest
  -- gone.
  it("says of what was collected that it is, to a finalizer that still has it", function()
    local prelude = PRELUDE:format(t.service.url, secrets.api_key, t.completed().id, MEDIA)
    local said = child.run(prelude .. ([[
      local URL, VIDEO, OUT = %q, %q, %q
      local function make()
        local gone = {}
        local function look()
          print(gone.client)
          print(gone.op:over(), gone.op:next())
          gone.op:cancel()
          for _, call in ipairs { function() gone.client:credits(settings()) end,
            function() core.client(URL):credits(gone.settings) end } do
            local _, why = pcall(call)
            print((why:match "%%((.-)%%)"))
          end
        end
        local first = newproxy and newproxy(true) or setmetatable({}, { __gc = look })
        getmetatable(first).__gc = look
        gone.client = assert(core.client(URL))
        gone.settings = settings()
        gone.op = assert(gone.client:download(gone.settings, VIDEO, OUT))
        assert(last_word(gone.op) == "done")
        return first
      end
      make()
      collectgarbage()
      collectgarbage()
      over = true
    ]]):format(t.service.url, t.video, t.path("out.mp4")))
    assert.equal("akool.lipsync.client (incomplete)\ntrue\tdone\tnil\n"
      .. "this client is not complete, or was collected\n"
      .. "these settings are not complete, or were collected\n", said)
  end)

  it("says what it is given instead, even if that has a name that is none", function()
    local odd = setmetatable({}, { __name = {} })
    local fine, why = pcall(core.engine().step, odd)
    assert.is_false(fine)
    assert.is_truthy(why:find("akool.lipsync.engine expected, got table", 1, true), why)
  end)

  it("says what is wrong with a URL, and nothing if nothing is", function()
    assert.is_nil(core.bad_url "https://example.com/film.mp4")
    assert.is_nil(core.bad_url "http://10.0.0.1/film.mp4") -- whose service that is for, it is not told
    assert.equal("is empty", core.bad_url "")
    assert.is_truthy(core.bad_url("film.mp4"):find "uploaded")
  end)

  it("raises when it is given something else than it takes", function()
    local client, engine, op, given = client_of(t), core.engine(), core.sleep(0), settings()
    local address = newproxy and newproxy() or debug.upvalueid(fixture.read, 1) -- no metatable
    for what, wrong in pairs {
      ["a step of an op"] = function() engine.step(op) end,
      ["a step of nothing"] = function() engine.step() end,
      ["a step of some words"] = function() engine:step("soon") end,
      ["the news of an engine"] = function() op.next(engine) end,
      ["the news of a table"] = function() op.next {} end,
      ["the end of a client"] = function() op.cancel(client) end,
      ["the end of a file"] = function() op.over(io.stdout) end,
      ["a wait of some words"] = function() core.sleep("long") end,
      ["a wait of nothing"] = function() core.sleep() end,
      ["a client of a table"] = function() core.client {} end,
      ["no settings"] = function() core.settings() end,
      ["empty settings"] = function() core.settings {} end,
      ["an info without settings"] = function() client:info("66160f989dfc997ac289037b") end,
      ["an info with other settings"] = function() client:info({}, "66160f989dfc997ac289037b") end,
      ["an info with a client for settings"] = function() client:info(client, "x") end,
      ["an info about nothing"] = function() client:info(given) end,
      ["an info by an address"] = function() client.info(address, given, "x") end,
      ["an info by an op"] = function() client.info(op, given, "x") end,
      ["a poll about a table"] = function() client:poll(given, {}) end,
      ["a create of nothing"] = function() client:create(given) end,
      ["a create of one URL"] = function() client:create(given, MEDIA) end,
      ["a create of tables"] = function() client:create(given, {}, {}) end,
      ["a download to nowhere"] = function() client:download(given, t.video) end,
      ["another way to be known"] = function() client:credentials("password", "x") end,
      ["no key"] = function() client:credentials("api_key") end,
      ["a pair without a secret"] = function() client:credentials("client_id", "x") end,
      ["an error of no name"] = function() core.error("no_such_cause", "x") end,
    } do
      assert.is_false(pcall(wrong), what)
    end
    op:cancel()
    assert.equal(0, engine:stats().calls)
    assert.same({}, t.service:requests())
  end)

  it("names lua-cjson when that is what is missing", function()
    for loader, reason in pairs {
      ['function() error("there is none", 0) end'] = "there is none",
      ["function() error {} end"] = "it is not a table",
      ["function() return true end"] = "it is not a table",
    } do
      local said = child.run(([[
        package.preload.cjson = %s
        print(select(2, pcall(require, "akool.lipsync.core")))
      ]]):format(loader))
      assert.is_truthy(said:find("needs lua-cjson", 1, true), said)
      assert.is_truthy(said:find(reason, 1, true), said)
    end
  end)

  it("keeps its finalizers out of a program's hands", function()
    local op = core.sleep(0)
    for _, value in ipairs { op, core.engine(), client_of(t), settings() } do
      assert.is_false(getmetatable(value))
      assert.is_false(pcall(function() return value.__gc end) and value.__gc ~= nil)
    end
    op:cancel()
  end)

  describe("with credentials", function()
    it("that nobody gave asks for nothing and says so", function()
      local client = client_of(t, false)
      for what, op in pairs {
        info = client:info(settings(), "66160f989dfc997ac289037b"),
        create = client:create(settings(), MEDIA, MEDIA),
        poll = client:poll(settings(), "66160f989dfc997ac289037b"),
        credits = client:credits(settings()),
      } do
        local kind, err = loop.next(op)
        assert.equal("failed", kind, what)
        assert.equal("no_credentials", err.name)
        assert.is_false(err.maybe_created)
      end
      assert.equal(0, t.service:connections())
    end)

    -- A call that waits for a token, which comes late; the service has been asked for it.
    local function late_token(id, secret, delay)
      local client = client_of(t, "client_id", id, secret)
      t.service:fail { at = "token", delay = delay }
      local op = assert(client:credits(settings { max_retries = 0 }))
      step_until(function() return t.service:count("token") > 0 end)
      return client, op
    end

    it("that were replaced while a token was fetched uses the new ones", function()
      local client, op = late_token(secrets.client_id, secrets.client_secret, 0.2)
      assert(client:credentials("api_key", secrets.api_key))
      assert.equal("done", (loop.next(op)))
      assert.equal("done", (loop.next(client:credits(settings()))))
      for _, request in ipairs(t.service:requests("credits")) do
        assert.equal(secrets.api_key, request.headers["x-api-key"])
        assert.is_nil(request.headers.authorization)
      end
      assert.equal(2, t.service:count("credits"))
    end)

    it("that were wrong and were replaced in time uses the right ones", function()
      local client = late_token("another-client-id", "another-client-secret", 0.2)
      assert(client:credentials("client_id", secrets.client_id, secrets.client_secret))
      local kind, value = loop.next(client:credits(settings { max_retries = 0 }))
      assert.equal("done", kind, tostring(value))
    end)

    it("that are a pair fetches no token any more when nobody waits for it", function()
      local client, one = late_token(secrets.client_id, secrets.client_secret, 0.3)
      local two = assert(client:info(settings(), t.completed().id))
      assert.equal(3, core.engine():stats().calls)
      one:cancel()
      assert.equal(2, core.engine():stats().calls)
      assert.equal("done", (loop.next(two))) -- it has its token all the same
      core.engine():close()

      t.service:reset()
      client, one = late_token(secrets.client_id, secrets.client_secret, 30)
      two = assert(client:credits(settings()))
      one:cancel()
      two:cancel()
      local stats = core.engine():stats()
      assert.equal(0, stats.calls)
      assert.equal(0, stats.running)
      t.service:reset()
      assert.equal("done", (loop.next(client:credits(settings())))) -- and the next call fetches anew
    end)

    it("that were replaced are no matter to who gave up waiting for their token", function()
      local client, op = late_token(secrets.client_id, secrets.client_secret, 0.2)
      assert(client:credentials("client_id", secrets.client_id, "another-client-secret"))
      op:cancel()
      local kind, err = op:next()
      assert.equal("failed", kind)
      assert.equal("cancelled", err.kind)
      assert.equal(0, core.engine():stats().calls)
      assert(client:credentials("api_key", secrets.api_key))
      assert.equal("done", (loop.next(client:credits(settings()))))
    end)

    it("that are a pair of the same length are another pair", function()
      local client = client_of(t, "client_id", secrets.client_id, secrets.client_secret)
      assert.equal("done", (loop.next(client:credits(settings()))))
      assert(client:credentials("client_id", secrets.client_id,
        "?" .. secrets.client_secret:sub(2)))
      local kind, err = loop.next(client:credits(settings { max_retries = 0 }))
      assert.equal("failed", kind)
      assert.equal("auth", err.kind)
      assert.equal(2, t.service:count("token"))
    end)

    it("that nobody gave are not found in any words", function()
      assert.equal("some words or others", client_of(t, false):redact("some words or others"))
    end)

    it("that come back after others are used again", function()
      local client = client_of(t, "client_id", secrets.client_id, secrets.client_secret)
      for _, way in ipairs { "client_id", "api_key", "client_id" } do
        local pair = way == "client_id"
        assert(client:credentials(way, pair and secrets.client_id or secrets.api_key,
          pair and secrets.client_secret or nil))
        assert.equal("done", (loop.next(client:credits(settings()))))
      end
      local sent = {}
      for i, request in ipairs(t.service:requests "credits") do
        sent[i] = request.headers["x-api-key"] and "key" or "token"
      end
      assert.same({ "token", "key", "token" }, sent)
    end)

    it("that were replaced before a token could be asked for uses the new ones, too", function()
      local narrow, id = settings { max_connections = 1, max_retries = 0 }, t.completed().id
      t.service:fail { at = "info", delay = 0.3 }
      local slow = assert(client_of(t):info(narrow, id)) -- has the only connection
      local client = client_of(t, "client_id", secrets.client_id, secrets.client_secret)
      local op = assert(client:credits(narrow))
      assert.equal(1, core.engine():stats().queued)
      assert(client:credentials("client_id", secrets.client_id, "another-client-secret"))
      local kind, err = loop.next(op)
      assert.equal("failed", kind)
      assert.equal("auth", err.kind)
      assert.equal(0, t.service:count("credits"))
      assert.equal("done", (loop.next(slow)))
    end)

    it("that were replaced keeps no token of the old ones", function()
      local client, op = late_token(secrets.client_id, secrets.client_secret, 0.2)
      assert(client:credentials("client_id", secrets.client_id, "another-client-secret"))
      local kind, err = loop.next(op)
      assert.equal("failed", kind)
      assert.equal("auth", err.kind)
      assert.equal(2, t.service:count("token"))
      assert.equal(0, t.service:count("credits"))
    end)
  end)
end)
