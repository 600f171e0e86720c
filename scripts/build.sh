#!/bin/sh
# build.sh [--lua=5.4|5.3|5.2|5.1|jit] [cmake options]: compiles into build/, for another Lua than 5.4
# into a folder of its own there. It is silent unless something goes wrong.
set -eu

. scripts/luas.sh
lua=5.4
case ${1-} in
  --lua=*)
    lua=${1#--lua=}
    shift
    is_lua "$lua" || exit 2
    ;;
esac
folder=$(lua_folder "$lua")

command -v cmake >/dev/null || {
  echo "cmake is missing; './dev setup build' installs what a build needs" >&2
  exit 1
}

if ! mkdir -p "$folder" || [ ! -w "$folder" ]; then
  echo "$PWD/$folder cannot be written to: it may be another user's, from a build with sudo" >&2
  exit 1
fi
{
  cmake -S . -B "$folder" "-DAKL_LUA=$lua" -DAKL_WERROR=OFF "$@" &&
    cmake --build "$folder" --parallel
} >"$folder/build.log" 2>&1 || {
  cat "$folder/build.log" >&2
  exit 1
}
