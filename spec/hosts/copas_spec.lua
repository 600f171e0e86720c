-- copas: its threads wait, on every Lua that Debian has it for.

local fixture = require "support.fixture"
local host = require "support.host"
local snippets = require "support.snippets"

describe("under copas", function()
  local t = fixture.new(host.SERVICE)

  --- Start a script on each of them, all at once.
  local function on_its_luas(start, code)
    local runs = {}
    for i, lua in ipairs { "5.1", "5.2", "jit" } do
      runs[i] = start(t, { program = host.LUAS[lua], lua = lua, code = code })
    end
    return runs
  end

  it("the script of the page makes a film", function()
    local script = snippets.under("docs/embedding.md", "copas", "lua")[1].text
    for _, run in ipairs(on_its_luas(host.start, script)) do
      assert.is_truthy(run:ends_well():find "^film%.mp4\t%d+\n$")
      run:has_film "film.mp4"
    end
  end)

  -- copas 1.1.7 has no timers; what it has is servers.
  it("ten films are made while a server of it serves, and nothing is left behind", function()
    local runs = on_its_luas(host.exercise, [[
      local copas = require "copas"
      local socket = require "socket"
      local lipsync = require "akool.lipsync"
      local exercise = require "support.exercise"
      lipsync.use "copas"
      local ticks, over = 0, false
      local server = assert(socket.bind("127.0.0.1", 0))
      local port = select(2, server:getsockname())
      copas.addserver(server, function(peer)
        while copas.receive(peer, 1) do copas.send(peer, "o") end
      end)
      copas.addthread(function()
        local peer = socket.tcp()
        peer:settimeout(0)
        copas.connect(peer, "127.0.0.1", port)
        while not over do
          copas.send(peer, "i")
          copas.receive(peer, 1)
          ticks = ticks + 1
        end
      end)
      copas.addthread(function()
        lipsync.sleep(0.05) -- they are connected
        exercise.run(function() return ticks end)
        over = true
      end)
      while not over do copas.step() end
    ]])
    for _, run in ipairs(runs) do run:stood_it() end
  end)

  it("ten of its threads wait at once, each for a job", function()
    local runs = on_its_luas(host.start, [[
      local copas = require "copas"
      local lipsync = require "akool.lipsync"
      lipsync.use "copas"
      local client, through = assert(lipsync.new { poll = { first = 0.02, max = 0.05 } }), 0
      for i = 1, 10 do
        copas.addthread(function()
          assert(client:generate({
            video_url = "https://example.com/clip.mp4", audio_url = "https://example.com/voice.wav",
          }, i .. ".mp4"))
          through = through + 1
        end)
      end
      while through < 10 do copas.step() end
    ]])
    for _, run in ipairs(runs) do
      run:ends_well()
      for i = 1, 10 do run:has_film(i .. ".mp4") end
    end
  end)

  it("each of many threads hears of its news, although others wait for long", function()
    local runs = on_its_luas(host.start, [[
      local copas = require "copas"
      local lipsync = require "akool.lipsync"
      lipsync.use "copas"
      local through = 0
      for i = 1, 20 do
        copas.addthread(function()
          for _ = 1, 5 do
            assert(lipsync.credits())
            lipsync.sleep(0.001 * i)
          end
          through = through + 1
        end)
      end
      copas.addthread(function() lipsync.sleep(3600) end)
      while through < 20 do copas.step() end
      print "through"
    ]])
    for _, run in ipairs(runs) do assert.equal("through\n", run:ends_well()) end
  end)

  it("a coroutine that copas does not resume is told so when somebody else does", function()
    local runs = on_its_luas(host.start, [[
      local copas = require "copas"
      local lipsync = require "akool.lipsync"
      lipsync.use "copas"
      copas.addthread(function()
        local own = coroutine.create(lipsync.sleep)
        coroutine.resume(own, 1)
        print(coroutine.resume(own))
      end)
    ]])
    for _, run in ipairs(runs) do
      assert.is_truthy(run:ends_well():find "^false\tcopas cannot wait.*lipsync%.spawn")
    end
  end)

  it("a call in the main chunk, and a task that waits by its means, are told what to do", function()
    local runs = on_its_luas(host.start, [[
      local copas = require "copas"
      local lipsync = require "akool.lipsync"
      lipsync.use "copas"
      print(select(2, pcall(lipsync.sleep, 1)))
      local task = lipsync.spawn(copas.receive, { receive = function() return nil, "timeout" end })
      while tostring(task):find "under way" do copas.step() end
      print(select(2, pcall(task.join, task)))
    ]])
    for _, run in ipairs(runs) do
      local said = run:ends_well()
      assert.is_truthy(said:find("copas.addthread(function()", 1, true), said)
      assert.is_truthy(said:find("lipsync.sleep", 1, true), said)
    end
  end)

  it("those who wait hear of it when the engine is closed", function()
    local runs = on_its_luas(host.start, [[
      local core = require "akool.lipsync.core"
      local copas = require "copas"
      local lipsync = require "akool.lipsync"
      lipsync.use "copas"
      local mute, over = assert(lipsync.new { base_url = os.getenv "SILENT_URL" }), 0
      for _ = 1, 2 do
        copas.addthread(function()
          local _, err = mute:info "66160f989dfc997ac289037b"
          print(err.kind)
          over = over + 1
        end)
      end
      copas.step(0.05)
      core.engine():close()
      while over < 2 do copas.step() end
    ]])
    for _, run in ipairs(runs) do assert.equal("cancelled\ncancelled\n", run:ends_well()) end
  end)

  it("the loop may end, and the state after it, with work under way", function()
    local runs = on_its_luas(host.start, [[
      local copas = require "copas"
      local lipsync = require "akool.lipsync"
      lipsync.use "copas"
      local mute = assert(lipsync.new { base_url = os.getenv "SILENT_URL" })
      copas.addthread(function() mute:info "66160f989dfc997ac289037b" end)
      lipsync.spawn(lipsync.sleep, 60)
      copas.step(0.05)
      copas.step(0.05)
      print "stopped"
    ]])
    for _, run in ipairs(runs) do assert.equal("stopped\n", run:ends_well()) end
  end)

  it("an error in a task that nobody joined is told as copas tells those of its threads", function()
    local runs = on_its_luas(host.start, [[
      local copas = require "copas"
      local lipsync = require "akool.lipsync"
      lipsync.use "copas"
      local told
      local task = lipsync.spawn(function() error("nobody joins me", 0) end)
      while tostring(task):find "under way" do copas.step() end
    ]])
    for _, run in ipairs(runs) do assert.is_truthy(run:ends_well():find "nobody joins me") end
  end)
end)
