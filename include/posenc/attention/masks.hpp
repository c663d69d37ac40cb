// Masks, by index in the sequence: bands, key ranges and boolean masks.
#pragma once

#include <posenc/error.hpp>
#include <posenc/score_tile.hpp>

#include <algorithm>
#include <limits>
#include <span>

namespace posenc::inline POSENC_ISA {

// Masks use indices, encodings use positions: tokens of an image share positions, padding shifts them and speculative
// decoding repeats them, but what a query may attend to follows the order in the sequence.

/// Query index i may attend to key index j if first <= i - j < end.
struct index_band {
  static constexpr index_t unbounded = std::numeric_limits<index_t>::max();
  index_t first = -unbounded;
  index_t end = unbounded;
};

/// All keys up to the query's own.
constexpr index_band causal() noexcept { return {0, index_band::unbounded}; }
/// The last `width` keys, including the query's own.
constexpr index_band sliding_window(index_t width) noexcept { return {0, width}; }
/// Keys less than `width` away, on either side.
constexpr index_band symmetric_window(index_t width) noexcept { return {1 - width, width}; }
/// Keys at least `width` back: what a sliding window leaves out.
constexpr index_band beyond_window(index_t width) noexcept { return {width, index_band::unbounded}; }

/// Keys [first, end).
struct key_range {
  index_t first = 0;
  index_t end = 0;
};

/// True where a query may attend: [num_heads, num_queries, num_keys], strided; a stride of 0 broadcasts. Keys beyond
/// `num_keys` may not be attended to.
struct bool_mask {
  const bool* data = nullptr;  // null: no mask
  index_t num_keys = 0;
  index_t query_stride = 0;  // in elements
  index_t head_stride = 0;   // in elements
};

/// Restrictions in addition to the band; a pair is allowed if all of them allow it.
struct attend_masks {
  std::span<const key_range> key_ranges{};  // [num_queries], or empty
  bool_mask allowed{};
  index_t first_head = 0;  // this call computes heads [first_head, first_head + num_heads) of the model
};

namespace detail {

// The restrictions of a call, resolved for its sizes.
class key_filter {
 public:
  key_filter(const index_band& band, const attend_masks& masks, index_t query_offset, index_t num_keys) noexcept
      : band_{bounded(band.first), bounded(band.end)},
        masks_(masks),
        query_offset_(query_offset),
        num_keys_(masks.allowed.data != nullptr ? std::min(num_keys, masks.allowed.num_keys) : num_keys) {}

  /// The smallest range that holds all keys that query row q may attend to.
  key_range keys_of(index_t q) const noexcept {
    const index_t index = query_offset_ + q;
    key_range keys{std::max<index_t>(0, index - band_.end + 1), std::min(num_keys_, index - band_.first + 1)};
    if (!masks_.key_ranges.empty()) {
      const key_range& given = masks_.key_ranges[static_cast<std::size_t>(q)];
      keys = {std::max(keys.first, given.first), std::min(keys.end, given.end)};
    }
    return keys.first < keys.end ? keys : key_range{0, 0};
  }

  /// The smallest range that holds all keys of rows [first_query, first_query + num_queries).
  key_range keys_of(index_t first_query, index_t num_queries) const noexcept {
    key_range all{num_keys_, 0};
    for (index_t q = first_query; q < first_query + num_queries; ++q) {
      const key_range keys = keys_of(q);
      if (keys.first >= keys.end) continue;
      all = {std::min(all.first, keys.first), std::max(all.end, keys.end)};
    }
    return all.first < all.end ? all : key_range{0, 0};
  }

  /// Whether any of these queries may attend to any of these keys.
  bool touches(index_t first_query, index_t num_queries, index_t first_key, index_t num_keys) const noexcept {
    for (index_t q = first_query; q < first_query + num_queries; ++q) {
      const key_range keys = keys_of(q);
      if (std::max(keys.first, first_key) < std::min(keys.end, first_key + num_keys)) return true;
    }
    return false;
  }

  /// Whether query row q of a head may attend to a key.
  bool allows(index_t head, index_t q, index_t key) const noexcept {
    const key_range keys = keys_of(q);
    if (key < keys.first || key >= keys.end) return false;
    return masks_.allowed.data == nullptr ||
           masks_.allowed.data[head * masks_.allowed.head_stride + q * masks_.allowed.query_stride + key];
  }

  /// Sets scores of pairs that are not allowed to minus infinity; `head` is an index in the call, not in the model.
  template <real T>
  void apply(const score_tile<T>& tile, index_t head) const noexcept {
    for (index_t q = 0; q < tile.num_queries; ++q) {
      const key_range keys = keys_of(tile.first_query + q);
      const index_t first = std::clamp<index_t>(keys.first - tile.first_key, 0, tile.num_keys);
      const index_t end = std::clamp<index_t>(keys.end - tile.first_key, first, tile.num_keys);
      for (index_t k = 0; k < first; ++k) tile.score(q, k) = -std::numeric_limits<T>::infinity();
      for (index_t k = end; k < tile.num_keys; ++k) tile.score(q, k) = -std::numeric_limits<T>::infinity();
      if (masks_.allowed.data == nullptr) continue;
      const bool* allowed = masks_.allowed.data + head * masks_.allowed.head_stride +
                            (tile.first_query + q) * masks_.allowed.query_stride + tile.first_key;
      for (index_t k = first; k < end; ++k) {
        if (!allowed[k]) tile.score(q, k) = -std::numeric_limits<T>::infinity();
      }
    }
  }

  /// Whether every pair of the tile is allowed, so that it needs no masking.
  bool allows_all(index_t first_query, index_t num_queries, index_t first_key, index_t num_keys) const noexcept {
    if (masks_.allowed.data != nullptr) return false;
    for (index_t q = first_query; q < first_query + num_queries; ++q) {
      const key_range keys = keys_of(q);
      if (keys.first > first_key || keys.end < first_key + num_keys) return false;
    }
    return true;
  }

 private:
  // Larger than any sequence, yet small enough that sums with an index fit 64 bits.
  static index_t bounded(index_t difference) noexcept {
    constexpr index_t farthest = index_band::unbounded / 4;
    return std::clamp(difference, -farthest, farthest);
  }

  index_band band_;
  attend_masks masks_;
  index_t query_offset_;
  index_t num_keys_;
};

}  // namespace detail

}  // namespace posenc::inline POSENC_ISA
