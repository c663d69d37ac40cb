// Attention with remapped far distances: Self-Extend, ReRoPE, dual chunk attention.
#pragma once

#include <posenc/attention/attention.hpp>
#include <posenc/attention/merge.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

// A model trained on distances up to L can read longer texts as long as no distance exceeds L. The methods here keep
// near pairs as they are and remap the positions of far ones. With an encoding of queries and keys this needs no
// special kernel: each part of the pairs is attention over keys transformed at the part's positions, and the parts are
// merged.

/// A part of the pairs, and the positions of queries and keys in it.
struct remapped_part {
  index_band band{};
  std::vector<key_range> key_ranges{};  // [num_queries]; empty: the band alone
  std::vector<double> queries{};        // [num_queries]
  std::vector<double> keys{};           // [num_keys]
};

/// Tokens of a causal call: query i is token query_offset + i, and keys are tokens 0, 1, ...
struct remapped_tokens {
  index_t num_queries = 0;
  index_t num_keys = 0;
  index_t query_offset = 0;
};

struct self_extend_parameters {
  index_t group_size = 8;
  index_t neighbor_window = 1024;
};
struct rerope_parameters {
  index_t window = 0;
  double slowdown = 0;  // beyond the window distances grow by 1 / slowdown (leaky ReRoPE), or not at all if 0 (ReRoPE)
};
struct dual_chunk_parameters {
  index_t chunk_size = 0;
  index_t local_size = 0;
};

namespace detail {

template <class QueryPosition, class KeyPosition>
remapped_part make_part(const remapped_tokens& tokens, const index_band& band, QueryPosition of_query,
                        KeyPosition of_key) {
  remapped_part part;
  part.band = band;
  for (index_t i = 0; i < tokens.num_queries; ++i)
    part.queries.push_back(static_cast<double>(of_query(tokens.query_offset + i)));
  for (index_t k = 0; k < tokens.num_keys; ++k) part.keys.push_back(static_cast<double>(of_key(k)));
  return part;
}

}  // namespace detail

/// Self-Extend: distances from `neighbor_window` on are counted in groups of tokens.
///
///     m - n <  w    m - n
///     m - n >= w    (m / g + w - w / g) - n / g      in integer division; g = group_size, w = neighbor_window
///
/// Errors     group_size or neighbor_window below 1 throws invalid_argument.
/// Source     Jin et al. 2024, arXiv:2401.01325.
inline std::vector<remapped_part> self_extend(const self_extend_parameters& p, const remapped_tokens& tokens) {
  const index_t g = p.group_size, w = p.neighbor_window;
  require(g >= 1, "self_extend", "group_size", g, "at least 1");
  require(w >= 1, "self_extend", "neighbor_window", w, "at least 1");
  const auto itself = [](index_t token) { return token; };
  return {
      detail::make_part(tokens, sliding_window(w), itself, itself),
      detail::make_part(
          tokens, beyond_window(w), [=](index_t m) { return m / g + w - w / g; }, [=](index_t n) { return n / g; })};
}

/// ReRoPE and leaky ReRoPE: distances from `window` on stay constant, or grow slowly.
///
///     m - n <  w    m - n
///     m - n >= w    w, or w + (m - n - w) / slowdown
///
/// Errors     a window below 1, or a slowdown between 0 and 1, throws invalid_argument.
/// Source     Su 2023, "Rectified RoPE" (kexue.fm 9708).
inline std::vector<remapped_part> rerope(const rerope_parameters& p, const remapped_tokens& tokens) {
  const index_t w = p.window;
  require(w >= 1, "rerope", "window", w, "at least 1");
  require(p.slowdown == 0 || p.slowdown >= 1, "rerope", "slowdown", p.slowdown, "0 or at least 1");
  const double rate = p.slowdown == 0 ? 0 : 1 / p.slowdown;
  const auto itself = [](index_t token) { return token; };
  return {detail::make_part(tokens, sliding_window(w), itself, itself),
          detail::make_part(
              tokens, beyond_window(w),
              [=](index_t m) { return static_cast<double>(w) + static_cast<double>(m - w) * rate; },
              [=](index_t n) { return static_cast<double>(n) * rate; })};
}

/// Dual chunk attention: positions are counted within chunks of C = chunk_size - local_size tokens.
///
///     keys                               n mod C
///     queries, for their own chunk       m mod C
///              for the chunk before it   min(m mod C + C, chunk_size)
///              for older chunks          min(2 C - 1, chunk_size)
///
/// Errors     a local_size below 0, or not below chunk_size, throws invalid_argument.
/// Source     An et al. 2024, arXiv:2402.17463.
inline std::vector<remapped_part> dual_chunk(const dual_chunk_parameters& p, const remapped_tokens& tokens) {
  require(p.local_size >= 0, "dual_chunk", "local_size", p.local_size, "at least 0");
  require(p.local_size < p.chunk_size, "dual_chunk", "local_size", p.local_size, "below #, the chunk_size",
          p.chunk_size);
  const index_t length = p.chunk_size - p.local_size;
  const auto in_chunk = [=](index_t token) { return token % length; };
  std::vector<remapped_part> parts{
      detail::make_part(tokens, causal(), in_chunk, in_chunk),
      detail::make_part(
          tokens, causal(), [=](index_t m) { return std::min(m % length + length, p.chunk_size); }, in_chunk),
      detail::make_part(
          tokens, causal(), [=](index_t) { return std::min(2 * length - 1, p.chunk_size); }, in_chunk)};
  for (index_t i = 0; i < tokens.num_queries; ++i) {
    const index_t chunk = (tokens.query_offset + i) / length * length;
    parts[0].key_ranges.push_back({chunk, tokens.num_keys});
    parts[1].key_ranges.push_back({chunk - length, chunk});
    parts[2].key_ranges.push_back({0, chunk - length});
  }
  return parts;
}

namespace detail {

/// Whether the encoding acts on scores regardless of what is chosen at run time.
template <class E, class T>
constexpr bool always_acts_on_scores = score_encoding<E, T> && !requires(const E& e) {
  e.template acts_on_scores<T>();
};
template <class... P, class T>
constexpr bool always_acts_on_scores<std::tuple<P...>, T> = (always_acts_on_scores<P, T> || ...);
template <composite E, class T>
constexpr bool always_acts_on_scores<E, T> = always_acts_on_scores<typename E::parts, T>;

/// Rejects, with a message, encodings that remapped attention would otherwise silently ignore.
template <class E, class Q>
consteval bool check_remaps() {
  using query_type = std::remove_const_t<Q>;
  static_assert(check_query_key_hooks<E, query_type>() && check_score_hook<E, compute_t<Q>>());
  static_assert(!always_acts_on_scores<E, compute_t<Q>>,
                "posenc: remapped positions reach queries and keys alone, and this encoding acts on scores, where it "
                "would be left out. Pass what acts on queries and keys, or no_encoding{}");
  static_assert(!embedding_encoding<E, query_type> || query_key_encoding<E, query_type>,
                "posenc: this encoding acts on embeddings only, and attention sees none. Add it to the embeddings "
                "(add_to) before the projections and pass no_encoding{}");
  return true;
}

}  // namespace detail

/// Returns what would be wrong with `attend_remapped(q, keys, values, out, encoding, parts, options)`, if anything.
template <element Q, key_source K, key_source V, element O, class E>
problem check_remapped(head_view<Q> q, std::span<const K> keys, const V& values, head_view<O> out, const E& encoding,
                       std::span<const remapped_part> parts,
                       const attend_options<compute_t<Q>>& options = {}) noexcept {
  static_assert(detail::attendable<Q, K, V, O>, "posenc: queries, keys, values and output must share one compute type");
  static_assert(detail::check_remaps<E, Q>());
  using T = compute_t<Q>;
  const auto wrong = [](const char* argument, index_t value, const char* rule, index_t limit = 0) {
    return problem::invalid("attend_remapped", argument, value, rule, limit);
  };
  if (hooks::acts_on_scores<T>(encoding))
    return wrong("number of encodings that act on scores", 1, "0: remapped positions reach queries and keys alone");
  if (parts.empty()) return wrong("number of parts", 0, "at least 1");
  if (keys.size() != parts.size()) return wrong("number of keys", std::ssize(keys), "#, one a part", std::ssize(parts));
  if (!options.more.key_ranges.empty()) return wrong("number of key_ranges", std::ssize(options.more.key_ranges), "0");
  const head_view<T> part_out(nullptr, out.num_tokens, out.num_heads, out.head_dim);  // parts are merged in T
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto part = static_cast<index_t>(i);
    if (const problem p = check_attend(q, keys[i], values, part_out, no_encoding{}, options)) return p.at(part);
    if (std::ssize(parts[i].keys) != keys[i].num_tokens)
      return wrong("number of positions of keys", std::ssize(parts[i].keys), "#, one for each", keys[i].num_tokens)
          .at(part);
    if (!parts[i].key_ranges.empty() && std::ssize(parts[i].key_ranges) != q.num_tokens)
      return wrong("number of key_ranges", std::ssize(parts[i].key_ranges), "#, one for each query", q.num_tokens)
          .at(part);
    if (const problem p = check_rotate(encoding, q, real_positions(parts[i].queries))) return p.of("queries");
  }
  return {};
}

/// Attention at remapped positions, with one cache of keys per part: keys already transformed at the part's positions.
/// Queries are not transformed yet.
///
///     const auto parts = self_extend({.group_size = 4, .neighbor_window = 512}, {1, num_keys, num_keys - 1});
///     const std::vector keys{cache.near_keys(), cache.far_keys()};     // rotated at n, and at n / 4
///     attend_remapped(q, std::span<const K>(keys), values, out, rotary, std::span(parts));
///
/// options    as for `attend`, without key_ranges; the band applies in addition to each part's own
/// Memory     allocates transformed queries and a result for each part.
/// Errors     those of `check_remapped`, raised before anything is written.
template <element Q, key_source K, key_source V, element O, class E>
void attend_remapped(head_view<Q> q, std::span<const K> keys, const V& values, head_view<O> out, const E& encoding,
                     std::span<const remapped_part> parts, const attend_options<compute_t<Q>>& options = {}) {
  using T = compute_t<Q>;
  raise_if(check_remapped(q, keys, values, out, encoding, parts, options));
  const index_t rows = q.num_tokens * q.num_heads;
  const index_t of_part = rows * (values.head_dim + 1);
  std::vector<T> memory(parts.size() * static_cast<std::size_t>(of_part));
  std::vector<partial_attention<T>> results;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    detail::head_copy<std::remove_const_t<Q>> queries(q);
    apply_to_queries(unchecked, encoding, queries.view(), real_positions(parts[i].queries));
    T* const result = memory.data() + static_cast<index_t>(i) * of_part;
    const head_view<T> part_out(result, q.num_tokens, q.num_heads, values.head_dim);
    attend_options<T> part_options = options;
    part_options.band = {std::max(options.band.first, parts[i].band.first),
                         std::min(options.band.end, parts[i].band.end)};
    part_options.more.key_ranges = parts[i].key_ranges;
    part_options.lse = lse_view<T>(result + rows * values.head_dim, q.num_tokens, q.num_heads);
    part_options.sinks = {};
    attend(unchecked, queries.view(), keys[i], values, part_out, no_encoding{}, part_options);
    results.push_back({part_out, part_options.lse});
  }
  merge(std::span<const partial_attention<T>>(results), out, {.sinks = options.sinks, .lse = options.lse});
}

/// The same for keys that are not transformed yet: they are copied and transformed for each part.
template <element Q, element K, element V, element O, class E>
void attention_remapped(head_view<Q> q, head_view<K> k, head_view<V> v, head_view<O> out, const E& encoding,
                        std::span<const remapped_part> parts, const attend_options<compute_t<Q>>& options = {}) {
  using key_type = std::remove_const_t<K>;
  // Checked before anything is copied, with the keys as they are in each part's place.
  std::vector<head_view<const key_type>> keys(parts.size(), k);
  for (const remapped_part& part : parts) raise_if(check_rotate(encoding, k, real_positions(part.keys)).of("keys"));
  raise_if(check_remapped(q, std::span(std::as_const(keys)), v, out, encoding, parts, options));
  keys.clear();
  std::vector<detail::head_copy<key_type>> copies;
  for (const remapped_part& part : parts) {
    copies.emplace_back(k);
    apply_to_keys(unchecked, encoding, copies.back().view(), real_positions(part.keys));
    keys.push_back(copies.back().view());
  }
  attend_remapped(q, std::span<const head_view<const key_type>>(keys), v, out, encoding, parts, options);
}

}  // namespace posenc::inline POSENC_ISA
