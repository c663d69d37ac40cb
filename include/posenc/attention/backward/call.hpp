// The loops of `attend_backward`: key-value heads, their query heads, blocks of queries, tiles of keys.
#pragma once

#include <posenc/attention/attend.hpp>  // what options mean
#include <posenc/attention/backward/distance_sums.hpp>
#include <posenc/attention/backward/memory.hpp>
#include <posenc/attention/backward/query_block.hpp>
#include <posenc/attention/backward/seen_products.hpp>
#include <posenc/attention/backward/tile_by_parts.hpp>
#include <posenc/attention/backward/weights.hpp>
#include <posenc/attention/tile/bias_by_distance.hpp>
#include <posenc/attention/tile/edge_masks.hpp>
#include <posenc/attention/tile/visible_keys.hpp>

#include <algorithm>
#include <cmath>
#include <span>
#include <type_traits>
#include <utility>

namespace posenc::inline POSENC_ISA {

/// Destinations of the gradients of a call, all accumulated into.
template <real T>
struct attend_gradients {
  head_view<T> queries;       // [num_queries, num_heads, head_dim]
  head_view<T> keys;          // [num_keys, num_kv_heads, head_dim]
  head_view<T> values;        // [num_keys, num_kv_heads, value_dim]
  std::span<T> sinks{};       // [num_heads]; empty: not wanted
  std::span<T> parameters{};  // [num_parameters(encoding)]; empty: not wanted
};

namespace detail {

/// One call of `attend_backward`, split into one task per key-value head, which computes its sums alone and in order.
template <class Q, class K, class V, class O, class U, class E>
class backward_call {
  using T = compute_t<Q>;

 public:
  backward_call(head_view<Q> q, head_view<K> keys, head_view<V> values, head_view<O> out, head_view<U> d_out,
                const attend_gradients<T>& gradients, const E& encoding, const attend_options<T>& options) noexcept
      : q_(q),
        keys_(keys),
        values_(values),
        out_(out),
        d_out_(d_out),
        gradients_(gradients),
        encoding_(encoding),
        options_(options),
        query_offset_(resolve_query_offset(options, q.num_tokens, keys.num_tokens)),
        query_positions_(or_indices(options.positions.queries, query_offset_, q.num_tokens)),
        key_positions_(or_indices(options.positions.keys, 0, keys.num_tokens)),
        filter_(options.band, options.more, query_offset_, keys.num_tokens),
        sizes_(query_positions_, key_positions_, q.head_dim, values.head_dim, encoding, options.softcap),
        of_keys_(tile_products<T>::of(sizes_.head_dim)),
        of_values_(tile_products<T>::of(sizes_.value_dim)),
        scale_(static_cast<T>(options.scale.value_or(default_scale(q.head_dim)))) {}

  void run() const {
    if (q_.num_tokens <= 0 || q_.num_heads <= 0 || keys_.num_tokens <= 0) return;
    if (gradients_.parameters.empty()) {
      const auto task = [&](index_t kv_head, index_t worker) { backward_head(kv_head, memory_of(worker)); };
      options_.run.threads(keys_.num_heads, task_ref(task));
    } else {
      run_in_waves();
    }
  }

 private:
  using memory = backward_memory<T>;
  using part = tile_part<T>;

  // Heads may share parameters. A wave has one head per worker, each with its own sums, which are then added in head
  // order: the same for any number of workers.
  void run_in_waves() const {
    const index_t num_workers = options_.run.threads.num_workers();
    for (index_t first = 0; first < keys_.num_heads; first += num_workers) {
      const index_t count = std::min(num_workers, keys_.num_heads - first);
      const auto task = [&](index_t i, index_t) { backward_head(first + i, memory_of(i)); };
      options_.run.threads(count, task_ref(task));
      for (index_t i = 0; i < count; ++i) {
        const T* sums = memory_of(i).parameters;
        for (T& sum : gradients_.parameters) sum += *sums++;
      }
    }
  }

  memory memory_of(index_t worker) const noexcept {
    return sizes_.cut(sizes_.aligned(options_.run.workspace.data()) + worker * sizes_.values_a_worker());
  }

  // ---- A key-value head ----

  void backward_head(index_t kv_head, const memory& m) const noexcept {
    [[maybe_unused]] const bf16_unit::in_use registers(sizes_.by_parts);
    load_keys(kv_head, m);
    std::fill_n(m.parameters, sizes_.num_parameters, T(0));
    // Vectors around a tile are read, and must be zero.
    constexpr index_t lanes = kernels::lanes<T>;
    std::fill_n(m.score_gradients - lanes, lanes + sizes_.keys_in_tile * tile_stride<T>, T(0));
    const index_t group = q_.num_heads / keys_.num_heads;
    for (index_t head = kv_head * group; head < (kv_head + 1) * group; ++head) backward_queries(head, m);
    add_rows(m.key_gradients, sizes_.head_dim, T(1), gradients_.keys, kv_head, 0, keys_.num_tokens);
    add_rows(m.value_gradients, sizes_.value_dim, T(1), gradients_.values, kv_head, 0, keys_.num_tokens);
  }

  void load_keys(index_t kv_head, const memory& m) const noexcept {
    const index_t key_row = row_stride<T>(sizes_.head_dim), value_row = row_stride<T>(sizes_.value_dim);
    for (index_t first = 0; first < keys_.num_tokens; first += block_keys) {
      const index_t count = std::min(block_keys, keys_.num_tokens - first);
      finite_so_far<T> finite;
      copy_rows(keys_, kv_head, first, count, T(1), m.keys + first * key_row, finite);
      copy_rows(values_, kv_head, first, count, T(1), m.values + first * value_row, finite);
      m.kinds[first / block_keys] = static_cast<T>(finite ? numbers::finite : numbers::of_any_kind);
    }
    std::fill_n(m.key_gradients, keys_.num_tokens * key_row, T(0));
    std::fill_n(m.value_gradients, keys_.num_tokens * value_row, T(0));
  }

  /// to[token][c] += factor * rows[token][c]
  static void add_rows(const T* rows, index_t columns, T factor, head_view<T> to, index_t head, index_t first,
                       index_t count) noexcept {
    for (index_t i = 0; i < count; ++i) {
      const T* __restrict from = rows + i * row_stride<T>(columns);
      T* __restrict row = to.row(first + i, head);
      for (index_t c = 0; c < to.head_dim; ++c) row[c] += factor * from[c];
    }
  }

  // ---- A query head ----

  struct block {
    index_t head;
    index_t first_query;
    visible_keys visible;
    query_memory<T> memory;
    numbers kind;

    index_t num_queries() const noexcept { return visible.num_queries(); }
  };

  void backward_queries(index_t head, const memory& m) const noexcept {
    if (by_distance()) fill_distances(head, m);
    double sink_gradient = 0;
    block blocks[max_walk];
    for (index_t first = 0; first < q_.num_tokens;) {
      index_t count = 0;
      for (; count < sizes_.walk && first < q_.num_tokens; first += block_queries) {
        blocks[count] = load_queries(head, first, count, m);
        sink_gradient += gradient_of_sink(blocks[count++]);
      }
      walk_keys(blocks, count, m);
      for (index_t i = 0; i < count; ++i) add_query_gradients(blocks[i]);
    }
    if (!gradients_.sinks.empty()) gradients_.sinks[static_cast<std::size_t>(head)] += static_cast<T>(sink_gradient);
    if (by_distance()) add_distance_gradients(head, m);
  }

  void add_query_gradients(const block& b) const noexcept {
    const auto add = [&](const T* rows) {
      add_rows(rows, sizes_.head_dim, scale_, gradients_.queries, b.head, b.first_query, b.num_queries());
    };
    add(b.memory.query_gradients);
    if (!sizes_.by_parts) return;
    T* const rows = b.memory.queries;  // not needed any more
    transpose_rows(b.memory.split.query_gradients, tile_stride<T>, sizes_.head_dim, block_queries, T(1), rows,
                   row_stride<T>(sizes_.head_dim));
    add(rows);
  }

  index_t model_head(index_t head) const noexcept { return options_.more.first_head + head; }

  // ---- A bias of distance ----

  bool by_distance() const noexcept { return sizes_.distances.count > 0; }
  bool by_rows() const noexcept { return sizes_.distances.consecutive; }

  /// Places of the distances that the band allows; all places, if positions are not consecutive.
  key_range distances_in_use() const noexcept {
    if (!by_rows()) return {0, sizes_.distances.count};
    return consecutive_distances{q_.num_tokens, keys_.num_tokens}.seen(options_.band, query_offset_);
  }
  position_t distance_at(index_t place) const noexcept {
    return static_cast<position_t>(sizes_.distances.least + place);
  }

  void fill_distances(index_t head, const memory& m) const noexcept {
    std::fill_n(m.bias_by_distance, sizes_.values_by_distance(), T(0));
    std::fill_n(m.sums_by_distance, sizes_.values_by_distance(), T(0));
    const auto [first, end] = distances_in_use();
    if (first < end) {
      hooks::fill_bias<T>(encoding_, model_head(head), distance_at(first), end - first, m.bias_by_distance + first);
    }
  }
  void add_distance_gradients(index_t head, const memory& m) const noexcept {
    const auto [first, end] = distances_in_use();
    if (gradients_.parameters.empty() || first >= end) return;
    hooks::bias_backward<T>(encoding_, model_head(head), distance_at(first),
                            {m.sums_by_distance + first, static_cast<std::size_t>(end - first)},
                            {m.parameters, static_cast<std::size_t>(sizes_.num_parameters)});
  }

  /// Place of the distance from a block's first query to key `key`.
  index_t place_of(const block& b, index_t key) const noexcept { return b.first_query - key + keys_.num_tokens - 1; }

  template <class Visit>
  void for_distances_of(const block& b, const part& p, T* tile, Visit visit) const noexcept {
    position_t queries[block_queries], keys[block_keys];
    for (index_t q = 0; q < b.num_queries(); ++q) queries[q] = query_positions_[b.first_query + q];
    for (index_t k = 0; k < p.count; ++k) keys[k] = key_positions_[p.first + k];
    for_distances(tile, b.num_queries(), queries, p.count, keys, sizes_.distances.least, visit);
  }

  void add_bias(const block& b, const memory& m, const part& p) const noexcept {
    const T* bias = m.bias_by_distance;
    if (by_rows())
      add_bias_of_rows(p.scores, bias + place_of(b, p.first), p.count);
    else
      for_distances_of(b, p, p.scores, [&](T& score, index_t place) { score += bias[place]; });
  }
  void sum_by_distance(const block& b, const memory& m, const part& p) const noexcept {
    T* sums = m.sums_by_distance;
    if (by_rows())
      add_diagonals(p.gradients, p.count, sums + place_of(b, p.first + p.count - 1));
    else
      for_distances_of(b, p, p.gradients, [&](const T& gradient, index_t place) { sums[place] += gradient; });
  }

  // ---- Blocks of queries ----

  block load_queries(index_t head, index_t first, index_t place, const memory& all) const noexcept {
    const query_memory<T>& m = all.blocks[place];
    const index_t count = std::min(block_queries, q_.num_tokens - first);
    finite_so_far<T> finite;
    load_block(q_, head, first, count, scale_, m.queries, m.queries_transposed, finite);
    load_block(d_out_, head, first, count, T(1), m.d_out, m.d_out_transposed, finite);
    load_sums(out_, options_.lse, head, first, count, m, finite);
    std::fill_n(m.query_gradients, block_queries * row_stride<T>(sizes_.head_dim), T(0));
    numbers kind = finite ? numbers::finite : numbers::of_any_kind;
    if (sizes_.by_parts) {
      std::fill_n(m.split.query_gradients, sizes_.head_dim * tile_stride<T>, T(0));
      if (finite) kind = by_parts(all).split_queries(m);
    }
    return {head, first, visible_keys(filter_, first, count), m, kind};
  }

  double gradient_of_sink(const block& b) const noexcept {
    double sum = 0;
    if (gradients_.sinks.empty()) return sum;
    const T sink = options_.sinks[static_cast<std::size_t>(b.head)];
    if (sink == -std::numeric_limits<T>::infinity()) return sum;
    for (index_t q = 0; q < b.num_queries(); ++q) {
      sum -= std::exp(static_cast<double>(sink) + static_cast<double>(b.memory.minus_lse[q])) *
             static_cast<double>(b.memory.delta[q]);
    }
    return sum;
  }

  template <class Visit>
  void for_parts(const memory& m, key_range tile, Visit visit) const noexcept {
    for (index_t first = tile.first; first < tile.end;) {
      const index_t end = std::min(tile.end, first / block_keys * block_keys + block_keys);
      const index_t row = (first - tile.first) * tile_stride<T>;
      visit(part{first, end - first, m.scores + row, m.score_gradients + row, m.before + row});
      first = end;
    }
  }

  // An encoding that needs whole rows gets all keys in one tile, others one block of keys at a time.
  void walk_keys(const block* blocks, index_t count, const memory& m) const noexcept {
    if (sizes_.keys_in_tile > block_keys) {
      for (index_t i = 0; i < count; ++i) backward_tile(blocks[i], m, blocks[i].visible.seen());
      return;
    }
    for (index_t first = 0; first < keys_.num_tokens; first += block_keys) {
      const key_range tile{first, std::min(keys_.num_tokens, first + block_keys)};
      T& kind = m.kinds[first / block_keys];
      bool to_split = sizes_.by_parts && kind != static_cast<T>(numbers::of_any_kind);
      for (index_t i = 0; i < count; ++i) {
        if (!blocks[i].visible.any(tile.first, tile.end - tile.first)) continue;
        if (std::exchange(to_split, false)) kind = static_cast<T>(by_parts(m).split_keys(tile));
        backward_tile(blocks[i], m, tile);
      }
    }
  }

  void backward_tile(const block& b, const memory& m, key_range tile) const noexcept {
    for_parts(m, tile, [&](const part& p) { score(b, m, p); });
    add_encoding(b, m, tile);
    for_parts(m, tile, [&](const part& p) { weigh(b, m, p); });
    through_encoding(b, m, tile);
    for_parts(m, tile, [&](const part& p) { multiply(b, m, p); });
  }

  // ---- A tile ----

  tile_by_parts<T> by_parts(const memory& m) const noexcept { return {sizes_, m}; }

  numbers kind_of(const block& b, const memory& m, const part& p) const noexcept {
    return std::min(b.kind, static_cast<numbers>(static_cast<int>(m.kinds[p.first / block_keys])));
  }
  /// Sets scores that are masked or were not computed to minus infinity.
  void mask(const block& b, const part& p, const tile_edges& edges) const noexcept {
    mask_edges(p.scores, tile_stride<T>, block_queries, edges, masked_part::all);
    if (options_.more.allowed.data == nullptr) return;
    score_tile<T> tile;
    tile.scores = p.scores;
    tile.query_stride = 1;
    tile.key_stride = tile_stride<T>;
    tile.num_queries = b.num_queries();
    tile.num_keys = p.count;
    tile.first_query = b.first_query;
    tile.first_key = p.first;
    filter_.apply(tile, b.head);
  }

  void score(const block& b, const memory& m, const part& p) const noexcept {
    const tile_edges edges = b.visible.edges(p.first, p.count);
    if (kind_of(b, m, p) == numbers::ordinary)
      by_parts(m).score(b.memory, p, edges);
    else
      of_keys_.scores(sizes_.head_dim, m.keys + p.first * row_stride<T>(sizes_.head_dim), b.memory.queries_transposed,
                      p.scores, edges);
    if (options_.softcap > 0) cap_scores(p.scores, static_cast<T>(options_.softcap), p.count);
    if (!by_distance()) mask(b, p, edges);
    if (sizes_.keeps_before) std::copy_n(p.scores, p.count * tile_stride<T>, p.before);
  }

  void weigh(const block& b, const memory& m, const part& p) const noexcept {
    const tile_edges edges = b.visible.edges(p.first, p.count);
    const T* bias = nullptr;  // by rows; added while weighing if nothing is masked
    if (by_distance()) {
      if (by_rows() && edges.whole && options_.more.allowed.data == nullptr)
        bias = m.bias_by_distance + place_of(b, p.first);
      else
        add_bias(b, m, p);
    }
    if constexpr (score_encoding<E, T>) mask(b, p, edges);  // a bias must not unmask a pair
    const numbers kind = kind_of(b, m, p);
    if (!edges.whole || kind == numbers::of_any_kind) std::fill_n(p.gradients, p.count * tile_stride<T>, T(0));
    const T* values = m.values + p.first * row_stride<T>(sizes_.value_dim);
    if (kind == numbers::ordinary) {
      by_parts(m).weigh(b.memory, bias, p, edges);
    } else if (kind == numbers::finite) {
      to_weights(p.scores, bias, b.memory.minus_lse, edges);
      of_values_.gradients(sizes_.value_dim, values, b.memory.d_out_transposed, p.scores, b.memory.delta, p.gradients,
                           edges);
    } else {
      seen_products<T>::weights(p.scores, bias, b.memory.minus_lse, edges);
      seen_products<T>::gradients(sizes_.value_dim, values, b.memory.d_out_transposed, p.scores, b.memory.delta,
                                  p.gradients, edges);
    }
    if (by_distance() && !gradients_.parameters.empty()) sum_by_distance(b, m, p);
  }

  void multiply(const block& b, const memory& m, const part& p) const noexcept {
    const tile_edges edges = b.visible.edges(p.first, p.count);
    if (options_.softcap > 0) through_cap(p.gradients, p.before, static_cast<T>(options_.softcap), p.count);
    const index_t key_row = p.first * row_stride<T>(sizes_.head_dim);
    const index_t value_row = p.first * row_stride<T>(sizes_.value_dim);
    const numbers kind = kind_of(b, m, p);
    if (kind == numbers::ordinary) {
      by_parts(m).multiply(b.memory, p, edges);
    } else if (kind == numbers::finite) {
      of_values_.add_to_keys(sizes_.value_dim, p.scores, b.memory.d_out, m.value_gradients + value_row, edges);
      of_keys_.add_to_keys(sizes_.head_dim, p.gradients, b.memory.queries, m.key_gradients + key_row, edges);
      of_keys_.add_to_queries(sizes_.head_dim, p.gradients, m.keys + key_row, b.memory.query_gradients, edges);
    } else {
      using seen = seen_products<T>;
      seen::add_to_keys(sizes_.value_dim, p.scores, b.memory.d_out, m.value_gradients + value_row, edges);
      seen::add_to_keys(sizes_.head_dim, p.gradients, b.memory.queries, m.key_gradients + key_row, edges);
      seen::add_to_queries(sizes_.head_dim, p.gradients, m.keys + key_row, b.memory.query_gradients, edges);
    }
  }

  // ---- The encoding, if its bias is not tabulated by distance ----

  score_tile<T> tile_of(const block& b, const memory& m, key_range keys, T* scores,
                        const position_t* query_positions) const noexcept {
    score_tile<T> tile;
    tile.scores = scores;
    tile.query_stride = 1;
    tile.key_stride = tile_stride<T>;
    tile.num_queries = b.num_queries();
    tile.num_keys = keys.end - keys.first;
    tile.head = model_head(b.head);
    tile.first_query = b.first_query;
    tile.first_key = keys.first;
    tile.query_positions = query_positions;
    tile.key_positions = m.key_positions;
    tile.consecutive = query_positions_.consecutive() && key_positions_.consecutive();
    tile.queries = b.memory.queries;
    tile.query_token_stride = row_stride<T>(sizes_.head_dim);
    tile.query_dim_stride = 1;
    tile.keys = m.keys + keys.first * row_stride<T>(sizes_.head_dim);
    tile.key_token_stride = row_stride<T>(sizes_.head_dim);
    tile.head_dim = q_.head_dim;
    tile.scale = scale_;
    tile.scratch = m.scratch;
    return tile;
  }

  void list_positions(const block& b, position_t* query_positions, key_range keys, const memory& m) const noexcept {
    for (index_t q = 0; q < b.num_queries(); ++q) query_positions[q] = query_positions_[b.first_query + q];
    for (index_t k = keys.first; k < keys.end; ++k) m.key_positions[k - keys.first] = key_positions_[k];
  }

  void add_encoding(const block& b, const memory& m, key_range keys) const noexcept {
    if constexpr (score_encoding<E, T>) {
      if (by_distance()) return;
      position_t query_positions[block_queries];
      list_positions(b, query_positions, keys, m);
      const score_tile<T> tile = tile_of(b, m, keys, m.scores, query_positions);
      score_tile<T> before_keys = tile;
      before_keys.num_keys = 0;
      hooks::begin(encoding_, before_keys);
      hooks::add_to_scores(encoding_, tile);
    }
  }

  void through_encoding(const block& b, const memory& m, key_range keys) const noexcept {
    if constexpr (score_encoding<E, T>) {
      if (by_distance()) return;
      position_t query_positions[block_queries];
      list_positions(b, query_positions, keys, m);
      score_gradients<T> through;
      through.scores = m.score_gradients;
      through.queries = b.memory.query_gradients;
      through.keys = m.key_gradients + keys.first * row_stride<T>(sizes_.head_dim);
      through.parameters = {m.parameters, static_cast<std::size_t>(sizes_.num_parameters)};
      hooks::add_to_scores_backward(encoding_, tile_of(b, m, keys, m.before, query_positions), through);
    }
  }

  head_view<Q> q_;
  head_view<K> keys_;
  head_view<V> values_;
  head_view<O> out_;
  head_view<U> d_out_;
  const attend_gradients<T>& gradients_;
  const E& encoding_;
  const attend_options<T>& options_;
  index_t query_offset_;
  positions query_positions_;
  positions key_positions_;
  key_filter filter_;
  backward_sizes<T> sizes_;
  tile_products<T> of_keys_;
  tile_products<T> of_values_;
  T scale_;
};

}  // namespace detail

}  // namespace posenc::inline POSENC_ISA
