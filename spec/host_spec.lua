-- host: waiting through the loop of a host. The host here is a few lines, so that it does what a real
-- one does only at times; the real ones are in spec/hosts.

local compat = require "akool.lipsync.compat"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local lipsync = require "akool.lipsync"
local uv = require "luv"

describe("a host whose coroutines wait", function()
  local t = fixture.new()

  local waiting -- its coroutines: for how long

  --- Go on with one of them, or begin it.
  local function go_on(co, ...)
    waiting[co] = nil
    assert(coroutine.resume(co, ...))
    return co
  end

  local function begin(f)
    return go_on(coroutine.create(f))
  end

  --- Is the descriptor readable, or does it become so within these seconds?
  local function readable(seconds)
    local poll, timer = uv.new_poll(core.engine():pollfd()), uv.new_timer()
    local answer
    poll:start("r", function() answer = true end)
    timer:start(1000 * seconds, 10, function() answer = answer or false end)
    repeat uv.run "once" until answer ~= nil
    poll:close()
    timer:close()
    uv.run "nowait"
    return answer
  end

  --- Its loop: whoever waits hears of the descriptor, until nobody waits any more.
  local function run_loop()
    while next(waiting) do
      local list, longest = {}, 10
      for co, seconds in pairs(waiting) do
        list[#list + 1] = co
        longest = math.min(longest, seconds)
      end
      assert(readable(longest) or longest < 10, "those who wait hear nothing")
      for _, co in ipairs(list) do go_on(co) end
    end
  end

  before_each(function()
    waiting = {}
    lipsync.use {
      name = "the host of this spec",
      wait = function(engine, seconds)
        engine:pollfd()
        waiting[coroutine.running()] = seconds
        coroutine.yield()
      end,
      spawn = begin,
    }
  end)

  after_each(function() lipsync.use(false) end)

  --- Go on with one of them for no reason, as hosts may, until the engine has nothing on its way.
  local function take_all_news(co)
    while core.engine():stats().running > 0 do
      uv.sleep(1)
      go_on(co)
    end
  end

  it("wakes one of them although another one's turn took its news", function()
    local client, credits = t.client(), nil
    begin(function() credits = client:credits() end)
    local other = begin(function() lipsync.sleep(1) end)
    take_all_news(other)
    assert.is_true(readable(0))
    run_loop()
    assert.is_number(credits)
  end)

  --- A task that sleeps, and others of which each joins the one before.
  local function chain(count)
    local list = { lipsync.spawn(lipsync.sleep, 0.02) }
    for i = 2, count do list[i] = lipsync.spawn(function() return list[i - 1]:join() end) end
    local driver = next(waiting)
    go_on(driver) -- they begin
    return list, driver
  end

  --- Go on with one of them alone until it waits no more, as if the host heard of nothing else.
  local function finish(co)
    while waiting[co] do
      uv.sleep(1)
      go_on(co)
    end
  end

  it("wakes one of them that joins a task although another one's turn ended it", function()
    local tasks, driver = chain(2)
    local joined
    begin(function() joined = tasks[2]:join() end)
    finish(driver)
    assert.is_true(readable(0))
    run_loop()
    assert.is_true(joined)
  end)

  it("goes on with a task that another one's turn left runnable", function()
    local tasks = chain(3)
    finish(begin(function() tasks[2]:join() end))
    assert.is_true(readable(0))
    run_loop()
    assert.is_true(tasks[3]:join())
  end)

  it("does not let a task wait by the host's means, but yield", function()
    local errors
    begin(function()
      errors = select(2, lipsync.map({ 1 }, function()
        coroutine.yield()
        coroutine.yield "wake me in a minute"
      end))
    end)
    run_loop()
    assert.is_truthy(errors[1]:find "lipsync%.sleep")
  end)

  it("is not asked to where no coroutine can yield: a call raises, and sends nothing", function()
    local client, fine, result = t.client(), nil, nil
    local function create()
      fine, result = pcall(client.create, client, { video_url = t.video, audio_url = t.audio })
    end
    begin(function() string.gsub("x", "x", create) end)
    assert.is_false(fine)
    assert.equal(compat.CANNOT_YIELD, result)
    assert.same({}, waiting)
    assert.equal(0, core.engine():stats().calls)
    begin(create)
    run_loop()
    assert.equal(compat.pcall_yields, fine) -- not in Lua 5.1
    assert.equal(fine and result or compat.CANNOT_YIELD, result)
    assert.equal(fine and 1 or 0, #t.service:requests "create")
  end)

  it("that raises ends the call that waits, and the coroutine that drives the tasks", function()
    lipsync.use(false)
    lipsync.use {
      wait = function() error("the host broke", 0) end,
      spawn = function(f) waiting[coroutine.create(f)] = 0 end,
    }
    begin(function()
      local own = coroutine.create(function() lipsync.sleep(60) end)
      assert.same({ false, "the host broke" }, { coroutine.resume(own) })
    end)
    if not compat.pcall_yields then collectgarbage() end -- Lua 5.1 leaves the end to its collector
    assert.equal(0, core.engine():stats().calls)
    local task = lipsync.spawn(lipsync.sleep, 60)
    assert.same({ false, "the host broke" }, { coroutine.resume((next(waiting))) })
    task:cancel()
  end)

  it("tries again to have its own coroutine drive the tasks where it refused one", function()
    lipsync.use(false)
    local refused = 0
    lipsync.use {
      wait = function() end,
      spawn = function()
        refused = refused + 1
        return false
      end,
    }
    lipsync.spawn(lipsync.sleep, 0)
    lipsync.spawn(lipsync.sleep, 0):join()
    assert.equal(2, refused)
  end)
end)

describe("a host that cannot watch a descriptor", function()
  local interval = require "akool.lipsync.interval"

  --- An engine with so many exchanges under way, that has something to do by itself after so long.
  local function engine(running, timeout)
    return {
      stats = function() return { running = running } end,
      timeout = function() return timeout end,
    }
  end

  --- Nobody has looked for a while.
  local function rest()
    uv.sleep(150)
    interval(engine(0), 0)
  end

  it("looks often while something is on its way, else when the engine has to do", function()
    rest()
    assert.equal(0.005, interval(engine(1), 3600))
    assert.equal(0.1, interval(engine(0), 3600))
    assert.equal(0.1, interval(engine(0, 7), 3600))
    assert.equal(0.02, interval(engine(0, 0.02), 3600))
    assert.equal(0.002, interval(engine(1, 0.002), 3600))
    assert.equal(0, interval(engine(1), 0))
  end)

  it("looks more rarely when many look, and often again when they are through", function()
    rest()
    local began, longest = core.now(), 0
    repeat longest = math.max(longest, interval(engine(1), 3600)) until core.now() > began + 0.3
    assert.is_true(longest > 0.005 and longest <= 1)
    assert.equal(0, interval(engine(1), 0))
    rest()
    rest()
    assert.equal(0.005, interval(engine(1), 3600))
  end)
end)
