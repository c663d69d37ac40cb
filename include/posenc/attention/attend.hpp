// Attention over cached keys and values, with any encoding that acts on scores.
#pragma once

#include <posenc/attention/decode.hpp>
#include <posenc/attention/key_source.hpp>
#include <posenc/attention/masks.hpp>
#include <posenc/attention/options.hpp>
#include <posenc/attention/tiles.hpp>
#include <posenc/encode.hpp>  // unchecked

#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace posenc::inline POSENC_ISA {

namespace detail {

template <class Q, class K, class V, class O>
concept attendable = real<compute_t<Q>> && std::same_as<compute_t<key_element_t<K>>, compute_t<Q>> &&
    std::same_as<compute_t<key_element_t<V>>, compute_t<Q>> && std::same_as<compute_t<O>, compute_t<Q>>;

template <class Q, class K, class V>
problem check_shapes(head_view<Q> q, const K& keys, const V& values) noexcept {
  const auto differs = [](const char* argument, index_t value, const char* rule, index_t limit) {
    return problem::invalid("attend", argument, value, rule, limit);
  };
  // All other sizes have to equal one of these.
  const struct {
    const char* argument;
    index_t value;
  } sizes[] = {{"num_tokens of queries", q.num_tokens}, {"num_heads of queries", q.num_heads},
               {"head_dim of queries", q.head_dim},     {"num_tokens of keys", keys.num_tokens},
               {"num_heads of keys", keys.num_heads},   {"head_dim of values", values.head_dim}};
  for (const auto& size : sizes) {
    if (size.value < 0) return differs(size.argument, size.value, "at least 0", 0);
  }
  if (q.num_heads > 0 && (keys.num_heads <= 0 || q.num_heads % keys.num_heads != 0)) {
    return differs("num_heads of keys", keys.num_heads, "a divisor of #, the heads of the queries", q.num_heads);
  }
  if (values.num_heads != keys.num_heads)
    return differs("num_heads of values", values.num_heads, "#, that of the keys", keys.num_heads);
  if (keys.head_dim != q.head_dim)
    return differs("head_dim of keys", keys.head_dim, "#, that of the queries", q.head_dim);
  if (values.num_tokens != keys.num_tokens)
    return differs("num_tokens of values", values.num_tokens, "#, that of the keys", keys.num_tokens);
  return {};
}

template <class Q, class V, class O>
problem check_output(head_view<Q> q, const V& values, head_view<O> out) noexcept {
  const auto differs = [](const char* argument, index_t value, const char* rule, index_t limit) {
    return problem::invalid("attend", argument, value, rule, limit);
  };
  if (out.num_tokens != q.num_tokens)
    return differs("num_tokens of out", out.num_tokens, "#, that of the queries", q.num_tokens);
  if (out.num_heads != q.num_heads)
    return differs("num_heads of out", out.num_heads, "#, that of the queries", q.num_heads);
  if (out.head_dim != values.head_dim)
    return differs("head_dim of out", out.head_dim, "#, that of the values", values.head_dim);
  return {};
}

/// Whether x converts to a finite number. Compares bits, because fast math assumes that no number is infinite.
template <real T>
bool is_finite_in(double x) noexcept {
  const auto size = std::bit_cast<std::uint64_t>(x) & ~(std::uint64_t{1} << 63);
  return size <= std::bit_cast<std::uint64_t>(double{std::numeric_limits<T>::max()});
}

template <real T>
problem check_options(const attend_options<T>& options, index_t num_queries, index_t num_heads) noexcept {
  const auto invalid = [](const char* argument, auto value, const char* rule, index_t limit = 0) {
    return problem::invalid("attend", argument, value, rule, limit);
  };
  if (!is_finite_in<T>(options.softcap) ||
      (options.softcap != 0 && options.softcap < double{std::numeric_limits<T>::min()}))
    return invalid("softcap", options.softcap, "0 or a positive normal number of the compute type");
  if (options.scale && !is_finite_in<T>(*options.scale))
    return invalid("scale", *options.scale, "finite in the compute type");
  if (!options.sinks.empty() && std::ssize(options.sinks) != num_heads) {
    return invalid("number of sinks", std::ssize(options.sinks), "#, one for each head", num_heads);
  }
  if (options.lse.data != nullptr && options.lse.num_tokens != num_queries) {
    return invalid("num_tokens of lse", options.lse.num_tokens, "#, that of the queries", num_queries);
  }
  if (options.lse.data != nullptr && options.lse.num_heads != num_heads) {
    return invalid("num_heads of lse", options.lse.num_heads, "#, that of the queries", num_heads);
  }
  const attend_masks& more = options.more;
  if (!more.key_ranges.empty() && std::ssize(more.key_ranges) != num_queries) {
    return invalid("number of key_ranges", std::ssize(more.key_ranges), "#, one for each query", num_queries);
  }
  if (more.first_head < 0) return invalid("first_head", more.first_head, "at least 0");
  return {};
}

/// Checks everything but output and memory: shapes, options, positions, and the encoding's own rules.
template <class Q, class K, class V, class E, real T>
problem check_inputs(head_view<Q> q, const K& keys, const V& values, const E& encoding,
                     const attend_options<T>& options) noexcept {
  if (const problem wrong = check_shapes(q, keys, values)) return wrong;
  if (const problem wrong = check_options(options, q.num_tokens, q.num_heads)) return wrong;
  const index_t query_offset = resolve_query_offset(options, q.num_tokens, keys.num_tokens);
  const positions query_positions = or_indices(options.positions.queries, query_offset, q.num_tokens);
  const positions key_positions = or_indices(options.positions.keys, 0, keys.num_tokens);
  // Any number of axes passes here: only an encoding that acts on scores restricts it, in check_scores.
  if (const problem wrong = check_positions("attend", query_positions, q.num_tokens, query_positions.num_axes()))
    return wrong.of("queries");
  if (const problem wrong = check_positions("attend", key_positions, keys.num_tokens, key_positions.num_axes()))
    return wrong.of("keys");
  if constexpr (score_encoding<E, T>) {
    if (const problem wrong = check_distances("attend", query_positions, key_positions)) return wrong;
  }
  const score_shape shape{q.num_tokens, keys.num_tokens, q.num_heads, q.head_dim, options.more.first_head};
  return hooks::check_scores<T>(encoding, shape, query_positions, key_positions);
}

/// Rejects, with a message, encodings that `attend` would otherwise silently ignore.
template <class E, class Q, class K>
consteval bool check_attends() {
  static_assert(
      !query_key_encoding<E, std::remove_const_t<Q>> && !query_key_encoding<E, key_element_t<K>>,
      "posenc: attend takes keys as they lie in the cache, already rotated, and encodings that act on scores only. "
      "Rotate q and k first (rotate, apply_to_queries, apply_to_keys) and pass no_encoding{} or scores_of(encoding); "
      "or call attention(), which takes unrotated q and k and any encoding");
  static_assert(
      !embedding_encoding<E, std::remove_const_t<Q>>,
      "posenc: attend takes encodings that act on scores only; this one acts on embeddings. Add it to the embeddings "
      "(add_to) before the projections, and pass no_encoding{} or scores_of(encoding)");
  static_assert(check_score_hook<E, compute_t<Q>>());
  static_assert(std::same_as<E, no_encoding> || composite<E> || positional_encoding<E, std::remove_const_t<Q>>,
                "posenc: this is no positional encoding: it has none of the hooks that concepts.hpp lists");
  return true;
}

}  // namespace detail

/// Number of workspace values with which `attend` runs at its best block sizes, for all workers together.
template <class Q, key_source K, key_source V, class E>
index_t workspace_size(head_view<Q> q, const K& keys, const V& values, const E& encoding,
                       const parallel_for& threads = {}) noexcept {
  index_t a_worker = 0;  // for any type of output
  const auto take_in = [&](const auto& sizes) { a_worker = std::max(a_worker, sizes.values_with(sizes.largest())); };
  take_in(detail::tile_sizes_of<Q>(q.num_tokens, q.head_dim, keys, values, encoding));
  take_in(detail::tile_sizes_of<Q, compute_t<Q>>(q.num_tokens, q.head_dim, keys, values, encoding));
  take_in(detail::tile_sizes_of<Q>(q.num_tokens, q.head_dim, keys, values, encoding, false));
  return std::max(a_worker * threads.num_workers(),
                  detail::decode_workspace(q, keys, values, encoding, threads.num_workers()));
}

/// Returns what would be wrong with `attend(q, keys, values, out, encoding, options)`, if anything.
template <class Q, key_source K, key_source V, class O, class E>
problem check_attend(head_view<Q> q, const K& keys, const V& values, head_view<O> out, const E& encoding,
                     const attend_options<compute_t<Q>>& options = {}) noexcept {
  static_assert(detail::attendable<Q, K, V, O>, "posenc: queries, keys, values and output must share one compute type");
  static_assert(detail::check_attends<E, Q, K>());
  if (const problem wrong = detail::check_inputs(q, keys, values, encoding, options)) return wrong;
  if (const problem wrong = detail::check_output(q, values, out)) return wrong;
  return detail::tile_sizes_of_call<Q, O>(q.num_tokens, q.head_dim, keys, values, encoding, options.run)
      .check(options.run);
}

/// out = softmax(scale * q k^T + bias) v per head, in one pass over the keys and without a score matrix.
///
/// q         [num_queries, num_heads, head_dim]; already rotated, if the model rotates
/// keys      [num_keys, num_kv_heads, head_dim], any key source; already rotated, likewise
/// values    [num_keys, num_kv_heads, value_dim], any key source
/// out       [num_queries, num_heads, value_dim]; may be q itself
/// encoding  one that acts on scores, `scores_of(e)`, or `no_encoding{}`; others do not compile
///
/// Heads      query head h reads head h / (num_heads / num_kv_heads) of keys and values.
/// Order      scale, soft-cap, encoding, mask, softmax.
/// Rows       a query that may attend to no key gives zeros and a log-sum-exp of minus infinity; NaN stays in its row.
/// Memory     options.run.workspace, or a small block on the stack; nothing is allocated.
/// Errors     those of `check_attend`, raised before anything is written.
/// Accuracy   sums of products in the compute type (double for double, float for narrower types), in an order that
///            depends only on the block sizes: within n epsilon of the row's condition. In float, weights below 2^-102
///            of the row's largest become zero. Where AMX multiplies (32 or more queries, or everything bf16), operands
///            are sums of bf16, to the same accuracy. With a bf16 output, AMX and AVX512-BF16 (used only if everything
///            is bf16) round weights to bf16 and treat subnormal bf16 as zero. Where AVX512-VNNI multiplies int8 (up to
///            12 queries), each row of q is rounded to within u = 2^-16 of its largest element (2^-25 head_dim from 512
///            columns on), and weight times value scale to within 2^-16 of its largest in a block of up to 256 keys. A
///            score is then off by up to u * max |q| * scale * sum |key|, an output by 2^-16 * max (weight * scale) *
///            sum |int8 value|.
template <class Q, key_source K, key_source V, class O, class E>
void attend(unchecked_t, head_view<Q> q, const K& keys, const V& values, head_view<O> out, const E& encoding,
            const attend_options<compute_t<Q>>& options = {}) noexcept {
  static_assert(detail::attendable<Q, K, V, O>, "posenc: queries, keys, values and output must share one compute type");
  static_assert(detail::check_attends<E, Q, K>());
  if (detail::decode_call<Q, K, V, O, E> few(q, keys, values, out, encoding, options); few.fits()) return few.run();
  detail::attend_call<Q, K, V, O, E>(q, keys, values, out, encoding, options).run();
}

template <class Q, key_source K, key_source V, class O, class E>
void attend(head_view<Q> q, const K& keys, const V& values, head_view<O> out, const E& encoding,
            const attend_options<compute_t<Q>>& options = {}) {
  raise_if(check_attend(q, keys, values, out, encoding, options));
  attend(unchecked, q, keys, values, out, encoding, options);
}

}  // namespace posenc::inline POSENC_ISA
