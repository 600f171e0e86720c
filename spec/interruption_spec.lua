-- core.interruption: SIGINT and SIGTERM end a wait with their name, once; otherwise they do what they
-- did before. Shown by programs of their own, which get real signals from another process.

local child = require "support.child"
local fork = require "support.fork"
local fixture = require "support.fixture"
local shell = require "support.shell"

local SIGTERM_ENDED_IT = 128 + 15

-- What every program here begins with. `signal` sends one to it; `caught` tells of SIGINT and SIGTERM
-- whether the process has a handler for them.
local BEGINNING = [[
  io.stdout:setvbuf "no"
  local core, lipsync = require "akool.lipsync.core", require "akool.lipsync"
  local loop, uv = require "akool.lipsync.loop", require "luv"
  local pid = uv.os_getpid()
  local function signal(name, target) -- os.execute would have us ignore SIGINT meanwhile
    local kill = io.popen(("kill -%s %d"):format(name, target or pid))
    kill:read "*a"
    kill:close()
  end
  local function signal_soon(name)
    os.execute(("{ sleep 0.2; kill -%s %d; } >/dev/null 2>&1 &"):format(name, pid))
  end
  local function caught()
    local file = assert(io.open "/proc/self/status")
    local mask = tonumber(file:read("*a"):match "SigCgt:%s*%x+(%x%x%x%x%x)", 16)
    file:close()
    local function has(n) return math.floor(mask / 2 ^ (n - 1)) % 2 == 1 end
    return ("%s %s"):format(has(2) and "INT" or "-", has(15) and "TERM" or "-")
  end
  local before = caught()
]]

--- What such a program says, and how it ends.
local function run(program, options)
  return child.run(BEGINNING .. program, options)
end

--- What one says that ends well.
local function says(program, options)
  local said, status = run(program, options)
  assert.equal(0, status, said)
  return said
end

describe("a wait for a signal", function()
  for _, name in ipairs { "INT", "TERM" } do
    it("ends with the name of what came while it blocked: SIG" .. name, function()
      assert.equal(("done SIG%s\ntrue\n"):format(name), says(([[
        local op = assert(core.interruption())
        signal_soon "%s"
        local kind, value = loop.next(op)
        print(kind .. " " .. value)
        print(op:over() and caught() == before)
      ]]):format(name)))
    end)

    it("ends with what came before anybody looked: SIG" .. name, function()
      assert.equal(("done SIG%s\ndone SIG%s\n"):format(name, name), says(([[
        local op = assert(core.interruption())
        signal "%s"
        for _ = 1, 2 do print(table.concat({ loop.next(op) }, " ")) end
      ]]):format(name)))
    end)
  end

  it("goes on in a task beside others, and in a group", function()
    assert.equal("5 SIGTERM\n", says [[
      local ticks = 0
      lipsync.run(function()
        local group = require("akool.lipsync.group").new()
        group:add(assert(core.interruption()), "signal")
        lipsync.spawn(function()
          for _ = 1, 5 do
            lipsync.sleep(0.001)
            ticks = ticks + 1
          end
          signal "TERM"
        end)
        local tag, kind, value = group:next()
        assert(tag == "signal" and kind == "done")
        print(ticks .. " " .. value)
      end)
    ]])
  end)

  it("ends when the program steps by itself", function()
    assert.equal("SIGINT\n", says [[
      local op, got = assert(core.interruption()), nil
      lipsync.spawn(function() got = select(2, loop.next(op)) end)
      for _ = 1, 3 do lipsync.step(0) end
      assert(got == nil)
      signal "INT"
      lipsync.step(0)
      print(got)
    ]])
  end)

  it("ends under a host that watches the descriptor", function()
    assert.equal("SIGTERM true\n", says [[
      lipsync.use "luv"
      local got
      lipsync.spawn(function() got = select(2, loop.next(assert(core.interruption()))) end)
      signal_soon "TERM"
      uv.run()
      print(got, caught() == before)
    ]]:gsub("\t", " "))
  end)

  it("leaves a signal that is ignored alone", function()
    assert.equal("SIGINT\n", says([[
      local op = assert(core.interruption())
      assert(caught() == "INT -", caught())
      signal "TERM"
      lipsync.step(0.01)
      assert(op:next() == nil)
      signal "INT"
      print((select(2, loop.next(op))))
      assert(caught() == before)
    ]], { prefix = [[sh -c 'trap "" TERM; exec "$0" "$@"']] }))
  end)
end)

describe("a second signal", function()
  it("of the same kind does what it did before, though nobody has looked yet", function()
    local said, status = run [[
      local op = assert(core.interruption())
      signal "TERM"
      print "once"
      signal "TERM"
      print "twice"
    ]]
    assert.equal(SIGTERM_ENDED_IT, status)
    assert.is_nil(said:find "twice")
    assert.is_truthy(said:find "^once")
  end)

  it("after the wait does what it did before", function()
    local said, status = run [[
      print((select(2, loop.next(assert(core.interruption()), signal "TERM"))))
      signal "TERM"
      print "twice"
    ]]
    assert.equal(SIGTERM_ENDED_IT, status)
    assert.is_nil(said:find "twice")
    assert.is_truthy(said:find "^SIGTERM")
  end)

  it("is Lua's, where Lua's own program stops a script with it", function()
    local said, status = run [[
      local op = assert(core.interruption())
      signal "INT"
      print((select(2, loop.next(op))))
      signal "INT"
      for _ = 1, 1e6 do tostring(_) end
      print "twice"
    ]]
    assert.equal(1, status)
    assert.is_nil(said:find "twice")
    assert.is_truthy(said:find "^SIGINT\n.*interrupted!")
  end)
end)

describe("the handlers", function()
  it("are ours only while somebody waits", function()
    assert.equal("", says [[
      local function puts_back(finish)
        local op = assert(core.interruption())
        assert(caught() == "INT TERM")
        op = finish(op)
        assert(caught() == before, "not put back")
      end
      puts_back(function(op) op:cancel() return op end)
      puts_back(function(op) core.engine():close() return op end)
      puts_back(function(op) op:cancel() op:cancel() core.engine():close() return op end)
      puts_back(function(op) signal "INT" loop.next(op) return op end)
      assert((function() return core.interruption() ~= nil end)())
      collectgarbage()
      collectgarbage()
      assert(caught() == before, "not put back when it was collected")
    ]])
  end)

  it("of somebody who came later stay", function()
    assert.equal("TERM\n", says [[
      local op = assert(core.interruption())
      local theirs, got = uv.new_signal(), nil
      theirs:start("sigterm", function() got = "TERM" end)
      op:cancel()
      signal "TERM"
      while not got do uv.run "once" end
      print(got)
      theirs:close()
      uv.run()
    ]])
  end)

  it("of a host get what comes after the wait", function()
    assert.equal("SIGTERM TERM\n", says [[
      local theirs, got = uv.new_signal(), nil
      theirs:start("sigterm", function() got = "TERM" end)
      signal_soon "TERM"
      local name = select(2, loop.next(assert(core.interruption())))
      signal "TERM"
      while not got do uv.run "once" end
      print(name .. " " .. got)
      theirs:close()
      uv.run()
    ]])
  end)

  it("are put back when the program fails", function()
    local said, status = run [[
      local kept = assert(core.interruption())
      lipsync.run(function()
        lipsync.sleep(0.001)
        error("it failed " .. tostring(kept ~= nil), 0)
      end)
    ]]
    assert.equal(1, status)
    assert.is_truthy(said:find("it failed true", 1, true), said)
  end)

  it("are nobody's in whose time a signal came that was not told: it comes again", function()
    for _, finish in ipairs { "op:cancel()", "op = nil collectgarbage() collectgarbage()",
      "core.engine():close()" } do
      local said, status = run(([[
        local op = assert(core.interruption())
        signal "TERM"
        print "caught"
        %s
        print "lost"
      ]]):format(finish))
      assert.equal(SIGTERM_ENDED_IT, status)
      assert.is_nil(said:find "lost")
      assert.is_truthy(said:find "^caught")
    end
  end)
end)

describe("our handler", function()
  local t = fixture.new()

  it("that somebody kept and puts back later does what was done before us", function()
    local source, library = t.path "keeper.c", t.path "keeper.so"
    local file = assert(io.open(source, "w"))
    file:write [[
      #include <signal.h>
      static struct sigaction kept;
      int keep(void *L) { (void)L; sigaction(SIGTERM, 0, &kept); return 0; }
      int put_back(void *L) { (void)L; sigaction(SIGTERM, &kept, 0); return 0; }
    ]]
    file:close()
    shell.must_run("cc -shared -fPIC -o '%s' '%s'", library, source)
    local keeping = ([[
      local keep = assert(package.loadlib(%q, "keep"))
      local put_back = assert(package.loadlib(%q, "put_back"))
      local op = assert(core.interruption())
      keep()
      op:cancel()
      put_back()
    ]]):format(library, library)
    local said, status = run(keeping .. 'print "kept" signal "TERM" print "lost"')
    assert.equal("kept\n", said:match "^kept\n")
    assert.is_nil(said:find "lost")
    assert.equal(SIGTERM_ENDED_IT, status)
    assert.equal("", says(keeping .. [[
      assert(caught() ~= before)
      assert(core.interruption()):cancel() -- this one finds it there
      assert(caught() == before)
    ]]))
  end)
end)

describe("Lua's own handler", function()
  it("hears of a signal that was not told when the wait ended", function()
    local said, status = run [[
      local op = assert(core.interruption())
      signal "INT"
      print "caught"
      op:cancel()
      for i = 1, 1e6 do tostring(i) end
      print "lost"
    ]]
    assert.equal(1, status)
    assert.is_nil(said:find "lost")
    assert.is_truthy(said:find "^caught\n.*interrupted!")
  end)
end)

describe("only one at a time", function()
  it("can be had in a process", function()
    assert.equal("signals_taken invalid\nSIGTERM\n", says [[
      local first = assert(core.interruption())
      for i = 1, 3 do
        local second, err = core.interruption()
        assert(second == nil)
        if i == 1 then print(err.name .. " " .. err.kind) end
      end
      collectgarbage()
      collectgarbage()
      assert(caught() == "INT TERM") -- those that were refused changed nothing
      signal "TERM"
      print((select(2, loop.next(first))))
      assert(core.interruption()):cancel()
    ]])
  end)
end)

describe("a forked child", function()
  local t = fixture.new()

  it("gets what it would have got without its parent's wait, and may wait itself", function()
    local path = t.path "fork"
    if not fork.load(path) then return pending "there is no C compiler" end
    assert.equal("waited SIGTERM\nparent SIGINT\n", says(([[
      local fork = require "support.fork".load %q
      local op = assert(core.interruption())
      lipsync.step(0)
      local one = fork.fork()
      if one == 0 then
        signal("TERM", tonumber(io.open "/proc/self/stat":read "*a":match "^%%d+"))
        print "it did not end"
        fork.exit(1)
      end
      assert(fork.wait(one) == -1, "not ended by the signal")
      local another = fork.fork()
      if another == 0 then
        local fine, why = pcall(function()
          signal("INT", tonumber(io.open "/proc/self/stat":read "*a":match "^%%d+"))
          for i = 1, 1e6 do tostring(i) end
        end)
        fork.exit(not fine and why:find "interrupted!" and 0 or 1)
      end
      assert(fork.wait(another) == 0, "Lua's handler did not hear of it")
      local two = fork.fork()
      if two == 0 then
        local own = assert(core.interruption())
        op:cancel()
        op = nil
        collectgarbage()
        collectgarbage()
        signal("TERM", tonumber(io.open "/proc/self/stat":read "*a":match "^%%d+"))
        print("waited " .. select(2, loop.next(own)))
        fork.exit(0)
      end
      assert(fork.wait(two) == 0)
      assert(op:next() == nil and caught() == "INT TERM")
      signal "INT"
      print("parent " .. select(2, loop.next(op)))
    ]]):format(path)))
  end)
end)
