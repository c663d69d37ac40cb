// Masks scores on the edge of what queries see with minus infinity.
#pragma once

#include <posenc/attention/tile/visible_keys.hpp>
#include <posenc/kernels/vectors.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace posenc::inline POSENC_ISA::detail {

/// Which masked scores to write: only those in computed register blocks, which are all that the softmax reads, or all.
enum class masked_part { computed, all };

/// Keys that all of the queries [first, end) see, ignoring queries past the last one.
inline tile_edges::range keys_of_all(const tile_edges& edges, index_t first, index_t end) noexcept {
  tile_edges::range keys{0, edges.num_keys};
  for (index_t q = first; q < std::min(end, edges.num_queries); ++q)
    keys = {std::max<index_t>(keys.first, edges.first_key[q]), std::min<index_t>(keys.end, edges.end_key[q])};
  return keys;
}

namespace edge_masks {

/// row[i] = minus infinity unless first[i] <= key < end[i], for a vector of queries.
template <class T>
[[gnu::always_inline]] inline void mask_lanes(T* row, const std::int32_t* first, const std::int32_t* end,
                                              std::int32_t key) noexcept {
  constexpr T hidden = -std::numeric_limits<T>::infinity();
  if constexpr (sizeof(T) == sizeof(std::int32_t)) {
    using vector = kernels::vector<T>;
    using keys = kernels::vector<std::int32_t>;
    const keys seen = (kernels::load<keys>(first) <= key) & (kernels::load<keys>(end) > key);
    kernels::store(row, seen ? kernels::load<vector>(row) : vector{} + hidden);
  } else {
    for (index_t l = 0; l < kernels::lanes<T>; ++l) row[l] = first[l] <= key && key < end[l] ? row[l] : hidden;
  }
}

}  // namespace edge_masks

template <class T>
void mask_edges(T* scores, index_t stride, index_t padded_queries, const tile_edges& edges, masked_part part) noexcept {
  using vector = kernels::vector<T>;
  constexpr index_t lanes = kernels::lanes<T>;
  constexpr T hidden = -std::numeric_limits<T>::infinity();
  if (edges.whole) return;
  const auto hide = [&](index_t q, index_t first, index_t end) {
    for (index_t k = first; k < end; ++k) kernels::store(scores + k * stride + q, vector{} + hidden);
  };
  for (index_t q = 0; q < padded_queries; q += lanes) {
    const auto some = edges.keys_of(q, q + lanes);
    const auto all = keys_of_all(edges, q, q + lanes);
    if (part == masked_part::all) {
      hide(q, 0, some.first);
      hide(q, some.end, edges.num_keys);
    }
    for (index_t k = some.first; k < some.end; ++k) {
      if (k == all.first && all.first < all.end) k = all.end;
      if (k >= some.end) break;
      edge_masks::mask_lanes(scores + k * stride + q, edges.first_key + q, edges.end_key + q,
                             static_cast<std::int32_t>(k));
    }
  }
}

}  // namespace posenc::inline POSENC_ISA::detail
