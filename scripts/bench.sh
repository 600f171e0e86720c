#!/bin/sh
# bench.sh [rounds]: builds the module and the plain C client, then measures one against the other.
# bench.sh schedule [first=S …]: simulates when jobs are asked about.
# bench.sh policy [seed]: tries what the policy promises about retries, waits and turns.
set -eu

case ${1-} in
  schedule | policy) target=$1 && shift ;;
  *) target=floor ;;
esac

scripts/setup.sh bench
scripts/build.sh
cmake --build build --target "$target" >build/build.log 2>&1 || {
  cat build/build.log >&2
  exit 1
}
. scripts/lua-paths.sh
case $target in
  schedule) exec bench/schedule "$@" ;;
  policy) exec build/bench/policy "$@" ;;
esac
exec bench/run "$@"
