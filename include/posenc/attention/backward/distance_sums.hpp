// A bias of distance: adds it to scores, and sums score gradients over all pairs at a distance.
#pragma once

#include <posenc/attention/backward/products.hpp>
#include <posenc/positions.hpp>

#include <algorithm>

namespace posenc::inline POSENC_ISA::detail {

/// All distances between queries and keys of a call, least first, if they are no more than the distances between their
/// indices: bias and gradient sums are then arrays over them.
struct distance_range {
  index_t least = 0;
  index_t count = 0;         // 0: more distances than that
  bool consecutive = false;  // a pair's distance is that of its indices plus a constant

  static distance_range of(const positions& queries, const positions& keys) noexcept {
    if (queries.size() <= 0 || keys.size() <= 0) return {};
    const auto q = queries.bounds(), k = keys.bounds();
    const index_t least = q.least - k.largest;
    const index_t count = q.largest - k.least - least + 1;
    if (count > queries.size() + keys.size() - 1) return {};
    return {least, count, queries.consecutive() && keys.consecutive()};
  }
};

/// scores[k][q] += bias[q - k]
template <class T>
void add_bias_of_rows(T* scores, const T* bias, index_t num_keys) noexcept {
  for (index_t k = 0; k < num_keys; ++k) {
    T* __restrict row = scores + k * tile_stride<T>;
    for (index_t q = 0; q < block_queries; ++q) row[q] += bias[q - k];
  }
}

/// Calls visit(score, place) for each pair of a tile, `place` being the index of its distance in the range.
template <class T, class Visit>
void for_distances(T* tile, index_t num_queries, const position_t* queries, index_t num_keys, const position_t* keys,
                   index_t least, Visit visit) noexcept {
  for (index_t k = 0; k < num_keys; ++k) {
    for (index_t q = 0; q < num_queries; ++q) visit(tile[k * tile_stride<T> + q], queries[q] - (keys[k] + least));
  }
}

/// sums[i] += the sum of diagonal q - k == i - (num_keys - 1) of a tile, for i < block_queries + num_keys - 1, rounded
/// up to whole vectors. Every row of the tile ends in a vector of zeros, and another precedes the first row, so that
/// vectors may start and end anywhere.
template <class T>
void add_diagonals(const T* tile, index_t num_keys, T* sums) noexcept {
  using vector = kernels::vector<T>;
  constexpr index_t lanes = kernels::lanes<T>;
  constexpr index_t next = tile_stride<T> + 1;  // to the same diagonal in the next key
  constexpr index_t chains = 4;                 // independent additions, to hide latency
  for (index_t i = 0; i < block_queries + num_keys - 1; i += lanes) {
    const index_t first = std::max<index_t>(0, num_keys - i - lanes);
    const index_t end = std::min(num_keys, num_keys - 1 - i + block_queries);
    const T* from = tile + first * tile_stride<T> + i - (num_keys - 1 - first);
    vector sum[chains] = {};
    index_t k = first;
    for (; k + chains <= end; k += chains, from += chains * next) {
      for (index_t c = 0; c < chains; ++c) sum[c] += kernels::load<vector>(from + c * next);
    }
    for (; k < end; ++k, from += next) sum[0] += kernels::load<vector>(from);
    kernels::store(sums + i, kernels::load<vector>(sums + i) + ((sum[0] + sum[1]) + (sum[2] + sum[3])));
  }
}

}  // namespace posenc::inline POSENC_ISA::detail
