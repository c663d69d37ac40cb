// A tile of the backward pass, computed with products of bf16 parts.
#pragma once

#include <posenc/attention/backward/memory.hpp>
#include <posenc/attention/backward/products_of_parts.hpp>
#include <posenc/attention/backward/weights.hpp>
#include <posenc/attention/tile/visible_keys.hpp>

#include <algorithm>

namespace posenc::inline POSENC_ISA::detail {

/// Keys [first, first + count) and a block of queries: scores, which become weights, and their gradients.
template <class T>
struct tile_part {
  index_t first, count;
  T* scores;
  T* gradients;
  T* before;
};

/// Never called without AMX.
template <class T>
struct tile_by_parts {
  const backward_sizes<T>& sizes;
  const backward_memory<T>& memory;

  numbers split_keys(key_range) const noexcept { return numbers::finite; }
  numbers split_queries(const query_memory<T>&) const noexcept { return numbers::finite; }
  void score(const query_memory<T>&, const tile_part<T>&, const tile_edges&) const noexcept {}
  void weigh(const query_memory<T>&, const T*, const tile_part<T>&, const tile_edges&) const noexcept {}
  void multiply(const query_memory<T>&, const tile_part<T>&, const tile_edges&) const noexcept {}
};

#if defined(POSENC_BF16_TILES)

template <>
struct tile_by_parts<float> {
  const backward_sizes<float>& sizes;
  const backward_memory<float>& memory;

  // Input of the splits is finite; whether it is also ordinary is detected while splitting.

  /// Splits a tile of keys and values, zero-padded to whole squares.
  numbers split_keys(key_range tile) const noexcept {
    const index_t key_row = row_stride<float>(sizes.head_dim), value_row = row_stride<float>(sizes.value_dim);
    const float* const keys = memory.keys + tile.first * key_row;
    const float* const values = memory.values + tile.first * value_row;
    const index_t behind = tile.first + block_keys - tile.end;
    std::fill_n(memory.keys + tile.end * key_row, behind * key_row, 0.0F);
    std::fill_n(memory.values + tile.end * value_row, behind * value_row, 0.0F);
    ordinary_so_far<true> ordinary;
    split_keys_of_tile().split_rows(keys, key_row, block_keys, sizes.head_dim, ordinary);
    split_values_of_tile().split_rows(values, value_row, block_keys, sizes.value_dim, ordinary);
    transposed_keys_of_tile().split_transposed(keys, key_row, block_keys, sizes.head_dim);
    return ordinary.all() ? numbers::ordinary : numbers::finite;
  }

  numbers split_queries(const query_memory<float>& m) const noexcept {
    ordinary_so_far<true> ordinary;
    const auto split_both = [&](const float* rows, const float* transposed, index_t columns, float* for_pairs,
                                float* for_keys) {
      split_operand(for_pairs, block_queries, columns)
          .split_columns(transposed, tile_stride<float>, columns, block_queries, ordinary);
      split_operand(for_keys, columns, block_queries)
          .split_columns(rows, row_stride<float>(columns), block_queries, columns, ordinary);
    };
    split_both(m.queries, m.queries_transposed, sizes.head_dim, m.split.queries, m.split.queries_by_column);
    split_both(m.d_out, m.d_out_transposed, sizes.value_dim, m.split.d_out, m.split.d_out_by_column);
    return ordinary.all() ? numbers::ordinary : numbers::finite;
  }

  void score(const query_memory<float>& m, const tile_part<float>& part, const tile_edges& edges) const noexcept {
    products::of_pairs(split_keys_of_tile(), {m.split.queries, block_queries, sizes.head_dim}, part.scores, edges);
  }

  /// Turns scores, plus the bias if not null, into weights, and computes the gradients of the scores.
  void weigh(const query_memory<float>& m, const float* bias, const tile_part<float>& part,
             const tile_edges& edges) const noexcept {
    to_weights(part.scores, bias, m.minus_lse, edges);
    products::of_pairs(split_values_of_tile(), {m.split.d_out, block_queries, sizes.value_dim}, part.gradients, edges);
    through_softmax(part.gradients, part.scores, m.delta, part.count);
  }

  void multiply(const query_memory<float>& m, const tile_part<float>& part, const tile_edges& edges) const noexcept {
    constexpr index_t stride = tile_stride<float>;
    std::fill_n(part.scores + part.count * stride, (block_keys - part.count) * stride, 0.0F);
    std::fill_n(part.gradients + part.count * stride, (block_keys - part.count) * stride, 0.0F);
    products::add_to_keys(part.scores, memory.split.some, {m.split.d_out_by_column, sizes.value_dim, block_queries},
                          sizes.value_dim, memory.value_gradients + part.first * row_stride<float>(sizes.value_dim),
                          edges);
    products::add_to_keys(part.gradients, memory.split.some, {m.split.queries_by_column, sizes.head_dim, block_queries},
                          sizes.head_dim, memory.key_gradients + part.first * row_stride<float>(sizes.head_dim), edges);
    products::add_to_queries(transposed_keys_of_tile(), part.gradients, memory.split.some, sizes.head_dim,
                             m.split.query_gradients, edges);
  }

 private:
  using products = split_products<float>;

  split_operand split_keys_of_tile() const noexcept { return {memory.split.keys, block_keys, sizes.head_dim}; }
  split_operand split_values_of_tile() const noexcept { return {memory.split.values, block_keys, sizes.value_dim}; }
  split_operand transposed_keys_of_tile() const noexcept {
    return {memory.split.transposed_keys, sizes.head_dim, block_keys};
  }
};

#endif

}  // namespace posenc::inline POSENC_ISA::detail
