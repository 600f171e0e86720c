-- mpv: its timer has the tasks go on, while it plays or idles.

local fixture = require "support.fixture"
local host = require "support.host"
local snippets = require "support.snippets"

-- Without the scripts that it brings: they open and close files of their own.
local PROGRAM = "mpv --no-config --idle --vo=null --ao=null --osc=no --ytdl=no "
  .. "--load-osd-console=no --load-stats-overlay=no --load-auto-profiles=no --script=SCRIPT"

describe("under mpv", function()
  local t = fixture.new(host.SERVICE)

  local function run(begin, code)
    return begin(t, { program = PROGRAM, lua = "5.2", code = code })
  end

  it("the script of the page makes a film and plays it", function()
    local running = run(host.start, snippets.under("docs/embedding.md", "mpv", "lua")[1].text .. [[
      mp.register_event("file-loaded", function()
        print("plays " .. mp.get_property "path")
        mp.command "quit"
      end)
      mp.commandv("script-message", "lipsync", "https://example.com/clip.mp4",
        "https://example.com/voice.wav")
    ]])
    assert.is_truthy(running:ends_well():find "plays film%.mp4")
    running:has_film "film.mp4"
  end)

  it("ten films are made while its timers go on, and nothing is left behind", function()
    run(host.exercise, [[
      local lipsync = require "akool.lipsync"
      lipsync.use "mpv"
      local ticks = 0
      mp.add_periodic_timer(0.01, function() ticks = ticks + 1 end)
      local started = false
      mp.observe_property("idle-active", "bool", function(_, idle)
        if not idle or started then return end
        started = true
        lipsync.spawn(function()
          require "support.exercise".run(function() return ticks end)
          mp.command "quit"
        end)
      end)
    ]]):stood_it()
  end)

  it("a call outside of a task raises and says what to do", function()
    local said = run(host.start, [[
      local lipsync = require "akool.lipsync"
      lipsync.use "mpv"
      print(pcall(lipsync.sleep, 1))
      mp.command "quit"
    ]]):ends_well()
    assert.is_truthy(said:find "false%s.*lipsync%.spawn")
  end)

  it("what a task raises is shown", function()
    local said = run(host.start, [[
      local lipsync = require "akool.lipsync"
      lipsync.use "mpv"
      lipsync.spawn(function()
        mp.command "quit" -- the script will not be there any more to do it
        error("nobody joins", 0)
      end)
    ]]):ends_well()
    assert.is_truthy(said:find "nobody joins")
  end)

  it("it may quit with work under way", function()
    local said = run(host.start, [[
      local lipsync = require "akool.lipsync"
      lipsync.use "mpv"
      lipsync.spawn(lipsync.sleep, 60)
      local mute = assert(lipsync.new { base_url = os.getenv "SILENT_URL" })
      lipsync.spawn(mute.info, mute, "66160f989dfc997ac289037b")
      lipsync.spawn(function()
        lipsync.sleep(0.05)
        print "left"
        mp.command "quit"
      end)
    ]]):ends_well()
    assert.is_truthy(said:find "left")
  end)
end)
