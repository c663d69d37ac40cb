// Two laws of attention as goldens: permutation without positions, and shifts under rotation.
#include "attention_forms.hpp"
#include "attention_setting.hpp"
#include "rope_parameters.hpp"

#include <posenc/attention/attention.hpp>

#include <algorithm>
#include <stdexcept>

namespace verify {

namespace {

using posenc::head_view;

template <posenc::real T>
struct heads {
  heads_shape shape;
  std::vector<T> values;

  explicit heads(const tensor& x) : shape(heads_shape_of(x, 0)), values(values_as<T>(x)) {}
  head_view<T> batch(index_t b) { return heads_of(values, shape, b); }
};

template <posenc::real T>
std::vector<T> attend_all(const golden_case& one, heads<T> q, heads<T> k, heads<T> v) {
  const heads_shape shape{q.shape.batch, q.shape.num_heads, q.shape.num_tokens, v.shape.head_dim, false};
  std::vector<T> out(static_cast<std::size_t>(shape.batch * shape.size()));
  for (index_t b = 0; b < shape.batch; ++b) {
    const attention_setting<T> setting(one, b, q.shape.num_tokens, k.shape.num_tokens);
    posenc::attend(q.batch(b), k.batch(b), v.batch(b), heads_of(out, shape, b), posenc::no_encoding{},
                   setting.options());
  }
  return out;
}

template <posenc::real T>
heads<T> permuted(heads<T> x, const std::vector<position_t>& order) {
  heads<T> result = x;
  for (index_t b = 0; b < x.shape.batch; ++b) {
    for (index_t t = 0; t < x.shape.num_tokens; ++t) {
      for (index_t h = 0; h < x.shape.num_heads; ++h) {
        const T* from = x.batch(b).row(order[static_cast<std::size_t>(t)], h);
        std::copy_n(from, x.shape.head_dim, result.batch(b).row(t, h));
      }
    }
  }
  return result;
}

template <posenc::real T>
std::vector<T> rotated_scores(const golden_case& one, index_t shift) {
  const heads_shape shape = heads_shape_of(one.input("q"), 0);
  std::vector<T> q = values_as<T>(one.input("q"));
  std::vector<T> k = values_as<T>(one.input("k", one.input("q").shape));
  const posenc::rope rotary = rope_of(one, shape.head_dim);
  std::vector<T> scores;
  for (index_t b = 0; b < shape.batch; ++b) {
    const attention_setting<double> setting(one, b, shape.num_tokens, shape.num_tokens);
    std::vector<position_t> at;
    for (index_t t = 0; t < shape.num_tokens; ++t) at.push_back(static_cast<position_t>(setting.keys()[t] + shift));
    const auto queries = heads_of(q, shape, b);
    const auto keys = heads_of(k, shape, b);
    posenc::rotate(rotary, queries, keys, at);
    for (const auto& head : posenc::attend_reference(queries, keys, keys, posenc::no_encoding{}, setting.options())) {
      for (const double score : head.scaled.template reshaped<Eigen::RowMajor>())
        scores.push_back(static_cast<T>(score));
    }
  }
  return scores;
}

}  // namespace

template <posenc::real T>
void check_permutation(golden_case& one) {
  if (one.encoding() != "none") throw not_known("permutations under an encoding are not known here");
  const heads<T> q(one.input("q")), k(one.input("k")), v(one.input("v"));
  if (k.shape.batch != q.shape.batch || v.shape.batch != q.shape.batch || k.shape.num_tokens != q.shape.num_tokens ||
      v.shape.num_tokens != q.shape.num_tokens)
    throw std::runtime_error("q, k and v differ in batches or tokens");
  const std::vector<position_t> order = ids_of(one.input("permutation", {q.shape.num_tokens}));
  std::vector<position_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  if (sorted != counting_from(0, q.shape.num_tokens)) throw std::runtime_error("permutation is none");
  one.give("out", attend_all(one, q, k, v));
  one.give("out_of_permuted", attend_all(one, permuted(q, order), permuted(k, order), permuted(v, order)));
}

template <posenc::real T>
void check_shift(golden_case& one) {
  if (one.encoding() != "rope") throw not_known("scores under the encoding " + one.encoding() + " are not known here");
  one.give("scores", rotated_scores<T>(one, 0));
  one.give("scores_shifted", rotated_scores<T>(one, one.count("shift")));
}

template void check_permutation<float>(golden_case&);
template void check_permutation<double>(golden_case&);
template void check_shift<float>(golden_case&);
template void check_shift<double>(golden_case&);

}  // namespace verify
