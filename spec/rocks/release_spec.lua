-- release: ./dev release refuses what is not ready and says what to do; what it makes is whole, can be
-- made again byte for byte, and installs once the tag is there. It changes nothing else.

local lipsync = require "akool.lipsync"
local rocks = require "support.rocks"
local shell = require "support.shell"

local VERSION = lipsync._VERSION
local REPOSITORY = "https://git.example.com/akool-lipsync"

describe("./dev release", function()
  local t = rocks.new()
  local clone

  local function git(command, ...)
    return shell.must_run("git -C '" .. clone .. "' " .. command, ...)
  end

  -- Runs it in the clone.
  local function release(arguments, ...)
    return shell.run("cd '" .. clone .. "' && ./dev release " .. arguments, ...)
  end

  local function refuses(expected, words, arguments, ...)
    local said, status = release(arguments, ...)
    assert.equal(expected, status, said)
    for _, word in ipairs(words) do assert.truthy(said:find(word, 1, true), said) end
    assert.equal("", shell.must_run("ls -A '%s/build/release' 2>/dev/null || :", clone))
  end

  -- A repository of its own with this tree in it, as it is when a version has been made ready.
  setup(function()
    clone = t.path "clone"
    rocks.copy_tree(clone)
    git("init --quiet --initial-branch=main")
    git("config user.name Somebody")
    git("config user.email somebody@example.com")
    shell.must_run("sed -i 's/^## %s - .*/## %s - 2026-01-31/' '%s/CHANGELOG.md'", VERSION, VERSION,
      clone)
    git("add --all")
    git("commit --quiet --message='Ready'")
    shell.must_run("mkdir '%s/build' && cp -r build/rocks '%s/build'", clone, clone)
  end)

  it("wants a version of three numbers", function()
    refuses(2, { "usage: ./dev release X.Y.Z" }, "")
    refuses(2, { "usage: ./dev release X.Y.Z" }, "%s 9.9.9", VERSION)
    refuses(2, { "usage: ./dev release X.Y.Z" }, "%s --now", VERSION)
    refuses(2, { "usage: ./dev release X.Y.Z" }, "%s --repository", VERSION)
    for _, wrong in ipairs { "1.2", "v1.2.3", "1.2.3.4", "1.2.3-1", "01.2.3", "1..3", "scm" } do
      refuses(2, { ('"%s" is no version to release'):format(wrong) }, wrong)
    end
  end)

  it("wants to know where others find the repository", function()
    refuses(2, { "--repository https://HOST/PATH" }, VERSION)
    for _, wrong in ipairs { "../here", "http://example.com/a", "https://example.com", "''" } do
      refuses(2, { "--repository https://HOST/PATH" }, "%s --repository %s", VERSION, wrong)
    end
  end)

  it("wants everything committed", function()
    shell.must_run("touch '%s/new.txt' && echo >>'%s/README.md'", clone, clone)
    finally(function()
      shell.must_run("rm '%s/new.txt'", clone)
      git("checkout --quiet .")
    end)
    refuses(1, { "Commit or put away", "?? new.txt", " M README.md" }, "%s --repository %s",
      VERSION, REPOSITORY)
  end)

  it("says everything that has to be edited for another version", function()
    refuses(1, {
      "99.0.0 is not ready to be released",
      ("CMakeLists.txt: project(… VERSION %s …) has to say 99.0.0"):format(VERSION),
      'lua/akool/lipsync/load.lua: VERSION has to be "99.0.0"',
      ('CHANGELOG.md: the newest section is "## %s - 2026-01-31"; it has to be "## 99.0.0 - ')
        :format(VERSION),
    }, "99.0.0 --repository %s", REPOSITORY)
  end)

  it("wants a date for what was unreleased, and something said about it", function()
    finally(function() git("reset --quiet --hard HEAD~1") end)
    shell.must_run("printf '# Changes\\n\\n## %s - unreleased\\n\\n' >'%s/CHANGELOG.md'", VERSION,
      clone)
    git("commit --quiet --all --message='Not ready'")
    refuses(1, { ('"## %s - unreleased"; it has to be "## %s - 20'):format(VERSION, VERSION),
      "the newest section says nothing" }, "%s --repository %s", VERSION, REPOSITORY)
  end)

  it("releases a version once, and none that is older than the newest", function()
    finally(function() git("tag --delete v%s v98.0.0 v98.10.0", VERSION) end)
    git("tag v%s", VERSION)
    git("tag v98.0.0")
    git("tag v98.10.0")
    refuses(1, { ("The tag v%s exists"):format(VERSION), VERSION .. " is older than 98.10.0" },
      "%s --repository %s", VERSION, REPOSITORY)
  end)

  it("leaves nothing when what it made does not build", function()
    finally(function() git("reset --quiet --hard HEAD~1") end)
    git("rm --quiet src/url.c")
    git("commit --quiet --message='Broken'")
    refuses(1, { "the archive builds", "FAILED", "url.c" }, "%s --repository %s", VERSION,
      REPOSITORY)
  end)

  it("makes what publishing needs, and changes nothing else", function()
    local name = "akool-lipsync-" .. VERSION
    local function state()
      return git("status --porcelain") .. git("for-each-ref") .. git("config --list --local")
    end
    local before = state()
    -- from the remote, however that is written
    git("remote add origin git@git.example.com:akool-lipsync.git")
    local said, status = release(VERSION)
    git("remote remove origin")
    assert.equal(0, status, said)
    assert.equal(before, state())
    assert.truthy(said:find("git tag -a v" .. VERSION, 1, true), said)

    local out = clone .. "/build/release"
    assert.equal(("NOTES.md SHA256SUMS %s-1.rockspec %s-1.src.rock %s.tar.gz "):format(name, name,
      name), (shell.must_run("LC_ALL=C ls -A '%s'", out):gsub("\n", " ")))
    shell.must_run("cd '%s' && sha256sum --check --strict SHA256SUMS", out)
    assert.equal("3\n", shell.must_run("wc -l <'%s/SHA256SUMS'", out))
    local notes = shell.must_run("cat '%s/NOTES.md'", out)
    assert.truthy(shell.must_run("cat CHANGELOG.md"):find(notes:gsub("%s+$", ""), 1, true))
    assert.is_nil(notes:find "\n## ")

    -- the archive again, by whoever has the tag, elsewhere and later
    git("tag v%s", VERSION)
    local elsewhere = t.path "elsewhere"
    shell.must_run("git clone --quiet --branch v%s '%s' '%s' 2>&1", VERSION, clone, elsewhere)
    shell.must_run("cd '%s' && git archive --prefix='%s/' v%s | gzip -9n | cmp - '%s/%s.tar.gz'",
      elsewhere, name, VERSION, out, name)

    -- the rockspec, once the tag is where it says
    local tree = t.path "tree"
    said, status = t.run(t.folder, "GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0='url.%s.insteadOf' "
      .. "GIT_CONFIG_VALUE_0='%s.git' luarocks --lua-version=5.4 --tree '%s' --only-server='%s' "
      .. "install '%s/%s-1.rockspec'", clone, REPOSITORY, tree, t.path "server", out, name)
    assert.equal(0, status, said)
    assert.equal(VERSION .. "\n", t.run(t.folder, "LUA_PATH='%s/share/lua/5.4/?.lua' "
      .. "LUA_CPATH='%s/lib/lua/5.4/?.so' lua5.4 -e 'print(require[[akool.lipsync]]._VERSION)'",
      tree, tree))
  end)
end)
