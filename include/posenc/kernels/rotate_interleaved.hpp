// Rotates pairs whose columns are adjacent.
#pragma once

#include <posenc/error.hpp>  // index_t
#include <posenc/kernels/bf16_words.hpp>
#include <posenc/kernels/rotate_half.hpp>  // turn
#include <posenc/kernels/vectors.hpp>
#include <posenc/scalar.hpp>

#include <concepts>

namespace posenc::inline POSENC_ISA::kernels::detail {

/// Cosines and sines in column order:  y = x * along + swap(x) * across.
template <real T>
struct column_angles {
  alignas(64) T along[2 * max_pairs];   // {c0, c0, c1, c1, ...}
  alignas(64) T across[2 * max_pairs];  // {-s0, s0, -s1, s1, ...}

  template <index_t Pairs>
  void fill(const T* cos, const T* sin, index_t num_pairs) noexcept {
    constexpr index_t width = lanes<T>;
    const index_t n = Pairs > 0 ? Pairs : num_pairs;
    vector<T> signs;
    for (index_t l = 0; l < width; ++l) signs[l] = l % 2 == 0 ? T(-1) : T(1);
    for (index_t i = 0; i <= n - width; i += width) {
      const auto c = load<vector<T>>(cos + i);
      const auto s = load<vector<T>>(sin + i);
      store(along + 2 * i, double_low_half(c));
      store(along + 2 * i + width, double_high_half(c));
      store(across + 2 * i, double_low_half(s) * signs);
      store(across + 2 * i + width, double_high_half(s) * signs);
    }
    if constexpr (Pairs == 0 || Pairs % width != 0) {
      for (index_t i = n - n % width; i < n; ++i) {
        along[2 * i] = along[2 * i + 1] = cos[i];
        across[2 * i] = -sin[i];
        across[2 * i + 1] = sin[i];
      }
    }
  }
};

// Parameters as in rotate_half.hpp.

template <index_t Pairs, scalar S, real T>
[[gnu::noinline]] void rotate_interleaved(S* x, index_t num_heads, index_t head_stride, index_t num_pairs,
                                          const T* __restrict cos, const T* __restrict sin) noexcept {
  const index_t n = Pairs > 0 ? Pairs : num_pairs;
  for (index_t h = 0; h < num_heads; ++h) {
    S* __restrict pair = x + h * head_stride;
    for (index_t i = 0; i < n; ++i) turn(pair[2 * i], pair[2 * i + 1], cos[i], sin[i]);
  }
}

template <index_t Pairs, real T>
[[gnu::noinline]] void rotate_interleaved(T* x, index_t num_heads, index_t head_stride, index_t num_pairs,
                                          const T* __restrict cos, const T* __restrict sin) noexcept {
  constexpr index_t width = lanes<T>;
  const index_t columns = 2 * (Pairs > 0 ? Pairs : num_pairs);
  column_angles<T> angles;
  angles.template fill<Pairs>(cos, sin, num_pairs);
  for (index_t h = 0; h < num_heads; ++h) {
    T* pair = x + h * head_stride;
#pragma GCC unroll 16
    for (index_t i = 0; i <= columns - width; i += width) {
      auto v = load<vector<T>>(pair + i);
      pin(v);
      store(pair + i, v * load<vector<T>>(angles.along + i) + swap_pairs(v) * load<vector<T>>(angles.across + i));
    }
    if constexpr (Pairs == 0 || 2 * Pairs % width != 0) {
      for (index_t i = columns - columns % width; i < columns; i += 2)
        turn(pair[i], pair[i + 1], angles.along[i], angles.across[i + 1]);
    }
  }
}

#if defined(__F16C__)
template <index_t Pairs>
[[gnu::noinline]] void rotate_interleaved(f16* x, index_t num_heads, index_t head_stride, index_t num_pairs,
                                          const float* __restrict cos, const float* __restrict sin) noexcept {
  constexpr index_t width = lanes<float>;
  const index_t columns = 2 * (Pairs > 0 ? Pairs : num_pairs);
  column_angles<float> angles;
  angles.template fill<Pairs>(cos, sin, num_pairs);
  for (index_t h = 0; h < num_heads; ++h) {
    f16* pair = x + h * head_stride;
    for (index_t i = 0; i <= columns - width; i += width) {
      fetch_page_ahead(pair + i);
      const auto v = load_f16(pair + i);
      store_f16(pair + i,
                v * load<vector<float>>(angles.along + i) + swap_pairs(v) * load<vector<float>>(angles.across + i));
    }
    if constexpr (Pairs == 0 || 2 * Pairs % width != 0) {
      for (index_t i = columns - columns % width; i < columns; i += 2)
        turn(pair[i], pair[i + 1], angles.along[i], angles.across[i + 1]);
    }
  }
}
#endif

/// Rotates the pair of a word (V is float), or those of a vector of words.
template <class V>
[[gnu::always_inline]] inline void turn_word(bf16* pair, const float* cos, const float* sin) noexcept {
  const auto v = load_bf16_pair<V>(pair);
  const auto c = load<V>(cos);
  const auto s = load<V>(sin);
  store_bf16_pair(pair, bf16_pair<V>{v.even * c - v.odd * s, v.even * s + v.odd * c});
}

template <index_t Pairs>
[[gnu::noinline]] void rotate_interleaved(bf16* x, index_t num_heads, index_t head_stride, index_t num_pairs,
                                          const float* __restrict cos, const float* __restrict sin) noexcept {
  constexpr index_t width = lanes<float>;
  const index_t n = Pairs > 0 ? Pairs : num_pairs;
  for (index_t h = 0; h < num_heads; ++h) {
    bf16* pair = x + h * head_stride;
    for (index_t i = 0; i <= n - width; i += width) {
      fetch_page_ahead(pair + 2 * i);
      turn_word<vector<float>>(pair + 2 * i, cos + i, sin + i);
    }
    for (index_t i = n - n % width; i < n; ++i) turn_word<float>(pair + 2 * i, cos + i, sin + i);
  }
}

}  // namespace posenc::inline POSENC_ISA::kernels::detail
