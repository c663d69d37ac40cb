// Calls the hooks of any encoding: a missing hook compiles to nothing, and the shorter forms of the score hook are
// lifted to a tile.
#pragma once

#include <posenc/concepts.hpp>
#include <posenc/near_misses.hpp>

#include <algorithm>
#include <concepts>
#include <span>

namespace posenc::inline POSENC_ISA {

namespace hooks {

// ---- Embeddings ----

template <class E, element S, token_positions P>
void add_to(const E& e, token_view<S> x, const P& p) noexcept {
  static_assert(check_embedding_hook<E, S>());
  if constexpr (requires { e.add_to(x, p); }) e.add_to(x, p);
}

// ---- Queries and keys ----

template <class E, element S, token_positions P>
void apply_to_queries(const E& e, head_view<S> x, const P& p) noexcept {
  static_assert(check_query_key_hooks<E, S>());
  if constexpr (requires { e.apply_to_queries(x, p); }) e.apply_to_queries(x, p);
}

template <class E, element S, token_positions P>
void apply_to_keys(const E& e, head_view<S> x, const P& p) noexcept {
  static_assert(check_query_key_hooks<E, S>());
  if constexpr (requires { e.apply_to_keys(x, p); }) e.apply_to_keys(x, p);
}

// ---- Scores ----

/// Whether the encoding acts on scores: known from the type, or at run time if the type has a member `acts_on_scores`
/// (`any_encoding`, and composites of one).
template <class T, class E>
bool acts_on_scores(const E& e) noexcept {
  if constexpr (requires { e.template acts_on_scores<T>(); })
    return e.template acts_on_scores<T>();
  else
    return score_encoding<E, T>;
}

/// Whether the bias depends on distance alone: known from the type, or at run time if the type has a member
/// `has_distance_bias` (`combine`, `any_encoding`).
template <class T, class E>
bool has_distance_bias(const E& e) noexcept {
  if constexpr (requires { e.template has_distance_bias<T>(); })
    return e.template has_distance_bias<T>();
  else
    return relative_bias<E, T>;
}

/// out[i] = bias(head, first + i), i in [0, count). Requires has_distance_bias.
template <class T, class E>
void fill_bias(const E& e, index_t head, position_t first, index_t count, T* out) noexcept {
  if constexpr (detail::has_fill_bias<E, T>) {
    e.fill_bias(head, first, count, out);
  } else if constexpr (relative_bias<E, T>) {
    for (index_t i = 0; i < count; ++i) out[i] = static_cast<T>(e.bias(head, static_cast<position_t>(first + i)));
  }
}

/// Whether the encoding reads queries and keys; only then are they put into the tile.
template <class E>
bool reads_content(const E& e) noexcept {
  if constexpr (detail::has_reads_content<E>)
    return e.reads_content();
  else
    return false;
}

/// Number of values of T that the encoding keeps while a block of queries walks over its keys.
template <class E>
index_t scratch_size(const E& e, index_t num_queries) noexcept {
  if constexpr (detail::has_scratch_size<E>)
    return e.scratch_size(num_queries);
  else
    return 0;
}

/// Called when a block of queries begins, with a tile that has no keys.
template <class T, class E>
void begin(const E& e, const score_tile<T>& tile) noexcept {
  if constexpr (detail::has_begin<E, T>) e.begin(tile);
}

namespace detail {

using namespace posenc::detail;

/// The bias of a tile is evaluated once per distance rather than once per pair, up to this many distances.
inline constexpr index_t max_tabulated = 256;

// A table by distance is added as shifted rows: along the queries of a key, distances rise by one; along the keys of a
// query, they fall by one.
template <class T, class E>
void add_distance_bias(const E& e, const score_tile<T>& tile) noexcept {
  T by_distance[max_tabulated];
  const position_t least = tile.distance(0, tile.num_keys - 1);
  const index_t last_key = tile.num_keys - 1;
  hooks::fill_bias<T>(e, tile.head, least, tile.num_queries + last_key, by_distance);
  if (tile.query_stride == 1) {
    for (index_t k = 0; k < tile.num_keys; ++k) {
      T* __restrict scores = tile.scores + k * tile.key_stride;
      const T* __restrict bias = by_distance + (last_key - k);
      for (index_t q = 0; q < tile.num_queries; ++q) scores[q] += bias[q];
    }
  } else {
    for (index_t q = 0; q < tile.num_queries; ++q) {
      for (index_t k = 0; k < tile.num_keys; ++k) tile.score(q, k) += by_distance[q + last_key - k];
    }
  }
}

// The inner loop runs along the contiguous direction of the tile.
template <class T, class Bias>
void add_by_pair(const score_tile<T>& tile, Bias bias) noexcept {
  if (tile.query_stride == 1) {
    for (index_t k = 0; k < tile.num_keys; ++k) {
      T* __restrict scores = tile.scores + k * tile.key_stride;
      const position_t* __restrict query = tile.query_positions;
      const position_t key = tile.key_positions[k];
      for (index_t q = 0; q < tile.num_queries; ++q) scores[q] += static_cast<T>(bias(query[q], key));
    }
  } else {
    for (index_t q = 0; q < tile.num_queries; ++q) {
      for (index_t k = 0; k < tile.num_keys; ++k) {
        tile.score(q, k) += static_cast<T>(bias(tile.query_positions[q], tile.key_positions[k]));
      }
    }
  }
}

}  // namespace detail

/// Adds the encoding's bias to a tile of scores.
template <class T, class E>
void add_to_scores(const E& e, const score_tile<T>& tile) noexcept {
  static_assert(check_score_hook<E, T>());
  if (tile.num_queries <= 0 || tile.num_keys <= 0) return;
  if constexpr (tile_bias<E, T>) {
    e.add_to_scores(tile);
  } else if constexpr (relative_bias<E, T>) {
    if (tile.consecutive && tile.num_queries + tile.num_keys <= detail::max_tabulated) {
      detail::add_distance_bias(e, tile);
    } else {
      detail::add_by_pair(tile, [&](position_t query, position_t key) { return e.bias(tile.head, query - key); });
    }
  } else if constexpr (pairwise_bias<E, T>) {
    detail::add_by_pair(tile, [&](position_t query, position_t key) { return e.bias(tile.head, query, key); });
  }
}

// ---- Checks, one per place ----

/// Number of position axes that the encoding reads. 0: a composite, whose parts check for themselves.
template <class E>
index_t num_position_axes(const E& e) noexcept {
  if constexpr (requires { e.num_position_axes(); })
    return e.num_position_axes();
  else
    return 1;
}

namespace detail {

template <class E, class P>
problem check_axes(const E& e, const char* operation, const P& p, index_t num_tokens) noexcept {
  const index_t num_axes = hooks::num_position_axes(e);
  return num_axes > 0 ? check_positions(operation, p, num_tokens, num_axes) : problem();
}

}  // namespace detail

/// Returns what would be wrong with adding to embeddings of this shape, if anything.
template <class S, class E, token_positions P>
problem check_add(const E& e, const embedding_shape& shape, const P& p) noexcept {
  if constexpr (requires(token_view<S> x) { e.add_to(x, p); }) {
    if (const problem wrong = detail::check_axes(e, "add_to", p, shape.num_tokens)) return wrong;
    if constexpr (requires { e.template check_add<S>(shape, p); })
      return e.template check_add<S>(shape, p);
    else if constexpr (requires { e.check_add(shape, p); })
      return e.check_add(shape, p);
  }
  return {};
}

/// Returns what would be wrong with transforming queries or keys of this shape, if anything.
template <class S, class E, token_positions P>
problem check_rotate(const E& e, const head_shape& shape, const P& p) noexcept {
  if constexpr (requires(head_view<S> x) { e.apply_to_queries(x, p); }) {
    if (const problem wrong = detail::check_axes(e, "rotate", p, shape.num_tokens)) return wrong;
    if constexpr (requires { e.template check_rotate<S>(shape, p); })
      return e.template check_rotate<S>(shape, p);
    else if constexpr (requires { e.check_rotate(shape, p); })
      return e.check_rotate(shape, p);
  }
  return {};
}

namespace detail {

/// Score hooks read one axis.
template <class E>
problem check_score_axes(const E& e, const positions& p) noexcept {
  if (hooks::num_position_axes(e) == 0 || p.num_axes() == 1) return {};
  return problem::invalid("attend", "number of axes of the positions", p.num_axes(), "1");
}

}  // namespace detail

/// Returns what would be wrong with biasing scores of this shape, if anything.
template <class T, class E>
problem check_scores(const E& e, const score_shape& shape, const positions& queries, const positions& keys) noexcept {
  if constexpr (score_encoding<E, T>) {
    if (const problem wrong = detail::check_score_axes(e, queries)) return wrong.of("queries");
    if (const problem wrong = detail::check_score_axes(e, keys)) return wrong.of("keys");
    if constexpr (requires { e.template check_scores<T>(shape, queries, keys); })
      return e.template check_scores<T>(shape, queries, keys);
    else if constexpr (requires { e.check_scores(shape, queries, keys); })
      return e.check_scores(shape, queries, keys);
  }
  return {};
}

// ---- Adjoints ----

template <class E>
index_t num_parameters(const E& e) noexcept {
  if constexpr (requires { e.parameters(); })
    return std::ssize(e.parameters());
  else if constexpr (requires { e.num_parameters(); })
    return e.num_parameters();
  else
    return 0;
}

template <class E, element S>
void add_to_backward(const E& e, token_view<const S> upstream, const positions& p,
                     std::span<compute_t<S>> parameters) noexcept {
  if constexpr (requires { e.add_to_backward(upstream, p, parameters); }) e.add_to_backward(upstream, p, parameters);
}

/// `gradients`: in dL/d(output of apply_to_queries), out dL/dx.
template <class E, element S>
void apply_to_queries_backward(const E& e, head_view<const S> x, head_view<S> gradients, const positions& p,
                               std::span<compute_t<S>> parameters) noexcept {
  if constexpr (requires { e.apply_to_queries_backward(x, gradients, p, parameters); }) {
    e.apply_to_queries_backward(x, gradients, p, parameters);
  } else {
    static_assert(!query_key_encoding<E, S>,
                  "posenc: this encoding has no apply_to_queries_backward, so no gradient passes through it");
  }
}

template <class E, element S>
void apply_to_keys_backward(const E& e, head_view<const S> x, head_view<S> gradients, const positions& p,
                            std::span<compute_t<S>> parameters) noexcept {
  if constexpr (requires { e.apply_to_keys_backward(x, gradients, p, parameters); }) {
    e.apply_to_keys_backward(x, gradients, p, parameters);
  } else {
    static_assert(!query_key_encoding<E, S>,
                  "posenc: this encoding has no apply_to_keys_backward, so no gradient passes through it");
  }
}

namespace detail {

// One pair at a time is enough: this serves the reference, while the attention kernel sums by diagonal.
template <class T, class E>
void bias_backward_by_pair(const E& e, const score_tile<T>& before, const score_gradients<T>& gradients) noexcept {
  for (index_t q = 0; q < before.num_queries; ++q) {
    for (index_t k = 0; k < before.num_keys; ++k) {
      const T gradient = gradients.scores[q * before.query_stride + k * before.key_stride];
      if (gradient == T(0)) continue;
      if constexpr (relative_bias<E, T>) {
        e.bias_backward(before.head, before.distance(q, k), std::span<const T>(&gradient, 1), gradients.parameters);
      } else {
        e.bias_backward(before.head, before.query_positions[q], before.key_positions[k], gradient,
                        gradients.parameters);
      }
    }
  }
}

}  // namespace detail

/// Whether all gradients pass through what the encoding does to scores. Without parameters and without reading content
/// it needs no adjoint: its bias is a constant.
template <class T, class E>
bool passes_score_gradients(const E& e) noexcept {
  if constexpr (!score_encoding<E, T>)
    return true;
  else if constexpr (requires { e.template passes_score_gradients<T>(); })
    return e.template passes_score_gradients<T>();
  else if constexpr (detail::has_score_adjoint<E, T>)
    return true;
  else
    return !hooks::reads_content(e) && hooks::num_parameters(e) == 0;
}

/// The gradient through a bias of distance: sums[i] is dL/dscore summed over the pairs at first_distance + i. Requires
/// has_distance_bias.
template <class T, class E>
void bias_backward(const E& e, index_t head, position_t first_distance, std::span<const T> sums,
                   std::span<T> parameters) noexcept {
  if constexpr (detail::has_backward_by_distance<E, T>) e.bias_backward(head, first_distance, sums, parameters);
}

/// The gradient through the bias of one tile: to the parameters, and for contextual encodings to queries, keys and
/// scores.
template <class T, class E>
void add_to_scores_backward(const E& e, const score_tile<T>& before, const score_gradients<T>& gradients) noexcept {
  if constexpr (tile_bias<E, T> && detail::has_backward_by_tile<E, T>)
    e.add_to_scores_backward(before, gradients);
  else if constexpr (!tile_bias<E, T> && detail::has_score_adjoint<E, T>)
    detail::bias_backward_by_pair(e, before, gradients);
}

}  // namespace hooks

}  // namespace posenc::inline POSENC_ISA
