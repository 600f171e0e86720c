#!/bin/sh
# fuzz.sh [--seconds N] [--only TARGET] [--input FILE] [--merge]: feeds every fuzz target of
# proof/fuzz first its corpus, each input checked for leaks, then for N seconds (default 30) what
# libFuzzer makes of it; two targets at a time.
#   --input FILE   with --only: this input alone, with everything the target has to say
#   --merge        afterwards add to the corpus what reached something new
set -eu

usage() {
  echo "usage: ./dev fuzz [--seconds N] [--only TARGET [--input FILE]] [--merge]" >&2
  exit 2
}

seconds=30 only="" input="" merge=""
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=${2-} && shift ;;
    --only) only=${2-} && shift ;;
    --input) input=${2-} && shift ;;
    --merge) merge=yes ;;
    *) usage ;;
  esac
  shift || usage
done
case $seconds in '' | *[!0-9]*) usage ;; esac

scripts/setup.sh fuzz
mkdir -p build
{
  cmake -S . -B build/fuzz -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DAKL_WERROR=ON -DAKL_SANITIZE=fuzzer-no-link,address,undefined,float-cast-overflow &&
    cmake --build build/fuzz --parallel --target fuzz_targets
} >build/fuzz.log 2>&1 || {
  cat build/fuzz.log >&2
  exit 1
}

programs=build/fuzz/proof/fuzz
corpora=proof/fuzz/corpus
targets=$(ls "$corpora")
if [ -n "$only" ]; then
  [ -x "$programs/$only" ] || {
    echo "There is no target '$only'. There are:" $targets >&2
    exit 2
  }
  targets=$only
fi
# A smaller quarantine than the default, which costs more in cache misses than it finds.
ASAN_OPTIONS=quarantine_size_mb=32:allocator_may_return_null=1
export ASAN_OPTIONS

if [ -n "$input" ]; then
  [ -n "$only" ] || usage
  case $input in /*) ;; *) [ -e "$input" ] || input=$CALLER/$input ;; esac
  exec "$programs/$only" "$input"
fi

# field NAME LINE: the word behind NAME in a status line of libFuzzer's.
field() {
  expr "$2" : ".* $1 \([0-9]*\)" || echo '-'
}

# run TARGET: replay, then fuzz; the row of the table goes to build/fuzz/TARGET.row.
run() {
  target=$1 log=build/fuzz/$1.log found=build/fuzz/found/$1
  mkdir -p "$found" build/fuzz/broken
  dictionary=""
  [ ! -f "proof/fuzz/$target.dict" ] || dictionary=-dict=proof/fuzz/$target.dict
  inputs=$(ls "$corpora/$target" | wc -l)
  result=ok
  set -- -timeout=25 -artifact_prefix="build/fuzz/broken/$target-"
  if ! "$programs/$target" "$@" "$corpora/$target"/* >"$log" 2>&1; then
    result='FAILED on its corpus'
  elif ! "$programs/$target" "$@" -detect_leaks=0 -max_len=2048 -max_total_time="$seconds" \
    -print_final_stats=1 $dictionary "$found" "$corpora/$target" >"$log" 2>&1; then
    result=FAILED
  fi
  line=$(grep -a '^#[0-9]*.*cov: ' "$log" | tail -n 1)
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
  printf '%-11s %7d %12s %9s %8s %7s  %s\n' "$target" "$inputs" "${runs:--}" "${rate:--}" \
    "$(field corp: "$line")" "$(field cov: "$line")" "$result" >"build/fuzz/$target.row"
}

printf '%-11s %7s %12s %9s %8s %7s  %s\n' target seeds executions 'a second' inputs edges result
failed=""
set -- $targets
while [ $# -gt 0 ]; do
  pair="$1 ${2-}"
  for target in $pair; do
    run "$target" &
    shift
  done
  wait
  for target in $pair; do
    cat "build/fuzz/$target.row"
    grep -q ' ok$' "build/fuzz/$target.row" || failed="$failed $target"
  done
done

for target in $failed; do
  log=build/fuzz/$target.log
  printf '\n%s: what it said is in %s\n' "$target" "$log"
  grep -aE 'BROKEN PROMISE|^SUMMARY|runtime error' "$log" | head -n 5 || :
  broken=$(sed -n 's|.*Test unit written to \(.*\)|\1|p; s|^Running: \(.*\)|\1|p' "$log" | tail -n 1)
  [ -z "$broken" ] || echo "  ./dev fuzz --only $target --input $broken"
done

if [ -n "$merge" ] && [ -z "$failed" ]; then
  for target in $targets; do
    "$programs/$target" -merge=1 -timeout=25 -detect_leaks=0 "$corpora/$target" \
      "build/fuzz/found/$target" >"build/fuzz/$target.log" 2>&1
  done
fi

total=$(for target in $targets; do cat "build/fuzz/$target.row"; done |
  awk '{ n += $3 } END { printf "%d", n }')
if [ -n "$failed" ]; then
  printf '\nfuzz: FAILED:%s\n' "$failed"
  exit 1
fi
printf '\nfuzz: nothing broke in %s executions\n' "$total"
