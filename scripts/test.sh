#!/bin/sh
# test.sh [--rocks] [busted options]: builds with warnings as errors, runs the specs as .busted says, and looks
# for planted credentials in everything that was printed meanwhile, whichever process printed it.
# --rocks runs, in place of the others, the specs that install with LuaRocks and prepare releases.
set -eu

scripts/setup.sh test
if [ "${1-}" = --rocks ]; then
  shift
  scripts/setup.sh rocks
  scripts/rocks-server.sh build/rocks
  set -- --run=rocks "$@"
fi
scripts/build.sh -DAKL_WERROR=ON
. scripts/lua-paths.sh

[ $# != 0 ] || [ ! -t 1 ] || set -- -Xoutput --color # it writes to a pipe, but you are watching
# Debian's busted starts whatever `lua` happens to be.
if [ -f /usr/bin/busted ]; then
  set -- lua5.4 /usr/bin/busted "$@"
else
  set -- busted "$@"
fi

rm -f build/test.pipe
mkfifo build/test.pipe
tee build/test.log <build/test.pipe &
printer=$!
exec 3>build/test.pipe
rm build/test.pipe
"$@" >&3 2>&1 3>&- &
specs=$!
exec 3>&-

# Lua would turn a Ctrl-C into the failure of one spec, and busted would go on with the next.
trap 'kill "$specs" 2>/dev/null || :; exit 130' INT
trap 'kill "$specs" 2>/dev/null || :; exit 143' TERM

status=0
wait "$specs" || status=$?
wait "$printer"
lua5.4 spec/support/secrets.lua build/test.log || status=1
exit "$status"
