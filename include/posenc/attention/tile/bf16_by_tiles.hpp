// Products of a tile of bf16 by the matrix unit of AMX.
#pragma once

#include <posenc/attention/tile/bf16_pairs.hpp>
#include <posenc/attention/tile/transposed_queries.hpp>
#include <posenc/attention/tile/visible_keys.hpp>
#include <posenc/kernels/matrix_registers.hpp>
#include <posenc/kernels/vectors.hpp>

#include <concepts>
#include <utility>

#if defined(POSENC_BF16_TILES)

#include <immintrin.h>

namespace posenc::inline POSENC_ISA::detail {

namespace matrix_products {

namespace registers = kernels::matrix_registers;

/// Rows and columns of a register of sums; the pairs of its operands' rows are as many.
inline constexpr index_t side = registers::num_rows;

/// Calls f.operator()<m, n>() for registers m < M, n < N.
template <int M, int N, class F>
[[gnu::always_inline]] inline void for_each_register(F f) noexcept {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (f.template operator()<I / N, I % N>(), ...);
  }
  (std::make_integer_sequence<int, M * N>{});
}

inline constexpr int first_of_a = 4, first_of_b = 6;  // registers; sums are those before

// Two functions, not one that is told the step between registers: compilers would add it anew in the loop, for 3 % of all.
template <int M, int Part>
[[gnu::always_inline]] inline void load_a(const pair_rows& a, index_t k) noexcept {
  for_each_register<M, 1>([&]<int m, int>() __attribute__((always_inline)) {
    registers::load<first_of_a + m>(a.data + Part * a.part_stride + m * side * a.stride + k,
                                    a.stride * static_cast<index_t>(sizeof(bf16_pair)));
  });
}
template <int N, int Part>
[[gnu::always_inline]] inline void load_b(const pair_rows& b, index_t k) noexcept {
  for_each_register<N, 1>([&]<int n, int>() __attribute__((always_inline)) {
    registers::load<first_of_b + n>(b.data + Part * b.part_stride + k * b.stride + n * side,
                                    b.stride * static_cast<index_t>(sizeof(bf16_pair)));
  });
}
template <int M, int N>
[[gnu::always_inline]] inline void add_products() noexcept {
  for_each_register<M, N>([&]<int m, int n>() __attribute__((always_inline)) {
    registers::multiply_pairs<2 * m + n, first_of_a + m, first_of_b + n>();
  });
}

/// to[m][n] = sum over pairs k of a[m][k] * b[k][n], added to what is there if `Adds`; M x N registers of sums, `depth`
/// pairs. The product of the first parts comes after all the small ones, so that large sums are rounded no more often than
/// if the numbers had been multiplied whole; those beyond a last place of the product are left out.
template <int M, int N, int PartsA, int PartsB, bool Adds>
[[gnu::always_inline]] inline void multiply(const pair_rows& a, const pair_rows& b, index_t depth, float* to,
                                            index_t to_stride) noexcept {
  constexpr index_t bytes = sizeof(float);
  for_each_register<M, N>([&]<int m, int n>() __attribute__((always_inline)) {
    if constexpr (Adds)
      registers::load<2 * m + n>(to + m * side * to_stride + n * side, to_stride * bytes);
    else
      registers::clear<2 * m + n>();
  });
  if constexpr (PartsA > 1 || PartsB > 1) {
    for (index_t k = 0; k < depth; k += side) {  // one operand changes at a time
      if constexpr (PartsB > 1) load_a<M, 0>(a, k);
      if constexpr (PartsB > 2) {
        load_b<N, 2>(b, k);
        add_products<M, N>();
      }
      if constexpr (PartsB > 1) {
        load_b<N, 1>(b, k);
        add_products<M, N>();
      }
      if constexpr (PartsA > 1) load_a<M, 1>(a, k);
      if constexpr (PartsA > 1 && PartsB > 1) add_products<M, N>();
      if constexpr (PartsA > 1) {
        load_b<N, 0>(b, k);
        add_products<M, N>();
      }
      if constexpr (PartsA > 2) {
        load_a<M, 2>(a, k);
        add_products<M, N>();
      }
    }
  }
  for (index_t k = 0; k < depth; k += side) {
    load_a<M, 0>(a, k);
    load_b<N, 0>(b, k);
    add_products<M, N>();
  }
  for_each_register<M, N>([&]<int m, int n>() __attribute__((always_inline)) {
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

/// to[m][n] += sums[m][n], of M registers side by side.
template <int M>
[[gnu::always_inline]] inline void add_rows(const float* sums, index_t num_rows, float* to,
                                            index_t to_stride) noexcept {
  using floats = kernels::vector<float>;
  for (index_t i = 0; i < num_rows; ++i) {
#pragma GCC unroll 2
    for (index_t c = 0; c < M * side; c += side) {
      float* at = to + i * to_stride + c;
      kernels::store(at, kernels::load<floats>(at) + kernels::load<floats>(sums + i * 2 * side + c));
    }
  }
}

}  // namespace matrix_products

struct bf16_unit {
  static constexpr bool exists = true;
  static bool usable() noexcept { return kernels::matrix_registers::permitted(); }
  using in_use = kernels::matrix_registers::in_use;

  /// Whatever 16 bits can be: of floats six products of parts would be needed for one, which take as long.
  template <class Q, class K, class V, class O>
  static constexpr bool multiplies = (num_parts<Q> <= 2 || std::same_as<Q, float>)&&num_parts<K> <= 2 && num_parts<V> <=
                                                                                                             2;
  /// Queries that have to meet the keys for taking them apart to pay.
  static constexpr index_t min_queries_of_parts = 32;

  /// Pairs of a row that are multiplied at once: rows and columns are padded to them.
  static constexpr index_t pairs_at_once = matrix_products::side;

  // Products are so fast that reading operands from L2 is what they wait for. A block of 32 queries stays in L1 beside its
  // scores, and outputs are read and written once for two tiles of keys.
  static constexpr index_t max_queries = 2 * matrix_products::side;
  static constexpr index_t max_tiles_at_once = 2;

  /// scores[k][q] = sum over d < 2 num_pairs of keys[k][d] * queries[d][q].
  template <int PartsOfKeys, int PartsOfQueries>
  [[gnu::noinline]] static void multiply_keys(const pair_rows& keys, index_t num_pairs, const pair_rows& queries,
                                              float* scores, index_t padded_queries, const tile_edges& edges) noexcept {
    using namespace matrix_products;
    for_sides(
        0, padded_queries, [&]<int N>(index_t q) __attribute__((always_inline)) {
          const auto seen = edges.keys_of(q, q + N * side);
          for_sides(
              seen.first / side * side, seen.end, [&]<int M>(index_t k) __attribute__((always_inline)) {
                multiply<M, N, PartsOfKeys, PartsOfQueries, false>(
                    {keys.data + k * keys.stride, keys.stride, keys.part_stride},
                    {queries.data + q, queries.stride, queries.part_stride}, num_pairs, scores + k * queries.stride + q,
                    queries.stride);
              });
        });
  }

  /// Weights of a tile, [part][query][key]: put there by a softmax that calls this for lanes of queries.
  template <int Parts>
  struct weights_of_tile {
    bf16_pair* rows;
    index_t stride;
    index_t part_stride;
    index_t num_keys;  // padded

    template <class Weight>
    [[gnu::always_inline]] kernels::vector<float> operator()(index_t q, tile_edges::range seen,
                                                             Weight weight) const noexcept {
      kernels::vector<float> sum[2] = {};
      for (index_t first = 0; first < num_keys; first += 2 * matrix_products::side) {
        __m512i block[Parts][16];
        for (index_t i = 0; i < 16; ++i) {
          const index_t k = first + i + (i & 8);
          const parts_of_floats<Parts> lower(weight_if_seen(k, seen, weight, sum[0]));
          const parts_of_floats<Parts> upper(weight_if_seen(k + 8, seen, weight, sum[1]));
#pragma GCC unroll 3
          for (int p = 0; p < Parts; ++p)
            block[p][i] = (__m512i)_mm512_cvtne2ps_pbh((__m512)upper.part[p], (__m512)lower.part[p]);
        }
        for (int p = 0; p < Parts; ++p) {
          matrix_products::turn_words(block[p]);
#pragma GCC unroll 16
          for (index_t i = 0; i < 16; ++i)
            kernels::store(rows + p * part_stride + (q + i) * stride + first / 2, block[p][i]);
        }
      }
      return sum[0] + sum[1];
    }
  };

  /// Weights of a block of queries for several tiles of keys.
  template <int Parts>
  struct weights {
    bf16_pair* memory;  // [parts, queries, tiles, keys of a tile / 2]
    index_t num_queries;
    index_t num_tiles;
    index_t num_keys;  // of a tile, padded

    index_t row_stride() const noexcept { return num_tiles * num_keys / 2; }
    index_t part_stride() const noexcept { return num_queries * row_stride(); }
    weights_of_tile<Parts> of_tile(index_t i) const noexcept {
      return {memory + i * num_keys / 2, row_stride(), part_stride(), num_keys};
    }
  };

  /// output[q][c] += sum over keys of tiles [first, end) of weights[q][k] * values[k][c].
  template <int PartsOfValues, int PartsOfWeights>
  [[gnu::noinline]] static void add_values(const weights<PartsOfWeights>& weights, index_t first, index_t end,
                                           const pair_rows& values, index_t padded_columns, float* output,
                                           index_t output_stride, index_t padded_queries,
                                           const tile_edges& /*of_one_tile*/) noexcept {
    using namespace matrix_products;
    const index_t before = first * weights.num_keys / 2, depth = (end - first) * weights.num_keys / 2;
    for_sides(
        0, padded_queries, [&]<int N>(index_t q) __attribute__((always_inline)) {
          for_sides(
              0, padded_columns, [&]<int M>(index_t c) __attribute__((always_inline)) {
                const pair_rows of_queries{weights.memory + q * weights.row_stride() + before, weights.row_stride(),
                                           weights.part_stride()};
                const pair_rows of_columns{values.data + before * values.stride + c, values.stride, values.part_stride};
                float* to = output + q * output_stride + c;
                if constexpr (PartsOfWeights == 1) {
                  multiply<N, M, PartsOfWeights, PartsOfValues, true>(of_queries, of_columns, depth, to, output_stride);
                } else {
                  alignas(64) float sums[2 * side * 2 * side];
                  multiply<N, M, PartsOfWeights, PartsOfValues, false>(of_queries, of_columns, depth, sums, 2 * side);
                  add_rows<M>(sums, N * side, to, output_stride);
                }
              });
        });
  }
};

}  // namespace posenc::inline POSENC_ISA::detail

#endif
