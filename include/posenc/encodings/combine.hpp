// Several encodings as one.
#pragma once

#include <posenc/hooks.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

namespace detail {

// clang-format off
/// The encoding leaves queries and keys alone, or has the adjoint of what it does to them.
template <class E, class S>
concept passes_gradients = !query_key_encoding<E, S> ||
    requires(const E& e, head_view<const S> x, head_view<S> gradients, const positions& p,
             std::span<compute_t<S>> parameters) {
  e.apply_to_queries_backward(x, gradients, p, parameters);
  e.apply_to_keys_backward(x, gradients, p, parameters);
};
// clang-format on

// Number of parts, and parts of parts, that may read queries and keys.
template <class E>
constexpr int num_content_readers = has_reads_content<E> ? 1 : 0;
template <class Parts>
constexpr int num_content_readers_among = 0;
template <class... P>
constexpr int num_content_readers_among<std::tuple<P...>> = (num_content_readers<P> + ... + 0);
template <composite E>
constexpr int num_content_readers<E> = num_content_readers_among<typename E::parts>;

}  // namespace detail

/// Two encodings, one after the other at each place; made by `combine(a, b, ...)`.
///
/// Acts on    whatever a part acts on. On scores, a part that reads content goes first, because it reads scores without
///            bias; the rest follow in order.
/// Positions  those that all parts acting at a place accept.
/// Storage    the parts.
/// Errors     a check returns the first finding of the parts that act there.
/// Gradients  of the parameters: those of `a`, then those of `b`. There are none if both read content.
template <class A, class B>
class combined {
 public:
  using parts = std::tuple<A, B>;

  combined(A a, B b) : a_(std::move(a)), b_(std::move(b)) {}

  const A& first() const noexcept { return a_; }
  const B& second() const noexcept { return b_; }

  template <element S, token_positions P>
  requires((embedding_encoding<A, S> ||
            embedding_encoding<B, S>)&&adds_at<A, S, P>&& adds_at<B, S, P>) void add_to(token_view<S> x,
                                                                                        const P& p) const noexcept {
    hooks::add_to(a_, x, p);
    hooks::add_to(b_, x, p);
  }

  template <element S, token_positions P>
  requires((query_key_encoding<A, S> || query_key_encoding<B, S>)&&transforms_at<A, S, P>&&
               transforms_at<B, S, P>) void apply_to_queries(head_view<S> x, const P& p) const noexcept {
    hooks::apply_to_queries(a_, x, p);
    hooks::apply_to_queries(b_, x, p);
  }
  template <element S, token_positions P>
  requires((query_key_encoding<A, S> || query_key_encoding<B, S>)&&transforms_at<A, S, P>&&
               transforms_at<B, S, P>) void apply_to_keys(head_view<S> x, const P& p) const noexcept {
    hooks::apply_to_keys(a_, x, p);
    hooks::apply_to_keys(b_, x, p);
  }

  template <real T>
  requires(score_encoding<A, T> || score_encoding<B, T>) void add_to_scores(const score_tile<T>& tile) const noexcept {
    in_order<T>(tile, [&](const auto& part, const score_tile<T>& its_tile) { hooks::add_to_scores(part, its_tile); });
  }
  template <real T>
  requires(score_encoding<A, T> || score_encoding<B, T>) void begin(const score_tile<T>& tile) const noexcept {
    in_order<T>(tile, [&](const auto& part, const score_tile<T>& its_tile) { hooks::begin(part, its_tile); });
  }
  bool reads_content() const noexcept { return hooks::reads_content(a_) || hooks::reads_content(b_); }
  index_t scratch_size(index_t num_queries) const noexcept {
    return hooks::scratch_size(a_, num_queries) + hooks::scratch_size(b_, num_queries);
  }

  template <real T>
  bool acts_on_scores() const noexcept {
    return hooks::acts_on_scores<T>(a_) || hooks::acts_on_scores<T>(b_);
  }
  template <real T>
  bool has_distance_bias() const noexcept {
    return (score_encoding<A, T> || score_encoding<B, T>)&&sums_by_distance<T>(a_) && sums_by_distance<T>(b_);
  }
  template <real T>
  requires(score_encoding<A, T> || score_encoding<B, T>) void fill_bias(index_t head, position_t first, index_t count,
                                                                        T* out) const noexcept {
    std::fill_n(out, count, T(0));
    add_bias(a_, head, first, count, out);
    add_bias(b_, head, first, count, out);
  }

  // The parts check their own axes.
  index_t num_position_axes() const noexcept { return 0; }

  template <class S, token_positions P>
  problem check_add(const embedding_shape& shape, const P& p) const noexcept {
    if (const problem wrong = hooks::check_add<S>(a_, shape, p)) return wrong;
    return hooks::check_add<S>(b_, shape, p);
  }
  template <class S, token_positions P>
  problem check_rotate(const head_shape& shape, const P& p) const noexcept {
    if (const problem wrong = hooks::check_rotate<S>(a_, shape, p)) return wrong;
    return hooks::check_rotate<S>(b_, shape, p);
  }
  template <class T>
  problem check_scores(const score_shape& shape, const positions& queries, const positions& keys) const noexcept {
    if (const problem wrong = hooks::check_scores<T>(a_, shape, queries, keys)) return wrong;
    return hooks::check_scores<T>(b_, shape, queries, keys);
  }

  index_t num_parameters() const noexcept { return hooks::num_parameters(a_) + hooks::num_parameters(b_); }

  template <element S>
  requires(embedding_encoding<A, S> ||
           embedding_encoding<B, S>) void add_to_backward(token_view<const S> upstream, const positions& p,
                                                          std::span<compute_t<S>> parameters) const noexcept {
    hooks::add_to_backward(a_, upstream, p, of_first(parameters));
    hooks::add_to_backward(b_, upstream, p, of_second(parameters));
  }

  template <element S>
  requires(
      (query_key_encoding<A, S> || query_key_encoding<B, S>)&&detail::passes_gradients<A, S>&&
          detail::passes_gradients<B, S>) void apply_to_queries_backward(head_view<const S> x, head_view<S> gradients,
                                                                         const positions& p,
                                                                         std::span<compute_t<S>> parameters) const {
    backward_in_turn(
        x,
        [&](head_view<const S> input, auto& part, auto its_parameters) {
          if constexpr (query_key_encoding<std::remove_cvref_t<decltype(part)>, S>)
            hooks::apply_to_queries_backward(part, input, gradients, p, its_parameters);
        },
        [&](head_view<S> copy) { hooks::apply_to_queries(a_, copy, p); }, parameters);
  }
  template <element S>
  requires((query_key_encoding<A, S> || query_key_encoding<B, S>)&&detail::passes_gradients<A, S>&&
               detail::passes_gradients<B, S>) void apply_to_keys_backward(head_view<const S> x, head_view<S> gradients,
                                                                           const positions& p,
                                                                           std::span<compute_t<S>> parameters) const {
    backward_in_turn(
        x,
        [&](head_view<const S> input, auto& part, auto its_parameters) {
          if constexpr (query_key_encoding<std::remove_cvref_t<decltype(part)>, S>)
            hooks::apply_to_keys_backward(part, input, gradients, p, its_parameters);
        },
        [&](head_view<S> copy) { hooks::apply_to_keys(a_, copy, p); }, parameters);
  }

  /// Whether the parts together have gradients.
  static constexpr bool differentiable = detail::num_content_readers_among<parts> <= 1;
  template <real T>
  bool passes_score_gradients() const noexcept {
    return hooks::passes_score_gradients<T>(a_) && hooks::passes_score_gradients<T>(b_);
  }
  template <real T>
  requires(score_encoding<A, T> || score_encoding<B, T>) void bias_backward(index_t head, position_t first_distance,
                                                                            std::span<const T> sums,
                                                                            std::span<T> parameters) const noexcept {
    hooks::bias_backward<T>(a_, head, first_distance, sums, of_first(parameters));
    hooks::bias_backward<T>(b_, head, first_distance, sums, of_second(parameters));
  }
  template <real T>
  requires(score_encoding<A, T> ||
           score_encoding<B, T>) void add_to_scores_backward(const score_tile<T>& before,
                                                             const score_gradients<T>& gradients) const noexcept {
    static_assert(differentiable,
                  "posenc: two encodings that both read content have no gradient together: the second would need the "
                  "scores that the first one left");
    const auto backward = [&](const auto& part, std::span<T> parameters) {
      score_gradients<T> its_gradients = gradients;
      its_gradients.parameters = parameters;
      hooks::add_to_scores_backward(part, before, its_gradients);
    };
    // The part that acted first comes last: it changes the gradients of the scores.
    if (hooks::reads_content(b_)) {
      backward(a_, of_first(gradients.parameters));
      backward(b_, of_second(gradients.parameters));
    } else {
      backward(b_, of_second(gradients.parameters));
      backward(a_, of_first(gradients.parameters));
    }
  }

 private:
  template <class T, class Visit>
  void in_order(const score_tile<T>& tile, Visit visit) const noexcept {
    score_tile<T> tile_of_b = tile;
    if (tile.scratch != nullptr) tile_of_b.scratch += hooks::scratch_size(a_, tile.num_queries);
    if (hooks::reads_content(b_) && !hooks::reads_content(a_)) {
      visit(b_, tile_of_b);
      visit(a_, tile);
    } else {
      visit(a_, tile);
      visit(b_, tile_of_b);
    }
  }

  template <class T, class E>
  static bool sums_by_distance(const E& e) noexcept {
    if constexpr (score_encoding<E, T>)
      return hooks::has_distance_bias<T>(e);
    else
      return true;
  }

  template <class T, class E>
  static void add_bias(const E& e, index_t head, position_t first, index_t count, T* out) noexcept {
    if constexpr (score_encoding<E, T>) {
      constexpr index_t block = 64;
      T part[block] = {};
      for (index_t i = 0; i < count; i += block) {
        const index_t n = std::min(block, count - i);
        hooks::fill_bias<T>(e, head, static_cast<position_t>(first + i), n, part);
        for (index_t j = 0; j < n; ++j) out[i + j] += part[j];
      }
    }
  }

  template <class T>
  std::span<T> of_first(std::span<T> parameters) const noexcept {
    return parameters.first(static_cast<std::size_t>(hooks::num_parameters(a_)));
  }
  template <class T>
  std::span<T> of_second(std::span<T> parameters) const noexcept {
    return parameters.subspan(static_cast<std::size_t>(hooks::num_parameters(a_)));
  }

  // `b` saw what `a` had made of x, so `a` runs again on a copy, which is only needed if both act.
  template <class S, class Backward, class Forward, class T>
  void backward_in_turn(head_view<const S> x, Backward backward, Forward forward, std::span<T> parameters) const {
    if constexpr (query_key_encoding<A, S> && query_key_encoding<B, S>) {
      std::vector<S> values(static_cast<std::size_t>(x.num_tokens * x.num_heads * x.head_dim));
      head_view<S> copy(values.data(), x.num_tokens, x.num_heads, x.head_dim);
      for (index_t t = 0; t < x.num_tokens; ++t) {
        for (index_t h = 0; h < x.num_heads; ++h) std::copy_n(x.row(t, h), x.head_dim, copy.row(t, h));
      }
      forward(copy);
      backward(copy, b_, of_second(parameters));
    } else {
      backward(x, b_, of_second(parameters));
    }
    backward(x, a_, of_first(parameters));
  }

  A a_;
  B b_;
};

/// One encoding that does what all of them do, in order; `no_encoding` is its identity.
template <class A>
A combine(A a) {
  return a;
}
template <class A, class B, class... Rest>
auto combine(A a, B b, Rest... rest) {
  if constexpr (std::same_as<A, no_encoding>)
    return combine(std::move(b), std::move(rest)...);
  else if constexpr (std::same_as<B, no_encoding>)
    return combine(std::move(a), std::move(rest)...);
  else
    return combine(combined<A, B>(std::move(a), std::move(b)), std::move(rest)...);
}

}  // namespace posenc::inline POSENC_ISA
