// A tile with its own random queries and keys, for encodings that read content.
#pragma once

#include "owned_tile.hpp"
#include "random_values.hpp"

#include <posenc/hooks.hpp>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

template <class T>
struct content_tile : owned_tile<T> {
  content_tile(random_values& random, contiguous along, posenc::index_t num_queries, posenc::index_t num_keys,
               posenc::index_t head_dim)
      : owned_tile<T>(along, num_queries, num_keys, head_dim) {
    for (T& number : this->queries) number = static_cast<T>(random.real());
    this->tile.key_token_stride = head_dim + 1;
    keys = random.list<T>(num_keys * (head_dim + 1));
    this->tile.keys = keys.data();
    this->tile.scale = T(0.375);
  }

  /// The product, in double, of a query (scaled) or a key with a row of the tile's width.
  template <class R>
  double product_of_query(posenc::index_t q, const R* row) const {
    double sum = 0;
    for (posenc::index_t d = 0; d < this->tile.head_dim; ++d)
      sum += static_cast<double>(this->tile.query(q, d)) * static_cast<double>(row[d]);
    return sum;
  }
  template <class R>
  double product_of_key(posenc::index_t k, const R* row) const {
    double sum = 0;
    for (posenc::index_t d = 0; d < this->tile.head_dim; ++d)
      sum += static_cast<double>(this->tile.key(k, d)) * static_cast<double>(row[d]);
    return sum;
  }

  std::vector<T> keys;
};

/// Adds the encoding to tiles of many shapes, consecutive and not, and compares with `expected(tile, q, k)`.
template <class T, class E, class Expected>
bool adds_to_every_tile(const E& encoding, posenc::index_t head_dim, Expected expected) {
  random_values random(5);
  for (const auto along : {contiguous::queries, contiguous::keys}) {
    // More than a block of 64, less than a vector, one query of a decoding step.
    for (const auto& [num_queries, num_keys] :
         {std::pair{70, 133}, std::pair{3, 5}, std::pair{1, 90}, std::pair{67, 1}}) {
      for (const int first : {-40, 0, 60}) {
        for (const bool consecutive : {true, false}) {
          content_tile<T> block(random, along, num_queries, num_keys, head_dim);
          block.tile.consecutive = consecutive;
          block.tile.head = 1;
          for (posenc::position_t& p : block.query_positions) p = first + (consecutive ? p : 5 * (p % 7));
          posenc::hooks::add_to_scores(encoding, block.tile);
          for (posenc::index_t q = 0; q < num_queries; ++q) {
            for (posenc::index_t k = 0; k < num_keys; ++k) {
              const double want = expected(block, q, k);
              // For a sum of head_dim products of numbers below 1, in any order.
              const double allowed = 4 * static_cast<double>(head_dim) * std::numeric_limits<T>::epsilon();
              if (!(std::abs(static_cast<double>(block.tile.score(q, k)) - want) <= allowed)) return false;
            }
          }
        }
      }
    }
  }
  return true;
}
