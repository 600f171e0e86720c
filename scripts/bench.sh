#!/bin/sh
# bench.sh [rounds]: builds the module and the plain C client, then measures one against the other.
set -eu

scripts/setup.sh bench
scripts/build.sh
cmake --build build --target floor >build/build.log 2>&1 || {
  cat build/build.log >&2
  exit 1
}
. scripts/lua-paths.sh
exec bench/run "$@"
