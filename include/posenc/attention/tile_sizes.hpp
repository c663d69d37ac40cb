// Memory that a worker of `attend` needs, and the largest blocks that fit into what it has.
#pragma once

#include <posenc/attention/key_source.hpp>
#include <posenc/attention/options.hpp>
#include <posenc/attention/tile/bf16_unit.hpp>
#include <posenc/attention/tile/transposed_queries.hpp>
#include <posenc/attention/tile/visible_keys.hpp>  // block_queries, block_keys
#include <posenc/hooks.hpp>
#include <posenc/kernels/vectors.hpp>

#include <algorithm>
#include <concepts>
#include <utility>

namespace posenc::inline POSENC_ISA::detail {

/// Largest number of rows and columns of a tile: 64 x 64 scores stay in L1.
inline constexpr index_t max_block = 64;

/// Up to 512 queries share a loaded tile, which cuts the cost of loading to an eighth. Their blocks have to stay in L2,
/// which is smaller where vectors are narrower.
inline constexpr index_t queries_at_once = 512;
inline constexpr index_t max_blocks_at_once = queries_at_once / std::min(max_block, bf16_unit::max_queries);
inline constexpr index_t bytes_at_once = kernels::vector_bytes >= 64 ? 768 << 10 : 192 << 10;

/// Largest number of key tiles that a block of queries meets before it adds their values.
inline constexpr index_t max_tiles_at_once = bf16_unit::max_tiles_at_once;

/// Memory on a worker's stack if the caller gives no workspace.
inline constexpr index_t stack_bytes = 64 << 10;
template <real T>
inline constexpr index_t stack_values = stack_bytes / static_cast<index_t>(sizeof(T));

struct block_sizes {
  index_t num_queries = 0;
  index_t num_keys = 0;
  index_t blocks_at_once = 1;
  index_t tiles_at_once = 1;
  bool tabulates = false;  // the bias of a head by distance
};

/// The arrays in a worker's memory.
template <real T>
struct tile_memory {
  struct block {
    T* queries;  // [head_dim, queries]: scale * q; rows are `query_stride` apart
    T* output;   // sums of exp(score - largest) * value; see block_output.hpp
    T* largest;  // [queries]
    T* sum;      // [queries]
    T* factor;   // [queries]
    T* scratch;  // for the encoding
  };
  block blocks[max_blocks_at_once];
  T* scores[2];         // [keys, queries]; the second for a tile that is met meanwhile
  T* weight_pairs[2];   // [tiles, keys / 2, queries] of two bf16; the second likewise
  T* keys;              // [tiles, keys, head_dim]
  T* values;            // [tiles, keys, value_dim]
  T* some_rows;         // temporary: queries or outputs to transpose, or a row of values
  T* table_head;        // one value: the head that the table is for
  T* bias_by_distance;  // indexed by place
};

template <real T, class E>
class tile_sizes {
 public:
  static constexpr index_t lanes = kernels::lanes<T>;
  /// Each array of a worker begins on a cache line, or neighbors would share lines.
  static constexpr index_t lanes_a_line = kernels::line_bytes / static_cast<index_t>(sizeof(T));

  index_t num_queries = 0;  // of the call
  index_t num_keys = 0;
  index_t head_dim = 0;
  index_t value_dim = 0;
  const E* encoding = nullptr;
  bool in_pairs = false;  // bf16 is multiplied in pairs
  struct {                // number of bf16 parts per operand: 1 for bf16, 2 for f16, 3 for float
    int of_queries = 1, of_keys = 1, of_values = 1, of_weights = 1;
  } parts;

  static constexpr index_t padded(index_t count) noexcept { return padded_to(lanes, count); }
  static constexpr index_t padded_to(index_t step, index_t count) noexcept { return (count + step - 1) / step * step; }
  /// Queries are transposed a few at a time, which can be more than a vector has lanes.
  static constexpr index_t padded_queries(index_t count) noexcept {
    return padded((count + turned_rows - 1) / turned_rows * turned_rows);
  }
  /// Stride of copied rows: padded with zeros to whole vectors, plus a line where rows would otherwise all begin in the
  /// same few cache sets.
  static constexpr index_t row_stride(index_t columns) noexcept {
    const index_t stride = padded(columns);
    return stride % (256 / static_cast<index_t>(sizeof(T))) == 0 ? stride + lanes_a_line : stride;
  }
  /// Whether operands are sums of several bf16. Products then take longer than a softmax, which overlaps them.
  bool in_parts() const noexcept { return std::max({parts.of_queries, parts.of_keys, parts.of_values}) > 1; }
  /// Size of a row of keys or of a query's column, in values of T or in pairs.
  index_t row_size() const noexcept {
    return in_pairs ? padded_to(bf16_unit::pairs_at_once, pairs_of(head_dim)) : head_dim;
  }
  /// Rows of keys and values, including the zeros that products in pairs read.
  index_t padded_keys(index_t count) const noexcept {
    return in_pairs ? padded_to(2 * bf16_unit::pairs_at_once, count) : count;
  }
  /// Whether outputs are stored as one column per query.
  bool sums_columns() const noexcept { return in_pairs && bf16_unit::sums_columns; }
  /// Size of the table by distance: padded queries and whole vectors are read beyond the last distance.
  index_t table_size() const noexcept {
    if constexpr (score_encoding<E, T>) {
      if (hooks::has_distance_bias<T>(*encoding)) return padded(num_queries + num_keys + max_block + lanes);
    }
    return 0;
  }

  tile_memory<T> cut(T* memory, const block_sizes& block) const noexcept {
    return cut(block, [&](index_t values) { return std::exchange(memory, memory + values); });
  }
  /// Number of values that a worker needs for blocks of these sizes, including alignment to a cache line.
  index_t values_with(const block_sizes& block) const noexcept {
    index_t count = lanes_a_line;
    cut(block, [&](index_t values) {
      count += values;
      return static_cast<T*>(nullptr);
    });
    return count;
  }

  /// The sizes to use if memory allows.
  block_sizes largest() const noexcept {
    block_sizes b;
    b.num_queries = std::clamp<index_t>(num_queries, 1, in_pairs ? bf16_unit::max_queries : max_block);
    b.num_keys = std::clamp<index_t>(num_keys, 1, max_block);
    b.tabulates = table_size() > 0;
    // Outputs of whole bf16 are read and written once for several tiles; those of parts, beside a softmax.
    const index_t num_tiles = (num_keys + max_block - 1) / max_block;
    b.tiles_at_once = !in_pairs || in_parts() ? 1 : std::clamp<index_t>(num_tiles, 1, max_tiles_at_once);
    block_sizes with_two = b;
    with_two.blocks_at_once = 2;
    const index_t bytes_a_block = (values_with(with_two) - values_with(b)) * static_cast<index_t>(sizeof(T));
    b.blocks_at_once = std::clamp<index_t>(bytes_at_once / std::max<index_t>(1, bytes_a_block), 1,
                                           queries_at_once / (in_pairs ? bf16_unit::max_queries : max_block));
    return b;
  }
  block_sizes least() const noexcept {
    block_sizes b;
    b.num_queries = b.num_keys = 1;
    return b;
  }

  /// The largest blocks that fit; zero queries if none do.
  block_sizes fit(index_t available) const noexcept {
    block_sizes b = largest();
    while (values_with(b) > available) {
      if (b.blocks_at_once > 1)
        --b.blocks_at_once;
      else if (b.tiles_at_once > 1)
        --b.tiles_at_once;
      else if (b.tabulates)
        b.tabulates = false;
      else if (b.num_keys > lanes || (b.num_keys > 1 && b.num_queries <= lanes))
        b.num_keys = (b.num_keys + 1) / 2;
      else if (b.num_queries > 1)
        b.num_queries = (b.num_queries + 1) / 2;
      else
        return {};
    }
    return b;
  }

  static index_t values_a_worker(const run_options<T>& run) noexcept {
    return run.workspace.empty() ? stack_values<T> : std::ssize(run.workspace) / run.threads.num_workers();
  }

  problem check(const run_options<T>& run) const noexcept {
    if (run.threads.num_workers() < 1)
      return problem::invalid("attend", "run.threads.num_workers()", run.threads.num_workers(), "at least 1");
    const index_t available = values_a_worker(run);
    if (fit(available).num_queries > 0) return {};
    return problem::invalid(
        "attend",
        run.workspace.empty() ? "run.workspace (none given, so the stack's)" : "run.workspace (for each worker)",
        available, "at least # values; workspace_size tells", values_with(least()));
  }

 private:
  template <class Take>
  tile_memory<T> cut(const block_sizes& block, Take take_values) const noexcept {
    const auto take = [&](index_t count) { return take_values(padded_to(lanes_a_line, count)); };
    const index_t columns = padded_queries(block.num_queries), query_stride = row_stride(columns);
    const index_t num_rows = padded_keys(block.num_keys);
    tile_memory<T> m;
    for (index_t i = 0; i < block.blocks_at_once; ++i) {
      m.blocks[i].queries = take(parts.of_queries * row_size() * query_stride);
      m.blocks[i].output =
          take(sums_columns() ? padded(value_dim) * query_stride : block.num_queries * row_stride(value_dim));
      m.blocks[i].largest = take(columns);
      m.blocks[i].sum = take(columns);
      m.blocks[i].factor = take(columns);
      m.blocks[i].scratch = take(hooks::scratch_size(*encoding, block.num_queries));
    }
    for (int i = 0; i < 2; ++i) {
      const bool used = i == 0 || in_parts();
      m.scores[i] = take(used ? num_rows * query_stride : 0);
      m.weight_pairs[i] =
          take(used && in_pairs ? parts.of_weights * block.tiles_at_once * num_rows / 2 * query_stride : 0);
    }
    m.keys = take(block.tiles_at_once * parts.of_keys * num_rows * row_stride(row_size()));
    m.values =
        take(block.tiles_at_once * parts.of_values * (in_pairs ? num_rows / 2 : num_rows) * row_stride(value_dim));
    m.some_rows = take(
        std::max(in_pairs ? 0 : turned_rows * padded(row_size()), (sums_columns() ? lanes : 1) * padded(value_dim)));
    m.table_head = take(block.tabulates ? 1 : 0);
    m.bias_by_distance = take(block.tabulates ? table_size() : 0);
    return m;
  }
};

/// The output type O defaults to Q. `by_parts` permits products of bf16.
template <class Q, class O = Q, class K, class V, class E>
auto tile_sizes_of(index_t num_queries, index_t head_dim, const K& keys, const V& values, const E& encoding,
                   bool by_parts = true) noexcept {
  using q_t = std::remove_const_t<Q>;
  using o_t = std::remove_const_t<O>;
  tile_sizes<compute_t<Q>, E> sizes;
  sizes.num_queries = num_queries;
  sizes.num_keys = keys.num_tokens;
  sizes.head_dim = head_dim;
  sizes.value_dim = values.head_dim;
  sizes.encoding = &encoding;
  if constexpr (std::same_as<compute_t<Q>, float> &&
                bf16_unit::multiplies<q_t, key_element_t<K>, key_element_t<V>, o_t>) {
    if (!by_parts || hooks::reads_content(encoding) || !bf16_unit::usable()) return sizes;
    sizes.parts = {num_parts<q_t>, num_parts<key_element_t<K>>, num_parts<key_element_t<V>>, num_parts<o_t>};
    sizes.in_pairs = !sizes.in_parts() || num_queries >= bf16_unit::min_queries_of_parts;
    if (!sizes.in_pairs) sizes.parts = {};
  }
  return sizes;
}

/// Sizes of a call: without products of bf16, which need more memory, if the workspace is too small for them.
template <class Q, class O, class K, class V, class E, real T>
auto tile_sizes_of_call(index_t num_queries, index_t head_dim, const K& keys, const V& values, const E& encoding,
                        const run_options<T>& run, bool by_parts = true) noexcept {
  const auto sizes = tile_sizes_of<Q, O>(num_queries, head_dim, keys, values, encoding, by_parts);
  if (!sizes.in_pairs || run.threads.num_workers() < 1 || sizes.fit(sizes.values_a_worker(run)).num_queries > 0)
    return sizes;
  return tile_sizes_of<Q, O>(num_queries, head_dim, keys, values, encoding, false);
}

}  // namespace posenc::inline POSENC_ISA::detail
