// Products of a tile of bf16 by vectors of AVX512-BF16, which multiply pairs and add both products to a float.
#pragma once

#include <posenc/attention/tile/bf16_pairs.hpp>
#include <posenc/attention/tile/block_products.hpp>
#include <posenc/attention/tile/visible_keys.hpp>  // block_queries
#include <posenc/kernels/vectors.hpp>

#include <concepts>
#include <cstdint>
#include <cstring>

#if defined(POSENC_BF16_PAIRS)

#include <immintrin.h>

namespace posenc::inline POSENC_ISA::detail {

template <>
struct block_arithmetic<bf16_pair> {
  using vector = kernels::vector<std::int32_t>;

  // Read as bytes, because rows of bf16 are read as pairs where they lie.
  [[gnu::always_inline]] static vector broadcast(const bf16_pair* a) noexcept {
    std::int32_t bits;
    std::memcpy(&bits, a, sizeof bits);
    return bits - vector{};
  }
  [[gnu::always_inline]] static kernels::vector<float> multiply_add(kernels::vector<float> sum, vector factor,
                                                                    vector row) noexcept {
    return (kernels::vector<float>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)factor, (__m512bh)row);
  }
};

/// Two vectors of float rounded to bf16, lane by lane side by side.
[[gnu::always_inline]] inline kernels::vector<std::uint32_t> paired(kernels::vector<float> lower,
                                                                    kernels::vector<float> upper) noexcept {
  using words = kernels::vector<std::uint16_t>;
  const auto apart = (words)_mm512_cvtne2ps_pbh((__m512)upper, (__m512)lower);
  return (kernels::vector<std::uint32_t>)kernels::zip_halves(apart);
}

struct bf16_unit {
  static constexpr bool exists = true;
  static bool usable() noexcept { return true; }
  struct in_use {
    explicit in_use(bool) noexcept {}
  };

  /// Weights rounded to bf16 show in no output that is rounded to bf16.
  template <class Q, class K, class V, class O>
  static constexpr bool multiplies =
      std::same_as<Q, bf16>&& std::same_as<K, bf16>&& std::same_as<V, bf16>&& std::same_as<O, bf16>;
  static constexpr index_t min_queries_of_parts = 0;

  /// Pairs of a row that are multiplied at once: rows and columns are padded to them.
  static constexpr index_t pairs_at_once = 1;
  static constexpr index_t max_queries = block_queries;
  static constexpr index_t max_tiles_at_once = 1;

  /// scores[k][q] = sum over d < 2 num_pairs of keys[k][d] * queries[d][q].
  template <int PartsOfKeys, int PartsOfQueries>
  static void multiply_keys(const pair_rows& keys, index_t num_pairs, const pair_rows& queries, float* scores,
                            index_t padded_queries, const tile_edges& edges) noexcept {
    detail::multiply_keys(tile_rows<bf16_pair>{keys.data, keys.stride}, num_pairs, queries.data, scores, queries.stride,
                          padded_queries, edges);
  }

  /// Weights of a tile, [key / 2][query]: put there by a softmax that calls this for lanes of queries.
  struct weights_of_tile {
    bf16_pair* pairs;
    index_t stride;
    index_t num_keys;  // padded

    template <class Weight>
    [[gnu::always_inline]] kernels::vector<float> operator()(index_t q, tile_edges::range seen,
                                                             Weight weight) const noexcept {
      kernels::vector<float> sum[2] = {};
      for (index_t k = 0; k < num_keys; k += 2) {
        const auto lower = weight_if_seen(k, seen, weight, sum[0]);
        const auto upper = weight_if_seen(k + 1, seen, weight, sum[1]);
        kernels::store(pairs + k / 2 * stride + q, paired(lower, upper));
      }
      return sum[0] + sum[1];
    }
  };

  /// Weights of a block of queries.
  template <int Parts>
  struct weights {
    bf16_pair* memory;  // [keys of a tile / 2, queries]
    index_t num_queries;
    index_t num_tiles;
    index_t num_keys;  // of a tile, padded

    weights_of_tile of_tile(index_t) const noexcept { return {memory, num_queries, num_keys}; }
  };

  /// output[q][c] += sum over keys of the tile of weights[k][q] * values[k][c].
  template <int PartsOfValues, int PartsOfWeights>
  static void add_values(const weights<PartsOfWeights>& weights, index_t /*first*/, index_t /*end*/,
                         const pair_rows& values, index_t padded_columns, float* output, index_t output_stride,
                         index_t /*padded_queries*/, const tile_edges& of_one_tile) noexcept {
    detail::add_values(static_cast<const bf16_pair*>(weights.memory), weights.num_queries,
                       tile_rows<bf16_pair>{values.data, values.stride}, padded_columns, output, output_stride,
                       of_one_tile);
  }
};

}  // namespace posenc::inline POSENC_ISA::detail

#endif
