#!/bin/sh
# format.sh: lays out the C sources as .clang-format says.
set -eu

scripts/setup.sh lint
exec clang-format -i $(find src embed include examples bench proof -name '*.[ch]')
