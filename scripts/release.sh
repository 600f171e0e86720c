#!/bin/sh
# release.sh X.Y.Z [--repository https://HOST/PATH]: prepares everything that publishing a version
# needs in build/release/, and tries it. It publishes nothing and changes nothing else. Without
# --repository the address is that of the remote called origin.
set -eu

usage() {
  echo "usage: ./dev release X.Y.Z [--repository https://HOST/PATH]" >&2
  exit 2
}

refuse() {
  printf '%s\n' "$@" >&2
  exit 2
}

# The https address of a git remote, however it is written, without credentials and ".git"; nothing
# if it is no place that others can reach.
web_address() {
  printf '%s\n' "$1" | sed -nE \
    -e 's#^https://([^/@]*@)?([^/@]+/.+)$#https://\2#; t found' \
    -e 's#^ssh://([^/@]*@)?([^/@:]+)(:[0-9]+)?/(.+)$#https://\2/\4#; t found' \
    -e 's#^[^/@:]+@([^/@:]+):([^/].*)$#https://\1/\2#; t found' \
    -e 'd; :found' -e 's#/+$##; s#\.git$##' -e '\#^https://[A-Za-z0-9./_:~-]+$#p'
}

# ------------------------------------------------------------------ what is to be released

version='' given=''
while [ $# != 0 ]; do
  case $1 in
    --repository)
      [ $# -gt 1 ] || usage
      given=$2
      shift
      ;;
    -*) usage ;;
    *)
      [ -z "$version" ] || usage
      version=$1
      ;;
  esac
  shift
done
[ -n "$version" ] || usage
printf '%s\n' "$version" | grep -qxE '(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}' ||
  refuse "\"$version\" is no version to release: three numbers are, such as 1.2.3"
[ -e .git ] || refuse "A release is made in a git clone of the project, and this is none"

repository=$(web_address "${given:-$(git config remote.origin.url || :)}")
[ -n "$repository" ] || refuse \
  "Where will others find the repository? Neither --repository nor the remote origin says an address" \
  "that they can reach: ./dev release $version --repository https://HOST/PATH"

# ------------------------------------------------------------------------- is it ready?

problems=''
problem() {
  problems="$problems
- $1"
}

changed=$(git status --porcelain)
[ -z "$changed" ] || problem "Commit or put away what is changed here:
$changed"

tag=v$version
! git rev-parse --quiet --verify "refs/tags/$tag" >/dev/null ||
  problem "The tag $tag exists: a version is released once"
newest=$({
  echo "$version"
  git tag --list 'v*' | sed -nE 's/^v([0-9]+\.[0-9]+\.[0-9]+)$/\1/p'
} | sort -V | tail -n 1)
[ "$newest" = "$version" ] || problem "$version is older than $newest, which was released as v$newest"

built=$(sed -nE 's/^project\(.* VERSION ([0-9.]+).*/\1/p' CMakeLists.txt)
[ "$built" = "$version" ] ||
  problem "CMakeLists.txt: project(… VERSION $built …) has to say $version"
grep -qF "local VERSION = \"$version\"" lua/akool/lipsync/load.lua ||
  problem "lua/akool/lipsync/load.lua: VERSION has to be \"$version\""
heading=$(grep -m 1 '^## ' CHANGELOG.md)
printf '%s\n' "$heading" | grep -qE "^## $version - [0-9]{4}-[0-9]{2}-[0-9]{2}\$" ||
  problem "CHANGELOG.md: the newest section is \"$heading\"; it has to be \"## $version - $(date +%F)\""
notes=$(awk '/^## / { if (found) exit; found = 1; next } found' CHANGELOG.md)
[ -n "$notes" ] || problem "CHANGELOG.md: the newest section says nothing"

if [ -n "$problems" ]; then
  printf '%s is not ready to be released:%s\n' "$version" "$problems" >&2
  exit 1
fi

# ------------------------------------------------------------------------ what is made

scripts/setup.sh release
scripts/rocks-server.sh build/rocks

root=$PWD
log=$root/build/release.log
package=akool-lipsync-$version
rockspec=$package-1.rockspec
rock=$package-1.src.rock
commit=$(git rev-parse HEAD)
rm -rf build/release
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
out=$work/release # only what is whole and has been tried goes into build/
mkdir "$out"

# step WORDS COMMAND…: says how it went.
step() {
  printf '%-44s' "$1"
  shift
  if "$@" >"$log" 2>&1; then
    echo ok
  else
    echo FAILED
    cat "$log" >&2
    exit 1
  fi
}

rocks() {
  HOME=$work luarocks --lua-version=5.4 --only-server="$root/build/rocks" "$@"
}

# The time of the commit is in it, and no other: the same bytes wherever it is made.
archive() {
  git archive --format=tar --prefix="$package/" --output="$work/$package.tar" "$commit" &&
    gzip -9n "$work/$package.tar" && mv "$work/$package.tar.gz" "$out"
}

write_rockspec() {
  rocks new_version --tag="$tag" --dir="$out" akool-lipsync-scm-1.rockspec "$version" \
    "git+$repository.git" && rocks lint "$out/$rockspec"
}

# As it will be once the tag is published: until then, a copy of the repository stands in for it.
pack() (
  git clone --quiet --bare . "$work/repository" &&
    git -C "$work/repository" update-ref "refs/tags/$tag" "$commit" || return
  GIT_CONFIG_COUNT=1
  GIT_CONFIG_KEY_0=url.file://$work/repository.insteadOf
  GIT_CONFIG_VALUE_0=$repository.git
  export GIT_CONFIG_COUNT GIT_CONFIG_KEY_0 GIT_CONFIG_VALUE_0
  cd "$out" && rocks pack "$rockspec"
)

build_archive() {
  tar -xzf "$out/$package.tar.gz" -C "$work" && (cd "$work/$package" && scripts/build.sh)
}

# In the archive's folder, where only the rock can bring the modules.
try_rock() (
  unset LUA_PATH_5_4 LUA_CPATH_5_4
  rocks --tree "$work/tree" install "$out/$rock" || return
  cd "$work/$package" && rm -rf lua build || return
  LUA_PATH="$work/tree/share/lua/5.4/?.lua;;"
  LUA_CPATH="$work/tree/lib/lua/5.4/?.so;;"
  export LUA_PATH LUA_CPATH
  lua5.4 -e 'assert(require("akool.lipsync")._VERSION == arg[1])' - "$version" </dev/null &&
    lua5.4 /usr/bin/busted -o plainTerminal spec/core_spec.lua &&
    lua5.4 /usr/bin/busted -o plainTerminal spec/create_spec.lua &&
    lua5.4 /usr/bin/busted -o plainTerminal spec/download_spec.lua
)

step "source archive" archive
step "rockspec, and what luarocks lint says" write_rockspec
step "source rock" pack
step "the archive builds" build_archive
step "the rock installs, and its specs pass" try_rock
printf '%s\n' "$notes" | sed '/./,$!d' >"$out/NOTES.md"
(cd "$out" && sha256sum "$package.tar.gz" "$rockspec" "$rock" >SHA256SUMS)
mv "$out" build/release

cat <<END

build/release/ has what $version needs. To publish it:

  git tag -a $tag -m "$version" $commit
  git push origin $tag
  luarocks upload build/release/$rockspec build/release/$rock

and put the archive, the rock, SHA256SUMS and NOTES.md where $repository
keeps its releases.
END
