// The interface of an encoding: one concept for each place where a position can enter attention.
#pragma once

#include <posenc/error.hpp>      // index_t, problem
#include <posenc/positions.hpp>  // position_t, positions
#include <posenc/scalar.hpp>     // compute_t
#include <posenc/score_tile.hpp>
#include <posenc/view.hpp>  // token_view, head_view

#include <concepts>
#include <span>

namespace posenc::inline POSENC_ISA {

// For a query at position p and a key at position r, one head computes
//
//     softmax over r of ( scale * <q_p, k_r> + bias(p, r) ) v_r
//
// An encoding is a value with one or more of these hooks, all `const noexcept` and safe to call concurrently:
//
//     place          hook                                                             concept
//     embedding      add_to(token_view<S>, positions)                                 embedding_encoding
//     query and key  apply_to_queries(head_view<S>, positions), apply_to_keys(same)   query_key_encoding
//     score          bias(head, distance)                                             relative_bias
//                    bias(head, query_position, key_position)                         pairwise_bias
//                    add_to_scores(score_tile<T>)                                     tile_bias
//
// The three forms of the score hook are one hook: the shorter ones are lifted to a tile (hooks.hpp). A missing hook
// costs nothing. A misspelled hook is a compile error where it would be called (near_misses.hpp). Optional members are
// listed at the end of this file.

// clang-format off

/// Adds to embeddings: x_p += e(p).
template <class E, class S>
concept embedding_encoding = requires(const E& e, token_view<S> x, const positions& p) {
  { e.add_to(x, p) } noexcept -> std::same_as<void>;
};

/// The same at real-valued positions.
template <class E, class S>
concept real_embedding_encoding = requires(const E& e, token_view<S> x, const real_positions& p) {
  { e.add_to(x, p) } noexcept -> std::same_as<void>;
};

/// Transforms queries and keys, in place: q_p = R(p) q_p, k_r = R(r) k_r.
template <class E, class S>
concept query_key_encoding = requires(const E& e, head_view<S> x, const positions& p) {
  { e.apply_to_queries(x, p) } noexcept -> std::same_as<void>;
  { e.apply_to_keys(x, p) } noexcept -> std::same_as<void>;
};

/// The same at real-valued positions.
template <class E, class S>
concept real_query_key_encoding = requires(const E& e, head_view<S> x, const real_positions& p) {
  { e.apply_to_queries(x, p) } noexcept -> std::same_as<void>;
  { e.apply_to_keys(x, p) } noexcept -> std::same_as<void>;
};

namespace detail {

// A `bias` that is neither overloaded nor a template must take exactly (index_t, position_t...): a float distance or an
// int head would convert silently.
template <class F>
constexpr bool has_bias_parameters = false;
template <class R, class C, class... P>
constexpr bool has_bias_parameters<R (C::*)(index_t, P...) const noexcept> = (std::same_as<P, position_t> && ...);
template <class R, class... P>
constexpr bool has_bias_parameters<R (*)(index_t, P...) noexcept> = (std::same_as<P, position_t> && ...);

template <class E>
consteval bool bias_is_spelled_right() {
  if constexpr (requires { &E::bias; }) return has_bias_parameters<decltype(&E::bias)>;
  return true;
}

template <class E, class T>
concept bias_of_two = requires(const E& e, index_t head, position_t distance) {
  { e.bias(head, distance) } noexcept -> std::convertible_to<T>;
};
template <class E, class T>
concept bias_of_three = requires(const E& e, index_t head, position_t query, position_t key) {
  { e.bias(head, query, key) } noexcept -> std::convertible_to<T>;
};

}  // namespace detail

// clang-format on

/// Adds a bias that depends only on the head and on the distance from query to key (query minus key).
template <class E, class T>
concept relative_bias = detail::bias_of_two<E, T> && !detail::bias_of_three<E, T> && detail::bias_is_spelled_right<E>();

/// Adds a bias that depends on the head and on both positions.
template <class E, class T>
concept pairwise_bias = detail::bias_of_three<E, T> && !detail::bias_of_two<E, T> && detail::bias_is_spelled_right<E>();

// clang-format off
/// Adds to a tile of scores in place; the only form that may read queries, keys and scores.
template <class E, class T>
concept tile_bias = requires(const E& e, const score_tile<T>& tile) {
  { e.add_to_scores(tile) } noexcept -> std::same_as<void>;
};
// clang-format on

/// Acts on scores, through exactly one of the three forms.
template <class E, class T>
concept score_encoding = (relative_bias<E, T> || pairwise_bias<E, T>) != tile_bias<E, T>;

/// Does nothing: attention without positions, and the identity of `combine`.
struct no_encoding {};

/// Either does not act on embeddings, or can at positions of type P.
template <class E, class S, class P>
concept adds_at = !embedding_encoding<E, S> || requires(const E& e, token_view<S> x, const P& p) {
  e.add_to(x, p);
};

/// Either does not act on queries and keys, or can at positions of type P.
template <class E, class S, class P>
concept transforms_at = !query_key_encoding<E, S> || requires(const E& e, head_view<S> x, const P& p) {
  e.apply_to_queries(x, p);
};

/// Acts at one or more of the places, for elements of type S.
template <class E, class S = float>
concept positional_encoding = std::same_as<E, no_encoding> || embedding_encoding<E, S> || query_key_encoding<E, S> ||
    score_encoding<E, compute_t<S>>;

// ---- Optional members: checks ----

// Each returns what is wrong, before anything is written; needed by an encoding that does not accept every shape and
// position.
//
//     problem check_add(const embedding_shape&, const positions&) const noexcept
//     problem check_rotate(const head_shape&, const positions&) const noexcept
//     problem check_scores(const score_shape&, const positions& queries, const positions& keys) const noexcept
//     index_t num_position_axes() const noexcept              axes it reads, if not 1; 0 for a composite

// ---- Optional members: scores ----

// With a bias of distance:
//
//     void fill_bias(index_t head, position_t first_distance, index_t count, T* out) const noexcept
//                                                             out[i] = bias(head, first_distance + i), where a range is
//                                                             cheaper than its elements one by one
//
// With add_to_scores:
//
//     bool reads_content() const noexcept                     true: the tile's queries and keys are filled in
//     index_t scratch_size(index_t num_queries) const noexcept
//                                                             values of tile.scratch to keep from key tile to key
//                                                             tile; then these come from the last keys to the first
//     void begin(const score_tile<T>& tile) const noexcept    before a query block's first key tile, with num_keys = 0;
//                                                             initializes tile.scratch
//
// With add_to_scores, if a type decides at run time (combine, scores_of, any_encoding):
//
//     bool acts_on_scores<T>() const noexcept                 false: there is nothing to add
//     bool has_distance_bias<T>() const noexcept              true: a bias of distance, which fill_bias gives
//     bool passes_score_gradients<T>() const noexcept         false: an adjoint is missing

// ---- Optional members: adjoints, for training ----

// For encodings that have parameters or read content. `parameters()` returns all parameters as one span; gradient spans
// have the same length and order, so that the shares of several workers can be summed. All functions accumulate.
//
//     std::span<P> parameters() noexcept
//     std::span<const P> parameters() const noexcept
//     index_t num_parameters() const noexcept                 instead, if no one span holds them (combine)
//     void add_to_backward(token_view<const S> upstream, const positions&, std::span<T> parameter_gradients)
//         const noexcept
//     void apply_to_queries_backward(head_view<const S> x, head_view<S> gradients, const positions&, std::span<T>)
//         const noexcept                                      gradients: in dL/d(output), out dL/dx
//     void apply_to_keys_backward(the same)
//     void bias_backward(index_t head, position_t first_distance, std::span<const T> sums, std::span<T>) const noexcept
//                                                             sums[i]: dL/dscore summed over pairs at distance
//                                                             first_distance + i
//     void bias_backward(index_t head, position_t query, position_t key, T gradient, std::span<T>) const noexcept
//     void add_to_scores_backward(const score_tile<T>& before, const score_gradients<T>&) const noexcept
//                                                             before: scores as the encoding found them; one tile of
//                                                             all keys, if it reads content or keeps scratch

}  // namespace posenc::inline POSENC_ISA
