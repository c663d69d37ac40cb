// The two products of a tile: scores from keys and queries, and weighted values.
#pragma once

#include <posenc/attention/tile/register_block.hpp>
#include <posenc/attention/tile/visible_keys.hpp>
#include <posenc/kernels/vectors.hpp>

#include <type_traits>

namespace posenc::inline POSENC_ISA::detail {

// A tile is stored as [key][query]. In the first product keys are broadcast in place and the transposed queries are the
// vectors; in the second the tile is broadcast and values in place are the vectors. Maxima and sums of a query stay in
// one lane. Only the queries are ever transposed.

/// Rows of keys or values in the compute type, `stride` apart.
template <class T>
struct tile_rows {
  const T* data;
  index_t stride;
};

namespace block_products {

template <int N, class P, class T>
[[gnu::always_inline]] inline void score_columns(index_t first, const tile_rows<P>& keys, index_t depth,
                                                 const P* queries, T* scores, index_t stride,
                                                 const tile_edges& edges) noexcept {
  using vector = kernels::vector<T>;
  constexpr index_t lanes = kernels::lanes<T>;
  const auto seen = edges.keys_of(first, first + N * lanes);
  for_row_groups<block_rows(N)>(
      seen.first, seen.end, [&]<int M>(index_t k) __attribute__((always_inline)) {
        T* to = scores + k * stride + first;
        multiply_block<M, N>(
            keys.data + k * keys.stride, keys.stride, index_t{1}, queries + first, stride,
            depth, [&](int m, int n, vector sum) __attribute__((always_inline)) {
              kernels::store(to + m * stride + n * lanes, sum);
            });
      });
}

}  // namespace block_products

// P is T, or pairs of a narrower type whose products are summed in T.

/// scores[k][q] = sum over d < depth of keys[k][d] * queries[d][q], for all visible pairs and some masked ones.
template <class P, class T>
[[gnu::noinline]] void multiply_keys(const tile_rows<P>& keys, index_t depth, const P* queries, T* scores,
                                     index_t stride, index_t padded_queries, const tile_edges& edges) noexcept {
  constexpr index_t lanes = kernels::lanes<T>;
  index_t q = 0;
  if (edges.whole) {
    for (; q + block_vectors * lanes <= padded_queries; q += block_vectors * lanes)
      block_products::score_columns<block_vectors>(q, keys, depth, queries, scores, stride, edges);
  }
  // On an edge the narrowest blocks skip most masked pairs.
  for (; q < padded_queries; q += lanes)
    block_products::score_columns<1>(q, keys, depth, queries, scores, stride, edges);
}

/// output[q][c] += sum over k of weights[k][q] * values[k][c]. A row of pairs holds two keys.
template <class P, class T>
[[gnu::noinline]] void add_values(const P* weights, index_t stride, const tile_rows<P>& values, index_t padded_columns,
                                  T* output, index_t output_stride, const tile_edges& edges) noexcept {
  using vector = kernels::vector<T>;
  constexpr index_t lanes = kernels::lanes<T>;
  constexpr index_t keys_a_row = std::is_same_v<P, T> ? 1 : 2;
  for_column_groups<T>(
      padded_columns, [&]<int N>(index_t c) __attribute__((always_inline)) {
        for_row_groups<block_rows(N)>(
            0, edges.num_queries, [&]<int M>(index_t q) __attribute__((always_inline)) {
              const auto seen = edges.keys_of(q, q + M);
              const index_t first = seen.first / keys_a_row, end = (seen.end + keys_a_row - 1) / keys_a_row;
              T* to = output + q * output_stride + c;
              multiply_block<M, N>(
                  weights + first * stride + q, std::integral_constant<index_t, 1>{}, stride,
                  values.data + first * values.stride + c, values.stride,
                  end - first, [&](int m, int n, vector sum) __attribute__((always_inline)) {
                    kernels::add_at(to + m * output_stride + n * lanes, sum);
                  });
            });
      });
}

}  // namespace posenc::inline POSENC_ISA::detail
