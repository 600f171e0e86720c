#!/bin/sh
# faults.sh [network | system] [--full] [--only WORDS] [--index N] [--seed N]: breaks what the
# library stands on, network and system calls, and looks at what becomes of calls, jobs and files.
set -eu

case ${1-} in
  network | system) parts=$1 && shift ;;
  *) parts='network system' ;;
esac

scripts/setup.sh faults
scripts/build.sh -DAKL_WERROR=ON
cmake --build build --target wall_clock >build/build.log 2>&1 || {
  cat build/build.log >&2
  exit 1
}
. scripts/lua-paths.sh

failed=0
for part in $parts; do
  printf '\n== faults: %s\n\n' "$part"
  lua5.4 "proof/faults/$part.lua" "$@" || failed=1
done
exit "$failed"
