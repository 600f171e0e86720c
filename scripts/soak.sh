#!/bin/sh
# soak.sh [--full] [--only NAME] [--requests N] [--jobs N]: does anything grow over many requests
# and many waiting jobs?
set -eu

scripts/setup.sh soak
scripts/build.sh
. scripts/lua-paths.sh
exec lua5.4 proof/soak/run.lua "$@"
