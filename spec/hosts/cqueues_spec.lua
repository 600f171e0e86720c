-- cqueues: the coroutines of its controllers wait, on every Lua.

local fixture = require "support.fixture"
local host = require "support.host"
local snippets = require "support.snippets"

describe("under cqueues", function()
  local t = fixture.new(host.SERVICE)

  it("the script of the page makes a film, and the one without an adapter", function()
    for _, snippet in ipairs(snippets.under("docs/embedding.md", "cqueues", "lua")) do
      for _, run in ipairs(host.on_every_lua(host.start, t, snippet.text)) do
        assert.is_truthy(run:ends_well():find "^film%.mp4")
        run:has_film "film.mp4"
      end
    end
  end)

  it("ten films are made while its timers go on, and nothing is left behind", function()
    local runs = host.on_every_lua(host.exercise, t, [[
      local cqueues = require "cqueues"
      local lipsync = require "akool.lipsync"
      local exercise = require "support.exercise"
      lipsync.use "cqueues"
      local controller, ticks, over = cqueues.new(), 0, false
      controller:wrap(function()
        while not over do
          cqueues.sleep(0.01)
          ticks = ticks + 1
        end
      end)
      controller:wrap(function()
        exercise.run(function() return ticks end)
        over = true
      end)
      assert(controller:loop())
    ]])
    for _, run in ipairs(runs) do run:stood_it() end
  end)

  it("ten of its coroutines wait at once, each for a job", function()
    local runs = host.on_every_lua(host.start, t, [[
      local cqueues = require "cqueues"
      local lipsync = require "akool.lipsync"
      lipsync.use "cqueues"
      local client = assert(lipsync.new { poll = { first = 0.02, max = 0.05 } })
      local controller = cqueues.new()
      for i = 1, 10 do
        controller:wrap(function()
          assert(client:generate({
            video_url = "https://example.com/clip.mp4", audio_url = "https://example.com/voice.wav",
          }, i .. ".mp4"))
        end)
      end
      assert(controller:loop())
    ]])
    for _, run in ipairs(runs) do
      run:ends_well()
      for i = 1, 10 do run:has_film(i .. ".mp4") end
    end
  end)

  it("a call in a coroutine that cqueues does not know raises and says what to do", function()
    local runs = host.on_every_lua(host.start, t, [[
      local cqueues = require "cqueues"
      local lipsync = require "akool.lipsync"
      lipsync.use "cqueues"
      local controller = cqueues.new()
      controller:wrap(function()
        print(coroutine.resume(coroutine.create(lipsync.sleep), 1))
      end)
      assert(controller:loop())
    ]])
    for _, run in ipairs(runs) do
      assert.is_truthy(run:ends_well():find "^false%s.*controller wrapped.*lipsync%.spawn")
    end
  end)

  it("a task that waits by its means ends with an error that says what to do", function()
    local runs = host.on_every_lua(host.start, t, [[
      local cqueues = require "cqueues"
      local lipsync = require "akool.lipsync"
      lipsync.use "cqueues"
      local controller = cqueues.new()
      controller:wrap(function()
        local task = lipsync.spawn(cqueues.sleep, 1)
        while tostring(task):find "under way" do cqueues.sleep(0.01) end
        lipsync.spawn(task.join, task)
      end)
      print(controller:loop())
    ]])
    for _, run in ipairs(runs) do
      assert.is_truthy(run:ends_well():find "^false%s.*lipsync%.sleep")
    end
  end)

  it("those who wait hear of it when the engine is closed", function()
    local runs = host.on_every_lua(host.start, t, [[
      local core = require "akool.lipsync.core"
      local cqueues = require "cqueues"
      local lipsync = require "akool.lipsync"
      lipsync.use "cqueues"
      local mute = assert(lipsync.new { base_url = os.getenv "SILENT_URL" })
      local controller = cqueues.new()
      for _ = 1, 2 do
        controller:wrap(function()
          local _, err = mute:info "66160f989dfc997ac289037b"
          print(err.kind)
        end)
      end
      controller:wrap(function()
        cqueues.sleep(0.05)
        core.engine():close()
      end)
      assert(controller:loop())
    ]])
    for _, run in ipairs(runs) do assert.equal("cancelled\ncancelled\n", run:ends_well()) end
  end)

  it("the loop may end, and the state after it, with work under way", function()
    local runs = host.on_every_lua(host.start, t, [[
      local cqueues = require "cqueues"
      local lipsync = require "akool.lipsync"
      lipsync.use "cqueues"
      local controller = cqueues.new()
      local mute = assert(lipsync.new { base_url = os.getenv "SILENT_URL" })
      controller:wrap(function() mute:info "66160f989dfc997ac289037b" end)
      controller:wrap(function() lipsync.spawn(lipsync.sleep, 60) end)
      assert(controller:step(0.05))
      assert(controller:step(0.05))
      print "stopped"
    ]])
    for _, run in ipairs(runs) do assert.equal("stopped\n", run:ends_well()) end
  end)

  it("an error in a task that nobody joined is one of the controller", function()
    local runs = host.on_every_lua(host.start, t, [[
      local cqueues = require "cqueues"
      local lipsync = require "akool.lipsync"
      lipsync.use "cqueues"
      local controller = cqueues.new()
      controller:wrap(function()
        lipsync.spawn(function()
          lipsync.sleep(0.02)
          error("nobody joins me", 0)
        end)
      end)
      print(controller:loop())
    ]])
    for _, run in ipairs(runs) do
      assert.is_truthy(run:ends_well():find "^false%s+nobody joins me")
    end
  end)
end)
