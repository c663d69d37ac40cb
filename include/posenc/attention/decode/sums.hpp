// Horizontal sums of several vectors at once.
#pragma once

#include <posenc/kernels/vectors.hpp>

#include <cstring>

namespace posenc::inline POSENC_ISA::detail {

// Within each quarter of 16 lanes, each half of 8, or four lanes: {a0, b0, a1, b1} + {a2, b2, a3, b3}.
template <class V>
[[gnu::always_inline]] inline V add_crosswise(V a, V b) noexcept {
  constexpr std::size_t lanes = sizeof(V) / sizeof(a[0]);
  if constexpr (lanes == 16) {
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29) +
           __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
  } else if constexpr (lanes == 8) {
    return __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13) +
           __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15);
  } else {
    return __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
  }
}

// Likewise {a0, a1, b0, b1} + {a2, a3, b2, b3}.
template <class V>
[[gnu::always_inline]] inline V add_pairwise(V a, V b) noexcept {
  constexpr std::size_t lanes = sizeof(V) / sizeof(a[0]);
  if constexpr (lanes == 16) {
    return __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
           __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  } else if constexpr (lanes == 8) {
    return __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13) +
           __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
  } else {
    return __builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7);
  }
}

// The even fours of lanes of a and b, plus the odd ones.
template <class V>
[[gnu::always_inline]] inline V add_fours(V a, V b) noexcept {
  constexpr std::size_t lanes = sizeof(V) / sizeof(a[0]);
  if constexpr (lanes == 16) {
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
           __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  } else {
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11) +
           __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

/// out[i] = the sum of the lanes of v[i], for a multiple of four vectors: one tree of additions for all, with as few
/// shuffles as possible.
template <class Number, int Count, class V>
[[gnu::always_inline]] inline void sum_lanes(const V (&v)[Count], Number* out) noexcept {
  constexpr int lanes = static_cast<int>(sizeof(V) / sizeof(Number));
  if constexpr (sizeof(Number) != 4 || Count % 4 != 0) {
    for (int i = 0; i < Count; ++i) {
      out[i] = v[i][0];
      for (int l = 1; l < lanes; ++l) out[i] += v[i][l];
    }
  } else {
    constexpr int fours = Count / 4;
    V t[fours];
#pragma GCC unroll 4
    for (int i = 0; i < fours; ++i) {
      t[i] = add_pairwise(add_crosswise(v[4 * i], v[4 * i + 1]), add_crosswise(v[4 * i + 2], v[4 * i + 3]));
    }
    if constexpr (lanes == 16) {
      static_assert(fours <= 4);
      const V all = add_fours(add_fours(t[0], t[1 % fours]), add_fours(t[2 % fours], t[3 % fours]));
      std::memcpy(out, &all, Count * sizeof(Number));
    } else if constexpr (lanes == 8) {
      static_assert(fours <= 2);
      const V all = add_fours(t[0], t[1 % fours]);
      std::memcpy(out, &all, Count * sizeof(Number));
    } else {
      std::memcpy(out, t, sizeof t);
    }
  }
}

template <class V>
[[gnu::always_inline]] inline auto largest_lane(V v) noexcept {
  auto largest = v[0];
  for (std::size_t l = 1; l < sizeof(V) / sizeof(v[0]); ++l) largest = v[l] > largest ? v[l] : largest;
  return largest;
}

}  // namespace posenc::inline POSENC_ISA::detail
