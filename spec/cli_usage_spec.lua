-- cli, usage: what the program says about itself, and to whom it cannot make sense of: help, errors of
-- usage, versions, explanations, completions, the page and the manual.

local cjson = require "cjson"
local commands = require "akool.lipsync.cli.commands"
local core = require "akool.lipsync.core"
local exit = require "akool.lipsync.cli.exit"
local fixture = require "support.fixture"
local program = require "support.program"
local shell = require "support.shell"

describe("akool-lipsync", function()
  local t = fixture.new()
  local akool = program.new(t)

  it("says its version", function()
    assert.same({ out = "akool-lipsync " .. core._VERSION .. "\n", err = "", status = 0 },
      akool.run { "--version" })
  end)

  it("helps on standard output, with every command and every status", function()
    local said = akool.run { "--help" }
    assert.same({ "", 0 }, { said.err, said.status })
    for _, command in ipairs(commands.list) do
      assert.truthy(said.out:find("\n   " .. command.name .. " ", 1, true), command.name)
    end
    for _, row in ipairs(exit.list) do
      assert.truthy(said.out:find(("\n   %-3d %s"):format(row.code, row.meaning), 1, true),
        row.name)
    end
    for line in said.out:gmatch "[^\n]+" do assert.is_true(#line <= 80, line) end
  end)

  it("helps with each command", function()
    for _, command in ipairs(commands.list) do
      if not command.raw then
        local said = akool.run { command.name, "--help" }
        assert.equal(0, said.status)
        assert.truthy(said.out:find("Usage: akool-lipsync " .. command.name, 1, true), said.out)
      end
    end
    local said = akool.run { "mock", "--help" }
    assert.truthy(said.out:find("--manual-clock", 1, true), said.out)
  end)

  it("ends with 2 for what makes no sense, and says on standard error what does", function()
    local said = akool.run { "generat" }
    assert.same({ "", 2 }, { said.out, said.status })
    assert.truthy(said.err:find("Did you mean 'generate'?", 1, true), said.err)
    for _, arguments in ipairs { {}, { "batch" }, { "create", "one" }, { "info" },
      { "credits", "--timeout", "soon" }, { "credits", "--timeout", "-1" },
      { "credits", "--json", "--events" }, { "completion", "tcsh" },
      { "create", "not a url", "https://example.com/a.wav" }, { "info", "../../x" },
      { "credits", "--base-url", "ftp://example.com" }, { "credits", "--key", "x" } } do
      said = akool.run(arguments)
      assert.same({ 2, true }, { said.status, said.err ~= "" }, table.concat(arguments, " "))
    end
  end)

  it("is one document for what makes no sense, too", function()
    local said = akool.run { "batch", "add", "--json" }
    assert.equal(2, said.status)
    local err = cjson.decode(said.out).error
    assert.same({ "usage", 2 }, { err.kind, err.exit })
    assert.equal(1, select(2, said.out:gsub("\n", "")))
  end)

  it("explains codes and names", function()
    local said = akool.run { "explain", "1204" }
    assert.same({ "", 0 }, { said.err, said.status })
    assert.truthy(said.out:find("^media/video_too_long %(code 1204%): [^\n]+\n$"), said.out)
    assert.equal(said.out, akool.run({ "explain", "video_too_long" }).out)
    assert.truthy(akool.run({ "explain", "wait_timeout" }).out:find "^timeout/wait_timeout: ")
    local told = cjson.decode(akool.run({ "explain", "1204", "--json" }).out)
    assert.same({ 1204, "media" }, { told.code, told.kind })
    assert.equal(2, akool.run({ "explain", "77" }).status)
  end)

  it("completes its commands in bash", function()
    local path = t.path "completion"
    for _, name in ipairs { "bash", "zsh", "fish" } do
      local said = akool.run { "completion", name }
      assert.same({ "", 0 }, { said.err, said.status })
      assert.truthy(said.out:find("resubmit", 1, true))
      if name == "bash" then
        local file = assert(io.open(path, "wb"))
        file:write(said.out)
        file:close()
      end
    end
    local function complete(...)
      local words, quoted = { ... }, {}
      for i, word in ipairs(words) do quoted[i] = "'" .. word .. "'" end
      return shell.must_run("bash -c '. %s; COMP_WORDS=(akool-lipsync \"$@\"); COMP_CWORD=%d; "
        .. "_akool-lipsync; echo \"${COMPREPLY[*]}\"' x %s", path, #words, table.concat(quoted,
          " "))
    end
    assert.equal("generate\n", complete "gen")
    assert.equal("resubmit\n", complete("batch", "resu"))
    assert.equal("--output-dir\n", complete("batch", "run", "--output-d"))
  end)

  -- A Lua that does not have a module.
  local function without(module)
    return { environment = { LUA_INIT = ("package.preload[%q] = function() error 'absent' end")
      :format(module) } }
  end

  it("works without luv, and says what needs it", function()
    assert.equal("1000\n", akool.run({ "credits" }, without "luv").out)
    local said = akool.run({ "doctor" }, without "luv")
    assert.equal(0, said.status)
    assert.truthy(said.out:find("warn  luv ", 1, true), said.out)
    for _, arguments in ipairs { { "mock" }, { "webhook", "listen" },
      { "credits", "--key-file", "key" } } do
      said = akool.run(arguments, without "luv")
      assert.equal(7, said.status)
      assert.truthy(said.err:find("needs luv (Debian: lua-luv", 1, true), said.err)
    end
  end)

  it("says that it needs argparse, and a batch LuaDBI", function()
    local said = akool.run({ "credits", "--json" }, without "argparse")
    assert.equal(7, said.status)
    assert.truthy(cjson.decode(said.out).error.message:find("lua-argparse", 1, true))
    said = akool.run({ "batch", "status", ":memory:" }, without "DBI")
    assert.truthy(said.err:find("lua-dbi-sqlite3", 1, true), said.err)
    said = akool.run({ "doctor" }, without "DBI")
    assert.truthy(said.out:find("warn  LuaDBI ", 1, true), said.out)
  end)

  it("says when standard output is full, and ends with 7", function()
    local quoted = {}
    for i, word in ipairs(program.words { "explain", "1204" }) do quoted[i] = "'" .. word .. "'" end
    local environment = {}
    for i, setting in ipairs(program.environment(t)) do environment[i] = "'" .. setting .. "'" end
    local said, status = shell.run("env -i %s '%s' %s >/dev/full", table.concat(environment, " "),
      require("luv").exepath(), table.concat(quoted, " "))
    assert.equal(7, status)
    assert.truthy(said:find("standard output: ", 1, true), said)
  end)
end)

describe("what is written about the command line", function()
  for kind, path in pairs { page = "docs/cli.md", manual = "man/akool-lipsync.1" } do
    it("is in " .. path .. " as the table of commands has it", function()
      local said = shell.must_run("'%s' scripts/cli-doc.lua %s", require("luv").exepath(), kind)
      if said ~= fixture.read(path) then
        error(("%s is out of date: lua5.4 scripts/cli-doc.lua %s > %s"):format(path, kind, path))
      end
    end)
  end

  it("can be read as a manual, without a complaint", function()
    local said, status = shell.run("groff -man -ww -Tutf8 man/akool-lipsync.1 2>&1 >/dev/null")
    assert.same({ "", 0 }, { said, status })
    local text = shell.must_run "groff -man -Tascii -P-cbu man/akool-lipsync.1"
    assert.truthy(text:find "EXIT STATUS")
  end)
end)
