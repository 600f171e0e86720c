-- core.copy: a result that is there already, brought to another place as safely as a download would;
-- and core.sha256, by which both are known.

local child = require "support.child"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local lfs = require "lfs"
local options = require "akool.lipsync.options"
local shell = require "support.shell"

local ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" -- FIPS 180-2
local NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  file:close()
end

describe("core.sha256", function()
  it("is that of the standard", function()
    assert.equal(ABC, core.sha256 "abc")
    assert.equal(NOTHING, core.sha256 "")
    assert.equal("cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
      core.sha256(("a"):rep(1e6)))
  end)

  it("takes any bytes", function()
    assert.equal("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
      core.sha256 "\0")
    assert.not_equal(core.sha256 "a\0b", core.sha256 "a\0c")
    assert.is_false((pcall(core.sha256, nil)))
  end)
end)

describe("core.copy", function()
  local t = fixture.new()
  local from, to

  local function copy(given, source, target)
    local settings = options.settings(options.merge(nil, given or {}))
    return core.copy(settings, source or from, target or to)
  end

  --- That a copy fails with this error, about this path, and leaves these files.
  local function refuses(name, path, files, ...)
    local copied, err = copy(...)
    assert.is_nil(copied)
    assert.equal("io", err.kind)
    assert.equal(name, err.name)
    assert.is_truthy(err.message:find(path, 1, true), err.message)
    assert.same(files, fixture.files(t.folder))
    return err
  end

  before_each(function()
    from, to = t.path "from.mp4", t.path "to.mp4"
    write(from, "abc")
  end)

  it("gives the file its bytes, and tells what a download would", function()
    assert.same({ path = to, bytes = 3, sha256 = ABC }, copy())
    assert.equal("abc", fixture.read(to))
    assert.equal("abc", fixture.read(from))
    assert.same({ "from.mp4", "to.mp4" }, fixture.files(t.folder))
    local bytes = copy({}, from, t.path "again.mp4").bytes
    assert.equal("3", tostring(bytes))
  end)

  it("takes more than fits into memory at once", function()
    local piece = ("0123456789abcdef"):rep(65536)
    local file = assert(io.open(from, "wb"))
    for _ = 1, 20 do assert(file:write(piece)) end
    assert(file:write "!")
    file:close()
    local digest = core.sha256(piece:rep(20) .. "!")
    assert.same({ path = to, bytes = 20 * 1048576 + 1, sha256 = digest }, copy())
    assert.equal(digest, core.sha256(fixture.read(to)))
  end)

  it("never takes the place of another file, unless it may", function()
    write(to, "mine")
    refuses("file_exists", to, { "from.mp4", "to.mp4" })
    assert.equal("mine", fixture.read(to))
    assert.equal(ABC, copy({ overwrite = true }).sha256)
    assert.equal("abc", fixture.read(to))
  end)

  it("begins anew where a download left a part", function()
    write(to .. ".part", "a long part of something else")
    write(to .. ".part.etag", '"an etag"')
    assert.equal(3, copy().bytes)
    assert.equal("abc", fixture.read(to))
    assert.same({ "from.mp4", "to.mp4" }, fixture.files(t.folder))
  end)

  it("leaves a part alone that a download is writing", function()
    write(to .. ".part", "on its way")
    local held = ("flock '%s.part' sh -c 'echo > %s; cat'"):format(to, t.path "locked")
    local holder = assert(io.popen(held, "w"))
    local deadline = core.now() + 20
    while not lfs.attributes(t.path "locked") do assert(core.now() < deadline) end
    refuses("file_busy", to .. ".part", { "from.mp4", "locked", "to.mp4.part" })
    holder:close()
    assert.equal(3, copy().bytes)
  end)

  it("is refused where the folder is missing, or is in the way", function()
    refuses("file_unusable", t.path "no/to.mp4", { "from.mp4" }, {}, from, t.path "no/to.mp4")
    refuses("file_unusable", t.folder, { "from.mp4" }, {}, from, t.folder)
    refuses("file_unusable", "", { "from.mp4" }, {}, from, "")
    refuses("file_unusable", "zero byte", { "from.mp4" }, {}, from, to .. "\0")
    refuses("file_unusable", "zero byte", { "from.mp4" }, {}, from .. "\0", to)
  end)

  it("is refused where there is nothing to copy", function()
    refuses("file_unreadable", t.path "none", { "from.mp4" }, {}, t.path "none", to)
    refuses("file_unreadable", t.folder, { "from.mp4" }, {}, t.folder, to)
    write(from, "")
    refuses("file_unreadable", from .. " cannot be copied: it is empty", { "from.mp4" })
    shell.must_run("mkfifo '%s'", t.path "pipe")
    refuses("file_unreadable", "not a regular file", { "from.mp4", "pipe" }, {}, t.path "pipe", to)
    refuses("file_unreadable", "/dev/null", { "from.mp4", "pipe" }, {}, "/dev/null", to)
  end)

  it("never destroys what it copies, whatever its names", function()
    local function check(target, files)
      for _, overwrite in ipairs { false, true } do
        refuses("file_unusable", from, files, { overwrite = overwrite }, from, target)
        assert.equal("abc", fixture.read(from))
      end
    end
    check(from, { "from.mp4" })
    check(t.folder .. "/./from.mp4", { "from.mp4" })
    assert(lfs.link(from, t.path "hard"))
    check(t.path "hard", { "from.mp4", "hard" })
    assert(lfs.link(from, t.path "soft", true))
    check(t.path "soft", { "from.mp4", "hard", "soft" })
    from = t.path "x.part"
    write(from, "abc")
    check(t.path "x", { "from.mp4", "hard", "soft", "x.part" })
  end)

  it("says so when the disk is full, and leaves nothing", function()
    write(from, ("x"):rep(100000))
    local said, status = child.run(([[
      local core, options = require "akool.lipsync.core", require "akool.lipsync.options"
      local copied, err = core.copy(options.settings(options.merge(nil, {})), %q, %q)
      print(copied, err.kind, err.name, err.message)
    ]]):format(from, to), { prefix = [[sh -c 'trap "" XFSZ; ulimit -f 24; exec "$0" "$@"']] })
    assert.equal(0, status, said)
    assert.is_truthy(said:find "^nil\tio\twrite_failed\t", said)
    local why = ("Writing %s.part failed: File too large."):format(to)
    assert.is_truthy(said:find(why, 1, true), said)
    assert.same({ "from.mp4" }, fixture.files(t.folder))
  end)
end)
