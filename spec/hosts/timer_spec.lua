-- timer: programs that watch no descriptor, but come by for every frame or every few milliseconds.

local fixture = require "support.fixture"
local host = require "support.host"
local snippets = require "support.snippets"

-- A program that shows frames and lets scripts have timers.
local FRAMES = [[
  local uv = require "luv"
  local frames, timers, over = 0, {}, false
  local function add_timer(f) timers[f] = true end
  local function remove_timer(f) timers[f] = nil end
  local function leave() over = true end
  local function play(update)
    while not over do
      uv.sleep(5)
      frames = frames + 1
      if update then update() end
      for f in pairs(timers) do f() end
    end
  end
]]

-- What makes LÖVE do without a window, and what a script does in the end.
local CONF = [[
  function love.conf(t)
    t.modules.window, t.modules.graphics, t.modules.audio = false, false, false
  end
]]
local LEAVE = [[
  local update = love.update
  function love.update()
    update()
    assert(not problem, problem)
    if film then love.event.quit() end
  end
]]

describe("under a timer", function()
  local t = fixture.new(host.SERVICE)
  local shown = snippets.under(
    "docs/embedding.md", "LÖVE and other programs with frames or timers", "lua")

  local function start(code)
    return host.start(t, { program = "lua5.4 SCRIPT", lua = "5.4", code = code })
  end

  local function exercise(code)
    return host.exercise(t, { program = "lua5.4 SCRIPT", lua = "5.4", code = FRAMES .. code })
  end

  local function in_love(begin, code)
    return begin(t, { program = "love .", lua = "jit", code = code, script = "main.lua",
      files = { ["conf.lua"] = CONF } })
  end

  it("the script of the page makes a film in LÖVE", function()
    local run = in_love(host.start, shown[1].text .. LEAVE)
    run:ends_well()
    run:has_film "film.mp4"
  end)

  it("ten films are made in LÖVE while the frames go on, and nothing is left behind", function()
    in_love(host.exercise, [[
      local lipsync = require "akool.lipsync"
      local frames = 0
      function love.load()
        lipsync.use "timer"
        lipsync.spawn(function()
          require "support.exercise".run(function() return frames end)
          love.event.quit()
        end)
      end
      function love.update()
        frames = frames + 1
        lipsync.step()
      end
    ]]):stood_it()
  end)

  it("the script of the page that starts a timer makes a film", function()
    local run = start(FRAMES .. shown[2].text .. [[
      play(function() over = next(timers) == nil end)
    ]])
    run:ends_well()
    run:has_film "film.mp4"
  end)

  it("ten films are made while the frames go on, and nothing is left behind", function()
    exercise [[
      local lipsync = require "akool.lipsync"
      lipsync.use "timer"
      lipsync.spawn(function()
        require "support.exercise".run(function() return frames end)
        leave()
      end)
      play(lipsync.step)
    ]]:stood_it()
  end)

  it("ten films are made with a timer that is only there when it is needed", function()
    local run = exercise [[
      local lipsync = require "akool.lipsync"
      lipsync.use("timer", function(step)
        add_timer(step)
        return function() remove_timer(step) end
      end)
      lipsync.spawn(function()
        require "support.exercise".run(function() return frames end)
      end)
      play(function() if not next(timers) then leave() end end)
    ]]
    run:stood_it()
  end)

  it("a call outside of a task raises and says what to do", function()
    local run = start [[
      local lipsync = require "akool.lipsync"
      lipsync.use("timer", function() return function() print "stopped" end end)
      print(pcall(lipsync.sleep, 1))
    ]]
    assert.is_truthy(run:ends_well():find "^stopped\nfalse\t.*lipsync%.spawn")
  end)

  it("the program may end with work under way", function()
    local run = start(FRAMES .. [[
      local lipsync = require "akool.lipsync"
      lipsync.use "timer"
      lipsync.spawn(lipsync.sleep, 60)
      local mute = assert(lipsync.new { base_url = os.getenv "SILENT_URL" })
      lipsync.spawn(mute.info, mute, "66160f989dfc997ac289037b")
      lipsync.spawn(function()
        lipsync.sleep(0.05)
        leave()
      end)
      play(function() lipsync.step() end)
      print "left"
    ]])
    assert.equal("left\n", run:ends_well())
  end)

  it("what cannot start one is refused", function()
    local run = start [[
      local lipsync = require "akool.lipsync"
      print(pcall(function() lipsync.use("timer", 10) end))
    ]]
    assert.is_truthy(run:ends_well():find "^false\t[^\n]*script%.lua:2: use: .*number")
  end)
end)
