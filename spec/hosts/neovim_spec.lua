-- Neovim: its own libuv watches the engine, and tasks may touch the editor.

local fixture = require "support.fixture"
local host = require "support.host"
local snippets = require "support.snippets"

local PROGRAM = "nvim --headless --clean -S SCRIPT"

describe("under Neovim", function()
  local t = fixture.new(host.SERVICE)

  local function start(code)
    return host.start(t, { program = PROGRAM, lua = "jit", code = code })
  end

  it("the command of the page makes a film and says so", function()
    local code = snippets.under("docs/embedding.md", "Neovim", "lua")[1].text
    local run = start(code .. [[
      vim.notify = function(text)
        print(text)
        vim.cmd "qall!"
      end
      vim.cmd "Lipsync https://example.com/clip.mp4 https://example.com/voice.wav"
    ]])
    assert.is_truthy(run:ends_well():find "film%.mp4")
    run:has_film "film.mp4"
  end)

  it("ten films are made while its timers go on, and nothing is left behind", function()
    host.exercise(t, { program = PROGRAM, lua = "jit", code = [[
      local lipsync = require "akool.lipsync"
      lipsync.use "neovim"
      local ticks = 0
      vim.loop.new_timer():start(10, 10, function() ticks = ticks + 1 end)
      lipsync.spawn(function()
        require "support.exercise".run(function() return ticks end)
        vim.cmd "qall!"
      end)
    ]] }):stood_it()
  end)

  it("a task may touch the editor", function()
    local run = start [[
      local lipsync = require "akool.lipsync"
      lipsync.use "neovim"
      lipsync.spawn(function()
        local job = assert(lipsync.create { video_url = "https://example.com/clip.mp4",
          audio_url = "https://example.com/voice.wav" })
        vim.api.nvim_buf_set_lines(0, 0, -1, true, { "status " .. job.status })
        print(vim.api.nvim_buf_get_lines(0, 0, -1, true)[1])
        vim.cmd "qall!"
      end)
    ]]
    assert.is_truthy(run:ends_well():find "^status %a+%s*$")
  end)

  it("a call of the editor's own raises and says what to do", function()
    local run = start [[
      local lipsync = require "akool.lipsync"
      lipsync.use "neovim"
      print(pcall(lipsync.sleep, 1))
      vim.cmd "qall!"
    ]]
    assert.is_truthy(run:ends_well():find "^false .*lipsync%.spawn")
  end)

  it("what a task raises is shown", function()
    local run = start [[
      local lipsync = require "akool.lipsync"
      lipsync.use "neovim"
      lipsync.spawn(function()
        vim.defer_fn(function() vim.cmd "qall!" end, 0)
        error("nobody joins", 0)
      end)
    ]]
    assert.is_truthy(run:ends_well():find "nobody joins")
  end)

  it("the editor may be left with work under way", function()
    local run = start [[
      local lipsync = require "akool.lipsync"
      lipsync.use "neovim"
      lipsync.spawn(lipsync.sleep, 60)
      local mute = assert(lipsync.new { base_url = os.getenv "SILENT_URL" })
      lipsync.spawn(mute.info, mute, "66160f989dfc997ac289037b")
      lipsync.spawn(function()
        lipsync.sleep(0.05)
        print "left"
        vim.cmd "qall!"
      end)
    ]]
    assert.is_truthy(run:ends_well():find "^left%s*$")
  end)
end)
