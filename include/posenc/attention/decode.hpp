// `attend` with few queries: each key is read once for all rows that share it, at memory bandwidth.
#pragma once

#include <posenc/attention/decode/plan.hpp>
#include <posenc/attention/decode/weights.hpp>
#include <posenc/attention/tile/hyperbolic_tangent.hpp>
#include <posenc/attention/tiles.hpp>

#include <cmath>
#include <cstddef>
#include <optional>
#include <type_traits>

namespace posenc::inline POSENC_ISA::detail {

/// One call of `attend` with few queries. The keys are split into stretches; one task sums the rows of a stretch, and
/// the results are merged in a fixed order.
template <class Q, class K, class V, class O, class E>
class decode_call {
  using plan_t = decode_plan<Q, K, V, O, E>;
  using T = typename plan_t::T;
  using S = typename plan_t::S;
  using R = typename plan_t::R;
  using key_kernel = typename plan_t::key_kernel;
  using value_kernel = typename plan_t::value_kernel;
  static constexpr index_t stack_values = decode_stack_bytes / static_cast<index_t>(sizeof(T));

 public:
  decode_call(head_view<Q> q, const K& keys, const V& values, head_view<O> out, const E& encoding,
              const attend_options<T>& options) noexcept
      : q_(q),
        keys_(keys),
        values_(values),
        out_(out),
        encoding_(encoding),
        options_(options),
        query_offset_(resolve_query_offset(options, q.num_tokens, keys.num_tokens)),
        query_positions_(or_indices(options.positions.queries, query_offset_, q.num_tokens)),
        key_positions_(or_indices(options.positions.keys, 0, keys.num_tokens)),
        filter_(options.band, options.more, query_offset_, keys.num_tokens),
        scale_(static_cast<T>(options.scale.value_or(default_scale(q.head_dim)))),
        plan_(q, keys, values, encoding, filter_.keys_of(0, q.num_tokens)) {}

  /// Whether this call has few queries, and enough memory for this path.
  bool fits() noexcept {
    if (!plan_t::suits(q_.num_tokens)) return false;
    if (q_.num_tokens <= 0 || q_.num_heads <= 0) return true;
    const index_t num_workers = options_.run.threads.num_workers();
    if (options_.run.workspace.empty()) return plan_.fit_unsplit(stack_values, num_workers);
    return plan_.fit(std::ssize(options_.run.workspace), num_workers);
  }

  void run() const {
    if (q_.num_tokens <= 0 || q_.num_heads <= 0) return;
    const auto task = [&](index_t i, index_t worker) {
      if (options_.run.workspace.empty()) {
        T stack_block[stack_values];
        run_task(i, stack_block);
      } else {
        run_task(i, options_.run.workspace.data() + plan_.values_of_parts() + worker * plan_.values_a_worker());
      }
    };
    options_.run.threads(plan_.num_tasks(), task_ref(task));
    if (plan_.num_splits > 1) merge_splits();
  }

 private:
  /// A stretch of keys, and the units that one task runs over it.
  struct stretch {
    index_t first_unit;
    index_t split;
    key_range keys;
  };

  stretch stretch_of(index_t task) const noexcept {
    stretch s;
    s.first_unit = task / plan_.num_splits * plan_.units_a_task;
    s.split = task % plan_.num_splits;
    s.keys.first = plan_.range.first + s.split * plan_.keys_a_split;
    s.keys.end = std::min(plan_.range.end, s.keys.first + plan_.keys_a_split);
    return s;
  }

  void run_task(index_t task, T* memory) const noexcept {
    const decode_memory<T> m = plan_.cut(aligned(memory));
    const stretch s = stretch_of(task);
    std::fill_n(m.zeros, std::max(plan_.head_dim, plan_.value_dim), T(0));
    walk<false>(s, m);
    // Values with a weight of zero may be NaN or infinite and must not contribute. That shows in the output, and is
    // rare enough to repeat the walk, skipping such values one by one.
    if (find_not_finite(m)) walk<true>(s, m);
    for (index_t unit = 0; unit < plan_.units_a_task; ++unit) store_unit(s, unit, m);
  }

  bool find_not_finite(const decode_memory<T>& m) const noexcept {
    if (all_finite(m.output, plan_.units_a_task * plan_.packed_output())) return false;
    for (index_t place = 0; place < plan_.units_a_task; ++place) {
      plan_t::for_row_groups(plan_.rows_padded(), [&](auto group, index_t first) {
        for (int g = 0; g < group; ++g) {
          value_kernel::template unpack<group>(output_of(place, first, m), plan_.value_dim, g, m.some_rows);
          m.not_finite[place * plan_.rows_padded() + first + g] =
              all_finite(m.some_rows, plan_.value_dim) ? T(0) : T(1);
        }
      });
    }
    return true;
  }

  /// The output of the rows from `first_row` on, for the unit at `place` in its task.
  T* output_of(index_t place, index_t first_row, const decode_memory<T>& m) const noexcept {
    return m.output + place * plan_.packed_output() + plan_.packed_output_before(first_row);
  }

  template <bool Careful>
  void walk(const stretch& s, const decode_memory<T>& m) const noexcept {
    for (index_t unit = 0; unit < plan_.units_a_task; ++unit) begin_unit(s.first_unit + unit, unit, m);
    const index_t num_blocks = plan_.blocks_of(s.keys);
    for (index_t i = 0; i < num_blocks; ++i) {
      const index_t first = s.keys.first + (plan_.ascending() ? i : num_blocks - 1 - i) * plan_.block_keys;
      const index_t end = std::min(s.keys.end, first + plan_.block_keys);
      if (!filter_.touches(0, plan_.num_queries, first, end - first)) continue;
      position_t key_positions[max_decode_keys];
      if constexpr (score_encoding<E, T>) {
        for (index_t k = first; k < end; ++k) key_positions[k - first] = key_positions_[k];
      }
      const bool masked = !filter_.allows_all(0, plan_.num_queries, first, end - first);
      for (index_t unit = 0; unit < plan_.units_a_task; ++unit) {
        const block b{s.first_unit, unit, kv_head(s.first_unit + unit), first, end - first, masked, key_positions};
        walk_block<Careful>(b, m);
      }
    }
  }

  // ---- One unit ----

  index_t kv_head(index_t unit) const noexcept { return unit / plan_.units_a_kv_head; }

  void begin_unit(index_t unit, index_t place, const decode_memory<T>& m) const noexcept {
    const index_t rows = plan_.rows_padded();
    std::fill_n(m.output + place * plan_.packed_output(), plan_.packed_output(), T(0));
    std::fill_n(m.largest + place * rows, rows, std::numeric_limits<T>::lowest());
    std::fill_n(m.sum + place * rows, rows, T(0));
    plan_t::for_row_groups(rows, [&](auto group, index_t first) {
      T* packed = m.queries + place * plan_.packed_queries() + plan_.packed_queries_before(first);
      for (int g = 0; g < group; ++g) {
        load_query(unit, first + g, m.some_rows);
        key_kernel::template pack<group>(m.some_rows, plan_.head_dim, scale_, g, packed);
        if (!plan_.reads_content() || first + g >= plan_.rows) continue;
        T* content = m.content_queries + (place * plan_.rows + first + g) * plan_.head_dim;
        for (index_t d = 0; d < plan_.head_dim; ++d) content[d] = scale_ * m.some_rows[d];
      }
    });
    if constexpr (score_encoding<E, T>) {
      for (index_t h = 0; h < plan_.heads_a_unit; ++h) hooks::begin(encoding_, tile_of(unit, place, h, m));
    }
  }

  // Rows of a unit: all queries of its first head, of its second, ...
  void load_query(index_t unit, index_t row, T* to) const noexcept {
    std::fill_n(to, plan_.row_size(), T(0));
    if (row >= plan_.rows) return;
    const index_t head = unit * plan_.heads_a_unit + row / plan_.num_queries;
    kernels::convert<T>(q_.row(row % plan_.num_queries, head), to, plan_.head_dim);
  }

  /// The tile that an encoding sees for head h of a unit, without keys yet.
  score_tile<T> tile_of(index_t unit, index_t place, index_t h, const decode_memory<T>& m) const noexcept {
    score_tile<T> tile;
    tile.scores = m.scores + h * plan_.num_queries * plan_.score_stride();
    tile.query_stride = plan_.score_stride();
    tile.key_stride = 1;
    tile.num_queries = plan_.num_queries;
    tile.head = options_.more.first_head + unit * plan_.heads_a_unit + h;
    tile.query_positions = positions_of_queries_.ids;
    tile.consecutive = query_positions_.consecutive() && key_positions_.consecutive();
    tile.scale = scale_;
    tile.scratch = m.scratch + (place * plan_.heads_a_unit + h) * plan_.scratch();
    tile.head_dim = plan_.head_dim;
    if (plan_.reads_content()) {
      tile.queries = m.content_queries + (place * plan_.rows + h * plan_.num_queries) * plan_.head_dim;
      tile.query_token_stride = plan_.head_dim;
      tile.query_dim_stride = 1;
      tile.keys = m.content_keys;
      tile.key_token_stride = plan_.head_dim;
    }
    return tile;
  }

  // ---- One block of keys ----

  struct block {
    index_t first_unit;
    index_t place;  // of the unit in its task
    index_t kv_head;
    index_t first;
    index_t count;
    bool masked;  // some pair is not allowed
    const position_t* key_positions;

    index_t unit() const noexcept { return first_unit + place; }
  };

  template <bool Careful>
  void walk_block(const block& b, const decode_memory<T>& m) const noexcept {
    score_block(b, m);
    finish_scores(b, m);
    if (has_scales<V>()) load_scales(values_, b, m.value_scales);
    plan_t::for_row_groups(plan_.rows_padded(), [&](auto group, index_t row) {
      const index_t state = b.place * plan_.rows_padded() + row;
      T* weights = m.scores + row * plan_.score_stride();
      T* output = output_of(b.place, row, m);
      const bool any = weigh<group>(weights, plan_.score_stride(), b.count, m.largest + state, m.sum + state, output,
                                    value_kernel::output_size(group, plan_.value_dim));
      if (!any) return;
      if constexpr (Careful) {
        add_values_carefully<group>(b, row, output, m);
      } else {
        add_values<group>(b, row, output, m);
      }
    });
  }

  void score_block(const block& b, const decode_memory<T>& m) const noexcept {
    const T* packed = m.queries + b.place * plan_.packed_queries();
    const auto values_of_block = [&](index_t offset, index_t count) { return lines_of(values_, b, offset, count); };
    for_each_piece(keys_, b, values_of_block, [&](const auto& rows, index_t offset, const lines_to_fetch& next) {
      plan_t::for_row_groups(plan_.rows_padded(), [&](auto group, index_t row) {
        key_kernel::template score<group>(rows, plan_.head_dim, reinterpret_cast<const S*>(m.zeros),
                                          packed + plan_.packed_queries_before(row),
                                          m.scores + row * plan_.score_stride() + offset, plan_.score_stride(),
                                          row == 0 ? next : nothing_ahead(rows));
      });
    });
  }

  // The steps after scaling: soft-cap, encoding, mask.
  void finish_scores(const block& b, const decode_memory<T>& m) const noexcept {
    if (has_scales<K>()) {
      load_scales(keys_, b, m.key_scales);
      for (index_t r = 0; r < plan_.rows; ++r) {
        T* scores = m.scores + r * plan_.score_stride();
        for (index_t k = 0; k < b.count; ++k) scores[k] *= m.key_scales[k];
      }
    }
    if (options_.softcap > 0) {
      for (index_t r = 0; r < plan_.rows; ++r) cap(m.scores + r * plan_.score_stride(), b.count);
    }
    if constexpr (score_encoding<E, T>) {
      if (plan_.reads_content()) copy_keys(b, m.content_keys);
    } else if (!b.masked) {
      return;
    }
    for (index_t h = 0; h < plan_.heads_a_unit; ++h) {
      score_tile<T> tile = tile_of(b.unit(), b.place, h, m);
      tile.first_key = b.first;
      tile.num_keys = b.count;
      tile.key_positions = b.key_positions;
      const index_t head = b.unit() * plan_.heads_a_unit + h;
      if (b.masked) filter_.apply(tile, head);
      if constexpr (score_encoding<E, T>) {
        hooks::add_to_scores(encoding_, tile);
        if (b.masked) filter_.apply(tile, head);  // a bias must not unmask a pair
      }
    }
  }

  // Processes whole vectors; columns beyond `count` are not used.
  void cap(T* scores, index_t count) const noexcept {
    using vector = kernels::vector<T>;
    const T limit = static_cast<T>(options_.softcap);
    for (index_t k = 0; k < count; k += plan_t::lanes)
      kernels::store(scores + k, limit * hyperbolic_tangent(kernels::load<vector>(scores + k) / limit));
  }

  template <int Rows>
  void add_values(const block& b, index_t first_row, T* output, const decode_memory<T>& m) const noexcept {
    T* weights = m.scores + first_row * plan_.score_stride();
    value_kernel::template begin<Rows>(weights, plan_.score_stride(), b.count,
                                       has_scales<V>() ? m.value_scales : nullptr, plan_.value_dim, m.extra);
    const auto next_keys = [&](index_t offset, index_t count) { return lines_after(keys_, b, offset, count); };
    for_each_piece(values_, b, next_keys, [&](const auto& rows, index_t offset, const lines_to_fetch& next) {
      value_kernel::template add<Rows>(rows, plan_.value_dim, reinterpret_cast<const R*>(m.zeros), weights + offset,
                                       plan_.score_stride(), offset, output, m.extra,
                                       first_row == 0 ? next : nothing_ahead(rows));
    });
    value_kernel::template end<Rows>(plan_.value_dim, plan_.score_stride(), output, m.extra);
  }

  // Rows that came out finite keep their bits; in the others, values with a weight of zero are skipped.
  template <int Rows>
  void add_values_carefully(const block& b, index_t first_row, T* output, const decode_memory<T>& m) const noexcept {
    const T* not_finite = m.not_finite + b.place * plan_.rows_padded() + first_row;
    for (int g = 0; g < Rows; ++g) {
      if (not_finite[g] == T(0)) continue;
      T* row = m.some_rows + g * plan_.row_size();
      value_kernel::template unpack<Rows>(output, plan_.value_dim, g, row);
      add_values_one_by_one(b, m.scores + (first_row + g) * plan_.score_stride(), row);
    }
    add_values<Rows>(b, first_row, output, m);
    for (int g = 0; g < Rows; ++g) {
      if (not_finite[g] != T(0))
        value_kernel::template repack<Rows>(m.some_rows + g * plan_.row_size(), plan_.value_dim, g, output);
    }
  }

  void add_values_one_by_one(const block& b, const T* weights, T* row) const noexcept {
    for (index_t k = 0; k < b.count; ++k) {
      if (weights[k] == T(0)) continue;
      const auto piece = values_.block(b.first + k, 1);
      T weight = weights[k];
      if constexpr (has_scales<V>()) weight *= static_cast<T>(piece.scale(0, b.kv_head));
      const R* value = piece.row(0, b.kv_head);
      for (index_t d = 0; d < plan_.value_dim; ++d) row[d] += weight * widen_element<T>(value[d]);
    }
  }

  // ---- Pieces of a key source ----

  template <class Source>
  static constexpr bool has_scales() noexcept {
    return requires(const Source& source) { source.block(0, 1).scale(0, 0); };
  }

  template <class Source>
  void load_scales(const Source& source, const block& b, T* scales) const noexcept {
    if constexpr (has_scales<Source>()) {
      for (index_t k = 0; k < b.count;) {
        const auto piece = source.block(b.first + k, b.count - k);
        const auto* from = &piece.scale(0, b.kv_head);
        const index_t stride = &piece.scale(1, b.kv_head) - from;
        const index_t count = std::min(piece.num_tokens, b.count - k);
        if (stride == 1)
          std::copy_n(from, count, scales + k);
        else
          for (index_t i = 0; i < count; ++i) scales[k + i] = static_cast<T>(from[i * stride]);
        k += count;
      }
      for (index_t k = b.count; k % plan_t::lanes != 0; ++k) scales[k] = 0;
    }
  }

  void copy_keys(const block& b, T* to) const noexcept {
    for (index_t k = 0; k < b.count;) {
      const auto piece = keys_.block(b.first + k, b.count - k);
      for (index_t i = 0; i < piece.num_tokens; ++i, ++k) {
        const S* key = piece.row(i, b.kv_head);
        T scale = 1;
        if constexpr (has_scales<K>()) scale = static_cast<T>(piece.scale(i, b.kv_head));
        for (index_t d = 0; d < plan_.head_dim; ++d) to[k * plan_.head_dim + d] = scale * widen_element<T>(key[d]);
      }
    }
  }

  /// Calls f(rows, offset in the block, lines to prefetch); again(offset, count) gives the lines to prefetch a second
  /// time.
  template <class Source, class Again, class F>
  void for_each_piece(const Source& source, const block& b, Again again, F f) const noexcept {
    for (index_t offset = 0; offset < b.count;) {
      const auto piece = source.block(b.first + offset, b.count - offset);
      const index_t count = std::min(piece.num_tokens, b.count - offset);
      const cache_rows<key_element_t<Source>> rows{piece.row(0, b.kv_head), stride_of(piece), count};
      f(rows, offset, lines_to_fetch{lines_after(source, b, offset, count), again(offset, count)});
      offset += count;
    }
  }

  template <class Piece>
  static index_t stride_of(const Piece& piece) noexcept {
    return piece.row(1, 0) - piece.row(0, 0);
  }

  template <class Element>
  static lines_to_fetch nothing_ahead(const cache_rows<Element>& rows) noexcept {
    const lines_ahead of_the_first_row{reinterpret_cast<std::uintptr_t>(rows.first), 0, false};
    return {of_the_first_row, of_the_first_row};
  }

  template <class Piece>
  static lines_ahead lines_of_piece(const Piece& piece, index_t head, index_t dim) noexcept {
    const index_t stride = stride_of(piece);
    return {reinterpret_cast<std::uintptr_t>(piece.row(0, head)),
            stride * static_cast<index_t>(sizeof(*piece.row(0, 0))), stride == dim};
  }
  template <class Source>
  lines_ahead lines_of(const Source& source, const block& b, index_t offset, index_t count) const noexcept {
    return lines_of_piece(source.block(b.first + offset, count), b.kv_head, source.head_dim);
  }

  /// The block read next, or the first one of the next unit. If a token's heads are contiguous, each unit prefetches its
  /// share of all heads, so that memory is read in order.
  template <class Source>
  lines_ahead lines_after(const Source& source, const block& b, index_t offset, index_t count) const noexcept {
    const key_range range = plan_.range;
    index_t first = b.first + (plan_.ascending() ? plan_.block_keys : -plan_.block_keys);
    index_t head = b.kv_head;
    if (first < range.first || first >= range.end) {
      first = b.first;
      if (plan_.units_a_task == 1 && b.unit() + 1 < plan_.num_units) {
        first = range.first + (plan_.ascending() ? 0 : (plan_.blocks_of(range) - 1) * plan_.block_keys);
        head = kv_head(b.unit() + 1);
      }
    }
    first = std::min(first + offset, range.end - 1);
    const auto piece = source.block(first, std::min(count, range.end - first));
    const index_t stride = stride_of(piece), dim = source.head_dim;
    if (plan_.units_a_task > 1 && stride == source.num_heads * dim && plan_.num_units == source.num_heads) {
      const auto* share = piece.row(0, 0) + head * count * dim;
      return {reinterpret_cast<std::uintptr_t>(share), dim * static_cast<index_t>(sizeof *share), true};
    }
    return lines_of_piece(piece, head, dim);
  }

  // ---- Results ----

  T* part(index_t split, index_t head, index_t query) const noexcept {
    return options_.run.workspace.data() + ((split * q_.num_heads + head) * q_.num_tokens + query) * plan_.part_size();
  }
  partial_row<T> as_row(T* part) const noexcept { return {part, part + 1, part + 2, plan_.value_dim}; }

  void store_unit(const stretch& s, index_t place, const decode_memory<T>& m) const noexcept {
    const index_t unit = s.first_unit + place;
    plan_t::for_row_groups(plan_.rows_padded(), [&](auto group, index_t first) {
      for (int g = 0; g < group && first + g < plan_.rows; ++g) {
        const index_t head = unit * plan_.heads_a_unit + (first + g) / plan_.num_queries;
        const index_t query = (first + g) % plan_.num_queries;
        const index_t state = place * plan_.rows_padded() + first + g;
        value_kernel::template unpack<group>(output_of(place, first, m), plan_.value_dim, g, m.some_rows);
        const partial_row<T> row{m.largest + state, m.sum + state, m.some_rows, plan_.value_dim};
        if (plan_.num_splits == 1)
          store_row(query, head, row);
        else
          as_row(part(s.split, head, query)).assign(row);
      }
    });
  }

  void merge_splits() const noexcept {
    for (index_t head = 0; head < q_.num_heads; ++head) {
      for (index_t query = 0; query < q_.num_tokens; ++query) {
        const partial_row<T> all = as_row(part(0, head, query));
        for (index_t split = 1; split < plan_.num_splits; ++split) all.add(as_row(part(split, head, query)));
        store_row(query, head, all);
      }
    }
  }

  void store_row(index_t query, index_t head, const partial_row<T>& row) const noexcept {
    if (!options_.sinks.empty()) row.add_sink(options_.sinks[static_cast<std::size_t>(head)]);
    if (options_.lse.data != nullptr) options_.lse.at(query, head) = row.log_sum_exp();
    const T inverse = *row.sum == T(0) ? T(0) : 1 / *row.sum;
    auto* out = out_.row(query, head);
    for (index_t d = 0; d < plan_.value_dim; ++d) out[d] = narrow<std::remove_const_t<O>>(row.output[d] * inverse);
  }

  /// The first vector-aligned address in a worker's memory.
  static T* aligned(T* memory) noexcept {
    constexpr auto bytes = static_cast<std::uintptr_t>(kernels::vector_bytes);
    const auto past = reinterpret_cast<std::uintptr_t>(memory) % bytes;
    return past == 0 ? memory : memory + (bytes - past) / sizeof(T);
  }

  struct query_ids {
    position_t ids[max_decode_queries];
    query_ids(const positions& p) noexcept {
      for (index_t i = 0; i < std::min(p.size(), max_decode_queries); ++i) ids[i] = p[i];
    }
  };

  head_view<Q> q_;
  const K& keys_;
  const V& values_;
  head_view<O> out_;
  const E& encoding_;
  const attend_options<T>& options_;
  index_t query_offset_;
  positions query_positions_;
  query_ids positions_of_queries_{query_positions_};
  positions key_positions_;
  key_filter filter_;
  T scale_;
  plan_t plan_;
};

/// Number of workspace values for the best plan of such a call; 0 if it does not have few queries.
template <class Q, class K, class V, class E>
index_t decode_workspace(head_view<Q> q, const K& keys, const V& values, const E& encoding,
                         index_t num_workers) noexcept {
  using plan_t = decode_plan<Q, K, V, key_element_t<V>, E>;  // no other output type needs more
  if (!plan_t::suits(q.num_tokens) || q.num_tokens <= 0 || q.num_heads <= 0) return 0;
  return plan_t(q, keys, values, encoding, {0, keys.num_tokens}).most_values(num_workers);
}

}  // namespace posenc::inline POSENC_ISA::detail
