-- docs/embedding.md as a whole: it shows nothing that no spec beside this one has run.

local fixture = require "support.fixture"
local lfs = require "lfs"
local snippets = require "support.snippets"

local PAGE = "docs/embedding.md"
local QUESTION = 'snippets%.under%(%s*"docs/embedding%.md", "(.-)", "(%l+)"%)'

--- Whatever the specs beside this one ask the page for, as they write it: "luv", "lua".
local function asked_for()
  local list = {}
  for name in lfs.dir "spec/hosts" do
    local text = name:find "_spec%.lua$" and fixture.read("spec/hosts/" .. name) or ""
    for title, language in text:gmatch(QUESTION) do
      list[title .. " " .. language] = true
    end
  end
  return list
end

describe("the page for hosts", function()
  it("shows no script and no configuration that is not run", function()
    local list = asked_for()
    for _, snippet in ipairs(snippets.of(PAGE)) do
      local run = snippet.language == "sh" or list[snippet.title .. " " .. snippet.language]
      assert.is_true(run, snippet.name .. " is run by no spec")
    end
  end)

  it("has people install what the specs are run with", function()
    local installed = {}
    for line in fixture.read "scripts/setup.sh":gmatch "[^\n]+" do
      for name in (line:match "echo ([%w%s.-]+)" or ""):gmatch "%S+" do installed[name] = true end
    end
    for _, snippet in ipairs(snippets.of(PAGE, "sh")) do
      local packages = assert(snippet.text:match "^apt%-get install (.+)\n$", snippet.name)
      for name in packages:gmatch "%S+" do assert.is_true(installed[name], name) end
    end
  end)
end)
