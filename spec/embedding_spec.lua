-- The static library: built and installed as docs/embedding-c.md says, it is linked into programs
-- in C outside of the tree, which need no file of ours.

local busted = require "busted"
local fixture = require "support.fixture"
local lfs = require "lfs"

local PAGE = "docs/embedding-c.md"
-- Where a program finds Lua files: nowhere. Where it finds modules in C: nowhere, either.
local NO_FILES = "env -u LUA_PATH_5_2 -u LUA_PATH_5_3 -u LUA_PATH_5_4 LUA_PATH= "
local NO_MODULES = "env -u LUA_CPATH_5_2 -u LUA_CPATH_5_3 -u LUA_CPATH_5_4 LUA_CPATH= " .. NO_FILES

-- A program that misses something, and says so.
local POOR = [[
#include <akool/lipsync.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

int main(void) {
  lua_State *L = luaL_newstate();
  int status;
  lua_pushcfunction(L, akool_lipsync_preload);
  status = lua_pcall(L, 0, 0, 0);
  printf("%d %s\n", status, lua_tostring(L, -1));
  lua_settop(L, 0);
  luaL_openlibs(L);
  (void)akool_lipsync_preload(L);
  printf("%d\n", lua_gettop(L));
  status = luaL_dostring(L, "require 'akool.lipsync'");
  printf("%d %s\n", status, lua_tostring(L, -1));
  lua_close(L);
}
]]

-- What a command says, and whether it succeeded.
local function run(command, ...)
  local pipe = assert(io.popen("{ " .. command:format(...) .. "\n} 2>&1; echo \"status $?\""))
  local said, status = pipe:read("*a"):match("^(.-)status (%d+)\n$")
  pipe:close()
  fixture.assert_no_secret(said)
  return said, status == "0"
end

local function must_run(command, ...)
  local said, fine = run(command, ...)
  if not fine then error(command:format(...) .. " failed:\n" .. said, 2) end
  return said
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  assert(file:close())
end

-- The lines that a page tells people to type, block by block.
local function shell_blocks(path)
  local blocks = {}
  for block in fixture.read(path):gmatch "\n```sh\n(.-)\n```" do blocks[#blocks + 1] = block end
  return blocks
end

-- The modules of the library but those of its programs, as the tree has them, sorted.
local function modules()
  local found = { "akool.lipsync.core" }
  local function look(folder, prefix)
    for name in lfs.dir(folder) do
      local module = prefix .. name:gsub("%.lua$", "")
      local ours = not name:find "^%." and module ~= "akool.lipsync.mock"
        and module ~= "akool.lipsync.cli"
      if ours and name:find "%.lua$" then
        found[#found + 1] = module
      elseif ours then
        look(folder .. "/" .. name, module .. ".")
      end
    end
  end
  look("lua", "")
  table.sort(found)
  return found
end

-- A script of the example's that says at once what it knows.
local function script(path, code)
  write(path, "return function()\n" .. code .. "\nend\n")
  return path
end

describe("the static library", function()
  local t = fixture.new { manual_clock = false, queue = 0.1, process = 0.1 }
  local blocks = shell_blocks(PAGE)
  local scratch, tree, prefix, film

  -- One of the page's blocks, in a copy of the tree.
  local function as_written(number)
    return must_run("cd '%s' && export PREFIX='%s'\n%s", tree, prefix, blocks[number])
  end

  -- The end of a program that makes a film while its frames go on.
  local function makes_a_film(program)
    local path = t.path "film.mp4"
    local said = must_run("%s AKOOL_API_KEY='%s' '%s' examples/embed/dub.lua '%s' '%s' '%s' '%s'",
      NO_MODULES, fixture.secrets.api_key, program, t.service.url, t.video, t.audio, path)
    assert.equal(film, fixture.read(path))
    assert.same({ "film.mp4" }, fixture.files(t.folder))
    assert.equal(1, t.service:count "create")
    local frames = {}
    for frame in said:gmatch "frame (%d+): %x+ is %l+\n" do
      frames[#frames + 1] = tonumber(frame)
    end
    assert.is_true(#frames >= 2, said)
    for i = 2, #frames do assert.is_true(frames[i] > frames[i - 1], said) end
    local count, longest = said:match "(%d+) frames, the longest ([%d.]+) ms"
    assert.is_true(tonumber(count) >= frames[#frames], said)
    assert.is_number(tonumber(longest))
  end

  busted.setup(function()
    scratch = os.tmpname()
    os.remove(scratch)
    tree, prefix = scratch .. "/tree", scratch .. "/moved"
    must_run("mkdir -p '%s' && tar cf - --exclude=./build --exclude=./.git "
      .. "--exclude=./proof/fuzz/corpus . | tar xf - -C '%s'", tree, tree)
    -- Without optimisation, for speed; and moved after it was installed.
    must_run("cd '%s' && export CMAKE_BUILD_TYPE=Debug CFLAGS=-O0 CMAKE_BUILD_PARALLEL_LEVEL=2 "
      .. "DESTDIR='%s/stage' PREFIX=/opt/akool\n%s\nmv '%s/stage/opt/akool' '%s'",
      tree, scratch, blocks[1], scratch, prefix)
    as_written(2)
    as_written(3)
  end)

  -- What every program has to end up with.
  busted.before_each(function()
    if film then return end
    local file = assert(t.client():generate({ video_url = t.video, audio_url = t.audio },
      scratch .. "/film.mp4"))
    film = fixture.read(file.path)
    t.service:reset()
  end)

  busted.teardown(function() must_run("rm -rf '%s'", scratch) end)

  it("is installed with its header and what finds it, and knows no folder", function()
    local found = {}
    for path in must_run("cd '%s' && find . -type f", prefix):gmatch "%./([^\n]+)" do
      found[#found + 1] = path
    end
    table.sort(found)
    assert.same({
      "include/akool/lipsync.h",
      "lib/cmake/akool_lipsync/akool_lipsync-config-version.cmake",
      "lib/cmake/akool_lipsync/akool_lipsync-config.cmake",
      "lib/cmake/akool_lipsync/akool_lipsync-targets-debug.cmake",
      "lib/cmake/akool_lipsync/akool_lipsync-targets.cmake",
      "lib/libakool_lipsync.a",
      "lib/pkgconfig/akool-lipsync.pc",
    }, found)
    assert.equal("", (run("cd '%s/lib' && grep -rlF -e '%s' -e /opt/akool cmake pkgconfig", prefix,
      scratch)))
  end)

  it("has names of its own only, and one function to call", function()
    local others = {}
    local said = must_run("nm -g --defined-only '%s/lib/libakool_lipsync.a'", prefix)
    for name in said:gmatch "%x+ %a ([%w_]+)\n" do
      if not name:find "^akl_" then others[#others + 1] = name end
    end
    table.sort(others)
    assert.same({ "akool_lipsync_preload", "luaopen_akool_lipsync_core" }, others)
  end)

  it("keeps no variable that two states share, but for who has the signals", function()
    local sections, with_variables, object = 0, {}, nil
    for line in must_run("size -A '%s/lib/libakool_lipsync.a'", prefix):gmatch "[^\n]+" do
      object = line:match "^(%S+)%s+%(ex " or object
      local size = line:match "^%.[db][as][ts]a? +(%d+) "
      if size then sections = sections + 1 end
      if size and size ~= "0" then with_variables[object] = true end
    end
    assert.same({ ["interrupt.c.o"] = true }, with_variables)
    assert.is_true(sections > 20)
  end)

  it("has a header that C++ and every C can read", function()
    for _, language in ipairs { "c -std=c89", "c -std=c11", "c++" } do
      must_run("echo '#include <akool/lipsync.h>' | cc -x %s -Wall -Wextra -Wpedantic -Werror "
        .. "-fsyntax-only -I'%s/include' -", language, prefix)
    end
  end)

  for _, program in ipairs { "frames", "frames-static", "build/frames/frames" } do
    it(("makes a film in %s, found as the page says"):format(program), function()
      makes_a_film(tree .. "/" .. program)
    end)
  end

  it("makes a film in a program that CMake links with a static Lua", function()
    must_run("cmake -S examples/embed -B '%s/outside' -DCMAKE_PREFIX_PATH='%s' -DSTATIC_LUA=ON && "
      .. "cmake --build '%s/outside'", scratch, prefix, scratch)
    assert.is_nil(must_run("readelf -d '%s/outside/frames'", scratch):find "%[liblua")
    makes_a_film(scratch .. "/outside/frames")
  end)

  for _, lua in ipairs { "5.1", "5.2", "5.3", "jit" } do
    it("makes a film in a program with Lua " .. lua, function()
      local package = lua == "jit" and "luajit" or "lua" .. lua
      if not select(2, run("pkg-config --exists %s", package)) then
        pending(("the headers of %s are not installed"):format(package))
        return
      end
      local build = scratch .. "/" .. lua
      must_run("cmake -S '%s' -B '%s' -DAKL_LUA=%s -DAKL_EXAMPLES=ON -DCMAKE_BUILD_TYPE=Debug "
        .. "-DCMAKE_C_FLAGS=-O0 && cmake --build '%s' --parallel 2 --target frames", tree, build,
        lua, build)
      makes_a_film(build .. "/examples/embed/frames")
    end)
  end

  it("has every file but those of the programs, under the names that the tree has", function()
    local names = script(t.path "names.lua", [[
      local names = {}
      for name in pairs(package.preload) do
        if name:find "^akool" then names[#names + 1] = name end
      end
      table.sort(names)
      return table.concat(names, "\n")]])
    local said = must_run("%s '%s/frames' '%s'", NO_MODULES, tree, names)
    assert.equal(table.concat(modules(), "\n") .. "\n", said:match "ms\n(.*)$")
  end)

  it("says in messages which file they are about", function()
    local where = script(t.path "where.lua", [[
      local lipsync = require "akool.lipsync"
      local face, loop = debug.getinfo(lipsync.new, "S"), debug.getinfo(lipsync.spawn, "S")
      return face.source .. " " .. loop.source]])
    local said = must_run("%s '%s/frames' '%s'", NO_MODULES, tree, where)
    assert.equal("@akool/lipsync.lua @akool/lipsync/loop.lua\n", said:match "ms\n(.*)$")
  end)

  it("says what it misses: Lua's package library, lua-cjson", function()
    write(t.path "poor.c", POOR)
    must_run("cd '%s' && export PKG_CONFIG_PATH='%s/lib/pkgconfig' && cc -o poor poor.c "
      .. "$(pkg-config --cflags --libs akool-lipsync lua5.4)", t.folder, prefix)
    local said = must_run("%s '%s'", NO_MODULES, t.path "poor")
    assert.truthy(said:find "^2 akool_lipsync_preload: the state has no package.preload", said)
    assert.truthy(said:find("\n0\n1 akool.lipsync needs lua-cjson", 1, true), said)
  end)

  it("follows its Lua files", function()
    local archive = tree .. "/build/static/embed/libakool_lipsync.a"
    local build = ("cmake --build '%s/build/static' --target akool_lipsync_static"):format(tree)
    local path = tree .. "/lua/akool/lipsync/job.lua"
    assert.is_nil(fixture.read(archive):find("a line more", 1, true))
    write(path, fixture.read(path) .. "-- a line more\n")
    must_run(build)
    assert.truthy(fixture.read(archive):find("a line more", 1, true))
  end)

  -- The states of proof/threads, in a program whose lua-cjson is a module and whose Lua is static.
  it("lives in two states of two threads and more, closed while calls are under way", function()
    local program = t.path "threads"
    must_run("export PKG_CONFIG_PATH='%s/lib/pkgconfig'; cc -o '%s' proof/threads/threads.c "
      .. "$(pkg-config --cflags lua5.4) $(pkg-config --cflags --libs akool-lipsync) "
      .. "-l:liblua5.4.a -lm -ldl -pthread -Wl,-E", prefix, program)
    assert.is_nil(must_run("nm -D --defined-only '%s'", program):find "ak[lo]")
    local said = must_run("%s '%s' proof/threads/life.lua '%s' '%s' '%s' 2", NO_FILES, program,
      t.service.url, fixture.secrets.api_key, t.folder)
    assert.equal("16 states in 8 threads, 0 failed\n", said)
    assert.same({ "threads" }, fixture.files(t.folder))
  end)
end)
