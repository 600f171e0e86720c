#!/bin/sh
# coverage.sh [--with COMMAND]…: which lines and branches of the core the specs and proofs reach.
# Fails when a line is missed without a reason in proof/coverage/missing.txt, or too many branches
# are. --with adds what a command reaches that runs something built in build/coverage.
set -eu

usage() {
  echo "usage: ./dev coverage [--with COMMAND]…" >&2
  exit 2
}

build=build/coverage
LIMIT=300 # seconds that a spec may take

# one SPEC: runs it, and says how it went.
one() {
  log=$build/$(basename "$1" .lua).log
  if timeout -k 5 "$LIMIT" scripts/run-spec.sh "$build" "$1" lua5.4 >"$log" 2>&1; then
    printf '%-30s %s\n' "$1" "$(sed -n 's/^\([0-9]* success.*\) : .*/\1/p' "$log")"
  else
    echo "$1 FAILED"
    cat "$log"
    return 1
  fi
}

if [ "${1-}" = --one ]; then
  one "$2"
  exit
fi

mkdir -p "$build"
commands=$(mktemp)
trap 'rm -f "$commands"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
while [ $# -gt 0 ]; do
  [ "$1" = --with ] && [ $# -gt 1 ] || usage
  printf '%s\n' "$2" >>"$commands"
  shift 2
done

scripts/setup.sh coverage
# The module has gcov's library inside it, but exports nothing of it.
{
  cmake -S . -B "$build" -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Debug \
    "-DCMAKE_C_FLAGS_DEBUG=-g -O0" -DCMAKE_C_FLAGS=--coverage \
    -DCMAKE_MODULE_LINKER_FLAGS=-Wl,--exclude-libs,libgcov.a &&
    cmake --build "$build" --parallel --target akool_lipsync_core refusals
} >"$build.log" 2>&1 || {
  cat "$build.log" >&2
  exit 1
}
find "$build" -name '*.gcda' -delete
failed=""

# Two at a time, since they wait for most of theirs. Not those in which processes are killed: one that
# writes what it counted just then leaves numbers that mean nothing.
ls spec/*_spec.lua | grep -v -e /batch_kill_ -e /batch_workers_ | xargs -n 1 -P 2 "$0" --one ||
  failed=yes

. scripts/lua-paths.sh
proof/refusals/run "$build/refusals" || failed=yes
while read -r command; do
  sh -c "$command" || failed=yes
done <"$commands"

# What CMake compiles to know the compiler is not of interest. gcov works out some counts from others,
# which errors that jump (longjmp) make less than none: such a branch is left out.
gcovr --root . --gcov-ignore-parse-errors --exclude-directories '.*/CMakeFiles/3.*' --filter src/ \
  --json "$build/coverage.json" "$build"
lua5.4 proof/coverage/report.lua "$build/coverage.json" proof/coverage/missing.txt || failed=yes
[ -z "$failed" ]
