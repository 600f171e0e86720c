#!/bin/sh
# demo.sh [--live VIDEO_URL AUDIO_URL]: makes one film, demo.mp4, in the folder of the caller.
# Without --live the service is the mock in this tree, so nothing leaves this machine.
set -eu

usage() {
  echo "usage: ./dev demo [--live VIDEO_URL AUDIO_URL]" >&2
  exit 2
}

tree=$PWD
film=${CALLER:-$tree}
film=${film%/}/demo.mp4
live=""
case ${1-} in
  '') ;;
  --live)
    [ $# = 3 ] || usage
    live=yes video=$2 audio=$3
    if [ -z "${AKOOL_API_KEY-}" ]; then
      echo "The real service needs a key: set AKOOL_API_KEY to yours and try again." >&2
      exit 2
    fi
    if [ -e "$film" ]; then
      echo "There is a demo.mp4 here already. Move it away first: it may have cost credits." >&2
      exit 1
    fi
    ;;
  *) usage ;;
esac

if [ -n "$live" ]; then
  scripts/setup.sh build
else
  scripts/setup.sh demo
fi
echo "Building…"
scripts/build.sh
. scripts/lua-paths.sh

mock="" example="" folder=""
clean_up() {
  for pid in $example $mock; do
    kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || :
  done
  [ -z "$folder" ] || rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The mock says where it listens in its first line; the pipe gives us that line when it is there.
# A job is first asked about after 8.5 to 14.3 s: it is being processed then, and done soon after.
start_mock() {
  folder=$(mktemp -d)
  mkfifo "$folder/says"
  lua5.4 bin/akool-lipsync-mock --files examples/media --api-key demo --queue 3 --process 12 \
    >"$folder/says" &
  mock=$!
  exec 3<"$folder/says"
  url=$(timeout 30 head -n 1 <&3 | sed -n 's|.*\(http://[0-9.]*:[0-9]*\).*|\1|p')
  [ -n "$url" ] || {
    echo "The mock service did not start." >&2
    exit 1
  }
}

if [ -z "$live" ]; then
  # An earlier demo's film is made anew; anybody else's stays.
  if [ -e "$film" ] && ! cmp -s "$film" examples/media/clip.mp4; then
    echo "There is a demo.mp4 here that is not from this demo. Move it away first." >&2
    exit 1
  fi
  rm -f "$film"
  start_mock
  echo "A mock of the service runs at $url."
  unset AKOOL_TOKEN AKOOL_CLIENT_ID AKOOL_CLIENT_SECRET
  AKOOL_BASE_URL=$url
  AKOOL_API_KEY=demo
  export AKOOL_BASE_URL AKOOL_API_KEY
  video=$url/files/clip.mp4 audio=$url/files/voice.wav
fi

lua5.4 "$tree/examples/quickstart.lua" "$video" "$audio" "$film" &
example=$!
wait "$example" || {
  status=$?
  [ -z "$live" ] || echo "(in $tree, after '. scripts/lua-paths.sh')" >&2
  exit "$status"
}
example=
echo "The film is in $film"
