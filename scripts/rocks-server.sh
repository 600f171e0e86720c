#!/bin/sh
# rocks-server.sh FOLDER: makes a rocks server in a folder, unless it is there, with what the library
# depends on: lua-cjson and argparse, out of Debian's source packages. apt is told to keep to a scratch
# folder, so the sources and lists of the system stay as they are.
set -eu

[ $# = 1 ] || {
  echo "usage: rocks-server.sh FOLDER" >&2
  exit 2
}
if [ -f "$1/manifest-5.4" ]; then
  exit 0 # it is written last
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-source >/dev/null; then
  echo "A rocks server is made out of Debian's source packages: apt-get and dpkg-dev are needed" >&2
  exit 1
fi

mkdir -p "$1"
server=$(cd -- "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 755 "$work" # apt downloads as a user of its own
cd "$work"
HOME=$work
export HOME

# quietly COMMAND…: shows what it says only if it fails.
quietly() {
  "$@" >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    return 1
  }
}

apt() {
  quietly apt-get -q -o Acquire::Retries=3 -o Acquire::Languages=none \
    -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" "$@"
}

# The same places that the system takes Debian's packages from.
apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) main' \
  'Created-By: Packages' 'Component: main' 'Origin: Debian' | sort -u >sources.list
if [ ! -s sources.list ]; then
  echo "apt knows no packages of Debian yet; 'apt-get update' would tell it" >&2
  exit 1
fi
mkdir -p lists/partial cache/archives/partial
apt update

# pack FOLDER ROCKSPEC: the archive of a folder, whose name is that of its rock, becomes a rock on the
# server by the rockspec.
pack() {
  tar -czf "$1.tar.gz" "$1"
  sed "s|^\( *url *= *\).*|\1\"file://$work/$1.tar.gz\", dir = \"$1\",|" "$2" >"$server/$1-1.rockspec"
  (cd "$server" && quietly luarocks --lua-version=5.4 pack "$1-1.rockspec" && rm "$1-1.rockspec")
}

# What its rockspec builds is in the archive beside it, with Debian's patches for Lua 5.2 to 5.4.
apt source --download-only lua-cjson
quietly dpkg-source -x lua-cjson_*.dsc cjson
rockspec=$(basename cjson/lua-cjson-*.rockspec)
mv "cjson/$rockspec" .
rm -rf cjson/debian cjson/.pc
mv cjson "${rockspec%-*.rockspec}"
pack "${rockspec%-*.rockspec}" "$rockspec"

# One file, which Debian does not change. The rockspec in it is that of no version.
apt source --download-only --tar-only lua-argparse
tar -xzf lua-argparse_*.orig.tar.gz
argparse=$(basename argparse-*)
sed "s|^\(version *= *\).*|\1\"${argparse#argparse-}-1\"|" "$argparse"/*.rockspec >argparse.rockspec
pack "$argparse" argparse.rockspec

cd "$server"
quietly luarocks-admin --lua-version=5.4 make_manifest .
