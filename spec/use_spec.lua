-- lipsync.use: what it takes and refuses, and what a host that calls back can do to the library and to
-- those who wait. The host here is this spec; the real ones are in spec/hosts.

local child = require "support.child"
local compat = require "akool.lipsync.compat"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local lfs = require "lfs"
local lipsync = require "akool.lipsync"
local uv = require "luv"

local UNKNOWN = "66160f989dfc997ac289037b"

local function nothing() end

--- A host that watches nothing.
local function idle()
  return { name = "nobody", watch = function() return nothing end }
end

--- What `lipsync.use` raises, which must be said of this file.
local function refusal(...)
  local given = { n = select("#", ...), ... }
  local fine, why = pcall(function() lipsync.use((unpack or table.unpack)(given, 1, given.n)) end)
  assert.is_false(fine)
  assert.is_truthy(tostring(why):find "use_spec.lua:%d+: use: ", why)
  return why
end

describe("lipsync.use", function()
  local t = fixture.new()

  after_each(function() lipsync.use(false) end)

  it("tells which host is in use", function()
    assert.is_nil(lipsync.use())
    lipsync.use(idle())
    assert.equal("nobody", lipsync.use())
    lipsync.use(false)
    assert.is_nil(lipsync.use())
    lipsync.use(false)
  end)

  it("refuses what is no host", function()
    for _, given in ipairs { 7, true, nothing } do
      assert.is_truthy(refusal(given):find("the name of a host or an adapter", 1, true))
    end
    for _, name in ipairs { "", "../luv", "Luv", "luv.x" } do
      assert.is_truthy(refusal(name):find("the name of a host expected", 1, true))
    end
    assert.is_truthy(refusal "nohost":find('no adapter for "nohost"', 1, true))
    assert.is_nil(lipsync.use())
  end)

  it("refuses an adapter that is not one", function()
    assert.is_truthy(refusal {}:find("'watch' or 'wait'", 1, true))
    assert.is_truthy(refusal { spawn = nothing }:find("'watch' or 'wait'", 1, true))
    assert.is_truthy(refusal { watch = true }:find("watch should be a function", 1, true))
    assert.is_truthy(refusal { watch = nothing, wait = 1 }:find("wait should be", 1, true))
    assert.is_truthy(refusal { wait = nothing, spawn = "x" }:find("spawn should be", 1, true))
    assert.is_nil(lipsync.use())
  end)

  it("refuses the adapter of a known host that cannot be had here", function()
    local name = "akool.lipsync.loop.broken"
    package.preload[name] = function() error "no such loop here" end
    assert.is_truthy(refusal "broken":find("broken cannot be joined here: .*no such loop here"))
    for _, made in ipairs { 7, "x" } do
      package.loaded[name] = made
      assert.is_truthy(refusal "broken":find("an adapter is a table", 1, true))
    end
    package.loaded[name] = nothing -- takes options, and makes nothing of them
    assert.is_truthy(refusal("broken", {}):find("an adapter is a table", 1, true))
    package.loaded[name] = idle()
    assert.is_truthy(refusal("broken", {}):find("takes no options", 1, true))
    package.preload[name], package.loaded[name] = nil, nil
    assert.is_nil(lipsync.use())
  end)

  it("refuses the hosts that have no module to miss, anywhere but inside them", function()
    for name, host in pairs { nginx = "nginx", haproxy = "HAProxy", neovim = "Neovim" } do
      local said = refusal(name)
      assert.is_truthy(said:find(("%s cannot be joined here: this is not %s$"):format(name, host)))
    end
  end)

  it("hands its options to an adapter that takes some", function()
    local name, got = "akool.lipsync.loop.fit", nil
    package.loaded[name] = function(options)
      got = options
      return idle()
    end
    lipsync.use("fit", "these")
    assert.equal("these", got)
    package.loaded[name] = nil
  end)

  it("refuses a second host", function()
    lipsync.use(idle())
    assert.is_truthy(refusal(idle()):find("waits through nobody already", 1, true))
    assert.is_truthy(refusal "luv":find("waits through nobody already", 1, true))
    assert.equal("nobody", lipsync.use())
  end)

  it("refuses any while something is under way", function()
    local function refuses_all()
      for _, given in ipairs { idle(), false } do
        assert.is_truthy(refusal(given):find("something is under way", 1, true))
      end
    end
    local task = lipsync.spawn(lipsync.sleep, 60)
    refuses_all()
    task:cancel()
    task:join()
    local op = t.client().core:info(t.client().settings, UNKNOWN)
    refuses_all()
    op:cancel()
    lipsync.run(refuses_all)
    lipsync.use(idle())
  end)
end)

describe("under a host that calls back,", function()
  local t = fixture.new()

  local step, watches, ends -- what it calls, while it watches; how often it began to and was told to end

  --- Call `step` until `is_so`, or until nobody wants to be called any more.
  local function run_host(is_so)
    local deadline = core.now() + 20
    while step and not (is_so and is_so()) do
      assert(core.now() < deadline, "it never came to that")
      uv.sleep(1)
      step()
    end
  end

  before_each(function()
    step, watches, ends = nil, 0, {}
    lipsync.use {
      name = "this spec",
      watch = function(_, given)
        step, watches = given, watches + 1
        return function(closing)
          step = nil
          ends[#ends + 1] = closing
        end
      end,
    }
  end)

  after_each(function()
    run_host()
    lipsync.use(false)
  end)

  it("a task has it watch, and its end lets it rest, again and again", function()
    for i = 1, 3 do
      local task = lipsync.spawn(lipsync.sleep, 0.01)
      assert.equal(i, watches)
      run_host()
      assert.is_true(task:join())
      assert.equal(i, #ends)
      assert.is_false(ends[i])
    end
  end)

  it("a coroutine of the program's waits like a task", function()
    local client, found, joined = t.client(), nil, nil
    local job
    coroutine.wrap(function()
      job = t.job(client)
      found = client:info(job)
      joined = lipsync.spawn(function() return lipsync.sleep(0.01) and "joined" end):join()
    end)()
    assert.is_nil(job)
    run_host()
    assert.equal(job.id, found.id)
    assert.equal("joined", joined)
  end)

  it("an error of such a coroutine is raised in the host", function()
    coroutine.wrap(function()
      lipsync.sleep(0.01)
      error "of its own"
    end)()
    local fine, why = pcall(run_host)
    assert.is_false(fine)
    assert.is_truthy(why:find("use_spec.lua:%d+: of its own"), why)
    assert.is_nil(step)
  end)

  it("such a coroutine waits on when somebody else resumes it", function()
    local client, found = t.client(), nil
    local job
    local co = coroutine.create(function()
      job = t.job(client)
      found = client:info(job)
      lipsync.spawn(lipsync.sleep, 0.02):join()
      found = found and "and more"
    end)
    while coroutine.status(co) ~= "dead" do
      assert(coroutine.resume(co))
      for _ = 1, 3 do assert(coroutine.resume(co)) end
      run_host(function() return coroutine.status(co) == "dead" end)
    end
    assert.equal("and more", found)
    assert.equal(1, t.service:count "create")
  end)

  it("such a coroutine may be closed while it waits", function()
    if not coroutine.close then return end -- Lua 5.4 has it
    local co = coroutine.create(function() lipsync.sleep(0.02) end)
    assert(coroutine.resume(co))
    assert(coroutine.close(co))
    run_host()
    assert.equal(1, #ends)
  end)

  it("what would block it says so, and has done nothing", function()
    local client, ran = t.client(), false
    for _, call in ipairs {
      function() client:create { video_url = t.video, audio_url = t.audio } end,
      function() client:info(UNKNOWN) end,
      function() lipsync.sleep(0.01) end,
      function() lipsync.run(function() ran = true end) end,
      function() lipsync.map({ 1, 2 }, function() ran = true end) end,
      function() string.gsub("x", "x", function() client:info(UNKNOWN) end) end,
    } do
      local fine, why = pcall(call)
      assert.is_false(fine)
      assert.equal("Waiting here would block this spec: do it inside "
        .. "lipsync.spawn(function() … end).", why)
    end
    run_host()
    assert.is_false(ran)
    assert.same({}, t.service:requests())
    assert.equal(0, core.engine():stats().calls)
  end)

  it("a generator inside a task does, too", function()
    local client, why = t.client(), nil
    lipsync.spawn(function()
      local fine
      fine, why = pcall(coroutine.wrap(function() coroutine.yield(client:info(UNKNOWN)) end))
      assert(not fine)
    end)
    run_host()
    assert.is_truthy(why:find("Waiting here would block this spec", 1, true), why)
  end)

  it("a task does where no coroutine can yield, and says that it is for this", function()
    local client, why = t.client(), {}
    lipsync.spawn(function()
      string.gsub("x", "x", function() why[1] = select(2, pcall(client.info, client, UNKNOWN)) end)
      if not compat.pcall_yields then why[2] = select(2, pcall(client.info, client, UNKNOWN)) end
    end)
    run_host()
    for i = 1, compat.pcall_yields and 1 or 2 do assert.equal(compat.CANNOT_YIELD, why[i]) end
    assert.same({}, t.service:requests())
  end)

  it("its callbacks may cancel a task, but not wait for one", function()
    local results
    local sleeping = lipsync.spawn(function() results = { lipsync.sleep(60) } end)
    run_host(function() return core.engine():stats().calls == 1 end)
    assert.is_false((pcall(sleeping.join, sleeping)))
    sleeping:cancel()
    run_host()
    assert.is_nil(results[1])
    assert.equal("cancelled", results[2].kind)
    sleeping:join()
  end)

  it("the engine tells it to let go before the descriptor closes", function()
    local fd = core.engine():pollfd()
    local open
    lipsync.use(false)
    lipsync.use {
      watch = function()
        return function(closing)
          open = closing and lfs.symlinkattributes("/proc/self/fd/" .. fd, "mode") ~= nil
        end
      end,
    }
    local task = lipsync.spawn(lipsync.sleep, 60)
    core.engine():close()
    assert.is_true(open)
    task:cancel()
    lipsync.step(0)
  end)
end)

describe("under a host whose loop runs in the wait of a task,", function()
  it("a generator in there gets what it waits for", function()
    local said, status = child.run [[
      local lipsync = require "akool.lipsync"
      lipsync.use "luv" -- whose callbacks run in the main coroutine, wherever its loop is run
      lipsync.run(function()
        for _ = 1, 3 do
          print(coroutine.wrap(function() coroutine.yield(lipsync.sleep(0.02)) end)())
        end
      end)
    ]]
    assert.equal("true\ntrue\ntrue\n", said)
    assert.equal(0, status)
  end)
end)

describe("under a host that is broken,", function()
  local t = fixture.new()

  after_each(function() lipsync.use(false) end)

  for what, watch in pairs {
    ["that cannot watch"] = function() error("too many descriptors", 0) end,
    ["that never ends"] = function() return true end,
  } do
    it(("one %s, nothing begins"):format(what), function()
      local ran = false
      lipsync.use { name = "this spec", watch = watch }
      for _, call in ipairs {
        function() lipsync.spawn(function() ran = true end) end,
        function() lipsync.run(function() ran = true end) end,
        function() t.client():create { video_url = t.video, audio_url = t.audio } end,
        coroutine.wrap(function() lipsync.sleep(0.01) end),
      } do
        local fine, why = pcall(call)
        assert.is_false(fine)
        assert.is_truthy(why:find("this spec cannot be waited for: ", 1, true), why)
      end
      assert.equal(0, lipsync.step(0))
      assert.is_false(ran)
      assert.same({}, t.service:requests())
    end)
  end

  it("one whose wait raises, a call raises the same and has ended", function()
    lipsync.use {
      watch = function() return nothing end,
      wait = function() error("the loop of the host broke", 0) end,
    }
    for _ = 1, 2 do
      assert.has_error(function() lipsync.sleep(60) end, "the loop of the host broke")
      assert.equal(0, core.engine():stats().calls)
    end
  end)

  it("or a task that fails, a call outside of tasks goes on to its end first", function()
    local step
    lipsync.use {
      watch = function(_, given)
        step = given
        return nothing
      end,
      wait = function() step() end,
    }
    lipsync.spawn(function() error("nobody listens", 0) end)
    local client = t.client()
    assert(client:info(t.job(client)))
    assert.has_error(step, "nobody listens")
    step()
  end)
end)
