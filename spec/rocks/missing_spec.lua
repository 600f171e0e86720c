-- missing: what LuaRocks and CMake say when something that a build needs is not there, or is not the
-- right one: the name of it, and what to do.

local lfs = require "lfs"
local rocks = require "support.rocks"
local shell = require "support.shell"

-- In one line, as the width of the terminal does not matter to us.
local function flat(text) return (text:gsub("%s+", " ")) end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

describe("what is said", function()
  local t = rocks.new()
  local tree

  setup(function()
    tree = t.path "tree"
    rocks.copy_tree(tree)
    assert(lfs.mkdir(t.path "empty"))
  end)

  -- LuaRocks cannot make the tree, and says all of these.
  local function make_says(words, prefix, arguments, ...)
    shell.must_run("rm -rf '%s/build.luarocks'", tree)
    local said, status = t.run(tree, "%s luarocks --lua-version=5.4 --only-server='%s' "
      .. "--tree '%s' make %s", prefix, t.path "empty", t.path "prefix", arguments:format(...))
    assert.not_equal(0, status)
    for _, word in ipairs(words) do assert.truthy(flat(said):find(word, 1, true), said) end
  end

  -- Nor can CMake.
  local function cmake_says(words, arguments)
    local said, status = t.run(tree, "cmake -S . -B '%s' %s", t.path "build", arguments)
    shell.must_run("rm -rf '%s'", t.path "build")
    assert.not_equal(0, status)
    for _, word in ipairs(words) do assert.truthy(flat(said):find(word, 1, true), said) end
  end

  it("names lua-cjson when no server has it", function()
    make_says({ "Could not satisfy dependency lua-cjson >= 2.1" }, "env", "")
  end)

  it("names lua-cjson when the module is loaded without it", function()
    t.luarocks("5.4", tree, "--tree '%s' make --deps-mode=none", t.path "alone")
    local said, status = t.run(t.folder, "LUA_PATH='%s/share/lua/5.4/?.lua' "
      .. "LUA_CPATH='%s/lib/lua/5.4/?.so' lua5.4 -e 'require [[akool.lipsync]]'", t.path "alone",
      t.path "alone")
    assert.equal(1, status)
    assert.truthy(said:find("needs lua-cjson (Debian: lua-cjson, LuaRocks: lua-cjson)", 1, true),
      said)
  end)

  it("names the folder that has no headers of Lua, or those of another", function()
    make_says({ "Failed finding Lua header files" }, "env", "LUA_INCDIR='%s'", t.path "empty")
    make_says({ "Lua header mismatches" }, "env", "LUA_INCDIR=/usr/include/lua5.1")
    cmake_says({ "There is no lua.h in /usr/share." }, "-DLUA_INCDIR=/usr/share")
    cmake_says({ "This is a build for Lua 5.3, but the lua.h in /usr/include/lua5.1 is of another",
      "-DAKL_LUA=5.1" }, "-DAKL_LUA=5.3 -DLUA_INCDIR=/usr/include/lua5.1")
    cmake_says({ "-DAKL_LUA=jit" }, "-DAKL_LUA=5.3 -DLUA_INCDIR=/usr/include/luajit-2.1")
  end)

  it("names the headers that are of no Lua we know", function()
    local folder = t.path "lua6"
    assert(lfs.mkdir(folder))
    write(folder .. "/lua.h", "#define LUA_VERSION_NUM\t600\n")
    cmake_says({ folder .. " is not one of Lua 5.1 to 5.4 or LuaJIT" }, "-DLUA_INCDIR=" .. folder)
  end)

  it("names libcurl and its package", function()
    cmake_says({ "libcurl 7.74 or newer was not found", "apt-get install libcurl4-openssl-dev",
      "CMAKE_PREFIX_PATH" }, "-DCMAKE_DISABLE_FIND_PACKAGE_CURL=ON")
  end)

  it("names the libcurl that is too old, and where it was found", function()
    local old = t.path "old"
    shell.must_run("mkdir -p '%s/include/curl' '%s/lib'", old, old)
    write(old .. "/include/curl/curl.h", "")
    write(old .. "/include/curl/curlver.h", "#define LIBCURL_VERSION \"7.68.0\"\n")
    write(old .. "/lib/libcurl.so", "")
    make_says({ ("The libcurl found in %s/include is 7.68.0; 7.74 or newer is needed."):format(old),
      "CMAKE_PREFIX_PATH", "Build error: Failed cmake." }, ("CMAKE_PREFIX_PATH='%s'"):format(old),
      "--deps-mode=none")
  end)

  it("names libcrypto and its package", function()
    cmake_says({ "OpenSSL's libcrypto was not found", "apt-get install libssl-dev" },
      "-DCMAKE_DISABLE_FIND_PACKAGE_OpenSSL=ON")
  end)

  it("names cmake", function()
    make_says({ "no-such-cmake" }, "env", "--deps-mode=none CMAKE=no-such-cmake")
  end)
end)
