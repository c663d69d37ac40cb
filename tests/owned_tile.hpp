// A tile of scores with its own memory, in either orientation, with gaps where the strides allow them.
#pragma once

#include <posenc/score_tile.hpp>

#include <vector>

enum class contiguous { queries, keys };

/// Scores are zeros and positions are indices, until a test changes them.
template <class T>
struct owned_tile {
  owned_tile(contiguous along, posenc::index_t num_queries, posenc::index_t num_keys, posenc::index_t head_dim = 0) {
    const bool by_query = along == contiguous::keys;
    tile.num_queries = num_queries;
    tile.num_keys = num_keys;
    tile.query_stride = by_query ? num_keys + 3 : 1;
    tile.key_stride = by_query ? 1 : num_queries + 3;
    scores.assign(static_cast<std::size_t>((num_queries + 3) * (num_keys + 3)), T(0));
    tile.scores = scores.data();
    for (posenc::position_t i = 0; i < num_queries; ++i) query_positions.push_back(i);
    for (posenc::position_t i = 0; i < num_keys; ++i) key_positions.push_back(i);
    tile.query_positions = query_positions.data();
    tile.key_positions = key_positions.data();
    tile.head_dim = head_dim;
    tile.query_token_stride = by_query ? head_dim + 2 : 1;
    tile.query_dim_stride = by_query ? 1 : num_queries + 2;
    queries.assign(static_cast<std::size_t>((num_queries + 2) * (head_dim + 2)), T(0));
    tile.queries = queries.data();
  }
  owned_tile(const owned_tile&) = delete;
  owned_tile& operator=(const owned_tile&) = delete;

  T& query(posenc::index_t q, posenc::index_t d) {
    return queries.data()[q * tile.query_token_stride + d * tile.query_dim_stride];
  }

  std::vector<T> scores;
  std::vector<T> queries;
  std::vector<posenc::position_t> query_positions;
  std::vector<posenc::position_t> key_positions;
  posenc::score_tile<T> tile;
};
