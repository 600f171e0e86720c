-- rocks: LuaRocks in a scratch folder, with a server that has what the library depends on and the
-- library itself as it is in this tree. Nothing is installed outside of that folder.
--
--   local t = rocks.new()       -- registers setup and teardown
--   t.luarocks("5.4", "--tree '%s' install akool-lipsync", t.path "tree")

local busted = require "busted"
local lfs = require "lfs"
local lipsync = require "akool.lipsync"
local shell = require "support.shell"

local rocks = {}

local ROOT = lfs.currentdir()
local SERVER = ROOT .. "/build/rocks" -- made by scripts/rocks-server.sh

-- Only what a user has: none of the paths that lead into this tree.
local CLEAN = "env -i PATH=\"$PATH\" LANG=C.UTF-8 HOME='%s' "

--- Copies what belongs to the project into a folder.
---@param folder string
function rocks.copy_tree(folder)
  shell.must_run("mkdir -p '%s' && cd '%s' && tar -c --exclude=./build --exclude=./build.luarocks "
    .. "--exclude=./.git . | tar -x -C '%s'", folder, ROOT, folder)
end

--- Registers the life of a scratch folder for the describe block around it.
function rocks.new()
  local t = { version = lipsync._VERSION }

  --- A path in the scratch folder.
  function t.path(name) return t.folder .. "/" .. name end

  --- Runs a command in a folder with a clean environment; returns what it said and its status.
  function t.run(folder, command, ...)
    return shell.run("cd '" .. folder .. "' && " .. CLEAN:format(t.folder) .. command:format(...))
  end

  --- Runs LuaRocks for a version of Lua in a folder; raises unless it succeeds.
  function t.luarocks(lua, folder, arguments, ...)
    local said, status = t.run(folder, "luarocks --lua-version=%s --only-server='%s' %s", lua,
      t.path "server", arguments:format(...))
    if status ~= 0 then error(("luarocks %s: %d\n%s"):format(arguments, status, said), 2) end
    return said
  end

  -- A rockspec for a version that can be had from a file, packed with its sources.
  local function publish()
    local name = "akool-lipsync-" .. t.version
    rocks.copy_tree(t.path(name))
    shell.must_run("cp -r '%s' '%s'", SERVER, t.path "server")
    shell.must_run("cd '%s' && tar -czf '%s.tar.gz' '%s'", t.folder, name, name)
    t.luarocks("5.4", t.folder, "new_version '%s/akool-lipsync-scm-1.rockspec' %s "
      .. "'file://%s.tar.gz'", t.path(name), t.version, t.path(name))
    t.luarocks("5.4", t.path "server", "pack '../%s-1.rockspec'", name)
    shell.must_run("rm '%s'", t.path(name .. "-1.rockspec"))
    shell.must_run(CLEAN:format(t.folder) .. "luarocks-admin --lua-version=5.4 make_manifest '%s'",
      t.path "server")
  end

  busted.setup(function()
    t.folder = shell.must_run("mktemp -d"):match("%S+")
    publish()
  end)

  busted.teardown(function() shell.must_run("rm -rf '%s'", t.folder) end)

  return t
end

return rocks
