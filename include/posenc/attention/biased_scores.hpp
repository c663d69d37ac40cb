// Steps between the products and the softmax: scale, soft-cap, encoding, masks.
#pragma once

#include <posenc/attention/block_and_tile.hpp>
#include <posenc/attention/masks.hpp>
#include <posenc/attention/online_softmax.hpp>
#include <posenc/attention/options.hpp>
#include <posenc/attention/tile/bias_by_distance.hpp>
#include <posenc/attention/tile/edge_masks.hpp>
#include <posenc/attention/tile/hyperbolic_tangent.hpp>
#include <posenc/attention/tile_sizes.hpp>
#include <posenc/hooks.hpp>
#include <posenc/kernels/vectors.hpp>

#include <cstdint>
#include <cstring>

namespace posenc::inline POSENC_ISA::detail {

template <real T, class E>
struct biased_scores {
  using block = attend_block<T, E>;
  using memory = tile_memory<T>;

  const E& encoding;
  const attend_options<T>& options;
  key_filter filter;
  index_t query_stride;  // between rows of scores and of queries
  index_t head_dim;
  T scale;
  bool consecutive;        // both position lists count up by one
  bool tabulates = false;  // the bias of a head by distance; then:
  consecutive_distances distances{};
  key_range seen_distances{};  // places that the band allows
  index_t table_size = 0;

  /// Called before a block of queries meets its first keys.
  void begin(const block& b) const noexcept {
    if constexpr (score_encoding<E, T>) hooks::begin(encoding, shown(b));
  }

  /// Scales by `factor`, caps, adds the bias and masks, then returns softmax(scores, scale). A bias by table and a
  /// plain scale are left to the softmax's own pass where no other step needs one.
  template <class Softmax>
  bool bias_before(const Softmax& softmax, const block& b, const key_tile<T>& tile, T* scores, const memory& m,
                   const tile_edges& edges, T factor) const noexcept {
    if (tabulates && options.softcap <= 0 && edges.whole && options.more.allowed.data == nullptr)
      return softmax(biased_scores_in<T>{scores, query_stride, factor, table_of(b, tile, m)}, T(1));
    const bool later = !score_encoding<E, T> && options.softcap <= 0 && factor > 0;
    bias(b, tile, scores, m, edges, later ? T(1) : factor);
    return softmax(scores_in<T>{scores, query_stride}, later ? factor : T(1));
  }

  // A worker keeps the table across tasks, as long as they are for one head.
  void tabulate(index_t head, const memory& m) const noexcept {
    std::int32_t id;
    std::memcpy(&id, m.table_head, sizeof id);
    if (id == static_cast<std::int32_t>(head)) return;
    tabulate_bias(encoding, options.more.first_head + head, distances, seen_distances, m.bias_by_distance, table_size);
    remember_table(m, head);
  }
  static void forget_table(const memory& m) noexcept { remember_table(m, -1); }

 private:
  void bias(const block& b, const key_tile<T>& tile, T* scores, const memory& m, const tile_edges& edges,
            T factor) const noexcept {
    const bool by_table = tabulates && options.softcap <= 0;  // which scales in the same pass
    if (factor != T(1) && !by_table) for_each_score(b, scores, edges, [=](auto& score) { score *= factor; });
    if (options.softcap > 0) cap(b, scores, edges);
    if constexpr (score_encoding<E, T>) {
      if (tabulates) {
        add_bias_rows(scores, query_stride, b.padded_queries(), by_table ? factor : T(1), table_of(b, tile, m), edges);
      } else {
        const score_tile<T> of = shown(b, tile, scores);
        mask(b, of, edges, masked_part::all);
        hooks::add_to_scores(encoding, of);
      }
    }
    mask(b, shown(b, tile, scores), edges, masked_part::computed);  // no bias revives a masked pair
  }

  /// Points to the bias of a tile's first query and key; the others follow by distance.
  const T* table_of(const block& b, const key_tile<T>& tile, const memory& m) const noexcept {
    return m.bias_by_distance + distances.place(b.first_query, tile.first);
  }

  static void remember_table(const memory& m, index_t head) noexcept {
    const auto id = static_cast<std::int32_t>(head);
    std::memcpy(m.table_head, &id, sizeof id);
  }

  void cap(const block& b, T* scores, const tile_edges& edges) const noexcept {
    const T most = static_cast<T>(options.softcap);
    for_each_score(b, scores, edges, [&](auto& score) { score = hyperbolic_tangent(score / most) * most; });
  }

  template <class F>
  void for_each_score(const block& b, T* scores, const tile_edges& edges, F f) const noexcept {
    using vector = kernels::vector<T>;
    for (index_t q = 0; q < b.padded_queries(); q += kernels::lanes<T>) {
      const auto keys = edges.keys_of(q, q + kernels::lanes<T>);
      for (index_t k = keys.first; k < keys.end; ++k) {
        T* at = scores + k * query_stride + q;
        auto score = kernels::load<vector>(at);
        f(score);
        kernels::store(at, score);
      }
    }
  }

  void mask(const block& b, const score_tile<T>& tile, const tile_edges& edges, masked_part part) const noexcept {
    mask_edges(tile.scores, query_stride, b.padded_queries(), edges, part);
    if (options.more.allowed.data != nullptr) filter.apply(tile, b.head);
  }

  /// What the encoding sees of a block before its first keys.
  score_tile<T> shown(const block& b) const noexcept {
    score_tile<T> tile;
    tile.query_stride = 1;
    tile.key_stride = query_stride;
    tile.num_queries = b.num_queries();
    tile.head = options.more.first_head + b.head;
    tile.first_query = b.first_query;
    tile.query_positions = b.query_positions;
    tile.consecutive = consecutive;
    tile.queries = b.memory_of.queries;
    tile.query_token_stride = 1;
    tile.query_dim_stride = query_stride;
    tile.head_dim = head_dim;
    tile.scale = scale;
    tile.scratch = b.memory_of.scratch;
    return tile;
  }
  score_tile<T> shown(const block& b, const key_tile<T>& keys, T* scores) const noexcept {
    score_tile<T> tile = shown(b);
    tile.scores = scores;
    tile.num_keys = keys.count;
    tile.first_key = keys.first;
    tile.key_positions = keys.key_positions;
    tile.keys = keys.keys.data;
    tile.key_token_stride = keys.keys.stride;
    return tile;
  }
};

}  // namespace posenc::inline POSENC_ISA::detail
