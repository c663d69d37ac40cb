// A call of attention on memory of its own.
#pragma once

#include "beside.hpp"
#include "limits.hpp"
#include "memory.hpp"

#include <posenc/attention/attend.hpp>
#include <posenc/attention/tile/bf16_unit.hpp>

#include <algorithm>
#include <vector>

namespace posenc_bench {

struct attention_sizes {
  posenc::index_t num_queries = 2048;
  posenc::index_t num_keys = 2048;
  posenc::index_t head_dim = 128;
  posenc::index_t num_heads = 1;
  posenc::index_t num_kv_heads = 1;
  bool by_token = false;  // [token, head, dim], as engines hold them; else [head, token, dim]
};

/// Of queries and outputs of one type, and keys and values of perhaps another.
template <class S = float, class C = S>
struct attention_call {
  attention_sizes of;
  pages<S> q, out;
  pages<C> k, v;
  std::vector<float> workspace{};

  explicit attention_call(const attention_sizes& sizes)
      : of(sizes),
        q(sizes.num_queries * sizes.num_heads * sizes.head_dim),
        out(sizes.num_queries * sizes.num_heads * sizes.head_dim),
        k(sizes.num_keys * sizes.num_kv_heads * sizes.head_dim),
        v(sizes.num_keys * sizes.num_kv_heads * sizes.head_dim) {}

  template <class X>
  posenc::head_view<X> view(const pages<X>& x, posenc::index_t num_tokens, posenc::index_t num_heads) const {
    if (of.by_token) return {x.data(), num_tokens, num_heads, of.head_dim};
    return posenc::head_major(x.data(), num_heads, num_tokens, of.head_dim);
  }
  posenc::head_view<S> queries() const { return view(q, of.num_queries, of.num_heads); }
  posenc::head_view<C> keys() const { return view(k, of.num_keys, of.num_kv_heads); }
  posenc::head_view<C> values() const { return view(v, of.num_keys, of.num_kv_heads); }

  template <class E>
  void operator()(const E& encoding, posenc::attend_options<float> options) {
    if (workspace.empty())
      workspace.resize(static_cast<std::size_t>(workspace_size(queries(), keys(), values(), encoding)));
    options.run.workspace = workspace;
    attend(queries(), keys(), values(), view(out, of.num_queries, of.num_heads), encoding, options);
  }

  /// Of the pairs that a band lets through: a product and a sum for each column of keys, and of values.
  double flops(const posenc::index_band& band = {}) const {
    double pairs = 0;
    for (posenc::index_t i = 0; i < of.num_queries; ++i) {
      const posenc::index_t m = of.num_keys - of.num_queries + i;
      const auto last = std::clamp<posenc::index_t>(m - std::max(band.first, -of.num_keys) + 1, 0, of.num_keys);
      const auto first = std::clamp<posenc::index_t>(m - std::min(band.end, 2 * of.num_keys) + 1, 0, of.num_keys);
      pairs += static_cast<double>(std::max<posenc::index_t>(0, last - first));
    }
    return 4.0 * static_cast<double>(of.head_dim * of.num_heads) * pairs;
  }
};

/// What attention is held to: multiply-adds of float in registers.
inline constexpr int peak_rounds = 20000;
inline auto multiply_add_peak() {
  return work{multiply_add_flops(peak_rounds), [] { multiply_add(peak_rounds); }};
}

/// How many products of bf16 make up one of numbers of these types.
template <class A, class B>
inline constexpr int products_of_bf16 = posenc::detail::products_of_parts(posenc::detail::num_parts<A>,
                                                                          posenc::detail::num_parts<B>);

/// What the matrix unit could do at most of flops whose products take so many of bf16. A run is longer than one of
/// float: by its end the clock has come down.
inline auto matrix_peak(int products_of_one) {
  return work{multiply_matrices_flops(peak_rounds) / products_of_one, [] { multiply_matrices(peak_rounds); }};
}

/// Beside the peak of float, which the matrix unit can pass, and, where there is one, beside what it could do at most.
template <class F>
void beside_peaks(benchmark::State& state, const work<F>& row, int products_of_one) {
  const limit peak{"peak", multiply_add_peak()};
  if (has_matrix_unit())
    beside(state, row, peak, limit{"matrix_peak", matrix_peak(products_of_one)});
  else
    beside(state, row, peak);
}

}  // namespace posenc_bench
