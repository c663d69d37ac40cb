// Attention under an encoding, from given queries, keys and values: outputs, log-sum-exps and gradients.
#include "attention_forms.hpp"
#include "attention_setting.hpp"
#include "groups.hpp"
#include "rope_parameters.hpp"
#include "t5_parameters.hpp"

#include <posenc/attention/attention.hpp>
#include <posenc/attention/reference.hpp>
#include <posenc/encodings/alibi.hpp>

#include <stdexcept>

namespace verify {

namespace {

using posenc::head_view;

// Everything one case is computed from.
template <posenc::real T>
struct heads_input {
  explicit heads_input(golden_case& one)
      : queries(heads_shape_of(one.input("q"), 0)),
        keys(heads_shape_of(one.input("k"), 0)),
        values(heads_shape_of(one.input("v"), 0)),
        q(values_as<T>(one.input("q"))),
        k(values_as<T>(one.input("k"))),
        v(values_as<T>(one.input("v"))) {
    if (keys.batch != queries.batch || values.batch != queries.batch)
      throw std::runtime_error("q, k and v differ in their batches");
  }

  heads_shape queries, keys, values;
  std::vector<T> q, k, v;

  heads_shape outputs() const { return {queries.batch, queries.num_heads, queries.num_tokens, values.head_dim, false}; }
};

// The streaming kernel.
template <posenc::real T, class E>
void check_streaming(golden_case& one, heads_input<T>& in, const E& encoding) {
  const heads_shape shape = in.outputs();
  const index_t num_rows = shape.num_heads * shape.num_tokens;
  std::vector<T> out(static_cast<std::size_t>(shape.batch * shape.size()));
  std::vector<T> lse(static_cast<std::size_t>(shape.batch * num_rows));
  for (index_t b = 0; b < shape.batch; ++b) {
    const attention_setting<T> setting(one, b, in.queries.num_tokens, in.keys.num_tokens);
    posenc::attend_options<T> options = setting.options();
    options.lse = {lse.data() + b * num_rows, shape.num_tokens, shape.num_heads, 1, shape.num_tokens};
    posenc::attention(heads_of(in.q, in.queries, b), heads_of(in.k, in.keys, b), heads_of(in.v, in.values, b),
                      heads_of(out, shape, b), encoding, options);
  }
  one.give("out", out);
  one.give("lse", lse);
}

// Token-major gradients of one batch, put where the goldens have them.
template <posenc::real T>
void store(std::vector<double>& gradient, std::vector<T>& all, const heads_shape& shape, index_t batch) {
  const head_view<double> from(gradient.data(), shape.num_tokens, shape.num_heads, shape.head_dim);
  const head_view<T> to = heads_of(all, shape, batch);
  for (index_t t = 0; t < shape.num_tokens; ++t) {
    for (index_t h = 0; h < shape.num_heads; ++h) {
      for (index_t d = 0; d < shape.head_dim; ++d) to.row(t, h)[d] = static_cast<T>(from.row(t, h)[d]);
    }
  }
}

template <posenc::real T>
void accumulate(const std::vector<double>& part, std::vector<T>& sum) {
  sum.resize(part.size(), T(0));
  for (std::size_t i = 0; i < part.size(); ++i) sum[i] += static_cast<T>(part[i]);
}

// The oracle and its gradients, in double on values of T. Queries and keys are transformed before it and their gradients
// after it, by the encoding's own hooks.
template <posenc::real T, class E>
void check_reference(golden_case& one, heads_input<T> in, const E& encoding, const std::string& parameters) {
  const heads_shape shape = in.outputs();
  const bool backward = one.has("upstream");
  std::vector<T> upstream;
  if (backward) upstream = values_as<T>(one.input("upstream", one.wanted("out").shape));
  std::vector<T> out(static_cast<std::size_t>(shape.batch * shape.size()));
  std::vector<T> lse, q_grad(in.q.size()), k_grad(in.k.size()), v_grad(in.v.size()), sinks_grad, parameter_grad;
  for (index_t b = 0; b < shape.batch; ++b) {
    const attention_setting<double> setting(one, b, in.queries.num_tokens, in.keys.num_tokens);
    const auto q = heads_of(in.q, in.queries, b);
    const auto k = heads_of(in.k, in.keys, b);
    const auto v = heads_of(in.v, in.values, b);
    posenc::apply_to_queries(encoding, q, setting.queries());
    posenc::apply_to_keys(encoding, k, setting.keys());
    const auto scores = posenc::scores_of(encoding);
    give_heads(posenc::attend_reference(q, k, v, scores, setting.options()), heads_of(out, shape, b), lse);
    if (!backward) continue;
    auto gradients =
        posenc::attend_reference_backward(q, k, v, scores, heads_of(upstream, shape, b), setting.options());
    through_rotation(encoding, gradients, in.queries, in.keys, setting.queries(), setting.keys());
    store(gradients.queries, q_grad, in.queries, b);
    store(gradients.keys, k_grad, in.keys, b);
    store(gradients.values, v_grad, in.values, b);
    accumulate(gradients.sinks, sinks_grad);
    accumulate(gradients.parameters, parameter_grad);
  }
  one.give("out", out);
  one.give("lse", lse);
  if (!backward) return;
  one.give("q_grad", q_grad);
  one.give("k_grad", k_grad);
  one.give("v_grad", v_grad);
  if (one.has("sinks")) one.give("sinks_grad", sinks_grad);
  if (!parameters.empty()) one.give(parameters + "_grad", parameter_grad);
}

// `parameters`: the role of the encoding's parameters, if it has any.
template <posenc::real T, class E>
void check_heads(golden_case& one, const E& encoding, const std::string& parameters = "") {
  heads_input<T> in(one);
  check_streaming(one, in, encoding);
  check_reference(one, in, encoding, parameters);
}

template <posenc::real T>
posenc::t5_bias<T> t5_of(const golden_case& one) {
  return posenc::t5_bias<T>(values_as<T>(one.input("table")), t5_params_of(one));
}

template <posenc::real T>
posenc::alibi<T> alibi_of(const golden_case& one) {
  if (one.has("slopes")) return posenc::alibi<T>(values_as<T>(one.input("slopes")));
  return posenc::alibi<T>(
      {.num_heads = heads_shape_of(one.input("q"), 0).num_heads, .max_bias = one.number("alibi_bias_max", 8)});
}

template <posenc::real T>
void check_in(golden_case& one) {
  const std::string& encoding = one.encoding();
  if (one.has("x")) return check_layer<T>(one);
  if (one.has("permutation")) return check_permutation<T>(one);
  if (one.has_parameter("shift")) return check_shift<T>(one);
  if (encoding == "none") return check_heads<T>(one, posenc::no_encoding{});
  if (encoding == "rope") return check_heads<T>(one, rope_of(one, one.input("q").dim(-1)));
  if (encoding == "alibi") return check_heads<T>(one, alibi_of<T>(one), "slopes");
  if (encoding == "t5") return check_heads<T>(one, t5_of<T>(one), "table");
  throw not_known("attention under the encoding " + encoding + " is not known here");
}

}  // namespace

void check_attention(golden_case& one) {
  const std::string usual = "batch, head, position, dim";
  if (one.text("order", usual) != usual) throw not_known("attention in another order of axes is not known here");
  check_in<float>(one);
  check_in<double>(one);
}

}  // namespace verify
