#!/bin/sh
# bench.sh [rounds]: builds the module and the plain C client, then measures one against the other.
# bench.sh schedule [first=S …]: simulates when jobs are asked about.
set -eu

scripts/setup.sh bench
scripts/build.sh
target=floor
[ "${1-}" = schedule ] && target=schedule
cmake --build build --target "$target" >build/build.log 2>&1 || {
  cat build/build.log >&2
  exit 1
}
. scripts/lua-paths.sh
if [ "$target" = schedule ]; then
  shift
  exec bench/schedule "$@"
fi
exec bench/run "$@"
