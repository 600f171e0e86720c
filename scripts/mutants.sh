#!/bin/sh
# mutants.sh [--full] [--seed N] [--count N] [--only FILE[:LINE]] [--by SPEC]: changes one conditional
# jump of the core at a time, so that it is always or never taken, and sees whether a spec or a refusal
# notices. A sample of 60 unless told otherwise; --full takes all, --only those of a file or line; --by
# asks only one of those who may notice, such as core_spec or refusals.
set -eu

scripts/setup.sh mutants
[ "$(uname -m)" = x86_64 ] || {
  echo "Mutants are made of x86-64 assembly; this machine is another." >&2
  exit 2
}

build=build/mutants
reach=$build/reach
mkdir -p "$reach"

# compile FOLDER CMAKE_OPTION…
compile() {
  folder=$1
  shift
  {
    cmake -S . -B "$folder" -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Debug \
      "-DCMAKE_C_FLAGS_DEBUG=-g -O0" "$@" &&
      cmake --build "$folder" --parallel --target akool_lipsync_core refusals
  } >"$build.log" 2>&1 || {
    cat "$build.log" >&2
    exit 1
  }
}

compile "$build/plain"

# What each spec reaches and how long it takes: asked once, and again when it, or what all of them run
# on, has changed.
stale() {
  [ ! -f "$reach/$1.json" ] ||
    find src lua spec/support proof/refusals "$2" -newer "$reach/$1.json" -type f | grep -q .
}

# reached NAME SOURCE COMMAND…
reached() {
  name=$1 source=$2
  shift 2
  if stale "$name" "$source"; then
    echo "Looking what $name reaches…"
    compile "$build/cover" -DCMAKE_C_FLAGS=--coverage \
      -DCMAKE_MODULE_LINKER_FLAGS=-Wl,--exclude-libs,libgcov.a
    find "$build/cover" -name '*.gcda' -delete
    began=$(date +%s)
    timeout -k 5 300 "$@" >"$build/reached.log" 2>&1 || {
      cat "$build/reached.log"
      echo "$name fails before anything is changed" >&2
      exit 1
    }
    echo $(($(date +%s) - began)) >"$reach/$name.seconds"
    gcovr --root . --exclude-directories '.*/CMakeFiles/3.*' --filter src/ --delete \
      --json "$reach/$name.json" "$build/cover"
  fi
  echo "$name $(cat "$reach/$name.seconds")" >>"$reach/seconds"
}

# packaging_spec installs the build folder of the module, and a mutant has none; embedding_spec compiles
# a library of its own.
: >"$reach/seconds"
for spec in spec/*_spec.lua; do
  name=${spec##*/}
  case $name in packaging_spec.lua | embedding_spec.lua) continue ;; esac
  reached "${name%.lua}" "$spec" \
    proof/mutants/alone scripts/run-spec.sh "$build/cover" "$spec" lua5.4
done
. scripts/lua-paths.sh
reached refusals proof/refusals \
  proof/mutants/alone proof/refusals/run "$build/cover/refusals" --brief

exec lua5.4 proof/mutants/run.lua "$build" "$@"
