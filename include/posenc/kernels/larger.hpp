// The larger of two vectors, lane by lane, and the largest lane of one.
#pragma once

#include <posenc/kernels/vectors.hpp>

#include <type_traits>

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace posenc::inline POSENC_ISA::kernels {

/// a > b ? a : b, so b where either is NaN. That is one instruction, but compilers emit two.
template <class V>
[[gnu::always_inline]] inline V larger(V a, V b) noexcept {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<V, vector<float>>) return (V)_mm512_maskz_max_ps(0xffff, (__m512)a, (__m512)b);
#elif defined(__AVX__)
  if constexpr (std::is_same_v<V, vector<float>>) return (V)_mm256_max_ps((__m256)a, (__m256)b);
#endif
  return a > b ? a : b;
}

/// By halves: lane after lane would be a dependency chain of as many steps as there are lanes.
template <class V>
auto largest_lane(V v) noexcept {
  if constexpr (detail::num_lanes<V> == 2) {
    return v[0] > v[1] ? v[0] : v[1];
  } else {
    return largest_lane(larger(lower_half(v), upper_half(v)));
  }
}

}  // namespace posenc::inline POSENC_ISA::kernels
