// Memory of a worker of the backward pass, taken from the caller's workspace.
#pragma once

#include <posenc/attention/backward/distance_sums.hpp>
#include <posenc/attention/backward/products.hpp>
#include <posenc/attention/backward/products_of_parts.hpp>
#include <posenc/attention/options.hpp>
#include <posenc/hooks.hpp>

#include <algorithm>
#include <cstdint>
#include <new>
#include <utility>

namespace posenc::inline POSENC_ISA::detail {

/// A block of queries. All rows are `row_stride` apart and zero-padded.
template <class T>
struct query_memory {
  T* queries;             // [block_queries, head_dim]: scale * q
  T* queries_transposed;  // [head_dim, block_queries]
  T* query_gradients;     // [block_queries, head_dim], of scale * q
  T* d_out;               // [block_queries, value_dim]
  T* d_out_transposed;    // [value_dim, block_queries]
  T* minus_lse;           // [block_queries]
  T* delta;               // [block_queries]

  struct {
    T* queries;            // by row, for scores
    T* d_out;              // by row, for gradients
    T* queries_by_column;  // for sums over queries
    T* d_out_by_column;    // the same
    T* query_gradients;    // [head_dim, block_queries], from products of parts
  } split;                 // if products are of bf16 parts
};

/// Blocks of queries that process a tile of keys in turn: as many as fit L2, at most four, so that keys, values and
/// their gradients are read from L3 a quarter as often.
inline constexpr index_t max_walk = 4;
inline constexpr index_t walk_bytes = split_products<float>::exist ? 1536 << 10 : 768 << 10;

/// What is known about the numbers in a block of rows, from least to most; `ordinary` numbers are sums of bf16 parts.
enum class numbers { of_any_kind, finite, ordinary };

/// A worker's arrays, with rows as above.
template <class T>
struct backward_memory {
  // For a key-value head.
  T* keys;             // [num_keys, head_dim]
  T* values;           // [num_keys, value_dim]
  T* key_gradients;    // [num_keys, head_dim]
  T* value_gradients;  // [num_keys, value_dim]
  T* kinds;            // [ceil(num_keys / block_keys)]: `numbers` of the keys and values of a block

  // For a query head, by distance, if the bias depends on distance and there are not too many distances.
  T* bias_by_distance;
  T* sums_by_distance;

  query_memory<T> blocks[max_walk];

  // For a tile, [num_keys, block_queries] each.
  T* scores;           // later weights
  T* score_gradients;  // with a vector of zeros before the first and after every row
  T* before;           // scores before the encoding, if needed again
  position_t* key_positions;

  struct {
    T* keys;             // for scores
    T* values;           // for gradients
    T* transposed_keys;  // for sums over keys
    T* some;             // rows or columns of the tile
  } split;               // for a tile, if products are of bf16 parts

  T* scratch;     // of the encoding
  T* parameters;  // [num_parameters]
};

/// Sizes of these arrays, the same for all workers.
template <class T>
struct backward_sizes {
  static constexpr index_t lanes = kernels::lanes<T>;
  static_assert(alignof(position_t) <= alignof(T));
  static_assert(sizeof(position_t) <= sizeof(T));

  index_t num_keys = 0;
  index_t head_dim = 0;   // padded
  index_t value_dim = 0;  // padded
  distance_range distances;
  index_t walk = 1;  // blocks of queries
  index_t keys_in_tile = 0;
  bool keeps_before = false;
  bool by_parts = false;  // products of bf16 parts, where numbers are ordinary
  index_t scratch = 0;
  index_t num_parameters = 0;

  template <class E>
  backward_sizes(const positions& queries, const positions& keys, index_t columns_of_keys, index_t columns_of_values,
                 const E& encoding, double softcap) noexcept
      : num_keys(keys.size()),
        head_dim(padded_columns<T>(columns_of_keys)),
        value_dim(padded_columns<T>(columns_of_values)) {
    bool whole_rows = false;
    keeps_before = softcap > 0;
    num_parameters = hooks::num_parameters(encoding);
    if constexpr (score_encoding<E, T>) {
      if (hooks::has_distance_bias<T>(encoding)) distances = distance_range::of(queries, keys);
      if (distances.count == 0) {
        keeps_before = true;
        scratch = hooks::scratch_size(encoding, block_queries);
        whole_rows = scratch > 0 || hooks::reads_content(encoding);
      }
    }
    keys_in_tile = whole_rows ? std::max(block_keys, num_keys) : block_keys;
    by_parts = !whole_rows && queries.size() >= bf16_unit::min_queries_of_parts && split_products<T>::usable();
    const index_t blocks_in_cache = walk_bytes / (block_values() * static_cast<index_t>(sizeof(T)));
    const index_t num_blocks = (queries.size() + block_queries - 1) / block_queries;
    walk = whole_rows ? 1 : std::max<index_t>(1, std::min({blocks_in_cache, max_walk, num_blocks}));
  }

  /// Size of an array by distance, which tiles access in whole vectors.
  index_t values_by_distance() const noexcept {
    return distances.count > 0 ? distances.count + block_queries + lanes : 0;
  }
  /// Number of values per worker.
  index_t values_a_worker() const noexcept {
    index_t count = 0;
    cut([&](index_t values) {
      count += values;
      return static_cast<T*>(nullptr);
    });
    return count;
  }
  /// Number of values for all workers, with room for alignment.
  index_t values(index_t num_workers) const noexcept { return values_a_worker() * num_workers + lanes; }

  backward_memory<T> cut(T* memory) const noexcept {
    return cut([&](index_t values) { return std::exchange(memory, memory + values); });
  }

  /// The first vector-aligned address in the workspace.
  static T* aligned(T* memory) noexcept {
    constexpr auto bytes = static_cast<std::uintptr_t>(kernels::vector_bytes);
    const auto past = reinterpret_cast<std::uintptr_t>(memory) % bytes;
    return past == 0 ? memory : memory + (bytes - past) / sizeof(T);
  }

 private:
  index_t split_size(index_t across, index_t along) const noexcept {
    return by_parts ? split_products<T>::operand_size(across, along) : 0;
  }

  template <class Take>
  query_memory<T> cut_block(Take take) const noexcept {
    const index_t key_row = row_stride<T>(head_dim), value_row = row_stride<T>(value_dim);
    query_memory<T> m;
    m.queries = take(block_queries * key_row);
    m.queries_transposed = take(head_dim * tile_stride<T>);
    m.query_gradients = take(block_queries * key_row);
    m.d_out = take(block_queries * value_row);
    m.d_out_transposed = take(value_dim * tile_stride<T>);
    m.minus_lse = take(block_queries);
    m.delta = take(block_queries);
    m.split.queries = take(split_size(block_queries, head_dim));
    m.split.d_out = take(split_size(block_queries, value_dim));
    m.split.queries_by_column = take(split_size(head_dim, block_queries));
    m.split.d_out_by_column = take(split_size(value_dim, block_queries));
    m.split.query_gradients = take(by_parts ? head_dim * tile_stride<T> : 0);
    return m;
  }
  index_t block_values() const noexcept {
    index_t count = 0;
    cut_block([&](index_t values) {
      count += values;
      return static_cast<T*>(nullptr);
    });
    return count;
  }

  template <class Take>
  backward_memory<T> cut(Take take_values) const noexcept {
    const auto take = [&](index_t count) { return take_values(padded_columns<T>(count)); };
    const index_t key_row = row_stride<T>(head_dim), value_row = row_stride<T>(value_dim);
    backward_memory<T> m;
    const index_t num_blocks = (num_keys + block_keys - 1) / block_keys;
    const index_t num_rows = by_parts ? num_blocks * block_keys : num_keys;
    m.keys = take(num_rows * key_row);
    m.values = take(num_rows * value_row);
    m.key_gradients = take(num_rows * key_row);
    m.value_gradients = take(num_rows * value_row);
    m.kinds = take(num_blocks);
    m.bias_by_distance = take(values_by_distance());
    m.sums_by_distance = take(values_by_distance());
    for (index_t i = 0; i < walk; ++i) m.blocks[i] = cut_block(take);
    m.scores = take(keys_in_tile * tile_stride<T>);
    take(lanes);
    m.score_gradients = take(keys_in_tile * tile_stride<T>);
    m.before = take(keeps_before ? keys_in_tile * tile_stride<T> : 0);
    m.split.keys = take(split_size(block_keys, head_dim));
    m.split.values = take(split_size(block_keys, value_dim));
    m.split.transposed_keys = take(split_size(head_dim, block_keys));
    m.split.some = take(split_size(split_products<T>::rows_at_once, block_keys));
    T* key_positions = take(keys_in_tile);
    m.key_positions =
        key_positions != nullptr ? new (key_positions) position_t[static_cast<std::size_t>(keys_in_tile)] : nullptr;
    m.scratch = take(scratch);
    m.parameters = take(num_parameters);
    return m;
  }
};

}  // namespace posenc::inline POSENC_ISA::detail
