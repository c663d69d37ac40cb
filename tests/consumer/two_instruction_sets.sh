#!/usr/bin/env bash
# One engine, two units compiled for two instruction sets: neither may run the other's code, whichever is linked first.
#
#     two_instruction_sets.sh FOLDER COMPILER [FLAG...]
#
# Checked with GCC's and Clang's objects at -O0 and -O2:
#   - a unit refers to no function of posenc but those named after its own instruction set;
#   - the two units define no function of posenc in common;
#   - in the linked program, what is named after the baseline has no instruction of AVX, and what is named after the
#     other set has some.
# Sets that differ in one feature are told apart as well.
# The standard library's own templates are not posenc's to name; `outside` (layer.hpp) shows that a function like them is
# shared, so the search would find one of posenc's.
set -euo pipefail

folder=$1
compile=("${@:2}")
mkdir -p "$folder"

fail() { echo "two_instruction_sets: $*" >&2; exit 1; }

# "6posenc8isa_sse2": how the namespace stands in a mangled name.
namespace_of() {
  local tag
  tag=$(echo POSENC_ISA | "${compile[@]}" "$@" -include posenc/isa.hpp -x c++ -E -P - | tail -n 1)
  echo "6posenc${#tag}$tag"
}

symbols() { nm "$1" | awk '{print $NF}' | sort -u; }
defined() { nm --defined-only "$1" | awk '{print $NF}' | sort -u; }

# Of the functions whose name contains $2: how many instructions are VEX- or EVEX-coded.
avx_instructions() {
  objdump -d --no-show-raw-insn "$1" | awk -v name="$2" '
    /^[0-9a-f]+ </ { inside = index($0, name) > 0 }
    inside && $2 ~ /^v/ { ++found }
    END { print found + 0 }'
}

check() {  # baseline.o other.o baseline's namespace, the other's
  local foreign shared
  foreign=$(symbols "$1" | grep 6posenc | grep -v "$3" || true)
  [[ -z $foreign ]] || fail "$1 refers to $foreign"
  foreign=$(symbols "$2" | grep 6posenc | grep -v "$4" || true)
  [[ -z $foreign ]] || fail "$2 refers to $foreign"
  shared=$(comm -12 <(defined "$1") <(defined "$2") | grep -E '6posenc|outside')
  [[ $shared != *6posenc* ]] || fail "both units define $shared"
  [[ $shared == *outside* ]] || fail "the search for shared functions does not find \`outside\`"
}

baseline=$(namespace_of -march=x86-64)
for level in -O0 -O2; do
  "${compile[@]}" $level -march=x86-64 -c one.cpp -o "$folder/one.o"
  for march in x86-64-v3 x86-64-v4; do
    other=$(namespace_of -march=$march)
    "${compile[@]}" $level -march=$march -c two.cpp -o "$folder/two.o"
    check "$folder/one.o" "$folder/two.o" "$baseline" "$other"

    for order in "one two" "two one"; do
      read -r first second <<<"$order"
      "${compile[@]}" "$folder/$first.o" "$folder/$second.o" -o "$folder/program"
      (($(avx_instructions "$folder/program" "$baseline") == 0)) || fail "$level $march, $order: the baseline has AVX code"
      (($(avx_instructions "$folder/program" "$other") > 0)) || fail "$level $march, $order: $march has no AVX code"
      feature=avx2
      [[ $march == x86-64-v4 ]] && feature=avx512vl
      if grep -qw $feature /proc/cpuinfo; then "$folder/program"; fi
    done
    echo "$level x86-64 and $march: $(defined "$folder/one.o" | grep -c "$baseline") and" \
      "$(defined "$folder/two.o" | grep -c "$other") functions of posenc, none in common"
  done
done

# Each feature that code asks for has a part in the name of its own.
while read -r features more; do
  read -ra flags <<<"$features"
  [[ $(namespace_of "${flags[@]}") != $(namespace_of "${flags[@]}" "$more") ]] ||
    fail "$features has the same name with $more"
done <<'END'
-mavx512f -mavx512bw
-mavx512f -mavx512dq
-mavx512f -mavx512vl
-mavx512f -mavx512vnni
-mavx512bw -mavx512bf16
-mavx512fp16 -mavx512bf16
-mavx2 -mfma
-mavx2 -mf16c
-mavx -mavx2
-march=x86-64 -mavx
-march=x86-64 -ffast-math
-march=x86-64 -fno-exceptions
END

less=(-mavx512f -mfma)  # Eigen wants FMA
more=("${less[@]}" -mavx512dq)
"${compile[@]}" -O0 "${less[@]}" -c one.cpp -o "$folder/one.o"
"${compile[@]}" -O0 "${more[@]}" -c two.cpp -o "$folder/two.o"
check "$folder/one.o" "$folder/two.o" "$(namespace_of "${less[@]}")" "$(namespace_of "${more[@]}")"
echo "-O0 ${less[*]} and ${more[*]}: none in common"
