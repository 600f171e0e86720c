#!/bin/sh
# kill.sh [--full] [--only NAME] [--count N] [--seed N]: kills workers of a batch at random instants and
# at every system call, and looks whether a job was lost or paid twice.
set -eu

scripts/setup.sh kill
scripts/build.sh
. scripts/lua-paths.sh
exec lua5.4 proof/kill/run.lua "$@"
