// The walk of `attend` over blocks of queries, and for each of them over tiles of keys from last to first.
#pragma once

#include <posenc/attention/biased_scores.hpp>
#include <posenc/attention/block_and_tile.hpp>
#include <posenc/attention/block_output.hpp>
#include <posenc/attention/online_softmax.hpp>
#include <posenc/attention/tile/block_products.hpp>
#include <posenc/attention/tile/widened_rows.hpp>
#include <posenc/attention/tile_loader.hpp>
#include <posenc/attention/tile_pipeline.hpp>
#include <posenc/attention/tile_sizes.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <type_traits>

namespace posenc::inline POSENC_ISA::detail {

inline positions or_indices(const std::optional<positions>& given, index_t first, index_t count) noexcept {
  return given ? *given : positions(first, count);
}

template <real T>
index_t resolve_query_offset(const attend_options<T>& options, index_t num_queries, index_t num_keys) noexcept {
  return options.query_offset.value_or(num_keys - num_queries);
}

inline double default_scale(index_t head_dim) noexcept {
  return head_dim > 0 ? 1 / std::sqrt(static_cast<double>(head_dim)) : 1;
}

/// One call of `attend`, split into tasks of a few blocks of queries each. The blocks of a task share a key-value head,
/// so that each tile of keys and values is loaded once for all of them.
template <class Q, class K, class V, class O, class E>
class attend_call {
  using T = compute_t<Q>;
  using sizes_t = tile_sizes<T, E>;
  using o_t = std::remove_const_t<O>;
  using pairs = pairs_of_call<Q, K, V, O>;
  using unit = typename pairs::unit;

 public:
  attend_call(head_view<Q> q, const K& keys, const V& values, head_view<O> out, const E& encoding,
              const attend_options<T>& options, bool by_parts = true) noexcept
      : q_(q),
        keys_(keys),
        values_(values),
        out_(out),
        encoding_(encoding),
        options_(options),
        sizes_(tile_sizes_of_call<Q, O>(q.num_tokens, q.head_dim, keys, values, encoding, options.run, by_parts)),
        block_(sizes_.fit(sizes_t::values_a_worker(options.run))),
        query_stride_(sizes_t::row_stride(sizes_t::padded_queries(block_.num_queries))),
        query_offset_(resolve_query_offset(options, q.num_tokens, keys.num_tokens)),
        query_positions_(or_indices(options.positions.queries, query_offset_, q.num_tokens)),
        key_positions_(or_indices(options.positions.keys, 0, keys.num_tokens)),
        tiles_{keys, values, sizes_, block_, key_positions_, q.num_heads},
        scale_(static_cast<T>(options.scale.value_or(default_scale(q.head_dim)))),
        scores_{.encoding = encoding,
                .options = options,
                .filter = key_filter(options.band, options.more, query_offset_, keys.num_tokens),
                .query_stride = query_stride_,
                .head_dim = q.head_dim,
                .scale = scale_,
                .consecutive = query_positions_.consecutive() && key_positions_.consecutive()} {
    scores_.tabulates = block_.tabulates && scores_.consecutive && q.num_tokens > 0 && keys.num_tokens > 0;
    if (!scores_.tabulates) return;
    const index_t least = index_t{query_positions_[0]} - key_positions_[keys.num_tokens - 1];
    scores_.distances = {q.num_tokens, keys.num_tokens, static_cast<position_t>(least)};
    scores_.seen_distances = scores_.distances.seen(options.band, query_offset_);
    scores_.table_size = sizes_.table_size();
  }

  void run() const {
    if (q_.num_tokens <= 0 || q_.num_heads <= 0) return;
    const order o = order_of_blocks();
    if (scores_.tabulates && !options_.run.workspace.empty()) {
      for (index_t w = 0; w < options_.run.threads.num_workers(); ++w)
        scores_.forget_table(sizes_.cut(memory_of(w), block_));
    }
    const auto task = [&](index_t i, index_t worker) {
      if (options_.run.workspace.empty()) {
        alignas(kernels::line_bytes) T stack_block[stack_values<T>];
        const memory m = sizes_.cut(stack_block, block_);
        if (scores_.tabulates) scores_.forget_table(m);
        run_task(o, i, m);
      } else {
        run_task(o, i, sizes_.cut(memory_of(worker), block_));
      }
    };
    options_.run.threads(o.num_tasks(), task_ref(task));
  }

 private:
  friend class tile_pipeline<attend_call>;

  using memory = tile_memory<T>;
  using block = attend_block<T, E>;
  using key_tile = detail::key_tile<T>;

  /// A worker's memory, from the first cache-line boundary on.
  T* memory_of(index_t worker) const noexcept {
    T* begin = options_.run.workspace.data() + worker * sizes_t::values_a_worker(options_.run);
    constexpr auto bytes = static_cast<std::uintptr_t>(kernels::line_bytes);
    const auto past = reinterpret_cast<std::uintptr_t>(begin) % bytes;
    return past == 0 ? begin : begin + (bytes - past) / sizeof(T);
  }

  // ---- Tasks ----

  /// The order in which heads and blocks of queries are processed. Heads that share keys alternate, block by block;
  /// with a table by distance each head is completed before the next, because the table holds one head.
  struct order {
    index_t num_blocks;     // per head
    index_t heads_at_once;  // those that share keys, or one
    index_t groups;
    index_t blocks_a_task;

    index_t blocks_a_group() const noexcept { return heads_at_once * num_blocks; }
    index_t tasks_a_group() const noexcept { return (blocks_a_group() + blocks_a_task - 1) / blocks_a_task; }
    index_t num_tasks() const noexcept { return groups * tasks_a_group(); }
  };

  order order_of_blocks() const noexcept {
    order o;
    o.num_blocks = (q_.num_tokens + block_.num_queries - 1) / block_.num_queries;
    o.heads_at_once = scores_.tabulates ? 1 : q_.num_heads / keys_.num_heads;
    o.groups = q_.num_heads / o.heads_at_once;
    // Enough tasks that all workers finish at about the same time.
    const index_t num_workers = options_.run.threads.num_workers();
    const index_t fair = num_workers > 1 ? o.groups * o.blocks_a_group() / (4 * num_workers) : block_.blocks_at_once;
    o.blocks_a_task = std::clamp<index_t>(fair, 1, block_.blocks_at_once);
    return o;
  }

  void run_task(const order& o, index_t task, const memory& m) const noexcept {
    [[maybe_unused]] const bf16_unit::in_use registers(sizes_.in_pairs);
    const index_t group = task / o.tasks_a_group();
    // Last blocks first: under a causal mask they take longest, and the short ones balance the load at the end.
    const index_t first = (o.tasks_a_group() - 1 - task % o.tasks_a_group()) * o.blocks_a_task;
    const index_t count = std::min(o.blocks_a_task, o.blocks_a_group() - first);
    block blocks[max_blocks_at_once];
    key_range seen{keys_.num_tokens, 0};
    const auto head_of = [&](index_t i) { return group * o.heads_at_once + (first + i) % o.heads_at_once; };
    const auto first_query_of = [&](index_t i) { return (first + i) / o.heads_at_once * block_.num_queries; };
    const auto num_queries_of = [&](index_t i) {
      return std::min(block_.num_queries, q_.num_tokens - first_query_of(i));
    };
    for (index_t i = 0; i < count; ++i) {
      if (i + 1 < count) fetch_rows(q_, head_of(i + 1), first_query_of(i + 1), num_queries_of(i + 1));
      begin_block(blocks[i], head_of(i), first_query_of(i), num_queries_of(i), m.blocks[i], m.some_rows);
      const key_range its = blocks[i].visible.seen();
      if (its.first < its.end) seen = {std::min(seen.first, its.first), std::max(seen.end, its.end)};
    }
    if (scores_.tabulates) scores_.tabulate(blocks[0].head, m);
    walk_keys<false>(blocks, count, seen, m);
    for (index_t i = 0; i < count; ++i) finish(blocks[i], m);
    if constexpr (pairs::of_parts) {
      if (sizes_.in_pairs) attend_what_is_not_ordinary(blocks, count, m);
    }
  }

  // Values behind a weight of zero may be NaN or infinite, and products include them. That shows in the output, and is
  // rare enough to recompute the block. Stores the queries with a bit in `wanted`.
  void finish(block& b, const memory& m, std::uint64_t wanted = ~std::uint64_t{0}) const noexcept {
    if (!b.has_output) clear_output(b);
    if (pairs::of_parts && sizes_.in_pairs) {
      b.not_ordinary |= output_of(b).queries_not_finite(b.num_queries());
      store(b, m, wanted & ~b.not_ordinary);
      return;
    }
    if (output_of(b).queries_not_finite(b.num_queries()) != 0) {
      begin_block(b, b.head, b.first_query, b.num_queries(), b.memory_of, m.some_rows);
      walk_keys<true>(&b, 1, b.visible.seen(), m);
    }
    store(b, m, wanted);
  }

  /// Recomputes, in floats and in the same memory, queries that met a number that is not ordinary (see
  /// `ordinary_so_far`), or whose output is not finite.
  void attend_what_is_not_ordinary(const block* blocks, index_t count, const memory& m) const noexcept {
    if (std::all_of(blocks, blocks + count, [](const block& b) { return b.not_ordinary == 0; })) return;
    const attend_call as_they_are(q_, keys_, values_, out_, encoding_, options_, false);
    for (index_t i = 0; i < count; ++i) {
      if (blocks[i].not_ordinary != 0) as_they_are.attend_one_block(blocks[i], m.blocks[0].queries);
    }
    if (scores_.tabulates) scores_.forget_table(m);
  }

  /// Recomputes the queries of `of` that are not ordinary.
  void attend_one_block(const block& of, T* values) const noexcept {
    const memory m = sizes_.cut(values, block_);
    if (scores_.tabulates) {
      scores_.forget_table(m);
      scores_.tabulate(of.head, m);
    }
    for (index_t done = 0; done < of.num_queries(); done += block_.num_queries) {
      block b;
      begin_block(b, of.head, of.first_query + done, std::min(block_.num_queries, of.num_queries() - done), m.blocks[0],
                  m.some_rows);
      walk_keys<false>(&b, 1, b.visible.seen(), m);
      finish(b, m, of.not_ordinary >> done);
    }
  }

  // Tiles begin at multiples of their size, so that a query meets the same tiles in every call.
  template <bool Careful>
  void walk_keys(block* blocks, index_t count, key_range seen, const memory& m) const noexcept {
    if (seen.first >= seen.end) return;
    if constexpr (pairs::of_parts && !Careful) {
      if (sizes_.in_pairs) return walk_in_parts(blocks, count, seen, m);
    }
    const index_t first = seen.first / block_.num_keys, end = (seen.end - 1) / block_.num_keys + 1;
    const index_t at_once = Careful ? 1 : block_.tiles_at_once;
    key_tile tiles[max_tiles_at_once];
    for (index_t last = end; last > first; last -= std::min(at_once, last - first)) {
      const index_t num_tiles = std::min(at_once, last - first);
      for (index_t i = 0; i < num_tiles; ++i) begin_tile(tiles[i], last - 1 - i, seen);
      for (index_t i = 0; i < count; ++i) attend_tiles<Careful>(blocks[i], tiles, num_tiles, m);
    }
  }
  void begin_tile(key_tile& tile, index_t number, key_range seen) const noexcept {
    tile.first = number * block_.num_keys;
    tile.count = std::min(block_.num_keys, seen.end - tile.first);
    tile.keys_loaded = tile.values_loaded = false;
  }

  void walk_in_parts(block* blocks, index_t count, key_range seen, const memory& m) const noexcept {
    const index_t first = seen.first / block_.num_keys, end = (seen.end - 1) / block_.num_keys + 1;
    tile_pipeline pipeline(*this, m);
    key_tile tiles[pipeline.depth];
    index_t num_met = 0;
    for (index_t t = end - 1; t >= first; --t) {
      key_tile& tile = tiles[num_met % pipeline.depth];
      begin_tile(tile, t, seen);
      bool met = false;
      for (index_t i = 0; i < count; ++i) {
        if (!blocks[i].visible.any(tile.first, tile.count)) continue;
        if (t > first) tiles_.fetch_share(t - 1, blocks[i].head, i, count);
        pipeline.meet(blocks[i], tile);
        met = true;
      }
      if (met) ++num_met;
    }
    pipeline.finish();
  }

  template <bool Careful>
  void attend_tiles(block& b, key_tile* tiles, index_t num_tiles, const memory& m) const noexcept {
    const auto seen_tile = [&](index_t i) -> const key_tile* {
      if (!b.visible.any(tiles[i].first, tiles[i].count)) return nullptr;
      if (!tiles[i].keys_loaded) tiles_.template load<Careful>(tiles[i], i, b.head, m);
      return &tiles[i];
    };
    if constexpr (pairs::of_whole) {
      if (sizes_.in_pairs) {
        attend_tiles_of_pairs<Careful>(b, seen_tile, num_tiles, m);
        return;
      }
    }
    for (index_t i = 0; i < num_tiles; ++i) {
      if (const key_tile* tile = seen_tile(i)) attend_tile<Careful>(b, *tile, m);
    }
  }

  // ---- A block of queries ----

  void begin_block(block& b, index_t head, index_t first_query, index_t num_queries,
                   const typename memory::block& memory_of, T* some_rows) const noexcept {
    b.head = head;
    b.first_query = first_query;
    b.not_ordinary = 0;
    b.memory_of = memory_of;
    b.visible = visible_keys(scores_.filter, first_query, num_queries);
    if constexpr (pairs::exist) {
      if (sizes_.in_pairs) {
        constexpr bool asked = pairs::of_parts;
        const bool ordinary = load_query_pairs<asked>(q_, head, first_query, num_queries, sizes_.row_size(),
                                                      query_pairs(b), b.padded_queries());
        if (!ordinary) b.not_ordinary = rows_that_are_not_ordinary(q_, head, first_query, num_queries);
      }
    }
    if (!sizes_.in_pairs)
      load_queries(q_, head, first_query, num_queries, scale_, some_rows, memory_of.queries, query_stride_,
                   b.padded_queries());
    softmax_of(b).clear(b.padded_queries());
    b.has_output = false;
    if (!sizes_.sums_columns()) clear_output(b);
    if constexpr (score_encoding<E, T>) {
      for (index_t i = 0; i < b.num_queries(); ++i) b.query_positions[i] = query_positions_[first_query + i];
    }
    scores_.begin(b);
  }

  softmax_rows<T> softmax_of(const block& b) const noexcept {
    return {b.memory_of.largest, b.memory_of.sum, b.memory_of.factor};
  }

  void clear_output(block& b) const noexcept {
    output_of(b).clear();
    b.has_output = true;
  }
  block_output<T> output_of(const block& b) const noexcept {
    const bool in_columns = sizes_.sums_columns();
    return {b.memory_of.output, in_columns ? query_stride_ : tiles_.value_stride(),
            in_columns ? b.padded_queries() : b.num_queries(), sizes_t::padded(values_.head_dim), in_columns};
  }

  void store(const block& b, const memory& m, std::uint64_t wanted) const noexcept {
    const softmax_rows<T> rows = softmax_of(b);
    const block_output<T> output = output_of(b);
    T* const factors = b.memory_of.factor;
    std::fill(factors + b.num_queries(), factors + b.padded_queries(), T(0));
    for (index_t q = 0; q < b.num_queries(); ++q) {
      if ((wanted >> q & 1) == 0) continue;
      const T scale =
          options_.sinks.empty() ? T(1) : rows.add_sink(q, options_.sinks[static_cast<std::size_t>(b.head)]);
      if (options_.lse.data != nullptr) options_.lse.at(b.first_query + q, b.head) = rows.log_sum_exp(q);
      factors[q] = rows.sum[q] == T(0) ? T(0) : scale / rows.sum[q];
    }
    index_t done = 0;
    if constexpr (std::same_as<o_t, T>) {
      const bool whole_rows = output.in_columns && output.num_columns == values_.head_dim;
      const bool all_wanted = ~wanted << (64 - b.num_queries()) == 0;
      if (whole_rows && all_wanted) {
        for (; done + sizes_t::lanes <= b.num_queries(); done += sizes_t::lanes)
          output.turn(done, factors, out_.row(b.first_query + done, b.head), out_.token_stride);
      }
    }
    output.for_each_row(done, b.num_queries(), factors, m.some_rows, [&](index_t q, const T* row, T factor) {
      if ((wanted >> q & 1) != 0)
        kernels::convert<T>(row, out_.row(b.first_query + q, b.head), values_.head_dim, factor);
    });
  }

  // ---- A tile ----

  /// A bit for each query of a block that sees any of `keys`, a bit for each key of a tile.
  std::uint64_t queries_that_see(std::uint64_t keys, const block& b, const key_tile& tile) const noexcept {
    std::uint64_t found = 0;
    for (index_t k = 0; keys != 0; ++k, keys >>= 1) {
      if ((keys & 1) == 0) continue;
      for (index_t q = 0; q < b.num_queries(); ++q) {
        if (scores_.filter.allows(b.head, b.first_query + q, tile.first + k)) found |= std::uint64_t{1} << q;
      }
    }
    return found;
  }

  pair_columns query_pairs(const block& b) const noexcept {
    return unit::columns(detail::as_pairs(b.memory_of.queries), sizes_.row_size(), b.padded_queries(), query_stride_);
  }

  template <bool Careful>
  void attend_tile(const block& b, const key_tile& tile, const memory& m) const noexcept {
    const tile_edges edges = b.visible.edges(tile.first, tile.count);
    T* const scores = m.scores[0];
    multiply_keys(tile.keys, q_.head_dim, b.memory_of.queries, scores, query_stride_, b.padded_queries(), edges);
    const auto softmax = [&](auto biased, T factor) {
      return softmax_of(b).absorb(biased, b.padded_queries(), edges, factor,
                                  weights_in(scores, query_stride_, edges.num_keys));
    };
    if (scores_.bias_before(softmax, b, tile, scores, m, edges, T(1))) output_of(b).scale(b.memory_of.factor);
    add_values(scores, query_stride_, tile.values, sizes_t::padded(values_.head_dim), b.memory_of.output,
               tiles_.value_stride(), edges);
    if constexpr (Careful) add_values_not_finite(b, tile, m);
  }

  /// Value products are batched over consecutive tiles, and flushed when a tile is skipped or a running maximum moves.
  template <bool Careful, class SeenTile>
  void attend_tiles_of_pairs(block& b, SeenTile seen_tile, index_t num_tiles, const memory& m) const noexcept {
    const typename unit::template weights<pairs::of_weight> weights{
        unit::columns(detail::as_pairs(m.weight_pairs[0]), block_.tiles_at_once * tiles_.padded_keys() / 2,
                      b.padded_queries(), query_stride_),
        tiles_.padded_keys()};
    tile_edges edges;
    key_range seen[max_tiles_at_once];
    index_t first_waiting = 0;
    const auto add_values_before = [&](index_t end) {
      nothing_beside nothing;
      if (first_waiting < end)
        unit::add_values(weights, seen, first_waiting, end, tiles_.values_of(m), output_of(b), b.has_output,
                         b.padded_queries(), edges, nothing);
      b.has_output = b.has_output || first_waiting < end;
      first_waiting = end;
    };
    for (index_t i = 0; i < num_tiles; ++i) {
      const key_tile* tile = seen_tile(i);
      if (tile == nullptr) {
        add_values_before(i);
        first_waiting = i + 1;
        continue;
      }
      b.visible.find_edges(tile->first, tile->count, edges);
      seen[i] = b.visible.seen_of(tile->first, tile->count);
      if (absorb_pairs<Careful>(b, *tile, weights.of_tile(i), m, edges)) {
        add_values_before(i);
        output_of(b).scale(b.memory_of.factor);
      }
      if constexpr (Careful) {
        add_values_before(i + 1);
        add_values_not_finite(b, *tile, m);
      }
    }
    add_values_before(num_tiles);
  }

  /// Queries in pairs are exact, so unscaled, and their scores are scaled here; queries in T were scaled when loaded.
  /// Returns true if the output has to be rescaled.
  template <bool Careful, class Weights>
  bool absorb_pairs(const block& b, const key_tile& tile, const Weights& weights, const memory& m,
                    const tile_edges& edges) const noexcept {
    T* const scores = m.scores[0];
    const index_t stride = query_stride_;
    nothing_beside nothing;
    unit::template multiply_keys<pairs::of_key, pairs::of_query>(tile.key_pairs, sizes_.row_size(), query_pairs(b),
                                                                 scores, stride, b.padded_queries(), edges, nothing);
    const auto weigh = [&](index_t q, tile_edges::range seen, auto weight) __attribute__((always_inline)) {
      if constexpr (!Careful) {
        return weights(q, seen, weight);
      } else {
        for (index_t k = 0; k < tile.count; ++k) {
          if (k < seen.first || k >= seen.end) kernels::store(scores + k * stride + q, kernels::vector<T>{});
        }
        return weights(q, seen, [&](index_t k) {
          const auto of_key = weight(k);
          kernels::store(scores + k * stride + q, of_key);
          return of_key;
        });
      }
    };
    const auto softmax = [&](auto biased, T factor) {
      return softmax_of(b).absorb(biased, b.padded_queries(), edges, factor, weigh);
    };
    return scores_.bias_before(softmax, b, tile, scores, m, edges, scale_);
  }

  void add_values_not_finite(const block& b, const key_tile& tile, const memory& m) const noexcept {
    const index_t kv_head = tiles_.kv_head_of(b.head);
    const block_output<T> output = output_of(b);
    for (index_t k = 0; k < tile.count; ++k) {
      if ((tile.values_not_finite >> k & 1) == 0) continue;
      widen_row_of(values_, tile.first + k, kv_head, m.some_rows);  // not into the tile, which other blocks will meet
      for (index_t q = 0; q < b.num_queries(); ++q) {
        const T weight = m.scores[0][k * query_stride_ + q];
        if (weight == T(0)) continue;
        for (index_t d = 0; d < values_.head_dim; ++d) output.at(q, d) += weight * m.some_rows[d];
      }
    }
  }

  head_view<Q> q_;
  const K& keys_;
  const V& values_;
  head_view<O> out_;
  const E& encoding_;
  const attend_options<T>& options_;
  sizes_t sizes_;
  block_sizes block_;
  index_t query_stride_;
  index_t query_offset_;
  positions query_positions_;
  positions key_positions_;
  tile_loader<Q, K, V, O, E> tiles_;
  T scale_;
  biased_scores<T, E> scores_;
};

}  // namespace posenc::inline POSENC_ISA::detail
