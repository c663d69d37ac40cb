// Rotates pairs whose columns are half a rotary slice apart.
#pragma once

#include <posenc/error.hpp>  // index_t
#include <posenc/kernels/bf16_words.hpp>
#include <posenc/kernels/vectors.hpp>
#include <posenc/scalar.hpp>  // widen, narrow

#include <concepts>

namespace posenc::inline POSENC_ISA::kernels::detail {

// Each function rotates one token's pairs in all of its heads:
//
// x          the first column of the first pair, in the first head
// Pairs      the number of pairs, and the distance from a pair's first column to its second; 0 if not known at compile
//            time (then `num_pairs` and `distance` are used)
// cos, sin   [num_pairs]
//
// None is inlined: GCC would hoist the cosines and sines out of the loop over heads and spill them, at a third of the
// speed.

template <scalar S, real T>
void turn(S& x0, S& x1, T cos, T sin) noexcept {
  const T a = widen<T>(x0);
  const T b = widen<T>(x1);
  x0 = narrow<S>(a * cos - b * sin);
  x1 = narrow<S>(a * sin + b * cos);
}

template <index_t Pairs, scalar S, real T>
[[gnu::noinline]] void rotate_half(S* x, index_t num_heads, index_t head_stride, index_t distance, index_t num_pairs,
                                   const T* __restrict cos, const T* __restrict sin) noexcept {
  const index_t n = Pairs > 0 ? Pairs : num_pairs;
  for (index_t h = 0; h < num_heads; ++h) {
    S* __restrict low = x + h * head_stride;
    S* __restrict high = low + (Pairs > 0 ? Pairs : distance);
    for (index_t i = 0; i < n; ++i) turn(low[i], high[i], cos[i], sin[i]);
  }
}

template <index_t Pairs, real T>
[[gnu::noinline]] void rotate_half(T* x, index_t num_heads, index_t head_stride, index_t distance, index_t num_pairs,
                                   const T* __restrict cos, const T* __restrict sin) noexcept {
  constexpr index_t width = lanes<T>;
  const index_t n = Pairs > 0 ? Pairs : num_pairs;
  for (index_t h = 0; h < num_heads; ++h) {
    T* __restrict low = x + h * head_stride;
    T* __restrict high = low + (Pairs > 0 ? Pairs : distance);
#pragma GCC unroll 8
    for (index_t i = 0; i <= n - width; i += width) {
      auto a = load<vector<T>>(low + i);
      auto b = load<vector<T>>(high + i);
      pin(a);
      pin(b);
      const auto c = load<vector<T>>(cos + i);
      const auto s = load<vector<T>>(sin + i);
      store(low + i, a * c - b * s);
      store(high + i, a * s + b * c);
    }
    if constexpr (Pairs == 0 || Pairs % width != 0) {
      for (index_t i = n - n % width; i < n; ++i) turn(low[i], high[i], cos[i], sin[i]);
    }
  }
}

/// The same for more tokens than caches hold: hardware of AMD follows two streams half a head apart at three quarters of
/// the speed of memory, so both are prefetched. (16-bit elements always are.)
template <real T>
[[gnu::noinline]] void rotate_half_in_memory(T* x, index_t num_heads, index_t head_stride, index_t distance,
                                             index_t num_pairs, const T* __restrict cos,
                                             const T* __restrict sin) noexcept {
  for (index_t h = 0; h < num_heads; ++h) {
    T* const low = x + h * head_stride;
    for (index_t i = 0; i < num_pairs; i += line_bytes / static_cast<index_t>(sizeof(T))) {
      fetch_page_ahead(low + i);
      fetch_page_ahead(low + distance + i);
    }
    rotate_half<0>(low, 1, 0, distance, num_pairs, cos, sin);
  }
}

#if defined(__F16C__)
template <index_t Pairs>
[[gnu::noinline]] void rotate_half(f16* x, index_t num_heads, index_t head_stride, index_t distance, index_t num_pairs,
                                   const float* __restrict cos, const float* __restrict sin) noexcept {
  constexpr index_t width = lanes<float>;
  const index_t n = Pairs > 0 ? Pairs : num_pairs;
  for (index_t h = 0; h < num_heads; ++h) {
    f16* __restrict low = x + h * head_stride;
    f16* __restrict high = low + (Pairs > 0 ? Pairs : distance);
    for (index_t i = 0; i <= n - width; i += width) {
      fetch_page_ahead(low + i);
      fetch_page_ahead(high + i);
      const auto a = load_f16(low + i);
      const auto b = load_f16(high + i);
      const auto c = load<vector<float>>(cos + i);
      const auto s = load<vector<float>>(sin + i);
      store_f16(low + i, a * c - b * s);
      store_f16(high + i, a * s + b * c);
    }
    if constexpr (Pairs == 0 || Pairs % width != 0) {
      for (index_t i = n - n % width; i < n; ++i) turn(low[i], high[i], cos[i], sin[i]);
    }
  }
}
#endif

/// Cosines and sines of even pairs and of odd pairs, separately.
struct word_angles {
  alignas(64) float even_cos[max_pairs / 2];
  alignas(64) float odd_cos[max_pairs / 2];
  alignas(64) float even_sin[max_pairs / 2];
  alignas(64) float odd_sin[max_pairs / 2];

  void fill(const float* cos, const float* sin, index_t words) noexcept {
    for (index_t i = 0; i < words; ++i) {
      even_cos[i] = cos[2 * i];
      odd_cos[i] = cos[2 * i + 1];
      even_sin[i] = sin[2 * i];
      odd_sin[i] = sin[2 * i + 1];
    }
  }
};

/// Rotates the two pairs of word i (V is float), or those of a vector of words from i on.
template <class V>
[[gnu::always_inline]] inline void turn_words(bf16* low, bf16* high, const word_angles& angles, index_t i) noexcept {
  const auto a = load_bf16_pair<V>(low + 2 * i);
  const auto b = load_bf16_pair<V>(high + 2 * i);
  const auto c = bf16_pair<V>{load<V>(angles.even_cos + i), load<V>(angles.odd_cos + i)};
  const auto s = bf16_pair<V>{load<V>(angles.even_sin + i), load<V>(angles.odd_sin + i)};
  store_bf16_pair(low + 2 * i, bf16_pair<V>{a.even * c.even - b.even * s.even, a.odd * c.odd - b.odd * s.odd});
  store_bf16_pair(high + 2 * i, bf16_pair<V>{a.even * s.even + b.even * c.even, a.odd * s.odd + b.odd * c.odd});
}

template <index_t Pairs>
[[gnu::noinline]] void rotate_half(bf16* x, index_t num_heads, index_t head_stride, index_t distance, index_t num_pairs,
                                   const float* __restrict cos, const float* __restrict sin) noexcept {
  constexpr index_t width = lanes<float>;
  const index_t words = (Pairs > 0 ? Pairs : num_pairs) / 2;
  word_angles angles;
  angles.fill(cos, sin, words);
  for (index_t h = 0; h < num_heads; ++h) {
    bf16* low = x + h * head_stride;
    bf16* high = low + (Pairs > 0 ? Pairs : distance);
    for (index_t i = 0; i <= words - width; i += width) {
      fetch_page_ahead(low + 2 * i);
      fetch_page_ahead(high + 2 * i);
      turn_words<vector<float>>(low, high, angles, i);
    }
    for (index_t i = words - words % width; i < words; ++i) turn_words<float>(low, high, angles, i);
    if (Pairs == 0 && num_pairs % 2 != 0) turn(low[2 * words], high[2 * words], cos[2 * words], sin[2 * words]);
  }
}

}  // namespace posenc::inline POSENC_ISA::kernels::detail
