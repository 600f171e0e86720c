-- install: LuaRocks brings the library and what it depends on, for the oldest and the newest Lua, in
-- every way that it has. What it has brought makes a film with the program in README.md.

local lfs = require "lfs"
local rocks = require "support.rocks"
local shell = require "support.shell"

local t

-- The program that README.md shows.
local README = shell.must_run("cat README.md"):match("```lua\n(.-)```")

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

-- Start the mock service that a tree has; returns its address and its key. Its program needs luv
-- too, which is the system's.
local function serve(tree)
  local pipe = assert(io.popen(("echo $$; exec env -i PATH=\"$PATH\" HOME='%s' "
    .. "'%s/bin/akool-lipsync-mock' --queue 0 --process 0 2>&1"):format(t.folder, tree)))
  local pid, said = pipe:read("*l"), ""
  finally(function()
    shell.must_run("kill %s", pid)
    pipe:close()
  end)
  for line in pipe:lines() do
    said = said .. line .. "\n"
    if line:find "AKOOL_API_KEY=" then break end
  end
  local url, key = said:match("AKOOL_BASE_URL=(%S+)"), said:match("AKOOL_API_KEY=(%S+)")
  assert(url and key, said)
  return url, key
end

-- What a tree has makes a film, with no module from anywhere else.
local function works(tree, lua)
  local url, key = serve(tree)
  local away = shell.must_run("mktemp -d -p '%s'", t.folder):match("%S+")
  write(away .. "/readme.lua", README)
  local said, status = t.run(away, "AKOOL_BASE_URL='%s' AKOOL_API_KEY='%s' "
    .. "LUA_PATH='%s/share/lua/%s/?.lua' LUA_CPATH='%s/lib/lua/%s/?.so' lua%s readme.lua",
    url, key, tree, lua, tree, lua, lua)
  assert(status == 0, said)
  assert.equal("dubbed.mp4\nreadme.lua\n", shell.must_run("ls -A '%s'", away))
  local digest = shell.must_run("sha256sum '%s/dubbed.mp4'", away):match("^%x+")
  assert.truthy(said:find(digest, 1, true), said)
  said, status = t.run(away, "'%s/bin/akool-lipsync' explain 1204", tree)
  assert(status == 0 and said:find "^media/video_too_long", said)
end

-- A copy of this tree that is made for one user, who is not root: LuaRocks refuses root a tree of
-- its own.
local function make_local(home, lua)
  local copy, user = t.path("for-one-" .. lua), "env"
  rocks.copy_tree(copy)
  assert(lfs.mkdir(home))
  if shell.must_run("id -u") == "0\n" then
    shell.must_run("chmod 755 '%s' && chown -R nobody '%s' '%s'", t.folder, home, copy)
    user = "setpriv --reuid=nobody --clear-groups env"
  end
  local said, status = t.run(copy, "%s HOME='%s' luarocks --lua-version=%s --only-server='%s' "
    .. "make --local", user, home, lua, t.path "server")
  assert(status == 0, said)
end

describe("luarocks", function()
  t = rocks.new()

  for _, lua in ipairs { "5.1", "5.4" } do
    local function path(name) return t.path(name .. "-" .. lua) end

    it("has no objection to the rockspec, for Lua " .. lua, function()
      t.luarocks(lua, lfs.currentdir(), "lint akool-lipsync-scm-1.rockspec")
    end)

    it("installs it with what it needs, and removes it whole, for Lua " .. lua, function()
      local tree = path "installed"
      t.luarocks(lua, t.folder, "--tree '%s' install akool-lipsync", tree)
      local list = t.luarocks(lua, t.folder, "--tree '%s' list --porcelain", tree)
      assert.truthy(list:find("akool-lipsync\t" .. t.version .. "-1\tinstalled", 1, true), list)
      assert.truthy(list:find("lua%-cjson\t[%d.]+%-%d+\tinstalled"), list)
      assert.truthy(list:find("argparse\t[%d.]+%-%d+\tinstalled"), list)
      works(tree, lua)
      t.luarocks(lua, t.folder, "--tree '%s' remove akool-lipsync", tree)
      assert.equal("", shell.must_run("find '%s' -path '*akool*'", tree))
    end)

    it("makes what is in a folder, for Lua " .. lua, function()
      local copy, tree = path "copy", path "made"
      rocks.copy_tree(copy)
      t.luarocks(lua, copy, "--tree '%s' make", tree)
      shell.must_run("rm -rf '%s'", copy)
      works(tree, lua)
    end)

    it("makes it for one user, for Lua " .. lua, function()
      local home = path "home"
      make_local(home, lua)
      works(home .. "/.luarocks", lua)
      -- as that user is told to find it
      local said, status = t.run(home, "HOME='%s' sh -c 'eval \"$(luarocks --lua-version=%s path)\""
        .. "; lua%s -e \"print(require([[akool.lipsync]])._VERSION)\"'", home, lua, lua)
      assert.same({ t.version .. "\n", 0 }, { said, status })
    end)

    it("packs what is installed, and installs that elsewhere, for Lua " .. lua, function()
      local out, first, second = path "packed", path "here", path "elsewhere"
      assert(lfs.mkdir(out))
      t.luarocks(lua, t.folder, "--tree '%s' install akool-lipsync", first)
      t.luarocks(lua, out, "--tree '%s' pack akool-lipsync", first)
      shell.must_run("rm -rf '%s'", first)
      local rock = shell.must_run("ls -A '%s'", out)
      assert.truthy(rock:find("^akool%-lipsync%-[%d.]+%-1%.linux%-[%w_]+%.rock\n$"), rock)
      t.luarocks(lua, out, "--tree '%s' install '%s'", second, rock:match "[^\n]+")
      works(second, lua)
    end)
  end
end)
