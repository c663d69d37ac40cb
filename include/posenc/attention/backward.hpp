// Gradients of attention, through the softmax and any encoding that acts on scores.
#pragma once

#include <posenc/attention/attend.hpp>
#include <posenc/attention/backward/call.hpp>

namespace posenc::inline POSENC_ISA {

namespace detail {

template <class Q, class K, class V, class O, class U>
concept differentiable = attendable<Q, head_view<K>, head_view<V>, O> && std::same_as<compute_t<U>, compute_t<Q>>;

template <class X, class Y>
problem check_same_shape(const char* argument, head_view<X> x, head_view<Y> expected) noexcept {
  const auto differs = [](const char* size, index_t value, const char* rule, index_t limit) {
    return problem::invalid("attend_backward", size, value, rule, limit);
  };
  if (x.num_tokens != expected.num_tokens)
    return differs("num_tokens", x.num_tokens, "#, that of what it belongs to", expected.num_tokens).of(argument);
  if (x.num_heads != expected.num_heads)
    return differs("num_heads", x.num_heads, "#, that of what it belongs to", expected.num_heads).of(argument);
  if (x.head_dim != expected.head_dim)
    return differs("head_dim", x.head_dim, "#, that of what it belongs to", expected.head_dim).of(argument);
  return {};
}

template <real T, class Q, class K, class V, class E>
problem check_gradients(head_view<Q> q, head_view<K> keys, head_view<V> values, const attend_gradients<T>& gradients,
                        const E& encoding, const attend_options<T>& options) noexcept {
  const auto invalid = [](const char* argument, index_t value, const char* rule, index_t limit) {
    return problem::invalid("attend_backward", argument, value, rule, limit);
  };
  if (const problem wrong = check_same_shape("gradients.queries", gradients.queries, q)) return wrong;
  if (const problem wrong = check_same_shape("gradients.keys", gradients.keys, keys)) return wrong;
  if (const problem wrong = check_same_shape("gradients.values", gradients.values, values)) return wrong;
  if (!gradients.sinks.empty() && gradients.sinks.size() != options.sinks.size())
    return invalid("number of gradients.sinks", std::ssize(gradients.sinks), "none or #, one for each sink",
                   std::ssize(options.sinks));
  const index_t num_parameters = hooks::num_parameters(encoding);
  if (!hooks::passes_score_gradients<T>(encoding))
    return invalid("number of gradients of the encoding", 0,
                   "its adjoint (bias_backward or add_to_scores_backward), because it has parameters or reads content",
                   0);
  if (!gradients.parameters.empty() && std::ssize(gradients.parameters) != num_parameters)
    return invalid("number of gradients.parameters", std::ssize(gradients.parameters),
                   "none or #, one for each parameter of the encoding", num_parameters);
  return {};
}

template <real T, class Q, class K, class V, class E>
backward_sizes<T> backward_sizes_of(head_view<Q> q, head_view<K> keys, head_view<V> values, const E& encoding,
                                    const attend_options<T>& options) noexcept {
  const index_t query_offset = resolve_query_offset(options, q.num_tokens, keys.num_tokens);
  return {or_indices(options.positions.queries, query_offset, q.num_tokens),
          or_indices(options.positions.keys, 0, keys.num_tokens),
          q.head_dim,
          values.head_dim,
          encoding,
          options.softcap};
}

template <real T>
problem check_backward_run(const attend_options<T>& options, index_t num_queries,
                           const backward_sizes<T>& sizes) noexcept {
  const auto invalid = [](const char* argument, index_t value, const char* rule, index_t limit = 0) {
    return problem::invalid("attend_backward", argument, value, rule, limit);
  };
  if (options.lse.data == nullptr && num_queries > 0)
    return invalid("num_tokens of lse", 0, "#: what attend has stored through the same options", num_queries);
  const index_t num_workers = options.run.threads.num_workers();
  if (num_workers < 1) return invalid("run.threads.num_workers()", num_workers, "at least 1");
  const index_t needed = sizes.values(num_workers);
  if (std::ssize(options.run.workspace) < needed)
    return invalid("size of run.workspace", std::ssize(options.run.workspace),
                   "at least #; backward_workspace_size tells", needed);
  return {};
}

}  // namespace detail

/// Number of workspace values that `attend_backward` needs, for all workers together.
///
/// Per worker: 2 num_keys (head_dim + value_dim) for one key-value head; up to four blocks of 64 queries and a tile of
/// 64 keys, and their bf16 parts where AMX multiplies; 2 (num_queries + num_keys) for a bias of distance; 3 * 64
/// num_keys for an encoding that reads content or keeps scratch; one value per parameter of the encoding. Rows are
/// padded.
template <class Q, class K, class V, class E>
index_t backward_workspace_size(head_view<Q> q, head_view<K> keys, head_view<V> values, const E& encoding,
                                const attend_options<compute_t<Q>>& options = {}) noexcept {
  const auto sizes = detail::backward_sizes_of<compute_t<Q>>(q, keys, values, encoding, options);
  return sizes.values(options.run.threads.num_workers());
}

/// Returns what would be wrong with `attend_backward` of the same arguments, if anything.
template <class Q, class K, class V, class O, class U, class E>
problem check_attend_backward(head_view<Q> q, head_view<K> keys, head_view<V> values, head_view<O> out,
                              head_view<U> d_out, const attend_gradients<compute_t<Q>>& gradients, const E& encoding,
                              const attend_options<compute_t<Q>>& options) noexcept {
  using T = compute_t<Q>;
  static_assert(detail::differentiable<Q, K, V, O, U>,
                "posenc: queries, keys, values, output and its gradient must share one compute type");
  static_assert(detail::check_attends<E, Q, head_view<K>>() && check_score_adjoint<E, compute_t<Q>>());
  if (const problem wrong = detail::check_inputs(q, keys, values, encoding, options))
    return wrong.in("attend_backward");
  if (const problem wrong = detail::check_output(q, values, out)) return wrong.in("attend_backward");
  if (const problem wrong = detail::check_same_shape("d_out", d_out, out)) return wrong;
  if (const problem wrong = detail::check_gradients<T>(q, keys, values, gradients, encoding, options)) return wrong;
  const auto sizes = detail::backward_sizes_of<T>(q, keys, values, encoding, options);
  return detail::check_backward_run(options, q.num_tokens, sizes);
}

/// Accumulates the gradients of a loss with respect to queries, keys, values, sinks and the encoding's parameters, from
/// the gradient with respect to the output of `attend` and the log-sum-exp that `attend` stored.
///
///     weights = exp(scores - lse)                                   dvalues  += weights^T d_out
///     dscores = weights * (d_out values^T - rowsum(d_out * out))    dkeys    += dscores^T scale q
///     through the encoding, then the soft-cap                       dqueries += scale dscores keys
///
/// q          [num_queries, num_heads, head_dim]
/// keys       [num_keys, num_kv_heads, head_dim]; gradients are summed over the query heads of a group
/// values     [num_keys, num_kv_heads, value_dim]
/// out        [num_queries, num_heads, value_dim]: what `attend` wrote
/// d_out      [num_queries, num_heads, value_dim]: the gradient of the loss with respect to `out`
/// gradients  in the compute type, accumulated into: zero them first
/// options    those of `attend`, with `lse` as `attend` stored it and a workspace of backward_workspace_size(...)
///
/// Encoding   needs an adjoint (concepts.hpp) if it has parameters or reads content. A bias of distance is evaluated
///            once per head, if the positions have no more distances than consecutive ones would. An encoding that
///            reads content or keeps scratch sees one tile of all keys per query block, any other tiles of 64 by 64.
/// Rows       keys that a query may not attend to do not affect its gradients, even if NaN; NaN stays in its row.
/// Memory     options.run.workspace; nothing is allocated.
/// Threads    one task per key-value head. Results are bitwise the same for any number of workers.
/// Errors     those of `check_attend_backward`, raised before anything is written.
/// Accuracy   sums of products in the compute type, in an order that depends only on the sizes. In float, weights
///            below 2^-102 become zero. Where AMX multiplies (32 or more queries, unless the encoding reads content or
///            keeps scratch), floats are sums of bf16, to the same accuracy.
/// Source     Dao 2023, arXiv:2307.08691, with the queries in the outer loop.
template <class Q, class K, class V, class O, class U, class E>
void attend_backward(unchecked_t, head_view<Q> q, head_view<K> keys, head_view<V> values, head_view<O> out,
                     head_view<U> d_out, const attend_gradients<compute_t<Q>>& gradients, const E& encoding,
                     const attend_options<compute_t<Q>>& options) noexcept {
  static_assert(detail::differentiable<Q, K, V, O, U>,
                "posenc: queries, keys, values, output and its gradient must share one compute type");
  static_assert(detail::check_attends<E, Q, head_view<K>>() && check_score_adjoint<E, compute_t<Q>>());
  detail::backward_call<Q, K, V, O, U, E>(q, keys, values, out, d_out, gradients, encoding, options).run();
}

template <class Q, class K, class V, class O, class U, class E>
void attend_backward(head_view<Q> q, head_view<K> keys, head_view<V> values, head_view<O> out, head_view<U> d_out,
                     const attend_gradients<compute_t<Q>>& gradients, const E& encoding,
                     const attend_options<compute_t<Q>>& options) {
  raise_if(check_attend_backward(q, keys, values, out, d_out, gradients, encoding, options));
  attend_backward(unchecked, q, keys, values, out, d_out, gradients, encoding, options);
}

}  // namespace posenc::inline POSENC_ISA
