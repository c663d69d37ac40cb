// Adds to each score the product of the query or the key with a table row that depends on their distance.
#pragma once

#include <posenc/kernels/row_products.hpp>
#include <posenc/score_tile.hpp>

#include <algorithm>

namespace posenc::inline POSENC_ISA::detail {

/// Which side's product with the row is added.
enum class tile_side { queries, keys };

template <tile_side Side, real T>
kernels::strided_vectors<T> vectors_of(const score_tile<T>& tile) noexcept {
  if constexpr (Side == tile_side::queries)
    return {tile.queries, tile.query_token_stride, tile.query_dim_stride, tile.head_dim};
  else
    return {tile.keys, tile.key_token_stride, 1, tile.head_dim};
}

/// Adjacent distances of a consecutive tile, counted from its least, that share a row.
struct distance_band {
  index_t first, last;
  index_t row;
};

/// A consecutive tile by bands of distances: query q and key k are at distance q + last_key - k, counted from the
/// least.
template <tile_side Side, real T>
class banded_tile {
 public:
  explicit banded_tile(const score_tile<T>& tile) : tile_(tile), last_key_(tile.num_keys - 1) {}

  index_t num_distances() const noexcept { return tile_.num_queries + last_key_; }
  index_t num_vectors() const noexcept { return of_queries ? tile_.num_queries : tile_.num_keys; }

  /// The queries or keys that have a pair in one of the bands from `first` to `last`: [begin, end).
  index_t begin(const distance_band& first, const distance_band& last) const noexcept {
    return std::max<index_t>(0, of_queries ? first.first - last_key_ : last_key_ - last.last);
  }
  index_t end(const distance_band& first, const distance_band& last) const noexcept {
    return of_queries ? std::min(tile_.num_queries, last.last + 1)
                      : std::min(tile_.num_keys, num_distances() - first.first);
  }

  /// Adds to the band's pairs of queries or keys in [begin, end): addends[0] belongs to `begin`.
  void add(const distance_band& band, index_t begin, index_t end, const T* addends) const noexcept {
    if (band.first == band.last)
      add_diagonal(band.first, begin, end, addends);
    else if (tile_.query_stride == 1)
      add_along_queries(band, begin, end, addends);
    else
      add_along_keys(band, begin, end, addends);
  }

 private:
  static constexpr bool of_queries = Side == tile_side::queries;

  void add_diagonal(index_t distance, index_t begin, index_t end, const T* addends) const noexcept {
    const index_t difference = distance - last_key_;  // query index minus key index
    const index_t low = of_queries ? std::max(begin, difference) : std::max(begin, -difference);
    const index_t high =
        of_queries ? std::min(end, tile_.num_keys + difference) : std::min(end, tile_.num_queries - difference);
    if (low >= high) return;
    T* score = of_queries ? &tile_.score(low, low - difference) : &tile_.score(low + difference, low);
    const index_t step = tile_.query_stride + tile_.key_stride;
    for (index_t i = low; i < high; ++i, score += step) *score += addends[i - begin];
  }

  void add_along_queries(const distance_band& band, index_t begin, index_t end, const T* addends) const noexcept {
    const index_t k_begin = of_queries ? 0 : begin;
    const index_t k_end = of_queries ? tile_.num_keys : end;
    for (index_t k = k_begin; k < k_end; ++k) {
      T* scores = tile_.scores + k * tile_.key_stride;
      const index_t low = std::max(of_queries ? begin : 0, band.first - last_key_ + k);
      const index_t high = std::min(of_queries ? end : tile_.num_queries, band.last - last_key_ + k + 1);
      if constexpr (of_queries) {
        for (index_t q = low; q < high; ++q) scores[q] += addends[q - begin];
      } else {
        for (index_t q = low; q < high; ++q) scores[q] += addends[k - begin];
      }
    }
  }

  void add_along_keys(const distance_band& band, index_t begin, index_t end, const T* addends) const noexcept {
    const index_t q_begin = of_queries ? begin : 0;
    const index_t q_end = of_queries ? end : tile_.num_queries;
    for (index_t q = q_begin; q < q_end; ++q) {
      const index_t low = std::max(of_queries ? 0 : begin, q + last_key_ - band.last);
      const index_t high = std::min(of_queries ? tile_.num_keys : end, q + last_key_ - band.first + 1);
      for (index_t k = low; k < high; ++k) tile_.score(q, k) += addends[of_queries ? q - begin : k - begin];
    }
  }

  const score_tile<T>& tile_;
  index_t last_key_;
};

template <tile_side Side, real T, class RowOf, class Products>
void add_by_bands(const score_tile<T>& tile, RowOf row_of, Products products) noexcept {
  constexpr index_t block = 64;
  constexpr index_t max_bands = kernels::max_rows;
  const banded_tile<Side, T> bands(tile);
  const position_t least = tile.distance(0, tile.num_keys - 1);
  const auto row_at = [&](index_t i) { return row_of(static_cast<position_t>(least + i)); };
  index_t next = 0;
  index_t row_of_next = row_at(0);
  while (next < bands.num_distances()) {
    // Distances that share a row are multiplied once, and several rows at a time.
    distance_band some[max_bands];
    index_t rows[max_bands];
    index_t count = 0;
    for (; count < max_bands && next < bands.num_distances(); ++count) {
      const index_t first = next;
      const index_t row = row_of_next;
      while (++next < bands.num_distances() && (row_of_next = row_at(next)) == row) {
      }
      some[count] = {first, next - 1, row};
      rows[count] = row;
    }
    // Widened to at least a register, where there are that many: the additional addends belong to no pair.
    index_t begin = bands.begin(some[0], some[count - 1]);
    index_t end = bands.end(some[0], some[count - 1]);
    begin = std::max<index_t>(0, std::min(begin, end - kernels::lanes<T>));
    end = std::min(bands.num_vectors(), std::max(end, begin + kernels::lanes<T>));
    for (index_t i = begin; i < end; i += block) {
      T addends[max_bands * block];
      const index_t stop = std::min(end, i + block);
      products(rows, count, i, stop - i, addends, block);
      for (index_t b = 0; b < count; ++b) bands.add(some[b], i, stop, addends + b * block);
    }
  }
}

/// score(q, k) += the addend of the query or the key for the row of the pair's distance.
///
/// row_of(distance)     the index of a row, 0 or more
/// products(rows, num_rows, first, count, out, out_stride)
///                      out[r * out_stride + i] = the addend of query or key first + i for rows[r]; num_rows is at most
///                      kernels::max_rows
template <tile_side Side, real T, class RowOf, class Products>
void add_relative_products(const score_tile<T>& tile, RowOf row_of, Products products) noexcept {
  if (tile.consecutive) return add_by_bands<Side>(tile, row_of, products);
  constexpr bool of_queries = Side == tile_side::queries;
  for (index_t i = 0; i < (of_queries ? tile.num_queries : tile.num_keys); ++i) {
    index_t row = -1;
    T addend = 0;
    for (index_t j = 0; j < (of_queries ? tile.num_keys : tile.num_queries); ++j) {
      const index_t q = of_queries ? i : j;
      const index_t k = of_queries ? j : i;
      const index_t row_of_pair = row_of(tile.distance(q, k));
      if (row_of_pair != row) products(&(row = row_of_pair), index_t{1}, i, index_t{1}, &addend, index_t{1});
      tile.score(q, k) += addend;
    }
  }
}

/// Calls add(part, keys) for blocks of a tile's keys, transposed where that pays.
template <real T, class Add>
void for_each_turned_block(const score_tile<T>& tile, Add add) noexcept {
  constexpr index_t block = 64;
  constexpr index_t most_wide = 128;
  constexpr index_t least_queries = 8;
  if (tile.num_queries < least_queries || tile.head_dim > most_wide)
    return add(tile, vectors_of<tile_side::keys>(tile));
  T turned[most_wide * block];  // [head_dim, block]
  score_tile<T> part = tile;
  for (index_t first = 0; first < tile.num_keys; first += block) {
    part.num_keys = std::min(block, tile.num_keys - first);
    part.first_key = tile.first_key + first;
    part.scores = &tile.score(0, first);
    part.key_positions = tile.key_positions + first;
    part.keys = tile.keys + first * tile.key_token_stride;
    for (index_t d = 0; d < tile.head_dim; ++d) {
      for (index_t k = 0; k < part.num_keys; ++k) turned[d * block + k] = part.key(k, d);
    }
    add(part, kernels::strided_vectors<T>{turned, 1, block, tile.head_dim});
  }
}

/// Calls visit(query, key, gradient) for the pairs of a tile whose gradient is not zero.
template <real T, class Visit>
void for_each_gradient(const score_tile<T>& before, const score_gradients<T>& gradients, Visit visit) noexcept {
  for (index_t q = 0; q < before.num_queries; ++q) {
    for (index_t k = 0; k < before.num_keys; ++k) {
      const T gradient = gradients.scores[q * before.query_stride + k * before.key_stride];
      if (gradient != T(0)) visit(q, k, gradient);
    }
  }
}

}  // namespace posenc::inline POSENC_ISA::detail
