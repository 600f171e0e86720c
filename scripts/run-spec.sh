#!/bin/sh
# run-spec.sh [--brief] BUILD SPEC INTERPRETER…: runs one spec file on the module in the folder BUILD,
# and fails if it would run on any other. --brief ends at the first failure.
set -eu

going=--keep-going
if [ "$1" = --brief ]; then
  going=--no-keep-going
  shift
fi
build=$1 spec=$2
shift 2

. scripts/lua-paths.sh
LUA_CPATH="$PWD/$build/?.so;;"
AKL_MODULE=$PWD/$build/akool/lipsync/core.so
export LUA_CPATH AKL_MODULE
exec "$@" /usr/bin/busted -o plainTerminal "$going" --cpath="$build/?.so" \
  --helper=proof/module.lua "$spec"
