// Keys that a block of queries may see, so that tiles outside are skipped and tiles on an edge are trimmed.
#pragma once

#include <posenc/attention/masks.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace posenc::inline POSENC_ISA::detail {

/// Queries per block and keys per tile: a tile of scores fits L1.
inline constexpr index_t block_queries = 64;
inline constexpr index_t block_keys = 64;

/// For each query in a tile the range of keys it sees, and for each key the smallest range of queries that contains all
/// that see it, both relative to the tile. In 32 bits, so that comparisons match vectors of float.
struct tile_edges {
  index_t num_queries = 0;
  index_t num_keys = 0;
  bool whole = true;  // every query sees every key, and the arrays are not filled
  std::int32_t first_key[block_queries];
  std::int32_t end_key[block_queries];
  std::int32_t first_query[block_keys];
  std::int32_t end_query[block_keys];

  struct range {
    index_t first, end;
    bool empty() const noexcept { return first >= end; }
  };

  /// Keys seen by any of the queries [first, end). Queries past the last one see none.
  range keys_of(index_t first, index_t end) const noexcept {
    if (whole) return {0, num_keys};
    range keys{num_keys, 0};
    for (index_t q = first; q < std::min(end, num_queries); ++q) {
      if (first_key[q] >= end_key[q]) continue;
      keys = {std::min<index_t>(keys.first, first_key[q]), std::max<index_t>(keys.end, end_key[q])};
    }
    return keys.empty() ? range{0, 0} : keys;
  }

  /// Queries that see any of the keys [first, end).
  range queries_of(index_t first, index_t end) const noexcept {
    if (whole) return {0, num_queries};
    range queries{num_queries, 0};
    for (index_t k = first; k < end; ++k) {
      if (first_query[k] >= end_query[k]) continue;
      queries = {std::min<index_t>(queries.first, first_query[k]), std::max<index_t>(queries.end, end_query[k])};
    }
    return queries.empty() ? range{0, 0} : queries;
  }
};

/// The key ranges of a block of queries, without the boolean mask.
class visible_keys {
 public:
  visible_keys() noexcept = default;
  visible_keys(const key_filter& filter, index_t first_query, index_t num_queries) noexcept
      : num_queries_(num_queries) {
    for (index_t q = 0; q < num_queries; ++q) {
      const key_range keys = filter.keys_of(first_query + q);
      keys_[q] = keys;
      seen_by_all_ = {std::max(seen_by_all_.first, keys.first), std::min(seen_by_all_.end, keys.end)};
      if (keys.first >= keys.end) continue;
      seen_ = {std::min(seen_.first, keys.first), std::max(seen_.end, keys.end)};
    }
    if (seen_.first >= seen_.end) seen_ = {0, 0};
  }

  index_t num_queries() const noexcept { return num_queries_; }
  /// The smallest range that contains all keys seen by any query.
  key_range seen() const noexcept { return seen_; }

  /// The part of it within some keys, relative to the first of them.
  key_range seen_of(index_t first_key, index_t num_keys) const noexcept {
    return {std::clamp<index_t>(seen_.first - first_key, 0, num_keys),
            std::clamp<index_t>(seen_.end - first_key, 0, num_keys)};
  }

  /// Whether every query sees all of these keys.
  bool all(index_t first_key, index_t num_keys) const noexcept {
    return seen_by_all_.first <= first_key && first_key + num_keys <= seen_by_all_.end;
  }
  /// Whether any query sees any of these keys.
  bool any(index_t first_key, index_t num_keys) const noexcept {
    if (first_key >= seen_.end || first_key + num_keys <= seen_.first) return false;
    if (all(first_key, num_keys)) return true;
    for (index_t q = 0; q < num_queries_; ++q) {
      if (std::max(keys_[q].first, first_key) < std::min(keys_[q].end, first_key + num_keys)) return true;
    }
    return false;
  }

  tile_edges edges(index_t first_key, index_t num_keys) const noexcept {
    tile_edges e;
    find_edges(first_key, num_keys, e);
    return e;
  }
  void find_edges(index_t first_key, index_t num_keys, tile_edges& e) const noexcept {
    e.num_queries = num_queries_;
    e.num_keys = num_keys;
    e.whole = all(first_key, num_keys);
    if (e.whole) return;
    const auto in_tile = [&](index_t key) {
      return static_cast<std::int32_t>(std::clamp<index_t>(key - first_key, 0, num_keys));
    };
    for (index_t q = 0; q < block_queries; ++q) {
      e.first_key[q] = q < num_queries_ ? in_tile(keys_[q].first) : 0;
      e.end_key[q] = q < num_queries_ ? in_tile(keys_[q].end) : 0;
    }
    fill_queries(e);
  }

 private:
  // Adjacent queries usually have overlapping ranges, so the keys covered so far are kept as one range, including gaps,
  // and each key is written once from either side.
  static void fill_queries(tile_edges& e) noexcept {
    std::fill_n(e.first_query, e.num_keys, static_cast<std::int32_t>(e.num_queries));
    std::fill_n(e.end_query, e.num_keys, 0);
    cover(e, 0, 1, e.first_query, 0);
    cover(e, e.num_queries - 1, -1, e.end_query, 1);
  }
  static void cover(const tile_edges& e, index_t start, index_t step, std::int32_t* of_key, index_t past) noexcept {
    std::int32_t first = 0, end = 0;
    for (index_t q = start; q >= 0 && q < e.num_queries; q += step) {
      const std::int32_t from = e.first_key[q], to = e.end_key[q];
      if (from >= to) continue;
      if (first == end) first = end = from;
      const auto row = static_cast<std::int32_t>(q + past);
      while (end < to) of_key[end++] = row;
      while (first > from) of_key[--first] = row;
    }
  }

  index_t num_queries_ = 0;
  key_range keys_[block_queries];
  key_range seen_by_all_{0, std::numeric_limits<index_t>::max()};
  key_range seen_{std::numeric_limits<index_t>::max(), 0};
};

}  // namespace posenc::inline POSENC_ISA::detail
