-- cli, keys: credentials come from the environment, from a file that nobody else can read, or from
-- standard input; never from the command line, and never onto any output.

local fixture = require "support.fixture"
local lfs = require "lfs"
local program = require "support.program"
local shell = require "support.shell"

local KEY = fixture.secrets.api_key
local NONE = { AKOOL_API_KEY = false }

describe("a key", function()
  local t = fixture.new()
  local akool = program.new(t)

  local home -- apart from the scratch folder, which is searched for secrets

  setup(function() home = shell.must_run("mktemp -d"):match "%S+" end)
  teardown(function() shell.must_run("rm -r '%s'", home) end)

  local function key_file(name, content, mode)
    local path = home .. "/" .. name
    local file = assert(io.open(path, "wb"))
    file:write(content)
    file:close()
    shell.must_run("chmod %s '%s'", mode or "600", path)
    return path
  end

  local function credits(arguments, environment, input)
    local words = { "credits" }
    for _, word in ipairs(arguments or {}) do words[#words + 1] = word end
    return akool.run(words, { environment = environment or NONE, input = input })
  end

  it("comes from a file", function()
    local path = key_file("key", KEY .. "\n")
    assert.same({ out = "1000\n", err = "", status = 0 }, credits { "--key-file", path })
  end)

  it("comes from standard input", function()
    assert.same({ out = "1000\n", err = "", status = 0 },
      credits({ "--key-file", "-" }, NONE, KEY .. "\r\n"))
  end)

  it("comes from the usual file when there is no other", function()
    local environment = { AKOOL_API_KEY = false, HOME = home }
    assert(lfs.mkdir(home .. "/.config") and lfs.mkdir(home .. "/.config/akool"))
    key_file(".config/akool/key", "# mine\n" .. KEY .. "\n")
    assert.equal(0, credits(nil, environment).status)
    assert(lfs.mkdir(home .. "/akool"))
    environment.XDG_CONFIG_HOME = home
    assert.equal(2, credits(nil, environment).status)
    key_file("akool/key", KEY)
    assert.equal(0, credits(nil, environment).status)
    environment.AKOOL_API_KEY = "another" -- the environment comes first
    assert.equal(3, credits(nil, environment).status)
  end)

  it("may be a pair, in lines with names", function()
    local path = key_file("pair", ("AKOOL_CLIENT_ID=%s\nAKOOL_CLIENT_SECRET=\"%s\"\n"):format(
      fixture.secrets.client_id, fixture.secrets.client_secret))
    assert.equal(0, credits({ "--key-file", path }).status)
    assert.equal(1, t.service:count "token")
  end)

  it("is not taken from a file that others can read", function()
    for _, mode in ipairs { "640", "604", "660" } do
      local said = credits { "--key-file", key_file("open" .. mode, KEY, mode) }
      assert.equal(2, said.status)
      assert.truthy(said.err:find(("chmod 600 %s/open%s"):format(home, mode), 1, true), said.err)
    end
    assert.equal(0, t.service:count())
  end)

  it("is not taken from what is no key file", function()
    for _, path in ipairs { t.folder, t.path "absent", "/dev/null", key_file("empty", "\n# only\n"),
      key_file("two", "one\ntwo\n"), key_file("both", "one\nAKOOL_API_KEY=two\n"),
      key_file("long", ("x"):rep(5000)) } do
      local said = credits { "--key-file", path }
      assert.same({ "", 2 }, { said.out, said.status }, path)
    end
    assert.equal(0, t.service:count())
  end)

  it("that is missing is asked for by its name", function()
    local said = credits()
    assert.equal(2, said.status)
    assert.truthy(said.err:find("AKOOL_API_KEY", 1, true), said.err)
    assert.truthy(said.err:find(t.path ".config/akool/key", 1, true), said.err)
    said = credits(nil, { AKOOL_API_KEY = false, AKOOL_CLIENT_ID = fixture.secrets.client_id })
    assert.truthy(said.err:find("AKOOL_CLIENT_SECRET", 1, true), said.err)
  end)

  it("is never said, not even in a log of everything", function()
    local said = akool.run({ "create", t.video, t.audio },
      { environment = { AKOOL_LOG = "debug" } })
    assert.equal(0, said.status)
    assert.truthy(said.err:find("create request", 1, true)) -- and searched for secrets
  end)
end)
