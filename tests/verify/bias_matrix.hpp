// What an encoding adds to scores, as a matrix, through the hook that attention calls.
#pragma once

#include "tensor.hpp"

#include <posenc/hooks.hpp>

#include <span>
#include <vector>

namespace verify {

/// Whether ids count up by one.
bool consecutive(std::span<const position_t> ids);

/// Scores [num_queries, num_keys] as a tile that encodings may add to.
template <posenc::real T>
posenc::score_tile<T> tile_of(T* scores, std::span<const position_t> queries, std::span<const position_t> keys) {
  posenc::score_tile<T> tile;
  tile.scores = scores;
  tile.query_stride = std::ssize(keys);
  tile.key_stride = 1;
  tile.num_queries = std::ssize(queries);
  tile.num_keys = std::ssize(keys);
  tile.query_positions = queries.data();
  tile.key_positions = keys.data();
  tile.consecutive = consecutive(queries) && consecutive(keys);
  return tile;
}

/// [num_heads, num_queries, num_keys], added to scores of zero.
template <posenc::real T, class E>
std::vector<T> bias_matrix(const E& encoding, index_t num_heads, std::span<const position_t> queries,
                           std::span<const position_t> keys) {
  const index_t num_queries = std::ssize(queries);
  const index_t num_keys = std::ssize(keys);
  const posenc::score_shape shape{.num_queries = num_queries, .num_keys = num_keys, .num_heads = num_heads};
  posenc::raise_if(
      posenc::hooks::check_scores<T>(encoding, shape, posenc::positions(queries), posenc::positions(keys)));
  std::vector<T> scores(static_cast<std::size_t>(num_heads * num_queries * num_keys), T(0));
  std::vector<T> scratch(static_cast<std::size_t>(posenc::hooks::scratch_size(encoding, num_queries)));
  for (index_t head = 0; head < num_heads; ++head) {
    posenc::score_tile<T> tile = tile_of(scores.data() + head * num_queries * num_keys, queries, keys);
    tile.head = head;
    tile.scratch = scratch.data();
    posenc::score_tile<T> before_keys = tile;
    before_keys.num_keys = 0;
    posenc::hooks::begin(encoding, before_keys);
    posenc::hooks::add_to_scores(encoding, tile);
  }
  return scores;
}

}  // namespace verify
