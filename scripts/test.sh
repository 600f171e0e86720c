#!/bin/sh
# test.sh [busted options]: builds with warnings as errors, then runs the specs as .busted says.
set -eu

scripts/setup.sh test
scripts/build.sh -DAKL_WERROR=ON
. scripts/lua-paths.sh

# Debian's busted starts whatever `lua` happens to be.
if [ -f /usr/bin/busted ]; then
  exec lua5.4 /usr/bin/busted "$@"
fi
exec busted "$@"
