// The gradients of a random call of attention, and their errors against the reference.
#pragma once

#include <posenc/attention/backward.hpp>
#include <posenc/attention/reference.hpp>

#include "random_attention.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

/// A call without options, of one sequence.
inline random_attention plain_call(random_values& random, posenc::index_t num_tokens, posenc::index_t num_heads,
                                   posenc::index_t head_dim) {
  random_attention call(random, 0);
  call.num_queries = call.num_keys = num_tokens;
  call.num_heads = call.num_kv_heads = num_heads;
  call.head_dim = call.value_dim = head_dim;
  call.band = {};
  call.query_offset.reset();
  call.scale.reset();
  call.softcap = 0;
  call.first_head = 0;
  call.sinks.clear();
  call.sinks_in_float.clear();
  call.key_ranges.clear();
  call.mask = {};
  call.query_ids.clear();
  call.key_ids.clear();
  return call;
}

/// A call of `attend_backward` with elements S, and of the reference on the same numbers. Gradients begin at one, so
/// that overwriting shows.
template <posenc::scalar S, class E>
struct gradient_trial {
  using T = posenc::compute_t<S>;

  const random_attention& call;
  const E& encoding;
  owned_heads<S> q, k, v, out, d_out;
  owned_heads<T> dq, dk, dv;
  std::vector<T> lse, d_sinks, d_parameters, workspace;
  posenc::parallel_for threads{};

  gradient_trial(random_values& random, const random_attention& sizes, const E& e)
      : call(sizes),
        encoding(e),
        q(random, sizes.num_queries, sizes.num_heads, sizes.head_dim),
        k(random, sizes.num_keys, sizes.num_kv_heads, sizes.head_dim),
        v(random, sizes.num_keys, sizes.num_kv_heads, sizes.value_dim),
        out(sizes.num_queries, sizes.num_heads, sizes.value_dim),
        d_out(random, sizes.num_queries, sizes.num_heads, sizes.value_dim),
        dq(sizes.num_queries, sizes.num_heads, sizes.head_dim, T(1)),
        dk(sizes.num_keys, sizes.num_kv_heads, sizes.head_dim, T(1)),
        dv(sizes.num_keys, sizes.num_kv_heads, sizes.value_dim, T(1)),
        lse(static_cast<std::size_t>(sizes.num_queries * sizes.num_heads)),
        d_sinks(sizes.sinks.size(), T(1)),
        d_parameters(static_cast<std::size_t>(posenc::hooks::num_parameters(e)), T(1)) {}

  /// Output and log-sum-exp by the reference, rounded.
  void go_forward() {
    const auto heads = posenc::attend_reference(in_double(q).view(), in_double(k).view(), in_double(v).view(), encoding,
                                                call.options<double>());
    for (posenc::index_t h = 0; h < q.num_heads; ++h) {
      const auto& head = heads[static_cast<std::size_t>(h)];
      for (posenc::index_t t = 0; t < q.num_tokens; ++t) {
        for (posenc::index_t c = 0; c < v.head_dim; ++c) out.view().row(t, h)[c] = posenc::narrow<S>(head.out(t, c));
        lse[static_cast<std::size_t>(t * q.num_heads + h)] = static_cast<T>(head.lse[t]);
      }
    }
  }

  posenc::attend_options<T> options() {
    auto o = call.options<T>();
    o.lse = {lse.data(), q.num_tokens, q.num_heads};
    o.run.threads = threads;
    return o;
  }
  posenc::attend_gradients<T> gradients() { return {dq.view(), dk.view(), dv.view(), d_sinks, d_parameters}; }

  void go_backward() {
    auto o = options();
    const auto size = posenc::backward_workspace_size(q.view(), k.view(), v.view(), encoding, o);
    workspace.assign(static_cast<std::size_t>(size),
                     std::numeric_limits<T>::quiet_NaN());  // must be written before it is read
    o.run.workspace = workspace;
    posenc::attend_backward(q.view(), k.view(), v.view(), out.view(), d_out.view(), gradients(), encoding, o);
  }

  posenc::reference_gradients expected() const {
    return posenc::attend_reference_backward(in_double(q).view(), in_double(k).view(), in_double(v).view(), encoding,
                                             in_double(d_out).view(), call.options<double>());
  }

  /// The largest error of all gradients, relative to the largest gradient of its kind, or to 1; infinite if one is NaN.
  double error(const posenc::reference_gradients& expected) const {
    return std::max({distance(dq.values, expected.queries), distance(dk.values, expected.keys),
                     distance(dv.values, expected.values), distance(d_sinks, expected.sinks)});
  }
  /// The same for the parameters. Gradients of scores sum to zero over a row, and a parameter may gather all of them,
  /// each times a distance: the sum says nothing about the size of its terms.
  double error_of_parameters(const posenc::reference_gradients& expected) const {
    return distance(d_parameters, expected.parameters) / static_cast<double>(q.num_tokens + k.num_tokens + 1);
  }

  static double distance(const std::vector<T>& seen, const std::vector<double>& expected) {
    if (seen.size() != expected.size()) return std::numeric_limits<double>::infinity();
    double largest = 1, error = 0;
    for (std::size_t i = 0; i < seen.size(); ++i) {
      largest = std::max(largest, std::abs(expected[i]));
      const double off = std::abs(static_cast<double>(seen[i]) - 1 - expected[i]);
      if (!(off <= error)) error = std::isnan(off) ? std::numeric_limits<double>::infinity() : off;
    }
    return error / largest;
  }
};
