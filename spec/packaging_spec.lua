-- What is built and installed: one clean module, all of its files, and nothing of the tree it came
-- from.

local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local lfs = require "lfs"
local lipsync = require "akool.lipsync"
local shell = require "support.shell"
local uv = require "luv"

local run, must_run = shell.run, shell.must_run

local ROOT = lfs.currentdir()
local VERSION = _VERSION:match("%d+%.%d+")
local MODULE -- the file that it came from; Lua 5.1 has no package.searchpath
for line in io.lines "/proc/self/maps" do
  MODULE = MODULE or line:match " (/.*/akool/lipsync/core%.so)$"
end

local function has(program)
  return select(2, run("command -v %s", program)) == 0
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  assert(file:close())
end

-- The files below a folder whose path, seen from there, matches; sorted.
local function files_below(folder, wanted)
  local found = {}
  local function look(inner)
    for name in lfs.dir(folder .. inner) do
      local path = inner .. "/" .. name
      local mode = lfs.attributes(folder .. path, "mode")
      if mode == "directory" and name:sub(1, 1) ~= "." then
        look(path)
      elseif mode == "file" and path:find(wanted) then
        found[#found + 1] = path:sub(2)
      end
    end
  end
  look("")
  table.sort(found)
  return found
end

-- The words of set(NAME ...) in CMakeLists.txt, sorted.
local function cmake_list(name)
  local text = fixture.read("CMakeLists.txt"):gsub("#[^\n]*", "")
  local words = {}
  for word in assert(text:match("set%(" .. name .. "%s([^)]*)%)")):gmatch("%S+") do
    words[#words + 1] = word
  end
  table.sort(words)
  return words
end

describe("the module", function()
  it("exports one symbol", function()
    local names = {}
    for line in must_run("nm -D --defined-only '%s'", MODULE):gmatch("[^\n]+") do
      names[#names + 1] = line:match("(%S+)$")
    end
    assert.same({ "luaopen_akool_lipsync_core" }, names)
  end)

  it("links libcurl, libcrypto and the C library, and no Lua", function()
    local said, needed = must_run("readelf -d '%s'", MODULE), {}
    for name in said:gmatch("%(NEEDED%).-%[([^%]]+)%]") do
      local short = name:match("^[^.]+"):gsub("^ld%-.*", "ld")
      needed[short] = true
    end
    if needed.libasan or needed.libubsan then
      pending("this module was built with sanitizers")
      return
    end
    assert.is_true(needed.libcurl and needed.libcrypto and needed.libc)
    needed.libcurl, needed.libcrypto, needed.libc, needed.ld, needed.libm = nil, nil, nil, nil, nil
    assert.same({}, needed)
  end)

  it("stays loaded, since a thread of libcurl may outlive the Lua state", function()
    assert.truthy(must_run("readelf -d '%s'", MODULE):find("Flags:[^\n]*NODELETE"))
  end)

  it("is hardened: no writable GOT, no executable stack", function()
    assert.truthy(must_run("readelf -d '%s'", MODULE):find("NOW"))
    local segments = must_run("readelf -lW '%s'", MODULE)
    assert.truthy(segments:find("GNU_RELRO"))
    assert.is_nil(segments:find("GNU_STACK[^\n]*RWE"))
  end)
end)

describe("the list of files", function()
  it("has every C source", function()
    local found = files_below("src", "%.c$")
    for i, name in ipairs(found) do found[i] = "src/" .. name end
    assert.same(found, cmake_list "C_SOURCES")
  end)

  it("has every Lua file", function()
    assert.same(files_below("lua/akool", ""), cmake_list "LUA_FILES")
    assert.same({}, files_below("lua", "^/[^a]"))
  end)

  it("has every program", function()
    local found = files_below("bin", "")
    for i, name in ipairs(found) do found[i] = "bin/" .. name end
    assert.same(found, cmake_list "PROGRAMS")
  end)

  it("has every manual", function()
    local found = files_below("man", "")
    for i, name in ipairs(found) do found[i] = "man/" .. name end
    assert.same(found, cmake_list "MANUALS")
  end)
end)

describe("the version", function()
  local cmake = fixture.read("CMakeLists.txt"):match("project%([^)]-VERSION%s+([%d.]+)")

  it("is the same wherever it is said", function()
    assert.truthy(cmake:find("^%d+%.%d+%.%d+$"))
    assert.equal(cmake, core._VERSION)
    assert.equal(cmake, lipsync._VERSION)
    assert.equal(cmake, fixture.read("lua/akool/lipsync/load.lua"):match 'VERSION = "([%d.]+)"')
  end)

  it("is that of the newest section of the changes, which is unreleased or has a date", function()
    local newest
    for line in io.lines "CHANGELOG.md" do newest = newest or line:match("^## .*") end
    local number, state = newest:match("^## (%S+) %- (%S+)$")
    assert.equal(cmake, number, newest)
    assert.is_true(state == "unreleased" or state:find("^%d%d%d%d%-%d%d%-%d%d$") ~= nil, newest)
  end)

  it("of the rockspec is this tree, since ./dev release makes those of releases", function()
    assert.same({ "akool-lipsync-scm-1.rockspec" }, files_below(ROOT, "^/[^/]*%.rockspec$"))
    local rockspec = fixture.read("akool-lipsync-scm-1.rockspec")
    assert.truthy(rockspec:find('\nversion = "scm-1"\n', 1, true))
    assert.truthy(rockspec:find('\n  url = "git+file://.",\n', 1, true))
  end)
end)

describe("the C rooms", function()
  local function compile(what, flags, file)
    return run("cc -std=c11 -D_GNU_SOURCE -DAKL_VERSION='\"0\"' %s %s '%s'", what, flags, file)
  end

  local function knows_lua(name)
    return name:find("^core") or name:find("^protocol") or name == "compat.h"
  end

  it("know nothing of Lua, but for those that turn C into Lua", function()
    local looked = 0
    for _, name in ipairs(files_below("src", "%.[ch]$")) do
      if not knows_lua(name) then
        local said, status = compile("-M", "-x c", "src/" .. name)
        assert.equal(0, status, name .. ": " .. said)
        for _, header in ipairs { "lua.h", "lauxlib.h", "lualib.h", "luaconf.h", "compat.h" } do
          assert.is_nil(said:find("[/ ]" .. header:gsub("%.", "%%.") .. "[%s\\]"), name)
        end
        looked = looked + 1
      end
    end
    assert.is_true(looked > 20)
  end)

  for _, lua in ipairs { "5.1", "5.2", "5.3", "5.4", "jit" } do
    it("compile for Lua " .. lua, function()
      local package = lua == "jit" and "luajit" or "lua" .. lua
      local flags, status = run("pkg-config --cflags %s", package)
      if status ~= 0 then
        pending(("the headers of %s are not installed"):format(package))
        return
      end
      flags = "-Wall -Wextra -Werror " .. flags:gsub("%s+$", ""):gsub("%-I", "-isystem ")
      for _, name in ipairs(files_below("src", "%.c$")) do
        if knows_lua(name) then
          local said = compile("-fsyntax-only", flags, "src/" .. name)
          assert.equal("", said)
        end
      end
    end)
  end
end)

-- Uses what is installed: everything of ours must come from `prefix`, nothing from the tree.
local USE = [[
  local prefix = %q
  local lipsync = require "akool.lipsync"
  local function is_ours(path) assert(path:sub(1, #prefix) == prefix, path) end
  for _, f in ipairs { lipsync.new, require("akool.lipsync.client").new,
      require("akool.lipsync.mock").start } do
    is_ours(debug.getinfo(f, "S").source:sub(2))
  end
  for line in io.lines "/proc/self/maps" do
    local path = line:match " (/.*core%%.so)$"
    if path then is_ours(path) end
  end
  local service = assert(require("akool.lipsync.mock").start { queue = 0, process = 0.01 })
  local client = assert(lipsync.new { api_key = service.api_key, base_url = service.url })
  local file = assert(client:generate({ video_url = "https://example.com/v.mp4",
    audio_url = "https://example.com/a.wav" }, "out.mp4", { poll = { first = 0.02 } }))
  print(lipsync._VERSION, service:count("create"), file.path)
  service:stop()
]]

describe("an installed copy", function()
  local t = fixture.new()

  -- The start of a command that finds the modules of a prefix and those of the system.
  local function env(prefix)
    local digits = VERSION:gsub("%.", "_")
    return ("env -u LUA_PATH_%s -u LUA_CPATH_%s LUA_PATH='%s/share/lua/%s/?.lua;;' "
      .. "LUA_CPATH='%s/lib/lua/%s/?.so;;'")
      :format(digits, digits, prefix, VERSION, prefix, VERSION)
  end

  -- Run a program in an empty folder.
  local function use(prefix, code)
    assert(lfs.mkdir(t.path("away")))
    write(t.path("use.lua"), code)
    return must_run("cd '%s' && %s '%s' ../use.lua", t.path("away"), env(prefix), uv.exepath())
  end

  local function works(prefix)
    local said = use(prefix, USE:format(prefix))
    assert.equal(("%s\t1\tout.mp4\n"):format(lipsync._VERSION), said)
    assert.same({ "out.mp4" }, fixture.files(t.path("away")))
  end

  local started = {} -- processes

  -- Run an installed program of a mock service until it says its address, and make a job there.
  local function serves(command)
    local out = t.path("said")
    local pid = must_run("cd / && %s --queue 0 --process 0 >'%s' 2>&1 & echo $!", command, out)
    started[#started + 1] = tonumber(pid)
    finally(function() -- of all, since only the last one of a test is called
      for _, each in ipairs(started) do uv.kill(each, "sigterm") end
      started = {}
    end)
    local deadline, said = uv.hrtime() + 10e9
    repeat
      uv.sleep(5)
      said = fixture.read(out)
    until said:find("Let a client") or uv.hrtime() > deadline
    local url = said:match("AKOOL_BASE_URL=(%S+)")
    local key = said:match("AKOOL_API_KEY=(%S+)")
    assert.is_string(url, said)
    local client = t.client { base_url = url, api_key = key }
    local job = assert(client:create { video_url = t.video, audio_url = t.audio })
    assert.equal("completed", assert(client:info(job)).status)
  end

  it("by cmake works outside the tree", function()
    if not has("cmake") then
      pending("cmake is not installed")
      return
    end
    local prefix, build = t.path("prefix"), MODULE:match("^(.*)/akool/lipsync/core%.so$")
    must_run("cmake --install '%s' --prefix '%s'", build, prefix)
    local share = ("share/lua/%s/akool/"):format(VERSION)
    local expected = { ("lib/lua/%s/akool/lipsync/core.so"):format(VERSION) }
    for _, name in ipairs(cmake_list "LUA_FILES") do expected[#expected + 1] = share .. name end
    for _, name in ipairs(cmake_list "PROGRAMS") do expected[#expected + 1] = name end
    for _, name in ipairs(cmake_list "MANUALS") do
      expected[#expected + 1] = name:gsub("^man/", "share/man/man1/")
    end
    table.sort(expected)
    assert.same(expected, files_below(prefix, ""))
    for _, name in ipairs(cmake_list "PROGRAMS") do
      assert.truthy(lfs.attributes(prefix .. "/" .. name, "permissions"):find("^rwx"))
    end
    works(prefix)
    -- where "lua" is another one, which knows none of our modules
    assert(lfs.mkdir(t.path("other")))
    write(t.path("other/lua"), "#!/bin/sh\necho 'lua: not this one' >&2\nexit 1\n")
    must_run("chmod 755 '%s'", t.path("other/lua"))
    -- and where the one that the programs ask for is the one that runs here
    local asked_for = fixture.read(prefix .. "/bin/akool-lipsync"):match "^#!%S+ (%S+)"
    must_run("ln -s '%s' '%s'", uv.exepath(), t.path("other/" .. asked_for))
    local start = ("%s PATH='%s':\"$PATH\" '%s/bin/"):format(env(prefix), t.path("other"), prefix)
    serves(start .. "akool-lipsync-mock'")
    serves(start .. "akool-lipsync' mock")
  end)

  it("by luarocks works outside the tree, and so does its program", function()
    if not has("luarocks") or not has("cmake") then
      pending("luarocks or cmake is not installed")
      return
    end
    local copy, prefix = t.path("copy"), t.path("tree")
    must_run("mkdir '%s' && cd '%s' && tar cf - --exclude=./build --exclude=./.git . "
      .. "| tar xf - -C '%s'", copy, ROOT, copy)
    must_run("cd '%s' && env HOME='%s' luarocks --lua-version=%s make --deps-mode=none "
      .. "--tree '%s'", copy, t.folder, VERSION, prefix)
    must_run("rm -rf '%s'", copy)
    works(prefix)
    -- With --deps-mode=none the program is not told its tree; `luarocks path` would say it.
    serves(("%s '%s/bin/akool-lipsync-mock'"):format(env(prefix), prefix))
  end)
end)
