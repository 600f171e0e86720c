#!/bin/sh
# torture.sh [options]: builds with sanitizers, then fails every allocation of every scenario.
set -eu

scripts/setup.sh torture
mkdir -p build
{
  cmake -S . -B build/torture -DAKL_WERROR=ON -DAKL_SANITIZE=address,undefined \
    -DCMAKE_BUILD_TYPE=RelWithDebInfo &&
    cmake --build build/torture --parallel --target torture
} >build/torture.log 2>&1 || {
  cat build/torture.log >&2
  exit 1
}
. scripts/lua-paths.sh
LUA_PATH="$PWD/proof/torture/?.lua;$LUA_PATH"
exec proof/torture/run build/torture/proof/torture/torture \
  --workers "$(getconf _NPROCESSORS_ONLN)" "$@"
