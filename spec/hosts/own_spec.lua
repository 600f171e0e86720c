-- Write your own: the adapter that the page shows joins a loop that knows nothing of us.

local fixture = require "support.fixture"
local host = require "support.host"
local snippets = require "support.snippets"

describe("under a loop of the program's own", function()
  local t = fixture.new(host.SERVICE)

  it("the script of the page makes a film", function()
    local code = snippets.under("docs/embedding.md", "Write your own", "lua")[1].text
    local run = host.start(t, { program = "lua5.4 SCRIPT", lua = "5.4", code = code })
    assert.equal("film.mp4\n", run:ends_well())
    run:has_film "film.mp4"
  end)
end)
