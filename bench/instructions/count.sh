#!/usr/bin/env bash
# Instructions that each main kernel executes, compared with those on record: a guard against slower code that needs no
# quiet machine. Built for AVX2, because valgrind runs no AVX-512.
#
#     bench/instructions/count.sh            compares; a kernel that needs over 3 % more fails
#     bench/instructions/count.sh --record   writes bench/instructions/<compiler>.txt anew
#
# CXX chooses the compiler. Counts hold for the compiler's version in the file's first line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cxx=${CXX:-g++}
[[ $cxx == *clang* ]] && name=clang || name=gcc
record=bench/instructions/$name.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$cxx" -std=c++20 -O3 -march=x86-64-v3 -Iinclude bench/instructions/kernels.cpp -o "$work/kernels"
count() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$work/kernels" "$1" 2>&1 |
    awk '/Collected/ { print $4 }'
}

nothing=$(count nothing)
{
  "$cxx" --version | head -n 1
  for kernel in $("$work/kernels"); do
    [[ $kernel == nothing ]] || echo "$kernel $(($(count "$kernel") - nothing))"
  done
} > "$work/now.txt"

if [[ ${1:-} == --record ]]; then
  cp "$work/now.txt" "$record"
  cat "$record"
  exit
fi
awk '
  FNR == 1 { if (NR > 1 && $0 != compiler) print "recorded with " compiler "; now " $0; compiler = $0; next }
  NR == FNR { before[$1] = $2; next }
  {
    change = $1 in before ? $2 / before[$1] - 1 : 0
    too_many = (change > 0.03)
    printf "%-34s %10d  %+6.2f %%%s\n", $1, $2, 100 * change, too_many ? "  MORE" : ""
    more += too_many
  }
  END { exit (more > 0) }' "$record" "$work/now.txt"
