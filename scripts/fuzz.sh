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

# Whole paths: some targets work in a folder of their own.
programs=$PWD/build/fuzz/proof/fuzz
corpora=$PWD/proof/fuzz/corpus
work=$PWD/build/fuzz
targets=$(ls "$corpora")
if [ -n "$only" ]; then
  [ -x "$programs/$only" ] || {
    echo "There is no target '$only'. There are:" $targets >&2
    exit 2
  }
  targets=$only
fi
# A smaller quarantine and shorter stacks than by default: both cost more time than they find.
ASAN_OPTIONS=quarantine_size_mb=32:malloc_context_size=10
export ASAN_OPTIONS

# Downloads go to memory if there is such a place: every one of them is synced.
shared=/dev/shm
[ -w "$shared" ] || shared=$work
TMPDIR=$(mktemp -d "$shared/akool-fuzz-XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -n "$input" ]; then
  [ -n "$only" ] || usage
  case $input in
    /*) ;;
    *) if [ -e "$input" ]; then input=$PWD/$input; else input=$CALLER/$input; fi ;;
  esac
  "$programs/$only" "$input"
  exit
fi

printf '%-11s %7s %12s %9s %8s %7s  %s\n' target seeds executions 'a second' inputs edges result
export programs corpora work
printf '%s\n' $targets | xargs -n 1 -P 2 proof/fuzz/one.sh "$seconds"
failed=""
for target in $targets; do
  grep -q ' ok$' "$work/$target.row" || failed="$failed $target"
done

for target in $failed; do
  log=$work/$target.log
  printf '\n%s: what it said is in %s\n' "$target" "${log#"$PWD/"}"
  grep -aE 'BROKEN PROMISE|^SUMMARY|runtime error' "$log" | head -n 5 || :
  broken=$(sed -n 's|.*Test unit written to \(.*\)|\1|p; s|^Running: \(.*\)|\1|p' "$log" | tail -n 1)
  [ -z "$broken" ] || echo "  ./dev fuzz --only $target --input ${broken#"$PWD/"}"
done

if [ -n "$merge" ] && [ -z "$failed" ]; then
  for target in $targets; do
    "$programs/$target" -merge=1 -timeout=25 -detect_leaks=0 "$corpora/$target" \
      "$work/found/$target" >"$work/$target.log" 2>&1
  done
fi

total=$(for target in $targets; do cat "$work/$target.row"; done |
  awk '{ n += $3 } END { printf "%d", n }')
if [ -n "$failed" ]; then
  printf '\nfuzz: FAILED:%s\n' "$failed"
  exit 1
fi
printf '\nfuzz: nothing broke in %s executions\n' "$total"
