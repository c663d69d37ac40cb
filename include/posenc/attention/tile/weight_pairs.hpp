// Weights of a softmax as sums of bf16, in pairs of keys.
#pragma once

#include <posenc/attention/tile/bf16_pairs.hpp>
#include <posenc/attention/tile/power_of_two.hpp>
#include <posenc/attention/tile/visible_keys.hpp>
#include <posenc/kernels/vectors.hpp>

#include <bit>
#include <cstdint>

#if defined(__AVX512BF16__)

#include <immintrin.h>

namespace posenc::inline POSENC_ISA::detail {

/// Two vectors of numbers rounded to bf16, lane by lane side by side. A NaN need not stay one: it is in the sum, too.
[[gnu::always_inline]] inline kernels::vector<std::uint32_t> rounded(kernels::vector<float> first,
                                                                     kernels::vector<float> second) noexcept {
  using words = kernels::vector<std::uint32_t>;
  return (std::bit_cast<words>(first) + 0x8000U) >> 16 | ((std::bit_cast<words>(second) + 0x8000U) & 0xffff'0000U);
}

/// Takes what the upper halves of two vectors are out of them, and puts it side by side.
[[gnu::always_inline]] inline kernels::vector<std::uint32_t> take_upper_halves(
    kernels::vector<float>& first, kernels::vector<float>& second) noexcept {
  using words = kernels::vector<std::uint32_t>;
  const auto take = [](kernels::vector<float> & x) __attribute__((always_inline)) {
    const auto upper = std::bit_cast<kernels::vector<float>>(std::bit_cast<words>(x) & 0xffff'0000U);
    x -= upper;
    return upper;
  };
  return upper_halves(take(first), take(second));
}

/// Weights of a tile, a column for each query: put there by a softmax that calls this for lanes of queries.
template <int Parts>
struct weights_of_tile {
  using vector = kernels::vector<float>;

  pair_columns pairs;
  index_t num_keys;  // padded

  /// Weights of key k by a function of it, zeros of those not seen. Returns their sum.
  template <class Weight>
  [[gnu::always_inline]] vector operator()(index_t q, tile_edges::range seen, Weight weight) const noexcept {
    vector sum[2] = {};
    const auto put_seen = [&](index_t k) __attribute__((always_inline)) {
      const vector lower = weight(k), upper = weight(k + 1);
      sum[0] += lower;
      sum[1] += upper;
      put(q, k, lower, upper);
    };
    const auto if_seen = [&](index_t k) { return k < seen.first || k >= seen.end ? vector{} : weight(k); };
    const auto put_some = [&](index_t k) {
      const vector lower = if_seen(k), upper = if_seen(k + 1);
      sum[0] += lower;
      sum[1] += upper;
      put(q, k, lower, upper);
    };
    index_t k = 0;
    for (; k < seen.first; k += 2) put_some(k);
    for (; k + 2 <= seen.end; k += 2) put_seen(k);
    for (; k < num_keys; k += 2) put_some(k);
    return sum[0] + sum[1];
  }

  /// Weights of keys k and k + 1. Each is what is left of it when the parts before were taken; the last is rounded, unless
  /// nothing would be.
  [[gnu::always_inline]] void put(index_t q, index_t k, vector lower, vector upper) const noexcept {
    bf16_pair* const at = pairs.at(k / 2, q);
#pragma GCC unroll 3
    for (int p = 0; p < Parts; ++p)
      kernels::store(at + p * pairs.part_stride,
                     p + 1 == Parts && Parts < 3 ? rounded(lower, upper) : take_upper_halves(lower, upper));
  }
};

/// Weights of a block of queries for several tiles of keys, one after the other.
template <int Parts>
struct weight_pairs {
  pair_columns pairs;
  index_t num_keys;  // of a tile, padded

  weights_of_tile<Parts> of_tile(index_t i) const noexcept { return {pairs.from(i * num_keys / 2, 0), num_keys}; }
};

}  // namespace posenc::inline POSENC_ISA::detail

#endif
