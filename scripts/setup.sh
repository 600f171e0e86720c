#!/bin/sh
# setup.sh [what]: installs the Debian packages that a piece of work needs and that are missing.
set -eu

packages() {
  case $1 in
    build)
      echo gcc libc6-dev cmake make pkg-config lua5.4 liblua5.4-dev
      echo libcurl4-openssl-dev libssl-dev lua-cjson lua-argparse ca-certificates
      ;;
    demo) packages build && echo lua-luv ;;
    test)
      packages demo && echo lua-busted luarocks nginx libnginx-mod-stream openssl lua-cjson-dev valgrind
      echo lua-dbi-sqlite3 lua-dbi-postgresql tmux groff-base
      # Any version of the server will do, and one that is in use here is left alone.
      ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql
      # To compile for all. The LuaJIT is the one that nginx's Lua module needs and neovim and others
      # accept: apt would remove either for the other.
      echo liblua5.1-0-dev liblua5.2-dev liblua5.3-dev libluajit2-5.1-dev
      ;;
    luas) packages test && echo lua5.1 lua5.2 lua5.3 luajit2 ;;
    # The programs that a script may run in, and the Luas that are hosts by themselves.
    hosts)
      packages luas && echo lua-socket neovim love mpv prosody
      echo lua-cqueues lua-copas lua-http libnginx-mod-http-lua haproxy
      ;;
    rocks | release) packages test && echo lua5.1 dpkg-dev git ;;
    lint) packages build && echo lua-cjson-dev clang clang-format clang-tidy cppcheck lua-check ;;
    torture) packages demo && echo nginx openssl ;;
    faults) packages test && echo strace iproute2 util-linux ;;
    kill) packages test && echo strace ;;
    fuzz) packages demo && echo clang libclang-rt-dev ;;
    sanitize) packages test && echo clang libclang-rt-dev valgrind patchelf ;;
    coverage) packages test && echo gcovr ;;
    mutants) packages coverage && echo iproute2 util-linux ;;
    soak) packages demo && echo nginx openssl ;;
    bench)
      packages soak && echo valgrind lua-dbi-sqlite3
      echo lua-curl lua-socket lua-sec lua-copas lua-http lua5.1 lua5.3 curl # what it is compared to
      ;;
    all)
      for each in lint hosts rocks torture faults kill fuzz sanitize coverage soak bench; do
        packages "$each"
      done
      ;;
    *)
      echo "setup.sh: nothing is called '$1'; './dev' lists what there is" >&2
      return 2
      ;;
  esac
}

# The programs among them, for a system whose packages have other names.
programs() {
  case $1 in
    build | demo) echo cc cmake make pkg-config lua5.4 ;;
    test)
      programs build && echo busted luarocks nginx openssl initdb postgres psql tmux groff
      ;;
    luas) programs test && echo lua5.1 lua5.2 lua5.3 luajit ;;
    hosts) programs luas && echo nvim love mpv prosody haproxy ;;
    rocks | release) programs test && echo lua5.1 apt-get dpkg-source git ;;
    lint) programs build && echo clang clang-format clang-tidy cppcheck luacheck ;;
    torture | soak) programs build && echo nginx openssl ;;
    bench) programs soak && echo valgrind curl ;;
    faults | kill) programs test && echo strace ;;
    fuzz) programs build && echo clang ;;
    sanitize) programs test && echo clang valgrind patchelf ;;
    coverage) programs test && echo gcovr ;;
    mutants) programs coverage && echo ip unshare ;;
    all) programs lint && programs hosts && programs faults && programs sanitize && programs coverage ;;
  esac
}

installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Runs apt-get with the rights it needs; what it says is shown only if it fails.
apt() {
  set -- env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
    -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
  [ "$(id -u)" = 0 ] || set -- sudo "$@"
  "$@" >"$log" 2>&1 || {
    cat "$log" >&2
    return 1
  }
}

what=${1-all}
wanted=$(packages "$what")

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  absent=
  for program in $(programs "$what"); do
    command -v "$program" >/dev/null || absent="$absent $program"
  done
  [ -z "$absent" ] && exit 0
  echo "This is not Debian, and these programs are missing:$absent" >&2
  echo "The packages on Debian are called:" $wanted >&2
  exit 1
fi

missing=
for package in $wanted; do
  case " $missing " in *" $package "*) continue ;; esac
  installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
  echo "Packages are missing. An administrator can install them:" >&2
  echo "  apt-get update && apt-get install --no-install-recommends$missing" >&2
  exit 1
fi

echo "This installs with apt:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt update || echo "apt-get update failed; going on with the package lists at hand" >&2
apt install --no-install-recommends $missing

# Debian starts a service it installs. The specs start servers of their own, so these, which nobody
# asked for, go to rest again.
for service in nginx prosody haproxy postgresql; do
  case " $missing " in
    *" $service "*)
      if [ -d /run/systemd/system ]; then
        stop="systemctl disable --now $service"
        [ "$(id -u)" = 0 ] || stop="sudo $stop"
        $stop >"$log" 2>&1 || cat "$log" >&2
      fi
      ;;
  esac
done
