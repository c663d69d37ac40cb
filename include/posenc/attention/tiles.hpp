// How `attend` walks: blocks of queries, and for each of them tiles of keys from the last to the first.
#pragma once

#include <posenc/attention/online_softmax.hpp>
#include <posenc/attention/tile_sizes.hpp>

#include <cmath>
#include <type_traits>
#include <utility>

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

template <real T, scalar S>
T dot(const T* a, const S* b, index_t count) noexcept {
  constexpr index_t lanes = 16;  // independent sums, so that the loop vectorises without reassociation
  T sums[lanes] = {};
  index_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (index_t l = 0; l < lanes; ++l) sums[l] += a[i + l] * widen<T>(b[i + l]);
  }
  for (; i < count; ++i) sums[i % lanes] += a[i] * widen<T>(b[i]);
  for (index_t half = lanes / 2; half > 0; half /= 2) {
    for (index_t l = 0; l < half; ++l) sums[l] += sums[l + half];
  }
  return sums[0];
}

/// One call of `attend`, split into tasks of one head and one block of queries each.
template <class Q, class K, class V, class O, class E>
class attend_call {
  using T = compute_t<Q>;
  using key_type = key_element_t<K>;
  using value_type = key_element_t<V>;

  // With few queries the keys are the long side of a tile, and with it the contiguous one.
  static constexpr index_t min_key_major = 8;

 public:
  attend_call(head_view<Q> q, const K& keys, const V& values, head_view<O> out, const E& encoding,
              const attend_options<T>& options) noexcept
      : q_(q),
        keys_(keys),
        values_(values),
        out_(out),
        encoding_(encoding),
        options_(options),
        sizes_(tile_sizes_of<T>(q.num_tokens, q.head_dim, keys, values, encoding)),
        block_(sizes_.fit(sizes_.values_a_worker(options.run))),
        query_offset_(resolve_query_offset(options, q.num_tokens, keys.num_tokens)),
        query_positions_(or_indices(options.positions.queries, query_offset_, q.num_tokens)),
        key_positions_(or_indices(options.positions.keys, 0, keys.num_tokens)),
        filter_(options.band, options.more, query_offset_, keys.num_tokens),
        scale_(static_cast<T>(options.scale.value_or(default_scale(q.head_dim)))) {}

  void run() const {
    if (q_.num_tokens <= 0 || q_.num_heads <= 0) return;
    const index_t num_blocks = (q_.num_tokens + block_.num_queries - 1) / block_.num_queries;
    const auto task = [&](index_t i, index_t worker) {
      const index_t first = (i % num_blocks) * block_.num_queries;
      const index_t count = std::min(block_.num_queries, q_.num_tokens - first);
      if (options_.run.workspace.empty()) {
        T stack_block[stack_values];
        attend_block(i / num_blocks, first, count, stack_block);
      } else {
        attend_block(i / num_blocks, first, count,
                     options_.run.workspace.data() + worker * sizes_.values_a_worker(options_.run));
      }
    };
    options_.run.threads(q_.num_heads * num_blocks, task_ref(task));
  }

 private:
  /// A worker's memory, cut into pieces.
  struct pieces {
    T* queries;  // scale * q
    softmax_rows<T> rows;
    T* scores;
    T* keys;
    T* values;
    T* scratch;
  };

  pieces cut(T* memory, index_t num_queries) const noexcept {
    const auto take = [&](index_t count) { return std::exchange(memory, memory + count); };
    pieces p;
    p.queries = take(num_queries * q_.head_dim);
    T* largest = take(num_queries);
    T* sum = take(num_queries);
    p.rows = {largest, sum, take(num_queries * values_.head_dim), num_queries, values_.head_dim};
    p.scores = take(num_queries * block_.num_keys);
    p.keys = take(sizes_.copies_keys ? block_.num_keys * q_.head_dim : 0);
    p.values = take(sizes_.copies_values ? block_.num_keys * values_.head_dim : 0);
    p.scratch = memory;
    return p;
  }

  void attend_block(index_t head, index_t first_query, index_t num_queries, T* memory) const noexcept {
    const pieces memory_of = cut(memory, num_queries);
    position_t query_positions[max_block];
    position_t key_positions[max_block];
    for (index_t i = 0; i < num_queries; ++i) query_positions[i] = query_positions_[first_query + i];

    score_tile<T> tile;
    tile.num_queries = num_queries;
    tile.head = options_.more.first_head + head;
    tile.first_query = first_query;
    tile.query_positions = query_positions;
    tile.key_positions = key_positions;
    tile.consecutive = query_positions_.consecutive() && key_positions_.consecutive();
    tile.scale = scale_;
    tile.scores = memory_of.scores;
    tile.scratch = memory_of.scratch;
    orient(tile);
    load_queries(tile, head, memory_of.queries);
    memory_of.rows.clear();
    hooks::begin(encoding_, tile);

    const key_range range = filter_.keys_of(first_query, num_queries);
    for (index_t end = range.end; end > range.first;) {
      const index_t first = std::max(range.first, end - block_.num_keys);
      if (filter_.touches(first_query, num_queries, first, end - first)) {
        for (index_t i = first; i < end; ++i) key_positions[i - first] = key_positions_[i];
        tile.first_key = first;
        tile.num_keys = end - first;
        attend_tile(tile, head, memory_of);
      }
      end = first;
    }
    store(head, first_query, memory_of.rows);
  }

  // By the block size rather than by the tile's: the last block of a call may be short, and a query's bits must not
  // depend on which block it is in.
  void orient(score_tile<T>& tile) const noexcept {
    const bool key_major = block_.num_queries >= min_key_major || block_.num_keys == 1;  // else both strides are 1
    tile.query_stride = key_major ? 1 : block_.num_keys;
    tile.key_stride = key_major ? tile.num_queries : 1;
    tile.query_token_stride = key_major ? 1 : q_.head_dim;
    tile.query_dim_stride = key_major ? tile.num_queries : 1;
  }

  void load_queries(score_tile<T>& tile, index_t head, T* queries) const noexcept {
    for (index_t i = 0; i < tile.num_queries; ++i) {
      const auto* row = q_.row(tile.first_query + i, head);
      T* to = queries + i * tile.query_token_stride;
      for (index_t d = 0; d < q_.head_dim; ++d) to[d * tile.query_dim_stride] = scale_ * widen<T>(row[d]);
    }
    tile.queries = queries;
    tile.head_dim = q_.head_dim;
  }

  void attend_tile(score_tile<T>& tile, index_t head, const pieces& memory_of) const noexcept {
    score(tile, head, memory_of.keys);
    if (options_.softcap > 0) {
      const T cap = static_cast<T>(options_.softcap);
      for_each_score(tile, [&](index_t, index_t, T& score) { score = cap * std::tanh(score / cap); });
    }
    const bool masked = !filter_.allows_all(tile.first_query, tile.num_queries, tile.first_key, tile.num_keys);
    if (masked) filter_.apply(tile, head);
    if constexpr (score_encoding<E, T>) {
      hooks::add_to_scores(encoding_, tile);
      if (masked) filter_.apply(tile, head);  // no bias revives a masked pair
    }
    memory_of.rows.absorb(tile);
    add_values(tile, head, memory_of);
  }

  /// Calls `visit(piece, first)` for the stretches in which tokens [first, first + count) of a source lie together.
  template <class Source, class Visit>
  static void for_each_piece(const Source& source, index_t first, index_t count, Visit visit) noexcept {
    for (index_t done = 0; done < count;) {
      const auto piece = source.block(first + done, count - done);
      visit(piece, done);
      done += piece.num_tokens;
    }
  }

  /// A row as the kernel reads it: as it lies, or widened into the copy.
  template <class S>
  static const auto* row_or_copy(const S* row, index_t count, bool copies, T* copy) noexcept {
    if constexpr (std::same_as<std::remove_const_t<S>, T>) {
      if (!copies) return row;
    }
    for (index_t d = 0; d < count; ++d) copy[d] = widen<T>(row[d]);
    return static_cast<const T*>(copy);
  }

  void score(score_tile<T>& tile, index_t head, T* copies) const noexcept {
    const index_t kv_head = head / (q_.num_heads / keys_.num_heads);
    tile.keys = sizes_.copies_keys ? copies : nullptr;
    tile.key_token_stride = q_.head_dim;
    for_each_piece(keys_, tile.first_key, tile.num_keys, [&](const auto& piece, index_t first) {
      for (index_t i = 0; i < piece.num_tokens; ++i) {
        const index_t k = first + i;
        const T* key = row_or_copy(piece.row(i, kv_head), q_.head_dim, sizes_.copies_keys, copies + k * q_.head_dim);
        if (tile.query_stride == 1) {
          T* __restrict scores = tile.scores + k * tile.key_stride;
          std::fill_n(scores, tile.num_queries, T(0));
          for (index_t d = 0; d < q_.head_dim; ++d) {
            const T* __restrict queries = tile.queries + d * tile.query_dim_stride;
            for (index_t q = 0; q < tile.num_queries; ++q) scores[q] += key[d] * queries[q];
          }
        } else {
          for (index_t q = 0; q < tile.num_queries; ++q) {
            tile.score(q, k) = dot(tile.queries + q * tile.query_token_stride, key, q_.head_dim);
          }
        }
      }
    });
  }

  // A weight of zero skips its value, so that what lies behind a mask need not even be a number.
  void add_values(const score_tile<T>& tile, index_t head, const pieces& memory_of) const noexcept {
    const index_t kv_head = head / (q_.num_heads / values_.num_heads);
    for_each_piece(values_, tile.first_key, tile.num_keys, [&](const auto& piece, index_t first) {
      for (index_t i = 0; i < piece.num_tokens; ++i) {
        const T* value = row_or_copy(piece.row(i, kv_head), values_.head_dim, sizes_.copies_values, memory_of.values);
        for (index_t q = 0; q < tile.num_queries; ++q) {
          const T weight = tile.score(q, first + i);
          if (weight == T(0)) continue;
          T* __restrict output = memory_of.rows.row(q);
          for (index_t d = 0; d < values_.head_dim; ++d) output[d] += weight * value[d];
        }
      }
    });
  }

  void store(index_t head, index_t first_query, const softmax_rows<T>& rows) const noexcept {
    for (index_t q = 0; q < rows.num_queries; ++q) {
      if (!options_.sinks.empty()) rows.add_sink(q, options_.sinks[static_cast<std::size_t>(head)]);
      if (options_.lse.data != nullptr) options_.lse.at(first_query + q, head) = rows.log_sum_exp(q);
      const T inverse = rows.sum[q] == T(0) ? T(0) : 1 / rows.sum[q];
      auto* out = out_.row(first_query + q, head);
      for (index_t d = 0; d < values_.head_dim; ++d) out[d] = narrow<std::remove_const_t<O>>(rows.row(q)[d] * inverse);
    }
  }

  head_view<Q> q_;
  const K& keys_;
  const V& values_;
  head_view<O> out_;
  const E& encoding_;
  const attend_options<T>& options_;
  tile_sizes<E> sizes_;
  block_sizes block_;
  index_t query_offset_;
  positions query_positions_;
  positions key_positions_;
  key_filter filter_;
  T scale_;
};

}  // namespace posenc::inline POSENC_ISA::detail
