// The five products of a tile of the backward pass.
#pragma once

#include <posenc/attention/tile/register_block.hpp>
#include <posenc/attention/tile/visible_keys.hpp>

#include <bit>
#include <cstdint>
#include <type_traits>

namespace posenc::inline POSENC_ISA::detail {

// A tile is stored as [key][query] for all five products. In those with keys as rows, values and keys are broadcast in
// place, and the transposed queries are vectors; in those with tokens as rows, the tile itself is broadcast, by row or
// by column.
//
//     scores      S^T  = K Q^T            with scaled queries
//     gradients   dS^T = P^T * (V dO^T - delta)
//     add_to_keys dV  += P^T dO           and dK += dS^T Q
//     add_to_queries  dQ += dS K

/// Columns of a row of any operand, padded to whole vectors; and its stride, one vector more, so that rows with a power
/// of two of columns do not map to the same cache sets.
template <class T>
constexpr index_t padded_columns(index_t columns) noexcept {
  return (columns + kernels::lanes<T> - 1) / kernels::lanes<T> * kernels::lanes<T>;
}
template <class T>
constexpr index_t row_stride(index_t columns) noexcept {
  return padded_columns<T>(columns) + kernels::lanes<T>;
}
/// Stride of the rows of a tile and of the transposed queries.
template <class T>
inline constexpr index_t tile_stride = row_stride<T>(block_queries);

/// weight * gradient, or zero where the weight is zero: the gradient of a masked pair may have overflowed. Tests the
/// weight's bits, because fast math takes zero times anything for zero. It costs one comparison per vector, after as
/// many products as a value has columns.
template <class T>
kernels::vector<T> weighted(kernels::vector<T> weight, kernels::vector<T> gradient) noexcept {
  using bits = kernels::vector<std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>>;
  return std::bit_cast<bits>(weight) != 0 ? weight * gradient : kernels::vector<T>{};
}

/// Register blocks on the edge of the mask are narrower, so that less of their work is masked.
inline constexpr int edge_vectors = block_vectors < 2 ? block_vectors : 2;

template <class T, class Columns>
struct products_of {
  static_assert(block_queries % (block_vectors * kernels::lanes<T>) == 0);
  using vector = kernels::vector<T>;
  static constexpr index_t lanes = kernels::lanes<T>;
  static constexpr std::integral_constant<index_t, tile_stride<T>> stride{};
  static constexpr std::integral_constant<index_t, 1> one{};

  /// scores[k][q] = <keys[k], queries[q]>; `transposed` holds the queries as [column][query].
  static void scores(Columns columns, const T* keys, const T* transposed, T* scores, const tile_edges& edges) noexcept {
    for_keys_and_queries(
        edges, [&]<int M, int N>(index_t k, index_t q) __attribute__((always_inline)) {
          T* to = scores + k * stride + q;
          if (q == 0) prefetch_rows<M, 0>(keys + (k + block_keys) * row(columns), row(columns), columns);
          multiply_block<M, N>(
              keys + k * row(columns), row(columns), one, transposed + q, stride,
              columns, [&](int m, int n, vector sum) __attribute__((always_inline)) {
                kernels::store(to + m * stride + n * lanes, sum);
              });
        });
  }

  /// gradients[k][q] = weights[k][q] * (<values[k], d_out[q]> - delta[q])
  static void gradients(Columns columns, const T* values, const T* transposed, const T* weights, const T* delta,
                        T* gradients, const tile_edges& edges) noexcept {
    for_keys_and_queries(
        edges, [&]<int M, int N>(index_t k, index_t q) __attribute__((always_inline)) {
          const T* of = weights + k * stride + q;
          T* to = gradients + k * stride + q;
          if (q == 0) prefetch_rows<M, 0>(values + (k + block_keys) * row(columns), row(columns), columns);
          multiply_block<M, N>(
              values + k * row(columns), row(columns), one, transposed + q, stride,
              columns, [&](int m, int n, vector sum) __attribute__((always_inline)) {
                const vector less = sum - kernels::load<vector>(delta + q + n * lanes);
                kernels::store(to + m * stride + n * lanes,
                               weighted<T>(kernels::load<vector>(of + m * stride + n * lanes), less));
              });
        });
  }

  /// sums[k] += sum over q of tile[k][q] * rows[q]
  static void add_to_keys(Columns columns, const T* tile, const T* rows, T* sums, const tile_edges& edges) noexcept {
    for_column_groups<T>(
        columns, [&]<int N>(index_t c) __attribute__((always_inline)) {
          for_row_groups<block_rows(N)>(
              0, edges.num_keys, [&]<int M>(index_t k) __attribute__((always_inline)) {
                const auto queries = edges.queries_of(k, k + M);
                T* to = sums + k * row(columns) + c;
                if (edges.whole) prefetch_rows<M, 1>(to + block_keys * row(columns), row(columns), N * lanes);
                multiply_block<M, N>(
                    tile + k * stride + queries.first, stride, one, rows + queries.first * row(columns) + c,
                    row(columns),
                    queries.end - queries.first, [&](int m, int n, vector sum) __attribute__((always_inline)) {
                      kernels::add_at(to + m * row(columns) + n * lanes, sum);
                    });
              });
        });
  }

  /// sums[q] += sum over k of tile[k][q] * rows[k]
  static void add_to_queries(Columns columns, const T* tile, const T* rows, T* sums, const tile_edges& edges) noexcept {
    for_column_groups<T>(
        columns, [&]<int N>(index_t c) __attribute__((always_inline)) {
          for_row_groups<block_rows(N)>(
              0, edges.num_queries, [&]<int M>(index_t q) __attribute__((always_inline)) {
                const auto keys = edges.keys_of(q, q + M);
                T* to = sums + q * row(columns) + c;
                multiply_block<M, N>(
                    tile + keys.first * stride + q, one, stride, rows + keys.first * row(columns) + c, row(columns),
                    keys.end - keys.first, [&](int m, int n, vector sum) __attribute__((always_inline)) {
                      kernels::add_at(to + m * row(columns) + n * lanes, sum);
                    });
              });
        });
  }

 private:
  static constexpr auto row(Columns columns) noexcept {
    if constexpr (std::is_same_v<Columns, index_t>)
      return columns + lanes;
    else
      return std::integral_constant<index_t, Columns::value + lanes>{};
  }

  /// Register blocks that cover the unmasked pairs of a tile.
  template <class Block>
  [[gnu::always_inline]] static void for_keys_and_queries(const tile_edges& edges, Block block) noexcept {
    if (edges.whole)
      for_blocks<block_vectors>(edges, block);
    else
      for_blocks<edge_vectors>(edges, block);
  }
  template <int N, class Block>
  [[gnu::always_inline]] static void for_blocks(const tile_edges& edges, Block block) noexcept {
    for (index_t q = 0; q < block_queries; q += N * lanes) {
      const auto keys = edges.keys_of(q, q + N * lanes);
      for_row_groups<block_rows(N)>(
          keys.first,
          keys.end, [&]<int M>(index_t k) __attribute__((always_inline)) { block.template operator()<M, N>(k, q); });
    }
  }

  // Prefetches rows of the next tile: keys, values and their gradients are in L2 at best.
  template <int M, int Write, class Stride, class Count>
  [[gnu::always_inline]] static void prefetch_rows(const T* next, Stride stride_of_rows, Count count) noexcept {
    constexpr index_t line = kernels::line_bytes / static_cast<index_t>(sizeof(T));
    for (int m = 0; m < M; ++m) {
      for (index_t c = 0; c < count; c += line) __builtin_prefetch(next + m * stride_of_rows + c, Write, 2);
    }
  }
};

/// The products for a number of columns, chosen once per call; usual numbers are compile-time constants.
template <class T>
struct tile_products {
  void (*scores)(index_t, const T*, const T*, T*, const tile_edges&) noexcept;
  void (*gradients)(index_t, const T*, const T*, const T*, const T*, T*, const tile_edges&) noexcept;
  void (*add_to_keys)(index_t, const T*, const T*, T*, const tile_edges&) noexcept;
  void (*add_to_queries)(index_t, const T*, const T*, T*, const tile_edges&) noexcept;

  static tile_products of(index_t padded_columns) noexcept {
    if constexpr (std::is_same_v<T, float>) {
      switch (padded_columns) {
        case 64:
          return fixed<64>();
        case 80:
          return fixed<80>();
        case 96:
          return fixed<96>();
        case 128:
          return fixed<128>();
        case 256:
          return fixed<256>();
        default:
          break;
      }
    }
    using any = products_of<T, index_t>;
    return {any::scores, any::gradients, any::add_to_keys, any::add_to_queries};
  }

 private:
  template <index_t Columns>
  static tile_products fixed() noexcept {
    using constant = std::integral_constant<index_t, Columns>;
    using with = products_of<T, constant>;
    return {
        [](index_t, const T* keys, const T* queries, T* to, const tile_edges& edges) noexcept {
          with::scores(constant{}, keys, queries, to, edges);
        },
        [](index_t, const T* values, const T* d_out, const T* weights, const T* delta, T* to,
           const tile_edges& edges) noexcept { with::gradients(constant{}, values, d_out, weights, delta, to, edges); },
        [](index_t, const T* tile, const T* rows, T* sums, const tile_edges& edges) noexcept {
          with::add_to_keys(constant{}, tile, rows, sums, edges);
        },
        [](index_t, const T* tile, const T* rows, T* sums, const tile_edges& edges) noexcept {
          with::add_to_queries(constant{}, tile, rows, sums, edges);
        }};
  }
};

}  // namespace posenc::inline POSENC_ISA::detail
