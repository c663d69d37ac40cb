// Products of a tile of bf16 with AVX512-BF16, which multiplies pairs and adds both products to a float.
#pragma once

#include <posenc/attention/block_output.hpp>
#include <posenc/attention/tile/bf16_pairs.hpp>
#include <posenc/attention/tile/block_products.hpp>
#include <posenc/attention/tile/visible_keys.hpp>  // block_queries
#include <posenc/attention/tile/weight_pairs.hpp>
#include <posenc/attention/tile/work_beside.hpp>
#include <posenc/kernels/vectors.hpp>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>

#if defined(POSENC_BF16_PAIRS)

#include <immintrin.h>

namespace posenc::inline POSENC_ISA::detail {

template <>
struct block_arithmetic<bf16_pair> {
  using vector = kernels::vector<std::int32_t>;
  using sums = kernels::vector<float>;

  // Read through memcpy, because rows of bf16 are read as pairs in place.
  [[gnu::always_inline]] static vector broadcast(const bf16_pair* a) noexcept {
    std::int32_t bits;
    std::memcpy(&bits, a, sizeof bits);
    return bits - vector{};
  }
  [[gnu::always_inline]] static sums multiply_add(sums sum, vector factor, vector row) noexcept {
    return (sums)_mm512_dpbf16_ps((__m512)sum, (__m512bh)factor, (__m512bh)row);
  }
};

struct bf16_unit {
  static constexpr bool exists = true;
  static bool usable() noexcept { return true; }
  struct in_use {
    explicit in_use(bool) noexcept {}
  };

  /// Everything is bf16: rounding weights to bf16 does not matter if the output is bf16.
  template <class Q, class K, class V, class O>
  static constexpr bool multiplies =
      std::same_as<Q, bf16>&& std::same_as<K, bf16>&& std::same_as<V, bf16>&& std::same_as<O, bf16>;
  static constexpr index_t min_queries_of_parts = 0;

  /// Pairs of a row that are multiplied at once: rows and columns are padded to multiples of it.
  static constexpr index_t pairs_at_once = 1;
  static constexpr index_t max_queries = block_queries;
  static constexpr index_t max_tiles_at_once = 1;

  /// scores[k][q] = sum over d < 2 num_pairs of keys[k][d] * queries[d][q].
  template <int PartsOfKeys, int PartsOfQueries>
  static void multiply_keys(const pair_rows& keys, index_t num_pairs, const pair_columns& queries, float* scores,
                            index_t stride, index_t padded_queries, const tile_edges& edges, nothing_beside&) noexcept {
    detail::multiply_keys(tile_rows<bf16_pair>{keys.data, keys.stride}, num_pairs,
                          static_cast<const bf16_pair*>(queries.data), scores, stride, padded_queries, edges);
  }

  template <int Parts>
  using weights = weight_pairs<Parts>;

  static constexpr bool takes_squares = false;  // of keys
  static pair_columns columns(bf16_pair* memory, index_t num_pairs, index_t /*num_columns*/, index_t stride) noexcept {
    return pair_columns::as_rows(memory, num_pairs, stride);
  }
  static constexpr bool sums_columns = false;  // of outputs

  /// Values of a tile, [key / 2][column].
  template <int Parts>
  struct values {
    bf16_pair* memory;
    index_t stride;
    index_t num_columns;  // padded
    index_t num_tiles;
    index_t num_keys;  // padded

    /// Rows with a bit in `left_out`, and rows from `count` on, become zeros.
    template <bool Asked, class Source>
    bool load(index_t /*tile*/, const Source& source, index_t head, index_t first, index_t count,
              std::uint64_t left_out) const noexcept {
      using words = kernels::vector<std::uint32_t>;
      std::fill_n(memory, num_keys / 2 * stride, bf16_pair{});
      for_each_row(source, head, first, count, [&](index_t k, const bf16* row) {
        if ((left_out >> k & 1) != 0) return;
        for (index_t c = 0; c < num_columns; c += kernels::lanes<float>) {
          const auto bits = std::bit_cast<words>(widen_some(row, c, source.head_dim));
          bf16_pair* const at = memory + k / 2 * stride + c;
          kernels::store(at, k % 2 == 0 ? bits >> 16 : kernels::load<words>(at) | bits);
        }
      });
      return true;
    }
  };

  /// output[q][c] += sum over the tile's keys of weights[k][q] * values[k][c].
  template <int PartsOfWeights, int PartsOfValues>
  static void add_values(const weight_pairs<PartsOfWeights>& weights, const key_range* /*seen*/, index_t /*first*/,
                         index_t /*end*/, const values<PartsOfValues>& values, const block_output<float>& output,
                         bool /*adds*/, index_t /*padded_queries*/, const tile_edges& of_one_tile,
                         nothing_beside&) noexcept {
    detail::add_values(static_cast<const bf16_pair*>(weights.pairs.data), weights.pairs.pair_step,
                       tile_rows<bf16_pair>{values.memory, values.stride}, values.num_columns, output.data,
                       output.stride, of_one_tile);
  }
};

}  // namespace posenc::inline POSENC_ISA::detail

#endif
