#!/bin/sh
# sanitize.sh [gcc] [clang] [valgrind] [threads] [states] [--full] [--only SPEC | --failed]: runs the
# specs where wrong memory, leaks and undefined behaviour are seen, and a program with many Lua states
# where races (threads) and leaks (states) are. Without a word, all five, valgrind on the specs
# named below; --full gives valgrind all of them. --only takes one spec file, such as auth_spec;
# --failed what failed the last time, and nothing else.
set -eu

# What valgrind, thirty times slower, runs on every change: between them they pass through every
# room of the core.
REDUCED="auth_spec create_spec errors_spec protocol_spec wire_spec"

# Where leaks are not looked for: LuaDBI 0.7.2 forgets the result of each statement that fails, and each
# connection that cannot be made, and these specs let both happen. It is unloaded by the time leaks are
# reported, so that its own cannot be told from others.
LEAKY="batch_trouble_spec ledger_sql_spec"

usage() {
  echo "usage: ./dev sanitize [gcc] [clang] [valgrind] [threads] [states] [--full]" >&2
  echo "                      [--only SPEC | --failed]" >&2
  exit 2
}

modes="" full="" only="" again=""
limit=300 # seconds that a spec may take
failures=build/sanitize.failed # lines MODE SPEC, or MODE where it did not come to specs
while [ $# -gt 0 ]; do
  case $1 in
    gcc | clang | valgrind | threads | states) modes="$modes $1" ;;
    --full) full=yes limit=3600 ;;
    --failed) again=yes ;;
    --only)
      [ $# -gt 1 ] && [ -f "spec/$2.lua" ] || usage
      only=$2
      shift
      ;;
    *) usage ;;
  esac
  shift
done
[ -z "$again" ] || modes=$(cut -d ' ' -f 1 "$failures" | sort -u | tr '\n' ' ')
modes=${modes:-gcc clang valgrind threads states}

scripts/setup.sh sanitize
mkdir -p build
reports=$(mktemp -d)
: >"$reports/failed"
trap 'rm -rf "$reports"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

row() { printf '%-9s %-27s %6s %8s %8s  %s\n' "$@"; }

# The names of the specs of a mode.
specs() {
  if [ -n "$only" ]; then
    echo "$only"
  elif [ -n "$again" ] && grep -q "^$1 " "$failures"; then
    sed -n "s/^$1 //p" "$failures"
  elif [ "$1" = valgrind ] && [ -z "$full" ]; then
    echo "$REDUCED"
  else
    for file in spec/*_spec.lua; do
      file=${file##*/}
      echo "${file%.lua}"
    done
  fi
}

# compile MODE TARGET… -- CMAKE_OPTION…
compile() {
  mode=$1 targets=""
  shift
  while [ "$1" != -- ]; do
    targets="$targets $1"
    shift
  done
  shift
  {
    cmake -S . -B "build/$mode" -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_C_FLAGS_DEBUG=-g -O1" "$@" &&
      cmake --build "build/$mode" --parallel --target $targets
  } >"build/$mode.log" 2>&1 || {
    cat "build/$mode.log" >&2
    return 1
  }
}

# An interpreter of the mode's own. A sanitizer's runtime has to be loaded before all else, and by
# the programs that load our module only: not by nginx, openssl or the shell, as LD_PRELOAD would.
# Specs start their children with the program they run in, so these are watched as well.
interpreter() {
  mkdir -p "build/$1/bin"
  rm -f "build/$1/bin/lua5.4" # it may be running
  cp "$(readlink -f "$(command -v lua5.4)")" "build/$1/bin/lua5.4"
  [ $# = 1 ] || patchelf --add-needed "$2" "build/$1/bin/lua5.4"
}

# under MODE SPEC REPORT COMMAND…: runs it where everything found, in its children too, goes to files
# whose names begin with REPORT.
under() {
  mode=$1 spec=$2 report=$3
  shift 3
  case $mode in
    valgrind)
      # Not followed: programs that are not ours, and the mock, which loads nothing of the core.
      valgrind --quiet --leak-check=full --show-leak-kinds=definite \
        --errors-for-leak-kinds=definite --error-exitcode=9 \
        --log-file="$report.%p" --trace-children=yes \
        --trace-children-skip='*/nginx,*/openssl,*/cmake,*/luarocks,*/cc,*/tar,/usr/bin/lua*' \
        --trace-children-skip-by-arg='*akool-lipsync-mock*,*akool.lipsync.mock*' "$@"
      ;;
    *)
      # A spec may have a library of its own loaded before ASan's, hence the last of these.
      options=detect_stack_use_after_return=1:handle_sigill=1:verify_asan_link_order=0
      case " $LEAKY " in *" $spec "*) options=$options:detect_leaks=0 ;; esac
      env ASAN_OPTIONS="log_path=$report:$options" \
        UBSAN_OPTIONS="log_path=$report:print_stacktrace=1" "$@"
      ;;
  esac
}

# Is what a canary does seen?
watchful() {
  for crime in $2; do
    report=$reports/$1.canary.$crime
    under "$1" canary "$report" "build/$1/bin/lua5.4" -e \
      "package.cpath = 'build/$1/?.so'; require('canary').$crime()" >/dev/null 2>&1 || :
    if ! cat "$report".* 2>/dev/null | grep -q .; then
      row "$1" "canary: $crime" - - - "NOT SEEN"
      return 1
    fi
  done
  row "$1" "canary" - - - "seen: $2"
}

# run MODE CRIMES: all specs of the mode; false if anything was found or failed.
run() {
  mode=$1 fine=0
  watchful "$mode" "$2" || return 1
  for spec in $(specs "$mode"); do
    report=$reports/$mode.$spec
    began=$(date +%s) result=ok
    under "$mode" "$spec" "$report" timeout -k 5 "$limit" \
      scripts/run-spec.sh "build/$mode" "spec/$spec.lua" "build/$mode/bin/lua5.4" \
      >"$reports/$mode.out" 2>&1 || result=FAILED
    took=$(($(date +%s) - began))
    cat "$report".* >"$reports/$mode.found" 2>/dev/null || :
    [ ! -s "$reports/$mode.found" ] || result=FOUND
    passed=$(sed -n 's/^\([0-9]*\) success.*/\1/p' "$reports/$mode.out")
    pending=$(sed -n 's/.* \([0-9]*\) pending.*/\1/p' "$reports/$mode.out")
    [ -n "$passed" ] || result=FAILED
    row "$mode" "$spec" "${passed:--}" "${pending:--}" "$took" "$result"
    if [ "$result" != ok ]; then
      fine=1
      echo "$mode $spec" >>"$reports/failed"
      cat "$reports/$mode.out" "$reports/$mode.found"
    fi
  done
  return "$fine"
}

# gcc keeps UBSan in a library of its own, which beside ASan's forgets its log_path. So undefined
# behaviour traps, and ASan reports the signal.
with_gcc() {
  compile gcc akool_lipsync_core canary -- -DCMAKE_C_COMPILER=gcc \
    -DAKL_SANITIZE=address,undefined -DCMAKE_C_FLAGS=-fsanitize-undefined-trap-on-error
  interpreter gcc "$(readlink -f "$(gcc -print-file-name=libasan.so)")"
  run gcc "overflow after_free leak undefined"
}

with_clang() {
  compile clang akool_lipsync_core canary -- -DCMAKE_C_COMPILER=clang \
    -DAKL_SANITIZE=address,undefined
  interpreter clang "$(clang -print-file-name="libclang_rt.asan-$(uname -m).so")"
  run clang "overflow after_free leak undefined"
}

with_valgrind() {
  compile valgrind akool_lipsync_core canary --
  interpreter valgrind
  run valgrind "overflow after_free leak"
}

# lives MODE SANITIZERS CRIME WORDS: eight Lua states in eight threads, opened, used and closed at
# once, in a program in C with the static library. WORDS are what a report of the crime says.
lives() {
  mode=$1 crime=$3 rounds=25
  [ -z "$full" ] || rounds=1000
  compile "$mode" threads -- -DAKL_SANITIZE="$2"
  program=build/$mode/proof/threads/threads
  if "$program" "--$crime" >"$reports/$crime" 2>&1 || ! grep -q "$4" "$reports/$crime"; then
    row "$mode" canary - - - "NOT SEEN: $crime"
    return 1
  fi
  row "$mode" canary - - - "seen: $crime"
  . scripts/lua-paths.sh
  began=$(date +%s) result=ok
  TSAN_OPTIONS="log_path=$reports/$mode" ASAN_OPTIONS="log_path=$reports/$mode" timeout -k 5 "$limit" \
    lua5.4 proof/threads/run.lua "$program" "$rounds" >"$reports/$mode.out" 2>&1 || result=FAILED
  cat "$reports/$mode".[0-9]* >"$reports/$mode.found" 2>/dev/null || :
  [ ! -s "$reports/$mode.found" ] || result=FOUND
  row "$mode" "8 x $rounds states" - - "$(($(date +%s) - began))" "$result"
  [ "$result" = ok ] || {
    cat "$reports/$mode.out" "$reports/$mode.found"
    return 1
  }
}

with_threads() {
  lives threads thread race "data race"
}

with_states() {
  lives states address,undefined leak LeakSanitizer
}

failed=""

# together MODE…: at the same time, since specs spend most of theirs waiting.
together() {
  pids=""
  for mode; do
    "with_$mode" &
    pids="$pids $mode:$!"
  done
  for each in $pids; do
    mode=${each%:*}
    wait "${each#*:}" && continue
    failed="$failed $mode"
    grep -q "^$mode " "$reports/failed" || echo "$mode" >>"$reports/failed"
  done
}

row mode spec tests pending seconds result
quick="" slow=""
for mode in $modes; do
  case $mode in
    gcc | clang) quick="$quick $mode" ;;
    *) slow="$slow $mode" ;;
  esac
done
together $quick
for mode in $slow; do together "$mode"; done

cp "$reports/failed" "$failures"
if [ -n "$failed" ]; then
  echo "FAILED:$failed; './dev sanitize --failed' runs again what did"
  exit 1
fi
echo "Nothing was found:$modes"
