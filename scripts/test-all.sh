#!/bin/sh
# test-all.sh [--failed] [busted options]: the specs on every Lua, all at the same time, since they wait
# for half of theirs; with --failed on those alone where something failed the last time. A line for
# each, and what was said where something failed. embedding_spec, which builds programs with each of the
# Luas, does so once.
set -eu

. scripts/luas.sh
failures=build/test.failed # the Luas

LIMIT=1500 # seconds that a Lua may take

row() { printf '%-7s %7s %9s %7s %8s %8s  %s\n' "$@"; }

# numbers LUA: how many specs passed, failed, raised and are pending, from what busted says last.
numbers() {
  sed -n 's/^\([0-9]*\) success[^0-9]*\([0-9]*\) failure[^0-9]*\([0-9]*\) error[^0-9]*\([0-9]*\) .*/\1 \2 \3 \4/p' \
    "$(lua_folder "$1")/test.said"
}

# one LUA [busted options]
one() {
  lua=$1 result=ok began=$(date +%s)
  said=$(lua_folder "$lua")/test.said
  shift
  [ "$lua" = 5.4 ] || set -- --exclude-pattern=embedding_spec "$@"
  timeout -k 10 "$LIMIT" scripts/test.sh "--lua=$lua" "$@" >"$said" 2>&1 || result=FAILED
  found=$(numbers "$lua")
  [ -n "$found" ] || found="- - - -" result=FAILED
  row "$lua" $found "$(($(date +%s) - began))" "$result"
  [ "$result" = ok ] || {
    echo "$lua" >>"$failures"
    cat "$said"
    return 1
  }
}

if [ "${1-}" = --one ]; then
  shift
  one "$@"
  exit
fi

if [ "${1-}" = --failed ]; then
  shift
  [ ! -s "$failures" ] || LUAS=$(cat "$failures")
fi

scripts/setup.sh luas
for lua in $LUAS; do scripts/build.sh "--lua=$lua" -DAKL_WERROR=ON; done
row Lua passed failures errors pending seconds result
: >"$failures"
status=0 began=$(date +%s)
printf '%s\n' $LUAS | xargs -I '{}' -P 5 "$0" --one '{}' "$@" || status=1
total=$(for lua in $LUAS; do numbers "$lua"; done |
  awk '{ a += $1; b += $2; c += $3; d += $4 } END { print a + 0, b + 0, c + 0, d + 0 }')
row total $total "$(($(date +%s) - began))" "$([ "$status" = 0 ] && echo ok || echo FAILED)"
exit "$status"
