-- luv: libuv's loop watches the engine, on every Lua.

local fixture = require "support.fixture"
local host = require "support.host"
local snippets = require "support.snippets"

describe("under luv", function()
  local t = fixture.new(host.SERVICE)

  it("the script of the page makes a film", function()
    local script = snippets.under("docs/embedding.md", "luv", "lua")[1].text
    for _, run in ipairs(host.on_every_lua(host.start, t, script)) do
      assert.is_truthy(run:ends_well():find "^film%.mp4\t%d+\n$")
      run:has_film "film.mp4"
    end
  end)

  it("ten films are made while its timers go on, and nothing is left behind", function()
    local runs = host.on_every_lua(host.exercise, t, [[
      local uv = require "luv"
      local lipsync = require "akool.lipsync"
      local exercise = require "support.exercise"
      lipsync.use "luv"
      local ticks, timer = 0, uv.new_timer()
      timer:start(10, 10, function() ticks = ticks + 1 end)
      timer:unref()
      lipsync.spawn(exercise.run, function() return ticks end)
      uv.run()
    ]])
    for _, run in ipairs(runs) do run:stood_it() end
  end)

  it("the main chunk waits by running the loop", function()
    local runs = host.on_every_lua(host.exercise, t, [[
      local uv = require "luv"
      local lipsync = require "akool.lipsync"
      local exercise = require "support.exercise"
      lipsync.use "luv"
      local ticks, timer = 0, uv.new_timer()
      timer:start(10, 10, function() ticks = ticks + 1 end)
      exercise.run(function() return ticks end)
    ]])
    for _, run in ipairs(runs) do run:stood_it() end
  end)

  it("a call inside a callback raises and says what to do", function()
    local runs = host.on_every_lua(host.start, t, [[
      local uv = require "luv"
      local lipsync = require "akool.lipsync"
      lipsync.use "luv"
      uv.new_timer():start(0, 0, function() print(pcall(lipsync.sleep, 1)) end)
      uv.run()
    ]])
    for _, run in ipairs(runs) do
      assert.is_truthy(run:ends_well():find "^false%s.*lipsync%.spawn")
    end
  end)

  it("the loop may end, and the state after it, with work under way", function()
    local runs = host.on_every_lua(host.start, t, [[
      local uv = require "luv"
      local lipsync = require "akool.lipsync"
      lipsync.use "luv"
      lipsync.spawn(function()
        lipsync.spawn(lipsync.sleep, 60)
        local mute = assert(lipsync.new { base_url = os.getenv "SILENT_URL" })
        lipsync.spawn(mute.info, mute, "66160f989dfc997ac289037b")
        lipsync.sleep(0.02)
        uv.stop()
      end)
      uv.run()
      print "stopped"
    ]])
    for _, run in ipairs(runs) do assert.equal("stopped\n", run:ends_well()) end
  end)
end)
