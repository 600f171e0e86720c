#!/bin/sh
# build.sh [cmake options]: compiles into build/. It is silent unless something goes wrong.
set -eu

command -v cmake >/dev/null || {
  echo "cmake is missing; './dev setup build' installs what a build needs" >&2
  exit 1
}

if ! mkdir -p build || [ ! -w build ]; then
  echo "$PWD/build cannot be written to: it may be another user's, from a build with sudo" >&2
  exit 1
fi
{
  cmake -S . -B build -DAKL_WERROR=OFF "$@" && cmake --build build --parallel
} >build/build.log 2>&1 || {
  cat build/build.log >&2
  exit 1
}
