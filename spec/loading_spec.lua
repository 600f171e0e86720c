-- What `require "akool.lipsync"` does where something is wrong or odd: parts that are missing, old or
-- made for another Lua, a core that is loaded twice, a host that hides its Lua.

local child = require "support.child"
local core = require "akool.lipsync.core"
local fixture = require "support.fixture"
local preload = require "support.preload"
local shell = require "support.shell"
local uv = require "luv"

local LUA = jit and "LuaJIT" or _VERSION
local MODULE = assert(os.getenv "AKL_MODULE" or package.searchpath
  and package.searchpath("akool.lipsync.core", package.cpath) or "build/akool/lipsync/core.so")
local FOLDER = MODULE:gsub("akool/lipsync/core%.so$", "") -- what package.cpath has before the "?"

--- What a program says that only requires the library and prints what came of it.
local function required(before, options)
  local said, status = child.run(before .. [[
    local fine, value = pcall(require, "akool.lipsync")
    print(fine and value._VERSION or value)
  ]], options)
  assert.equal(0, status, said)
  return (said:gsub("\n$", ""))
end

local function assert_says(said, ...)
  for _, words in ipairs { ... } do assert.is_truthy(said:find(words, 1, true), said) end
end

describe("the library", function()
  local t = fixture.new()

  it("is there", function()
    assert.equal(core, require "akool.lipsync.load")
    assert.equal(core._VERSION, required "")
  end)

  it("says which Lua it misses its core for", function()
    local said = required "package.cpath = ''"
    assert_says(said, "akool.lipsync: ", "not installed for " .. LUA .. ".",
      "no field package.preload")
  end)

  it("says so to whoever requires its webhooks first", function()
    local said, status = child.run [=[
      package.cpath = ""
      print(select(2, pcall(require, "akool.lipsync.webhook")))
    ]=]
    assert.equal(0, status, said)
    assert_says(said, "akool.lipsync: ", "not installed for " .. LUA .. ".")
  end)

  it("says so when the core is that of another Lua", function()
    local other = LUA == "Lua 5.3" and "5.4" or "5.3"
    shell.must_run("cmake -S . -B '%s' -DAKL_LUA=%s -DCMAKE_BUILD_TYPE=Debug && cmake --build '%s'"
      .. " --target akool_lipsync_core", t.folder, other, t.folder)
    local said = required(("package.cpath = %q"):format(t.path "?.so"))
    assert_says(said, "akool.lipsync: ", "the Lua that runs here, " .. LUA .. ".", "-DAKL_LUA=",
      "--lua-version=", t.path "akool/lipsync/core.so")
  end)

  it("says so when the core is none", function()
    shell.must_run("mkdir -p '%s' && echo text >'%s'", t.path "akool/lipsync",
      t.path "akool/lipsync/core.so")
    local said = required(("package.cpath = %q"):format(t.path "?.so"))
    assert_says(said, "akool.lipsync: its core cannot be loaded.", t.path "akool/lipsync/core.so")
  end)

  it("says so when the core is of another version", function()
    local said = required "require 'akool.lipsync.core'._VERSION = '0.0.9'\n"
    assert_says(said, "akool.lipsync: ", core._VERSION, "its core is of version 0.0.9")
    if LUA ~= "Lua 5.1" then -- which cannot tell where
      assert_says(said, "lua/akool/lipsync.lua", "akool/lipsync/core.so")
    end
  end)

  it("says what to install when there is no lua-cjson", function()
    local said = required(("package.path, package.cpath = 'lua/?.lua', %q"):format(
      FOLDER .. "?.so"))
    assert_says(said, "akool.lipsync needs lua-cjson", "Debian: lua-cjson", "LuaRocks: lua-cjson")
  end)

  it("says so when something else goes by the name of lua-cjson", function()
    local said = required "package.loaded.cjson = {}\n"
    assert_says(said, "akool.lipsync needs lua-cjson", "no function 'new'")
    said = required "package.loaded.cjson = true\n"
    assert_says(said, "akool.lipsync needs lua-cjson", "it is not a table")
  end)

  it("says so when libcurl is too old", function()
    local said = required("", { environment = preload("old_libcurl", t.folder) })
    assert_says(said, "akool.lipsync needs libcurl 7.74 or later, but this is 7.73.0")
  end)
end)

describe("the core", function()
  local t = fixture.new()

  it("is the same when it is loaded again", function()
    local op, engine = core.sleep(0), core.engine()
    package.loaded["akool.lipsync.core"] = nil
    local again = require "akool.lipsync.core"
    package.loaded["akool.lipsync.core"] = core
    assert.equal(engine, again.engine())
    assert.is_nil((op:next()))
    local other = again.sleep(0)
    engine:step(0)
    local kinds = { [op] = op:next(), [other] = other:next() }
    assert.same({ [op] = "done", [other] = "done" }, kinds)
  end)

  it("of another file keeps apart what is its own, and refuses what is not", function()
    shell.must_run("cp '%s' '%s'", MODULE, t.path "twin.so")
    local said, status = child.run(([[
      local core = require "akool.lipsync.core"
      local twin = assert(package.loadlib(%q, "luaopen_akool_lipsync_core"))()
      local engine, other = core.engine(), twin.engine()
      assert(engine ~= other)
      local op, its = core.sleep(0), twin.sleep(0)
      for _, wrong in ipairs { function() engine.step(other) end, function() op.next(its) end,
          function() its.cancel(op) end, function() other.close(engine) end } do
        local fine, why = pcall(wrong)
        assert(not fine and why:find("of another copy of the core", 1, true), why)
      end
      engine:step(0)
      assert(op:next() == "done" and its:next() == nil)
      engine:close()
      other:step(0)
      assert(its:next() == "done")
      local client = assert(require("akool.lipsync").new { api_key = "key" })
      local settings = client.settings
      local fine, why = pcall(twin.try_path, settings, "x")
      assert(not fine and why:find("akool.lipsync.settings of another copy", 1, true), why)
      print "both are sound"
    ]]):format(t.path "twin.so"))
    assert.equal("both are sound\n", said)
    assert.equal(0, status)
  end)
end)

describe("a host that hides its Lua", function()
  local t = fixture.new { manual_clock = false, queue = 0.02, process = 0.02 }

  local name = jit and "luajit" or "lua" .. _VERSION:match "%d%.%d"

  -- What a module that was built with a sanitizer needs in its program, before all else.
  local sanitizer = shell.run("ldd '%s'", uv.exepath()):match "/%S*asan%S*"

  --- Run a script in a host, which is called with the arguments and the script's path.
  local function run_in(host, arguments, script)
    return child.run(script, {
      folder = t.folder,
      environment = { AKOOL_BASE_URL = t.service.url, AKOOL_API_KEY = fixture.secrets.api_key },
      prefix = ([[sh -c 'exec env LD_PRELOAD="%s" "%s" %s "$2"' sh]]):format( -- no interpreter
        sanitizer or "", host, arguments),
    })
  end

  --- Compile such a host, and run a script in it.
  local function in_host(script)
    shell.must_run("cc -D_GNU_SOURCE -o '%s' spec/support/hiding/host.c -ldl", t.path "host")
    shell.must_run("cc -D_GNU_SOURCE -shared -fPIC -o '%s' spec/support/hiding/plugin.c"
      .. " $(pkg-config --cflags --libs %s)", t.path "plugin.so", name)
    return run_in(t.path "host", ('"%s"'):format(t.path "plugin.so"), script)
  end

  local function absolute(path)
    return path:sub(1, 1) == "/" and path or shell.must_run("pwd"):sub(1, -2) .. "/" .. path
  end

  -- It runs elsewhere, so that paths have to be whole.
  local PATHS = ("package.path = %q .. package.path package.cpath = %q .. package.cpath\n"):format(
    absolute "lua/?.lua" .. ";", absolute(FOLDER) .. "?.so;")

  if LUA == "Lua 5.1" then
    it("is explained: Lua 5.1 has no way to show itself", function()
      local said = in_host(PATHS .. "print(select(2, pcall(require, 'akool.lipsync')))"
        .. " function tick() return false end")
      assert_says(said, "akool.lipsync: its core does not fit", "this program hides its Lua")
    end)
    return
  end

  it("would not let a module in C come in", function()
    local said = in_host(PATHS .. "print(select(2, pcall(require, 'akool.lipsync.core')))"
      .. " function tick() return false end")
    assert_says(said, "akool/lipsync/core.so: undefined symbol: lua")
  end)

  it("lets the library in, which makes ten films at once from tick to tick", function()
    local said, status = in_host(PATHS .. [[
      local lipsync = require "akool.lipsync"
      local ticks, films = 0, 0
      for i = 1, 10 do
        lipsync.spawn(function()
          local file = assert(lipsync.generate({ video_url = "https://example.com/v.mp4",
            audio_url = "https://example.com/a.wav" }, i .. ".mp4", { poll = { first = 0.01 } }))
          films = films + (file.bytes > 0 and 1 or 0)
        end)
      end
      function tick()
        ticks = ticks + 1
        if lipsync.step(0) > 0 then return true end
        assert(ticks > 10)
        print(films .. " films")
      end
    ]])
    assert.equal("10 films\n", said)
    assert.equal(0, status)
    assert.equal(10, t.service:count "create")
  end)

  if LUA == "Lua 5.2" or LUA == "Lua 5.3" then -- the others have no way to notice
    it("is not given a second Lua, which another part of it has brought along", function()
      local libraries = shell.must_run("pkg-config --variable=libdir %s", name):sub(1, -2)
      local lua = libraries .. "/lib" .. name
      shell.must_run("echo 'int run(const char *);"
        .. " int main(int n, char **words) { return run(words[n - 1]); }' >'%s'", t.path "main.c")
      shell.must_run("cc -D_GNU_SOURCE -o '%s' '%s' spec/support/hiding/plugin.c "
        .. "$(pkg-config --cflags %s) %s.a -lm -ldl", t.path "host", t.path "main.c", name, lua)
      local said = run_in(t.path "host", "", PATHS
        .. ("package.loadlib(%q, 'x')"):format(lua .. ".so")
        .. "print(select(2, pcall(require, 'akool.lipsync'))) function tick() return false end")
      assert_says(said, "akool.lipsync: its core cannot be loaded.", "multiple Lua VMs detected")
    end)
  end
end)
