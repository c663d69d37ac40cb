// The same products of floats on AMX, with every operand split into three bf16 parts.
#pragma once

#include <posenc/attention/backward/products.hpp>
#include <posenc/attention/tile/bf16_unit.hpp>
#include <posenc/attention/tile/transposed_queries.hpp>

#include <algorithm>
#include <type_traits>

namespace posenc::inline POSENC_ISA::detail {

/// Does not exist without AMX.
template <class T>
struct split_products {
  static constexpr bool exist = false;
  static bool usable() noexcept { return false; }
  static constexpr index_t rows_at_once = 0;
  static constexpr index_t operand_size(index_t, index_t) noexcept { return 0; }
};

#if defined(POSENC_BF16_TILES)

// Operands are split as rows or as columns, both of which run along the summed dimension:
//
//     scores          S^T   = K Q^T         keys by row              transposed queries by column
//     gradients       dP^T  = V dO^T        values by row            transposed d_out by column
//     add_to_keys     dV   += P^T dO        weights by row           d_out by column
//                     dK   += dS^T Q        gradients by row         queries by column
//     add_to_queries  dQ^T += K^T dS^T      transposed keys by row   gradients by column

/// Rows or columns of a matrix of floats, split into bf16 parts. Along the summed dimension, numbers sixteen apart form
/// a pair, so that both are split lane by lane. Squares of sixteen rows and sixteen pairs are contiguous.
class split_operand {
 public:
  static constexpr int num_parts = 3;
  static constexpr index_t side = pair_rows::side;
  static constexpr index_t depth = 2 * side;  // numbers of a square along the summed dimension

  /// `across` rows or columns, a multiple of `side`, of `along` numbers each, in memory of `size(across, along)`
  /// floats.
  split_operand(float* memory, index_t across, index_t along) noexcept
      : pairs_(reinterpret_cast<bf16_pair*>(memory)), stride_(pairs_along(along)), part_stride_(across * stride_) {}

  static constexpr index_t size(index_t across, index_t along) noexcept {
    return num_parts * across * pairs_along(along);
  }

  /// Rows or columns from `first` on, a multiple of `side`.
  pair_rows rows(index_t first) const noexcept { return {pairs_ + first * stride_, stride_, part_stride_, true}; }
  pair_columns columns(index_t first) const noexcept {
    return {pairs_ + first * stride_, side, side * stride_, part_stride_};
  }
  index_t num_pairs() const noexcept { return stride_; }

  template <bool Asked>
  void split_rows(const float* rows, index_t row_stride, index_t num_rows, index_t num_columns,
                  ordinary_so_far<Asked>& ordinary) const noexcept {
    for (index_t r = 0; r < num_rows; ++r) {
      const float* row = rows + r * row_stride;
      bf16_pair* const to = square(r, 0) + r % side * side;
      for (index_t c = 0; c < num_columns; c += depth)
        split(row + c, c + side < num_columns ? row + c + side : nullptr, to + c * (side / 2), ordinary);
    }
  }

  void split_rows(const float* rows, index_t row_stride, index_t num_rows, index_t num_columns) const noexcept {
    ordinary_so_far<false> never_asked;
    split_rows(rows, row_stride, num_rows, num_columns, never_asked);
  }

  /// Splits the columns of the matrix as rows, which run along the summed dimension.
  void split_transposed(const float* rows, index_t row_stride, index_t num_rows, index_t num_columns) const noexcept {
    float lower[side * side], upper[side * side];
    for (index_t r = 0; r < num_rows; r += depth) {
      for (index_t c = 0; c < num_columns; c += side) {
        transpose_square(rows + r * row_stride + c, row_stride, 1.0F, lower, side);
        if (r + side < num_rows)
          transpose_square(rows + (r + side) * row_stride + c, row_stride, 1.0F, upper, side);
        else
          std::fill_n(upper, side * side, 0.0F);
        ordinary_so_far<false> never_asked;
        for (index_t i = 0; i < side; ++i)
          split(lower + i * side, upper + i * side, square(c, r) + i * side, never_asked);
      }
    }
  }

  template <bool Asked>
  void split_columns(const float* rows, index_t row_stride, index_t num_rows, index_t num_columns,
                     ordinary_so_far<Asked>& ordinary) const noexcept {
    for (index_t r = 0; r < num_rows; r += depth) {
      const bool alone = r + side >= num_rows;
      for (index_t i = 0; i < side; ++i) {
        const float* row = rows + (r + i) * row_stride;
        for (index_t c = 0; c < num_columns; c += side)
          split(row + c, alone ? nullptr : row + side * row_stride + c, square(c, r) + i * side, ordinary);
      }
    }
  }
  void split_columns(const float* rows, index_t row_stride, index_t num_rows, index_t num_columns) const noexcept {
    ordinary_so_far<false> never_asked;
    split_columns(rows, row_stride, num_rows, num_columns, never_asked);
  }

 private:
  static constexpr index_t pairs_along(index_t along) noexcept { return (along + depth - 1) / depth * side; }

  bf16_pair* square(index_t across, index_t along) const noexcept {
    return pairs_ + across / side * side * stride_ + along / depth * side * side;
  }

  template <bool Asked>
  [[gnu::always_inline]] void split(const float* lower, const float* upper, bf16_pair* to,
                                    ordinary_so_far<Asked>& ordinary) const noexcept {
    using vector = kernels::vector<float>;
    vector first = kernels::load<vector>(lower), second = upper != nullptr ? kernels::load<vector>(upper) : vector{};
    ordinary.see(first);
    ordinary.see(second);
#pragma GCC unroll 3
    for (int p = 0; p < num_parts; ++p) kernels::store(to + p * part_stride_, take_upper_halves(first, second));
  }

  bf16_pair* pairs_;
  index_t stride_;  // pairs per row
  index_t part_stride_;
};

template <>
struct split_products<float> {
  static constexpr bool exist = true;
  static bool usable() noexcept { return bf16_unit::usable(); }
  static constexpr index_t operand_size(index_t across, index_t along) noexcept {
    return split_operand::size(across, along);
  }

  static constexpr index_t side = split_operand::side, depth = split_operand::depth;
  static constexpr int parts = split_operand::num_parts;
  static constexpr index_t rows_at_once = 2 * side;
  static_assert(block_keys == block_queries);

  /// Returns a loop that calls f(k) for every `side` of pairs in [first, end).
  static auto along(index_t first, index_t end) noexcept {
    return [ first, end ](auto f) __attribute__((always_inline)) {
      for (index_t k = first; k < end; k += side) f(k);
    };
  }

  /// tile[k][q] = <rows[k], columns[q]>: scores, or gradients of weights.
  [[gnu::noinline]] static void of_pairs(const split_operand& rows, const split_operand& columns, float* tile,
                                         const tile_edges& edges) noexcept {
    using namespace matrix_products;
    constexpr index_t stride = tile_stride<float>;
    const auto all = along(0, rows.num_pairs());
    for_sides(
        0, block_queries, [&]<int N>(index_t q) __attribute__((always_inline)) {
          const auto keys = edges.keys_of(q, q + N * side);
          for_sides(
              keys.first / side * side, keys.end, [&]<int M>(index_t k) __attribute__((always_inline)) {
                multiply<M, N, parts, parts>(rows.rows(k), columns.columns(q), all, false, tile + k * stride + q,
                                             stride);
              });
        });
  }

  // A tile is split while it is multiplied, two sides at a time in the same memory, which then stays in L1.

  /// sums[k] += sum over q of tile[k][q] * rows[q]
  [[gnu::noinline]] static void add_to_keys(const float* tile, float* memory, const split_operand& rows,
                                            index_t num_columns, float* sums, const tile_edges& edges) noexcept {
    using namespace matrix_products;
    const index_t stride = row_stride<float>(num_columns);
    for_sides(
        0, edges.num_keys, [&]<int M>(index_t k) __attribute__((always_inline)) {
          const split_operand some(memory, M * side, block_queries);
          some.split_rows(tile + k * tile_stride<float>, tile_stride<float>, M * side, block_queries);
          const auto queries = edges.queries_of(k, std::min(k + M * side, edges.num_keys));
          const auto seen = along(queries.first / depth * side, pairs_of(queries.end));
          for_sides(
              0, num_columns, [&]<int N>(index_t c) __attribute__((always_inline)) {
                multiply<M, N, parts, parts>(some.rows(0), rows.columns(c), seen, true, sums + k * stride + c, stride);
              });
        });
  }

  /// sums[c][q] += sum over k of transposed[c][k] * tile[k][q]
  [[gnu::noinline]] static void add_to_queries(const split_operand& transposed, const float* tile, float* memory,
                                               index_t num_columns, float* sums, const tile_edges& edges) noexcept {
    using namespace matrix_products;
    constexpr index_t stride = tile_stride<float>;
    for_sides(
        0, block_queries, [&]<int N>(index_t q) __attribute__((always_inline)) {
          const split_operand some(memory, N * side, block_keys);
          some.split_columns(tile + q, stride, block_keys, N * side);
          const auto keys = edges.keys_of(q, q + N * side);
          const auto seen = along(keys.first / depth * side, pairs_of(keys.end));
          for_sides(
              0, num_columns, [&]<int M>(index_t c) __attribute__((always_inline)) {
                multiply<M, N, parts, parts>(transposed.rows(c), some.columns(0), seen, true, sums + c * stride + q,
                                             stride);
              });
        });
  }
};

#endif

}  // namespace posenc::inline POSENC_ISA::detail
