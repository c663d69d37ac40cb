// Softmax weights as sums of bf16 parts, in pairs of keys.
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

/// Rounds two vectors to bf16 and pairs them lane by lane. A NaN may be lost here, because it is in the sum of weights
/// too.
[[gnu::always_inline]] inline kernels::vector<std::uint32_t> rounded(kernels::vector<float> first,
                                                                     kernels::vector<float> second) noexcept {
  using words = kernels::vector<std::uint32_t>;
  return (std::bit_cast<words>(first) + 0x8000U) >> 16 | ((std::bit_cast<words>(second) + 0x8000U) & 0xffff'0000U);
}

/// Subtracts their upper halves from two vectors, and returns these as pairs.
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

/// The weights of a tile, one column per query; the softmax calls this for each vector of queries.
template <int Parts>
struct weights_of_tile {
  using vector = kernels::vector<float>;

  pair_columns pairs;
  index_t num_keys;  // padded

  /// Stores weight(k) for each key k, zero for keys not seen. Returns the sum.
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

  /// Stores the weights of keys k and k + 1, one part after the other; each part is of what the parts before leave. The
  /// last is rounded, except a third, which is exact.
  [[gnu::always_inline]] void put(index_t q, index_t k, vector lower, vector upper) const noexcept {
    bf16_pair* const at = pairs.at(k / 2, q);
#pragma GCC unroll 3
    for (int p = 0; p < Parts; ++p)
      kernels::store(at + p * pairs.part_stride,
                     p + 1 == Parts && Parts < 3 ? rounded(lower, upper) : take_upper_halves(lower, upper));
  }
};

/// Weights of a block of queries for several consecutive tiles of keys.
template <int Parts>
struct weight_pairs {
  pair_columns pairs;
  index_t num_keys;  // of a tile, padded

  weights_of_tile<Parts> of_tile(index_t i) const noexcept { return {pairs.from(i * num_keys / 2, 0), num_keys}; }
};

}  // namespace posenc::inline POSENC_ISA::detail

#endif
