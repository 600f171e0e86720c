#!/bin/sh
# bench.sh [NAME…] [--rounds N] [--full]: builds the module and the plain C client, then measures
# one against the other.
# bench.sh schedule [first=S …]: simulates when jobs are asked about.
# bench.sh policy [seed]: tries what the policy promises about retries, waits and turns.
set -eu

case ${1-} in
  schedule | policy) targets=$1 && shift ;;
  *) targets="floor floor_load" ;;
esac

scripts/setup.sh bench
scripts/build.sh
cmake --build build --target $targets >build/build.log 2>&1 || {
  cat build/build.log >&2
  exit 1
}
. scripts/lua-paths.sh
case $targets in
  schedule) exec bench/schedule "$@" ;;
  policy) exec build/bench/policy "$@" ;;
esac
exec bench/run "$@"
