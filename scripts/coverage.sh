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

for spec in spec/*_spec.lua; do
  # A process that is killed while it writes what it counted leaves numbers that mean nothing.
  case $spec in spec/batch_kill_spec.lua | spec/batch_workers_spec.lua) continue ;; esac
  if scripts/run-spec.sh "$build" "$spec" lua5.4 >"$build/spec.log" 2>&1; then
    printf '%-30s %s\n' "$spec" "$(sed -n 's/^\([0-9]* success.*\) : .*/\1/p' "$build/spec.log")"
  else
    echo "$spec FAILED"
    cat "$build/spec.log"
    failed=yes
  fi
done

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
