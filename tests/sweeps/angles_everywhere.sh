#!/usr/bin/env bash
# The promised accuracy of cos and sin under every compiler and option that could change it, and on another processor.
#
#     tests/sweeps/angles_everywhere.sh          wants g++, clang++ and Catch2
#
# AArch64 runs where aarch64-linux-gnu-g++ and qemu-aarch64 are installed (Debian: g++-aarch64-linux-gnu, qemu-user).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

flags=(-std=c++20 -Iinclude -Itests)
main=$folder/main.cpp
echo '#define CATCH_CONFIG_MAIN
#include "catch.hpp"' > "$main"

# run NAME COMPILER... -- EMULATOR...
run() {
  local name=$1 compiler=() emulator=()
  shift
  while [[ $1 != -- ]]; do compiler+=("$1"); shift; done
  shift
  emulator=("$@")
  "${compiler[@]}" "${flags[@]}" tests/angles/cos_sin.cpp tests/angles/consecutive.cpp "$main" -o "$folder/test"
  "${emulator[@]}" "$folder/test" > "$folder/log" || { cat "$folder/log"; echo "FAILED: $name"; exit 1; }
  printf '%-44s %s\n' "$name" "$(grep -o 'worst error: [0-9.]* ulp' "$folder/log" | sort -u | tr '\n' ';')"
}

for compiler in g++ clang++; do
  for options in -O0 -O2 '-O3 -march=native' '-O3 -march=x86-64-v3' '-O3 -ffast-math' '-O3 -march=native -ffast-math'; do
    # shellcheck disable=SC2086
    run "$compiler $options" $compiler $options --
  done
done
if command -v aarch64-linux-gnu-g++ > /dev/null && command -v qemu-aarch64 > /dev/null; then
  for options in -O2 '-O3 -ffast-math'; do
    # shellcheck disable=SC2086
    run "aarch64-linux-gnu-g++ $options" aarch64-linux-gnu-g++ $options -static -idirafter /usr/include -- qemu-aarch64
  done
fi
