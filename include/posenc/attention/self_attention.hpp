// A layer of self-attention: projections around attention, with every place where a position can enter.
#pragma once

#include <posenc/attention/attention.hpp>
#include <posenc/eigen.hpp>
#include <posenc/encode.hpp>

#include <Eigen/Core>

namespace posenc::inline POSENC_ISA {

/// Projections of a layer, applied as x W + b. An empty bias means none; an empty `output` leaves heads concatenated.
template <real T>
struct attention_weights {
  row_matrix<T> query;   // [dim, num_heads * head_dim]
  row_matrix<T> key;     // [dim, num_kv_heads * head_dim]
  row_matrix<T> value;   // [dim, num_kv_heads * value_dim]
  row_matrix<T> output;  // [num_heads * value_dim, dim]
  index_t num_heads = 1;
  index_t num_kv_heads = 1;
  Eigen::RowVector<T, Eigen::Dynamic> query_bias{};
  Eigen::RowVector<T, Eigen::Dynamic> key_bias{};
  Eigen::RowVector<T, Eigen::Dynamic> value_bias{};
  Eigen::RowVector<T, Eigen::Dynamic> output_bias{};
};

namespace detail {

template <real T>
row_matrix<T> project(const row_matrix<T>& x, const row_matrix<T>& weights,
                      const Eigen::RowVector<T, Eigen::Dynamic>& bias) {
  row_matrix<T> y = x * weights;
  if (bias.size() > 0) y.rowwise() += bias;
  return y;
}

template <real T>
problem check_projection(const row_matrix<T>& weights, const Eigen::RowVector<T, Eigen::Dynamic>& bias, index_t width,
                         index_t num_heads) noexcept {
  const auto invalid = [](const char* argument, index_t value, const char* rule, index_t limit) {
    return problem::invalid("self_attention", argument, value, rule, limit);
  };
  if (weights.rows() != width) return invalid("number of rows", weights.rows(), "#, the width of its input", width);
  if (weights.cols() % num_heads != 0)
    return invalid("number of columns", weights.cols(), "a multiple of #, the number of heads", num_heads);
  if (bias.size() != 0 && bias.size() != weights.cols())
    return invalid("size of the bias", bias.size(), "0 or #, one for each column", weights.cols());
  return {};
}

template <real T>
void check_weights(const attention_weights<T>& w, index_t dim) {
  require(w.num_heads >= 1, "self_attention", "num_heads", w.num_heads, "at least 1");
  require(w.num_kv_heads >= 1, "self_attention", "num_kv_heads", w.num_kv_heads, "at least 1");
  raise_if(check_projection(w.query, w.query_bias, dim, w.num_heads).of("query"));
  raise_if(check_projection(w.key, w.key_bias, dim, w.num_kv_heads).of("key"));
  raise_if(check_projection(w.value, w.value_bias, dim, w.num_kv_heads).of("value"));
  if (w.output.size() == 0) {
    require(w.output_bias.size() == 0, "self_attention", "size of output_bias", w.output_bias.size(),
            "0 without an output projection");
  } else {
    const index_t width = w.num_heads * (w.value.cols() / w.num_kv_heads);
    raise_if(check_projection(w.output, w.output_bias, width, 1).of("output"));
  }
}

}  // namespace detail

/// One layer of self-attention with any encoding, on embeddings, on queries and keys, and on scores.
///
/// x         [num_tokens, dim], row-major
/// Positions options.positions.queries everywhere, for keys too unless options.positions.keys is set; default 0, 1, ...
/// Returns   [num_tokens, dim], or [num_tokens, num_heads * value_dim] without an output projection
/// Errors    mismatched shapes, and those of `check_add`, `check_rotate` and `check_attend`.
template <real T, class E>
row_matrix<T> self_attention(row_matrix<T> x, const attention_weights<T>& weights, const E& encoding,
                             attend_options<T> options = {}) {
  static_assert(check_embedding_hook<E, T>());
  detail::check_weights(weights, x.cols());
  const index_t num_tokens = x.rows();
  const positions ids = options.positions.queries.value_or(positions(0, num_tokens));
  options.positions.queries = ids;
  if (!options.positions.keys) options.positions.keys = ids;

  add_to(encoding, as_tokens(x), ids);
  row_matrix<T> q = detail::project(x, weights.query, weights.query_bias);
  row_matrix<T> k = detail::project(x, weights.key, weights.key_bias);
  row_matrix<T> v = detail::project(x, weights.value, weights.value_bias);
  row_matrix<T> heads(num_tokens, weights.num_heads * (v.cols() / weights.num_kv_heads));
  const auto queries = as_heads(q, weights.num_heads);
  const auto keys = as_heads(k, weights.num_kv_heads);
  apply_to_queries(encoding, queries, *options.positions.queries);
  apply_to_keys(encoding, keys, *options.positions.keys);
  attend(queries, keys, as_heads(v, weights.num_kv_heads), as_heads(heads, weights.num_heads), scores_of(encoding),
         options);
  if (weights.output.size() == 0) return heads;
  return detail::project(heads, weights.output, weights.output_bias);
}

}  // namespace posenc::inline POSENC_ISA
