// Products of a tile of bf16 by the matrix unit of AMX.
#pragma once

#include <posenc/attention/tile/bf16_pairs.hpp>
#include <posenc/attention/tile/block_products.hpp>  // tile_rows
#include <posenc/attention/tile/transposed_queries.hpp>
#include <posenc/attention/tile/visible_keys.hpp>
#include <posenc/kernels/matrix_registers.hpp>
#include <posenc/kernels/vectors.hpp>

#include <utility>

#if defined(POSENC_BF16_TILES)

#include <immintrin.h>

namespace posenc::inline POSENC_ISA::detail {

namespace matrix_products {

namespace registers = kernels::matrix_registers;

/// Rows and columns of a register of sums; the pairs of its operands' rows are as many.
inline constexpr index_t side = registers::num_rows;

/// Calls f.operator()<m, n>() for m < M, n < N.
template <int M, int N, class F>
[[gnu::always_inline]] inline void for_each_sum(F f) noexcept {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (f.template operator()<I / N, I % N>(), ...);
  }
  (std::make_integer_sequence<int, M * N>{});
}

/// to[m][n] = sum over pairs k of a[m][k] * b[k][n], added to what is there if `Adds`; M x N registers of sums, `depth`
/// pairs.
template <int M, int N, bool Adds>
[[gnu::always_inline]] inline void multiply(tile_rows<bf16_pair> a, tile_rows<bf16_pair> b, index_t depth, float* to,
                                            index_t to_stride) noexcept {
  constexpr index_t bytes = sizeof(bf16_pair);
  constexpr int first_a = 4, first_b = 6;
  for_each_sum<M, N>([&]<int m, int n>() __attribute__((always_inline)) {
    if constexpr (Adds)
      registers::load<2 * m + n>(to + m * side * to_stride + n * side, to_stride * bytes);
    else
      registers::clear<2 * m + n>();
  });
  for (index_t k = 0; k < depth; k += side) {
    for_each_sum<M, 1>([&]<int m, int>() __attribute__((always_inline)) {
      registers::load<first_a + m>(a.data + m * side * a.stride + k, a.stride * bytes);
    });
    for_each_sum<N, 1>([&]<int n, int>() __attribute__((always_inline)) {
      registers::load<first_b + n>(b.data + k * b.stride + n * side, b.stride * bytes);
    });
    for_each_sum<M, N>([&]<int m, int n>() __attribute__((always_inline)) {
      registers::multiply_pairs<2 * m + n, first_a + m, first_b + n>();
    });
  }
  for_each_sum<M, N>([&]<int m, int n>() __attribute__((always_inline)) {
    registers::store<2 * m + n>(to + m * side * to_stride + n * side, to_stride * bytes);
  });
}

/// Calls f.operator()<count>(first) for [first, end) by two sides, and by one where no more is left.
template <class F>
[[gnu::always_inline]] inline void for_sides(index_t first, index_t end, F f) noexcept {
  for (; first + side < end; first += 2 * side) f.template operator()<2>(first);
  if (first < end) f.template operator()<1>(first);
}

/// From rows of keys k and k + 8 side by side in halves, for k in 0 .. 7 and 16 .. 23, to columns: of each of 16 queries
/// all 32 keys in order.
[[gnu::always_inline]] inline void turn_words(__m512i (&block)[16]) noexcept {
  __m512i words[16], pairs[16], quads[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {  // bit 0 of the key into a word's place, bit 2 of the query out of it
    words[i] = _mm512_unpacklo_epi16(block[i], block[i + 1]);
    words[i + 1] = _mm512_unpackhi_epi16(block[i], block[i + 1]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {  // bit 1
    if ((i & 2) != 0) continue;
    pairs[i] = _mm512_unpacklo_epi32(words[i], words[i + 2]);
    pairs[i + 2] = _mm512_unpackhi_epi32(words[i], words[i + 2]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {  // bit 2
    if ((i & 4) != 0) continue;
    quads[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 4]);
    quads[i + 4] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 4]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {  // and the quarters
    const int q = (i & 1) * 4 + (i & 2) + (i >> 2 & 1);
    block[q] = _mm512_shuffle_i32x4(quads[i], quads[i + 8], _MM_SHUFFLE(2, 0, 2, 0));
    block[q + 8] = _mm512_shuffle_i32x4(quads[i], quads[i + 8], _MM_SHUFFLE(3, 1, 3, 1));
  }
}

}  // namespace matrix_products

struct bf16_unit {
  static constexpr bool exists = true;
  static bool usable() noexcept { return kernels::matrix_registers::permitted(); }
  using in_use = kernels::matrix_registers::in_use;

  /// Pairs of a row that are multiplied at once: rows and columns are padded to them.
  static constexpr index_t pairs_at_once = matrix_products::side;

  // Products are so fast that reading operands from L2 is what they wait for. A block of 32 queries stays in L1 beside its
  // scores, and outputs are read and written once for four tiles of keys.
  static constexpr index_t max_queries = 2 * matrix_products::side;
  static constexpr index_t max_tiles_at_once = 4;

  /// scores[k][q] = sum over d < 2 num_pairs of keys[k][d] * queries[d][q].
  [[gnu::noinline]] static void multiply_keys(const tile_rows<bf16_pair>& keys, index_t num_pairs,
                                              const bf16_pair* queries, float* scores, index_t stride,
                                              index_t padded_queries, const tile_edges& edges) noexcept {
    using namespace matrix_products;
    for_sides(
        0, padded_queries, [&]<int N>(index_t q) __attribute__((always_inline)) {
          const auto seen = edges.keys_of(q, q + N * side);
          for_sides(
              seen.first / side * side, seen.end, [&]<int M>(index_t k) __attribute__((always_inline)) {
                multiply<M, N, false>({keys.data + k * keys.stride, keys.stride}, {queries + q, stride}, num_pairs,
                                      scores + k * stride + q, stride);
              });
        });
  }

  /// Weights of a tile, [query][key]: put there by a softmax that calls this for lanes of queries.
  struct weights_of_tile {
    bf16_pair* rows;
    index_t stride;
    index_t num_keys;  // padded

    template <class Weight>
    [[gnu::always_inline]] kernels::vector<float> operator()(index_t q, tile_edges::range seen,
                                                             Weight weight) const noexcept {
      kernels::vector<float> sum[2] = {};
      for (index_t first = 0; first < num_keys; first += 2 * matrix_products::side) {
        __m512i block[16];
        for (index_t i = 0; i < 16; ++i) {
          const index_t k = first + i + (i & 8);
          const auto lower = weight_if_seen(k, seen, weight, sum[0]);
          const auto upper = weight_if_seen(k + 8, seen, weight, sum[1]);
          block[i] = (__m512i)_mm512_cvtne2ps_pbh((__m512)upper, (__m512)lower);
        }
        matrix_products::turn_words(block);
#pragma GCC unroll 16
        for (index_t i = 0; i < 16; ++i) kernels::store(rows + (q + i) * stride + first / 2, block[i]);
      }
      return sum[0] + sum[1];
    }
  };

  /// Weights of a block of queries for several tiles of keys.
  struct weights {
    bf16_pair* memory;  // [queries, tiles, keys of a tile / 2]
    index_t num_tiles;
    index_t num_keys;  // of a tile, padded

    weights(bf16_pair* memory_for_all, index_t /*query_stride*/, index_t tiles, index_t keys_of_a_tile) noexcept
        : memory(memory_for_all), num_tiles(tiles), num_keys(keys_of_a_tile) {}

    index_t row_stride() const noexcept { return num_tiles * num_keys / 2; }
    weights_of_tile of_tile(index_t i) const noexcept { return {memory + i * num_keys / 2, row_stride(), num_keys}; }
  };

  /// output[q][c] += sum over keys of tiles [first, end) of weights[q][k] * values[k][c].
  [[gnu::noinline]] static void add_values(const weights& weights, index_t first, index_t end,
                                           const tile_rows<bf16_pair>& values, index_t padded_columns, float* output,
                                           index_t output_stride, index_t padded_queries,
                                           const tile_edges& /*of_one_tile*/) noexcept {
    using namespace matrix_products;
    const index_t before = first * weights.num_keys / 2, depth = (end - first) * weights.num_keys / 2;
    for_sides(
        0, padded_queries, [&]<int N>(index_t q) __attribute__((always_inline)) {
          for_sides(
              0, padded_columns, [&]<int M>(index_t c) __attribute__((always_inline)) {
                multiply<N, M, true>({weights.memory + q * weights.row_stride() + before, weights.row_stride()},
                                     {values.data + before * values.stride + c, values.stride}, depth,
                                     output + q * output_stride + c, output_stride);
              });
        });
  }
};

}  // namespace posenc::inline POSENC_ISA::detail

#endif
