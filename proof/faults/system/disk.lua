-- disk: how a disk gets full in earnest, by the kernel's own doing. Each way gives the command that
-- runs a program where there is room for so many bytes.

local uv = require "luv"

local disk = {}

local UNSHARE = uv.getuid() == 0 and "-m" or "-rm" -- mounts of our own need rights, or a user of our own

-- Files may not grow beyond the limit; a program that ignores the signal is told EFBIG. Before
-- that a write is cut short. `ulimit -f` counts blocks of 512 bytes.
local LIMIT = [[trap "" XFSZ; ulimit -f "$1"; shift; exec "$@"]]

-- A small file system over the folder, seen by this program alone; what is left in it is put into
-- the folder under it, which has another name until then.
local SMALL = [[
  set -e
  mount --bind "$1" "$2"
  mount -t tmpfs -o size="$3" tmpfs "$1"
  cp -p "$2"/* "$1"/ 2>/dev/null || :
  folder=$1 outside=$2
  shift 3
  code=0
  "$@" || code=$?
  rm -f "$outside"/*
  cp -p "$folder"/* "$outside"/ 2>/dev/null || :
  exit "$code"
]]

local function joined(...)
  local words = {}
  for _, list in ipairs { ... } do
    for _, word in ipairs(list) do words[#words + 1] = word end
  end
  return words
end

disk.ways = {
  {
    name = "limit", step = 512, what = "RLIMIT_FSIZE",
    command = function(_, room, program)
      return joined({ "sh", "-c", LIMIT, "sh", ("%d"):format(room / 512) }, program)
    end,
  },
  {
    name = "tmpfs", step = 4096, what = "a small file system",
    command = function(world, room, program)
      return joined({ "unshare", UNSHARE, "sh", "-c", SMALL, "sh", world.folder, world.outside,
        ("%d"):format(room) }, program)
    end,
    possible = function()
      return os.execute(("unshare %s mount -t tmpfs tmpfs /mnt 2>/dev/null"):format(UNSHARE))
    end,
  },
}

return disk
