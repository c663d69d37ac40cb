// The block of queries and the tile of keys that `attend` is working on.
#pragma once

#include <posenc/attention/tile/bf16_pairs.hpp>
#include <posenc/attention/tile/block_products.hpp>  // tile_rows
#include <posenc/attention/tile/visible_keys.hpp>
#include <posenc/attention/tile_sizes.hpp>
#include <posenc/positions.hpp>

#include <cstdint>

namespace posenc::inline POSENC_ISA::detail {

/// A block of queries of one head.
template <real T, class E>
struct attend_block {
  index_t head;
  index_t first_query;
  std::uint64_t not_ordinary;  // a bit for each query that is not a sum of bf16 parts, or sees a key that is not
  bool has_output;             // false: the output memory is not initialized yet
  visible_keys visible;
  typename tile_memory<T>::block memory_of;
  position_t query_positions[max_block];

  index_t num_queries() const noexcept { return visible.num_queries(); }
  index_t padded_queries() const noexcept { return tile_sizes<T, E>::padded_queries(num_queries()); }
};

/// Keys [first, first + count) and their values in the compute type.
template <real T>
struct key_tile {
  index_t first;
  index_t count;
  bool keys_loaded;
  bool values_loaded;
  tile_rows<T> keys;
  tile_rows<T> values;
  pair_rows key_pairs;              // used instead of `keys` if bf16 is multiplied in pairs
  std::uint64_t keys_not_ordinary;  // a bit for each row that is not a sum of bf16 parts
  std::uint64_t values_not_ordinary;
  std::uint64_t values_not_finite;  // a bit for each such row, which is zeroed; set only by the careful walk
  position_t key_positions[max_block];
};

}  // namespace posenc::inline POSENC_ISA::detail
