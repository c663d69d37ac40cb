// Merges attention over parts of the keys: split decoding, ring attention, remapped positions.
#pragma once

#include <posenc/attention/options.hpp>
#include <posenc/view.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <type_traits>

namespace posenc::inline POSENC_ISA {

/// The result of `attend` over some of the keys, without sinks.
template <element S>
struct partial_attention {
  head_view<const S> out;      // [num_queries, num_heads, value_dim]
  lse_view<compute_t<S>> lse;  // [num_queries, num_heads]
};

template <real T>
struct merge_options {
  std::span<const T> sinks{};  // [num_heads]; added here, once
  lse_view<T> lse{};           // over all keys and the sinks
};

/// Returns what would be wrong with `merge(parts, out, options)`, if anything.
template <element S, element O>
problem check_merge(std::span<const partial_attention<S>> parts, head_view<O> out,
                    const merge_options<compute_t<S>>& options = {}) noexcept {
  if (parts.empty()) return problem::invalid("merge", "number of parts", 0, "at least 1");
  for (index_t i = 0; i < std::ssize(parts); ++i) {
    const auto& part = parts[static_cast<std::size_t>(i)];
    if (part.out.num_tokens != out.num_tokens)
      return problem::invalid("merge", "num_tokens of parts", part.out.num_tokens, "#, that of out", out.num_tokens)
          .at(i);
    if (part.out.num_heads != out.num_heads)
      return problem::invalid("merge", "num_heads of parts", part.out.num_heads, "#, that of out", out.num_heads).at(i);
    if (part.out.head_dim != out.head_dim)
      return problem::invalid("merge", "head_dim of parts", part.out.head_dim, "#, that of out", out.head_dim).at(i);
    if (part.lse.num_tokens != out.num_tokens)
      return problem::invalid("merge", "num_tokens of the lse of parts", part.lse.num_tokens, "#, that of out",
                              out.num_tokens)
          .at(i);
    if (part.lse.num_heads != out.num_heads)
      return problem::invalid("merge", "num_heads of the lse of parts", part.lse.num_heads, "#, that of out",
                              out.num_heads)
          .at(i);
  }
  if (!options.sinks.empty() && std::ssize(options.sinks) != out.num_heads) {
    return problem::invalid("merge", "number of sinks", std::ssize(options.sinks), "#, one for each head",
                            out.num_heads);
  }
  if (options.lse.data == nullptr) return {};
  if (options.lse.num_tokens != out.num_tokens)
    return problem::invalid("merge", "num_tokens of lse", options.lse.num_tokens, "#, that of out", out.num_tokens);
  if (options.lse.num_heads != out.num_heads)
    return problem::invalid("merge", "num_heads of lse", options.lse.num_heads, "#, that of out", out.num_heads);
  return {};
}

namespace detail {

/// One row over all parts and the sink: the largest log-sum-exp, and the sum of exp(lse - largest).
template <element S>
struct merged_row {
  using T = compute_t<S>;
  T largest = std::numeric_limits<T>::lowest();
  T sum = 0;

  merged_row(std::span<const partial_attention<S>> parts, const T* sink, index_t token, index_t head) noexcept {
    if (sink != nullptr) largest = std::max(largest, *sink);
    for (const auto& part : parts) largest = std::max(largest, part.lse.at(token, head));
    if (sink != nullptr) sum = std::exp(*sink - largest);
    for (const auto& part : parts) sum += std::exp(part.lse.at(token, head) - largest);
  }
  T log_sum_exp() const noexcept { return sum == T(0) ? -std::numeric_limits<T>::infinity() : largest + std::log(sum); }
};

/// Columns per step: many share one computed weight, and their sums stay on the stack.
inline constexpr index_t merged_columns = 256;

template <element S, element O>
void merge_columns(std::span<const partial_attention<S>> parts, const merged_row<S>& row, index_t token, index_t head,
                   index_t first, index_t count, O* out) noexcept {
  using T = compute_t<S>;
  T sums[merged_columns] = {};
  for (const auto& part : parts) {
    const T weight = std::exp(part.lse.at(token, head) - row.largest);
    if (weight == T(0)) continue;
    const S* from = part.out.row(token, head) + first;
    for (index_t d = 0; d < count; ++d) sums[d] += weight * widen<T>(from[d]);
  }
  const T inverse = row.sum == T(0) ? T(0) : 1 / row.sum;
  for (index_t d = 0; d < count; ++d) out[first + d] = narrow<std::remove_const_t<O>>(sums[d] * inverse);
}

}  // namespace detail

/// out = sum of exp(lse_i - lse) out_i, with lse = log sum exp(lse_i) over the parts and the sink: the result of one
/// pass over all keys. Associative up to rounding; a part without keys (lse of minus infinity) has no weight.
///
/// parts  at least one; `out` may be the output of one of them, and `options.lse` the lse of the same part
/// Errors those of `check_merge`, raised before anything is written.
template <element S, element O>
void merge(std::span<const partial_attention<S>> parts, head_view<O> out,
           const merge_options<compute_t<S>>& options = {}) {
  raise_if(check_merge(parts, out, options));
  for (index_t t = 0; t < out.num_tokens; ++t) {
    for (index_t h = 0; h < out.num_heads; ++h) {
      const auto* sink = options.sinks.empty() ? nullptr : &options.sinks[static_cast<std::size_t>(h)];
      const detail::merged_row<S> row(parts, sink, t, h);
      for (index_t first = 0; first < out.head_dim; first += detail::merged_columns) {
        const index_t count = std::min(detail::merged_columns, out.head_dim - first);
        detail::merge_columns(parts, row, t, h, first, count, out.row(t, h));
      }
      if (options.lse.data != nullptr) options.lse.at(t, h) = row.log_sum_exp();
    }
  }
}

}  // namespace posenc::inline POSENC_ISA
