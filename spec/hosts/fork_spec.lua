-- A script that forks: the child shares descriptors with its parent, whose host goes on unharmed.

local fixture = require "support.fixture"
local host = require "support.host"

-- Ten films; when all have been ordered, a child that does with the library what a child may, and ends.
local SCRIPT = [[
  local core = require "akool.lipsync.core"
  local lipsync = require "akool.lipsync"
  local process = assert(require("support.fork").load "./fork")
  local client = assert(lipsync.new { poll = { first = 0.02, max = 0.05 } })
  local ordered, through, child = 0, 0, nil

  local function film(i)
    local job = assert(client:create {
      video_url = "https://example.com/clip.mp4", audio_url = "https://example.com/voice.wav",
    })
    ordered = ordered + 1
    if ordered == 10 then
      local engine = core.engine()
      child = process.fork()
      if child == 0 then
        assert(not pcall(engine.step, engine, 0))
        assert(core.engine() ~= engine)
        core.engine():close()
        engine:close()
        collectgarbage()
        END
      end
    end
    assert(client:download(assert(client:wait(job)), i .. ".mp4"))
    through = through + 1
  end

  HOST

  assert(through == 10 and process.wait(child) == 0)
  print "through"
]]

local CLOSING = "os.exit(0, true)" -- its state, as a script does

local HOSTS = {
  luv = { [[
    lipsync.use "luv"
    for i = 1, 10 do lipsync.spawn(film, i) end
    require("luv").run()
  ]], "process.exit(0)" }, -- luv cannot close a state while its loop runs
  cqueues = { [[
    lipsync.use "cqueues"
    local controller = require("cqueues").new()
    for i = 1, 10 do controller:wrap(film, i) end
    assert(controller:loop())
  ]], CLOSING },
  ["no host"] = { [[
    lipsync.map({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, film, { concurrency = 10 })
  ]], CLOSING },
}

describe("a script that forks", function()
  local t = fixture.new(host.SERVICE)

  for name, code in pairs(HOSTS) do
    it("goes on under " .. name, function()
      local run = host.start(t, { program = host.LUAS["5.4"], lua = "5.4",
        code = SCRIPT:gsub("%u%u%u+", { HOST = code[1], END = code[2] }) })
      assert.equal("through\n", run:ends_well())
      for i = 1, 10 do run:has_film(i .. ".mp4") end
    end)
  end
end)
