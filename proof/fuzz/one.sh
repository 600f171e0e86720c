#!/bin/sh
# one.sh SECONDS TARGET: one target, for ./dev fuzz, which says in its environment where things are:
# first the corpus, each input checked for leaks, then SECONDS of what libFuzzer makes of it. Prints
# the target's row of the table, and leaves it in $work/TARGET.row.
set -eu

seconds=$1 target=$2
log=$work/$target.log found=$work/found/$target
dictionary=$PWD/proof/fuzz/$target.dict
mkdir -p "$found" "$work/broken"

# last PATTERN: what the pattern's group matched last in the log, or a dash.
last() {
  sed -n "s|$1|\\1|p" "$log" | tail -n 1 | grep . || echo -
}

result=ok
set -- "$programs/$target" -timeout=25 -artifact_prefix="$work/broken/$target-"
[ ! -f "$dictionary" ] || set -- "$@" -dict="$dictionary"
if ! "$@" "$corpora/$target"/* >"$log" 2>&1; then
  result='FAILED on its corpus'
elif ! "$@" -detect_leaks=0 -max_len=2048 -max_total_time="$seconds" -print_final_stats=1 \
  "$found" "$corpora/$target" >"$log" 2>&1; then
  result=FAILED
fi
printf '%-11s %7d %12s %9s %8s %7s  %s\n' "$target" "$(ls "$corpora/$target" | wc -l)" \
  "$(last 'stat::number_of_executed_units: *\(.*\)')" \
  "$(last 'stat::average_exec_per_sec: *\(.*\)')" \
  "$(last '^#.* corp: \([0-9]*\).*')" "$(last '^#.* cov: \([0-9]*\).*')" "$result" |
  tee "$work/$target.row"
