#!/usr/bin/env bash
# What does including posenc cost a translation unit? Seconds of user time (least of five) and bytes of object code as a
# table; all but its first line say what comes on top of a unit that has only the same standard headers:
#
#     bench/include_cost.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

compile() {  # compiler, file
  "$1" -std=c++20 -O2 -Iinclude -isystem /usr/include/eigen3 -c "$2" -o "$work/unit.o"
}
seconds() {
  local best=999
  for _ in 1 2 3 4 5; do
    local took
    took=$( { TIMEFORMAT=%U; time compile "$1" "$2"; } 2>&1 )
    best=$(printf '%s\n%s\n' "$best" "$took" | sort -g | head -n 1)
  done
  echo "$best"
}
bytes() {
  compile "$1" "$2"
  size "$work/unit.o" | awk 'NR == 2 { print $1 + $2 + $3 }'
}

unit() {  # name, source
  printf '%s\n' "$2" > "$work/$1.cpp"
}
standard='#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <vector>'
unit empty "$standard"
unit concepts "$standard
#include <posenc/concepts.hpp>"
unit alibi "$standard
#include <posenc/encodings/alibi.hpp>"
unit rope "$standard
#include <posenc/encodings/rope.hpp>"
unit attend "$standard
#include <posenc/attention/attend.hpp>"
unit everything "$standard
#include <posenc/posenc.hpp>"
unit a_rotation "$standard
#include <posenc/encodings/rope.hpp>
using namespace posenc;
void turn(const rope& rotary, head_view<float> q, positions at) { rotate(unchecked, rotary, q, at); }"
unit an_attention "$standard
#include <posenc/attention/attend.hpp>
using namespace posenc;
void run(head_view<float> q, head_view<const float> k, head_view<const float> v, head_view<float> out) {
  attend(unchecked, q, k, v, out, no_encoding{}, {.band = causal()});
}"

figures() {  # unit: seconds and bytes by GCC, then by Clang, one a line
  for compiler in g++ clang++; do
    seconds "$compiler" "$work/$1.cpp"
    bytes "$compiler" "$work/$1.cpp"
  done
}
row() {  # title, figures
  printf '| %s | %.3f | %d | %.3f | %d |\n' "$@"
}

echo '| unit | GCC, s | bytes | Clang, s | bytes |'
echo '|---|---|---|---|---|'
figures empty > "$work/empty.txt"
mapfile -t empty < "$work/empty.txt"
row 'five standard headers' "${empty[@]}"
while IFS='|' read -r name title; do
  figures "$name" > "$work/figures.txt"
  mapfile -t beyond < <(paste "$work/empty.txt" "$work/figures.txt" | awk '{ print $2 - $1 }')
  row "$title" "${beyond[@]}"
done << 'END'
concepts|and `concepts.hpp`
alibi|and `encodings/alibi.hpp`
rope|and `encodings/rope.hpp`
attend|and `attention/attend.hpp`
everything|and `posenc.hpp`
a_rotation|and a function that rotates
an_attention|and one that attends
END
