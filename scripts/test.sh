#!/bin/sh
# test.sh [--all | --lua=5.4|5.3|5.2|5.1|jit | --hosts | --rocks] [busted options]: builds with warnings
# as errors, runs the specs as .busted says, and looks for planted credentials in everything that was
# printed meanwhile, whichever process printed it. On Lua 5.4, on another one, or on all of them. In
# place of these: --hosts the specs of other programs that Lua runs in, each with the Lua that it has;
# --rocks those that install with LuaRocks and prepare releases.
set -eu

. scripts/luas.sh
lua=5.4 needs=test
case ${1-} in
  --all)
    shift
    exec scripts/test-all.sh "$@"
    ;;
  --lua=*)
    lua=${1#--lua=} needs=luas
    shift
    is_lua "$lua" || exit 2
    ;;
  --hosts | --rocks)
    needs=${1#--}
    shift
    set -- "--run=$needs" "$@"
    ;;
esac
folder=$(lua_folder "$lua")
program=$(lua_program "$lua")

scripts/setup.sh "$needs"
case $needs in
  rocks) scripts/rocks-server.sh build/rocks ;;
  hosts) for each in $LUAS; do scripts/build.sh "--lua=$each" -DAKL_WERROR=ON; done ;;
esac
scripts/build.sh "--lua=$lua" -DAKL_WERROR=ON
. scripts/lua-paths.sh
LUA_CPATH="$PWD/$folder/?.so;;"

[ $# != 0 ] || [ ! -t 1 ] || set -- -Xoutput --color # it writes to a pipe, but you are watching
set -- "--cpath=$folder/?.so" "$@"
# Debian's busted starts whatever `lua` happens to be.
if [ -f /usr/bin/busted ]; then
  set -- "$program" /usr/bin/busted "$@"
else
  set -- busted "$@"
fi

rm -f "$folder/test.pipe"
mkfifo "$folder/test.pipe"
tee "$folder/test.log" <"$folder/test.pipe" &
printer=$!
exec 3>"$folder/test.pipe"
rm "$folder/test.pipe"
"$@" >&3 2>&1 3>&- &
specs=$!
exec 3>&-

# Lua would turn a Ctrl-C into the failure of one spec, and busted would go on with the next.
trap 'kill "$specs" 2>/dev/null || :; exit 130' INT
trap 'kill "$specs" 2>/dev/null || :; exit 143' TERM

status=0
wait "$specs" || status=$?
wait "$printer"
"$program" spec/support/secrets.lua "$folder/test.log" || status=1
exit "$status"
