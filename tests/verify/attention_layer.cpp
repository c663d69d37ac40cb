// A whole layer: encodings of embeddings, projections, attention, and all gradients.
#include "attention_forms.hpp"
#include "attention_setting.hpp"
#include "sinusoidal_parameters.hpp"

#include <posenc/attention/self_attention.hpp>
#include <posenc/encodings/learned.hpp>

#include <stdexcept>

namespace verify {

namespace {

template <posenc::real T>
using matrix = posenc::row_matrix<T>;

template <posenc::real T>
matrix<T> matrix_of(const tensor& x) {
  if (x.rank() != 2) throw std::runtime_error("a matrix has shape " + shape_text(x.shape));
  matrix<T> m(x.dim(0), x.dim(1));
  for (index_t i = 0; i < x.size(); ++i) m.data()[i] = posenc::narrow<T>(x.values[static_cast<std::size_t>(i)]);
  return m;
}

template <posenc::real T>
void append(std::vector<T>& all, const matrix<double>& values) {
  for (const double value : values.template reshaped<Eigen::RowMajor>()) all.push_back(static_cast<T>(value));
}

// One layer on one batch at a time: x is [batch, num_tokens, dim].
template <posenc::real T, class E>
class layer {
 public:
  layer(golden_case& one, const E& encoding) : one_(one), encoding_(encoding), x_(one.input("x")) {
    if (x_.rank() != 3) throw std::runtime_error("x has shape " + shape_text(x_.shape));
    weights_.query = matrix_of<T>(one.input("wq"));
    weights_.key = matrix_of<T>(one.input("wk"));
    weights_.value = matrix_of<T>(one.input("wv"));
    weights_.num_heads = one.count("num_heads");
    weights_.num_kv_heads = one.count("num_kv_heads", weights_.num_heads);
  }

  void forward() {
    const index_t num_heads = weights_.num_heads;
    std::vector<T> out, lse;
    for (index_t b = 0; b < x_.dim(0); ++b) {
      const attention_setting<T> setting(one_, b, num_tokens(), num_tokens());
      posenc::attend_options<T> options = setting.options();
      std::vector<T> its_lse(static_cast<std::size_t>(num_heads * num_tokens()));
      options.lse = {its_lse.data(), num_tokens(), num_heads, 1, num_tokens()};
      matrix<T> y = self_attention(batch<T>(b), weights_, encoding_, options);
      const auto heads = posenc::as_heads(y, num_heads);
      for (index_t h = 0; h < num_heads; ++h) {
        for (index_t t = 0; t < num_tokens(); ++t)
          out.insert(out.end(), heads.row(t, h), heads.row(t, h) + heads.head_dim);
      }
      lse.insert(lse.end(), its_lse.begin(), its_lse.end());
    }
    one_.give("out", out);
    one_.give("lse", lse);
  }

  // By the oracle: through attention, the projections and the addition.
  void backward(const std::string& parameters) {
    const matrix<double> wq = weights_.query.template cast<double>();
    const matrix<double> wk = weights_.key.template cast<double>();
    const matrix<double> wv = weights_.value.template cast<double>();
    matrix<double> d_wq = 0 * wq, d_wk = 0 * wk, d_wv = 0 * wv;
    std::vector<T> x_grad;
    std::vector<double> parameter_grad(static_cast<std::size_t>(posenc::hooks::num_parameters(encoding_)));
    for (index_t b = 0; b < x_.dim(0); ++b) {
      const attention_setting<double> setting(one_, b, num_tokens(), num_tokens());
      matrix<double> y = batch<double>(b);
      posenc::add_to(encoding_, posenc::as_tokens(y), setting.queries());
      matrix<double> q = y * wq, k = y * wk, v = y * wv;
      auto gradients = posenc::attend_reference_backward(
          posenc::as_heads(q, weights_.num_heads), posenc::as_heads(k, weights_.num_kv_heads),
          posenc::as_heads(v, weights_.num_kv_heads), posenc::scores_of(encoding_), upstream(b, v.cols()),
          setting.options());
      const Eigen::Map<matrix<double>> dq(gradients.queries.data(), q.rows(), q.cols());
      const Eigen::Map<matrix<double>> dk(gradients.keys.data(), k.rows(), k.cols());
      const Eigen::Map<matrix<double>> dv(gradients.values.data(), v.rows(), v.cols());
      d_wq += y.transpose() * dq;
      d_wk += y.transpose() * dk;
      d_wv += y.transpose() * dv;
      matrix<double> dy = dq * wq.transpose() + dk * wk.transpose() + dv * wv.transpose();
      append(x_grad, dy);
      const posenc::token_view<const double> added = posenc::as_tokens(dy);
      posenc::hooks::add_to_backward<E, double>(encoding_, added, setting.queries(), parameter_grad);
    }
    one_.give("x_grad", x_grad);
    give_matrix("wq_grad", d_wq);
    give_matrix("wk_grad", d_wk);
    give_matrix("wv_grad", d_wv);
    if (!parameters.empty())
      one_.give(parameters + "_grad", std::vector<T>(parameter_grad.begin(), parameter_grad.end()));
  }

 private:
  index_t num_tokens() const { return x_.dim(1); }

  template <posenc::real U>
  matrix<U> batch(index_t b) const {
    matrix<U> m(num_tokens(), x_.dim(2));
    for (index_t i = 0; i < m.size(); ++i)
      m.data()[i] = static_cast<U>(posenc::narrow<T>(x_.values[static_cast<std::size_t>(b * m.size() + i)]));
    return m;
  }

  posenc::head_view<const double> upstream(index_t b, index_t value_columns) const {
    const index_t num_heads = weights_.num_heads;
    const index_t value_dim = value_columns / weights_.num_kv_heads;
    const tensor& all = one_.input("upstream", {x_.dim(0), num_heads, num_tokens(), value_dim});
    return posenc::head_major(all.values.data() + b * num_heads * num_tokens() * value_dim, num_heads, num_tokens(),
                              value_dim);
  }

  void give_matrix(const std::string& stem, const matrix<double>& values) {
    std::vector<T> all;
    append(all, values);
    one_.give(stem, all);
  }

  golden_case& one_;
  const E& encoding_;
  const tensor& x_;
  posenc::attention_weights<T> weights_;
};

template <posenc::real T, class E>
void check_with(golden_case& one, const E& encoding, const std::string& parameters = "") {
  layer<T, E> under_test(one, encoding);
  under_test.forward();
  if (one.has("upstream")) under_test.backward(parameters);
}

}  // namespace

template <posenc::real T>
void check_layer(golden_case& one) {
  const std::string& encoding = one.encoding();
  const index_t dim = one.input("x").dim(-1);
  if (encoding == "none") return check_with<T>(one, posenc::no_encoding{});
  if (encoding == "sinusoidal") return check_with<T>(one, posenc::sinusoidal(sinusoidal_params_of(one, dim)));
  if (encoding == "learned")
    return check_with<T>(
        one, posenc::learned<T>(values_as<T>(one.input("table")), dim, {.offset = one.count("offset", 0)}), "table");
  throw not_known("a layer under the encoding " + encoding + " is not known here");
}

template void check_layer<float>(golden_case&);
template void check_layer<double>(golden_case&);

}  // namespace verify
