#!/bin/sh
# lint.sh: both compilers and every linter, one line each; what one complains of follows its line.
set -eu

FOLDERS="src embed include examples bench proof" # with sources in C
failed=0

# check NAME COMMAND…: runs the command and says how it went.
check() {
  name=$1
  shift
  if "$@" >build/lint.log 2>&1; then
    printf '%-13s ok\n' "$name"
  else
    printf '%-13s FAILED\n' "$name"
    cat build/lint.log
    failed=1
  fi
}

# compile COMPILER [option]
compile() {
  cmake -S . -B "build/lint-$1" -DCMAKE_C_COMPILER="$1" -DAKL_WERROR=ON \
    -DAKL_EXAMPLES=ON -DCMAKE_C_FLAGS="${2-}" &&
    cmake --build "build/lint-$1" --parallel \
      --target all floor floor_load schedule policy
}

# Clang's analyser is among what clang-tidy runs.
tidy() {
  find $FOLDERS -name '*.c' |
    xargs -n 1 -P "$(getconf _NPROCESSORS_ONLN)" clang-tidy -p build/lint-clang --quiet
}

# What the module that gcc made has of the protections that its build asks for.
hardened() {
  readelf -W -d -l --dyn-syms build/lint-gcc/akool/lipsync/core.so >build/hardening.txt
  for mark in __stack_chk_fail __snprintf_chk BIND_NOW GNU_RELRO; do
    grep -q "$mark" build/hardening.txt || {
      echo "core.so has no $mark"
      return 1
    }
  done
}

scripts/setup.sh lint
mkdir -p build

check gcc compile gcc -fanalyzer
check hardening hardened
check clang compile clang
check clang-format clang-format --dry-run -Werror $(find $FOLDERS -name '*.[ch]')
check clang-tidy tidy
check cppcheck cppcheck --quiet --std=c11 --enable=warning,performance,portability \
  --inline-suppr --error-exitcode=1 -D_GNU_SOURCE -DAKL_VERSION='""' $FOLDERS
check luacheck luacheck --quiet . bin/* bench/run bench/schedule

exit "$failed"
