// A bias of distance, evaluated once per distance of a head instead of once per pair.
#pragma once

#include <posenc/attention/masks.hpp>
#include <posenc/hooks.hpp>
#include <posenc/kernels/vectors.hpp>

#include <posenc/attention/tile/visible_keys.hpp>

#include <algorithm>
#include <cstdlib>

namespace posenc::inline POSENC_ISA::detail {

/// The distances of a call whose positions are consecutive: query row q and key row k have the distance at place
/// q - k + num_keys - 1.
struct consecutive_distances {
  index_t num_queries = 0;
  index_t num_keys = 0;
  position_t least = 0;

  index_t count() const noexcept { return std::max<index_t>(0, num_queries + num_keys - 1); }
  index_t place(index_t query, index_t key) const noexcept { return query - key + num_keys - 1; }

  /// The places that a band allows.
  key_range seen(const index_band& band, index_t query_offset) const noexcept {
    const index_t zero = num_keys - 1 - query_offset;  // place of equal indices
    const index_t farthest = count() + std::abs(query_offset);
    const auto bounded = [&](index_t difference) {  // clamped before the sum, because a band may be unbounded
      return std::clamp<index_t>(zero + std::clamp(difference, -farthest, farthest), 0, count());
    };
    return {bounded(band.first), bounded(band.end)};
  }
};

/// table[place] = bias of the distance at that place; zero outside of `seen`, up to `size`.
template <class T, class E>
void tabulate_bias(const E& encoding, index_t head, const consecutive_distances& distances, key_range seen, T* table,
                   index_t size) noexcept {
  std::fill_n(table, size, T(0));
  if (seen.first >= seen.end) return;
  hooks::fill_bias<T>(encoding, head, static_cast<position_t>(distances.least + seen.first), seen.end - seen.first,
                      table + seen.first);
}

/// scores[k][q] = scale * scores[k][q] + bias[q - k], for queries that see key k, rounded out to whole vectors.
template <class T>
void add_bias_rows(T* scores, index_t stride, index_t padded_queries, T scale, const T* bias,
                   const tile_edges& edges) noexcept {
  using vector = kernels::vector<T>;
  constexpr index_t lanes = kernels::lanes<T>;
  for (index_t k = 0; k < edges.num_keys; ++k) {
    T* row = scores + k * stride;
    const index_t first = edges.whole ? 0 : edges.first_query[k] / lanes * lanes;
    const index_t end = edges.whole ? padded_queries : edges.end_query[k];
    for (index_t q = first; q < end; q += lanes)
      kernels::store(row + q, kernels::load<vector>(row + q) * scale + kernels::load<vector>(bias + q - k));
  }
}

}  // namespace posenc::inline POSENC_ISA::detail
