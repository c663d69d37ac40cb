// Reference attention and gradients: in double, with whole matrices and the same hooks. Tests compare all else with it.
#pragma once

#include <posenc/attention/attend.hpp>
#include <posenc/eigen.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// All intermediate results of one head: [num_queries, num_keys] unless noted.
struct reference_head {
  row_matrix<double> scaled;   // scale * q k^T
  row_matrix<double> capped;   // after the soft-cap
  row_matrix<double> biased;   // after encoding and mask; minus infinity where masked
  row_matrix<double> weights;  // after the softmax; rows without keys are zero
  row_matrix<double> out;      // [num_queries, value_dim]
  Eigen::VectorXd lse;         // [num_queries]
};

/// Gradients of attention, dense and token-major, as a `head_view` reads them.
struct reference_gradients {
  std::vector<double> queries;     // [num_queries, num_heads, head_dim]
  std::vector<double> keys;        // [num_keys, num_kv_heads, head_dim]
  std::vector<double> values;      // [num_keys, num_kv_heads, value_dim]
  std::vector<double> sinks;       // [num_heads], if there are any
  std::vector<double> parameters;  // [num_parameters(encoding)]
};

namespace detail {

template <element S>
row_matrix<double> head_matrix(head_view<S> x, index_t head) {
  row_matrix<double> m(x.num_tokens, x.head_dim);
  for (index_t t = 0; t < x.num_tokens; ++t) {
    for (index_t d = 0; d < x.head_dim; ++d) m(t, d) = widen<double>(x.row(t, head)[d]);
  }
  return m;
}

inline auto head_of(std::vector<double>& values, index_t num_tokens, index_t num_heads, index_t dim, index_t head) {
  double* const first = values.empty() ? nullptr : values.data() + head * dim;
  return Eigen::Map<row_matrix<double>, 0, Eigen::OuterStride<>>(first, num_tokens, dim,
                                                                 Eigen::OuterStride<>(num_heads * dim));
}

/// a * b, where a zero in `a` skips its row of `b`: masked keys and values may be NaN or infinite.
inline row_matrix<double> product_of_seen(const row_matrix<double>& a, const row_matrix<double>& b) {
  row_matrix<double> product = row_matrix<double>::Zero(a.rows(), b.cols());
  for (index_t i = 0; i < a.rows(); ++i) {
    for (index_t j = 0; j < b.rows(); ++j) {
      if (a(i, j) != 0) product.row(i) += a(i, j) * b.row(j);
    }
  }
  return product;
}

/// One head: its inputs, and a tile of all its scores for the encoding.
class reference_tile {
 public:
  template <element Q, element K>
  reference_tile(head_view<Q> q, head_view<K> k, index_t head, const attend_options<double>& options)
      : query_offset_(resolve_query_offset(options, q.num_tokens, k.num_tokens)),
        filter_(options.band, options.more, query_offset_, k.num_tokens),
        head_(head),
        first_head_(options.more.first_head) {
    scale = options.scale.value_or(default_scale(q.head_dim));
    queries = scale * head_matrix(q, head);
    keys = head_matrix(k, head / (q.num_heads / k.num_heads));
    const positions query_positions = or_indices(options.positions.queries, query_offset_, q.num_tokens);
    const positions key_positions = or_indices(options.positions.keys, 0, k.num_tokens);
    for (index_t i = 0; i < q.num_tokens; ++i) query_positions_.push_back(query_positions[i]);
    for (index_t i = 0; i < k.num_tokens; ++i) key_positions_.push_back(key_positions[i]);
    consecutive_ = query_positions.consecutive() && key_positions.consecutive();
  }

  score_tile<double> over(row_matrix<double>& scores) const {
    score_tile<double> tile;
    tile.scores = scores.data();
    tile.query_stride = scores.cols();
    tile.key_stride = 1;
    tile.num_queries = scores.rows();
    tile.num_keys = scores.cols();
    tile.head = first_head_ + head_;
    tile.query_positions = query_positions_.data();
    tile.key_positions = key_positions_.data();
    tile.consecutive = consecutive_;
    tile.queries = queries.data();
    tile.query_token_stride = queries.cols();
    tile.query_dim_stride = 1;
    tile.keys = keys.data();
    tile.key_token_stride = keys.cols();
    tile.head_dim = keys.cols();
    tile.scale = scale;
    return tile;
  }

  void mask(row_matrix<double>& scores) const { filter_.apply(over(scores), head_); }

  template <class E>
  void add_encoding(const E& encoding, row_matrix<double>& scores) const {
    std::vector<double> scratch(static_cast<std::size_t>(hooks::scratch_size(encoding, scores.rows())));
    score_tile<double> tile = over(scores);
    tile.scratch = scratch.data();
    score_tile<double> before_keys = tile;
    before_keys.num_keys = 0;
    hooks::begin(encoding, before_keys);
    hooks::add_to_scores(encoding, tile);
  }

  double scale;
  row_matrix<double> queries;  // scale * q: [num_queries, head_dim]
  row_matrix<double> keys;     // [num_keys, head_dim]

 private:
  index_t query_offset_;
  key_filter filter_;
  index_t head_;
  index_t first_head_;
  std::vector<position_t> query_positions_;
  std::vector<position_t> key_positions_;
  bool consecutive_ = false;
};

template <class E>
reference_head attend_head(const reference_tile& tile, const row_matrix<double>& values, const E& encoding,
                           double softcap, const double* sink) {
  reference_head head;
  head.scaled = tile.queries * tile.keys.transpose();
  head.capped =
      softcap > 0 ? row_matrix<double>(softcap * (head.scaled / softcap).array().tanh().matrix()) : head.scaled;
  head.biased = head.capped;
  tile.mask(head.biased);
  tile.add_encoding(encoding, head.biased);
  tile.mask(head.biased);
  const index_t num_queries = head.scaled.rows();
  head.weights = row_matrix<double>::Zero(num_queries, head.scaled.cols());
  head.lse.resize(num_queries);
  for (index_t q = 0; q < num_queries; ++q) {
    double largest = std::numeric_limits<double>::lowest();
    if (sink != nullptr) largest = std::max(largest, *sink);
    for (const double score : head.biased.row(q)) largest = std::max(largest, score);
    double sum = sink != nullptr ? std::exp(*sink - largest) : 0;
    for (index_t k = 0; k < head.weights.cols(); ++k) sum += head.weights(q, k) = std::exp(head.biased(q, k) - largest);
    head.lse[q] = sum == 0 ? -std::numeric_limits<double>::infinity() : largest + std::log(sum);
    if (sum != 0) head.weights.row(q) /= sum;
  }
  head.out = product_of_seen(head.weights, values);
  return head;
}

}  // namespace detail

/// What `attend` computes, in double and with every intermediate step: one `reference_head` per query head.
///
/// q, k, v    as for `attend`; any element type
/// Errors     as for `attend`.
template <element Q, element K, element V, class E>
std::vector<reference_head> attend_reference(head_view<Q> q, head_view<K> k, head_view<V> v, const E& encoding,
                                             const attend_options<double>& options = {}) {
  static_assert(detail::check_attends<E, Q, head_view<K>>());
  raise_if(detail::check_inputs(q, k, v, encoding, options));
  std::vector<reference_head> heads;
  for (index_t h = 0; h < q.num_heads; ++h) {
    const detail::reference_tile tile(q, k, h, options);
    const double* sink = options.sinks.empty() ? nullptr : &options.sinks[static_cast<std::size_t>(h)];
    heads.push_back(detail::attend_head(tile, detail::head_matrix(v, h / (q.num_heads / v.num_heads)), encoding,
                                        options.softcap, sink));
  }
  return heads;
}

/// Gradients of a loss whose gradient with respect to `out` is `upstream`: through the softmax, the encoding's adjoint,
/// the soft-cap and the product.
///
///     dv += P^T do      dS = P (do v^T - rowsum(do out))      d(scale q) += dS k      dk += dS^T (scale q)
template <element Q, element K, element V, element U, class E>
reference_gradients attend_reference_backward(head_view<Q> q, head_view<K> k, head_view<V> v, const E& encoding,
                                              head_view<U> upstream, const attend_options<double>& options = {}) {
  static_assert(check_score_adjoint<E, double>());
  const std::vector<reference_head> heads = attend_reference(q, k, v, encoding, options);
  const auto zeros = [](index_t count) { return std::vector<double>(static_cast<std::size_t>(count)); };
  reference_gradients gradients{zeros(q.num_tokens * q.num_heads * q.head_dim),
                                zeros(k.num_tokens * k.num_heads * k.head_dim),
                                zeros(v.num_tokens * v.num_heads * v.head_dim), zeros(std::ssize(options.sinks)),
                                zeros(hooks::num_parameters(encoding))};
  for (index_t h = 0; h < q.num_heads; ++h) {
    const reference_head& head = heads[static_cast<std::size_t>(h)];
    const index_t kv_head = h / (q.num_heads / k.num_heads);
    const detail::reference_tile tile(q, k, h, options);
    const row_matrix<double> d_out = detail::head_matrix(upstream, h);

    detail::head_of(gradients.values, v.num_tokens, v.num_heads, v.head_dim, kv_head) +=
        head.weights.transpose() * d_out;
    const Eigen::VectorXd delta = (d_out.array() * head.out.array()).rowwise().sum();
    row_matrix<double> d_scores = d_out * detail::head_matrix(v, kv_head).transpose();
    d_scores.colwise() -= delta;
    const auto masked = head.biased.array() == -std::numeric_limits<double>::infinity();
    d_scores.array() = masked.select(0, head.weights.array() * d_scores.array());
    if (!options.sinks.empty()) {
      const auto sink = static_cast<std::size_t>(h);
      const double score = options.sinks[sink];
      if (score != -std::numeric_limits<double>::infinity())
        gradients.sinks[sink] = -((score - head.lse.array()).exp() * delta.array()).sum();
    }

    row_matrix<double> d_queries = row_matrix<double>::Zero(q.num_tokens, q.head_dim);
    row_matrix<double> d_keys = row_matrix<double>::Zero(k.num_tokens, k.head_dim);
    row_matrix<double> before = head.capped;
    tile.mask(before);
    const score_gradients<double> through{d_scores.data(), d_queries.data(), d_keys.data(), gradients.parameters};
    hooks::add_to_scores_backward(encoding, tile.over(before), through);

    if (options.softcap > 0) {
      d_scores.array() = masked.select(0, d_scores.array() * (1 - (head.capped.array() / options.softcap).square()));
    }
    d_queries += detail::product_of_seen(d_scores, tile.keys);
    d_keys += detail::product_of_seen(d_scores.transpose(), tile.queries);
    detail::head_of(gradients.queries, q.num_tokens, q.num_heads, q.head_dim, h) += tile.scale * d_queries;
    detail::head_of(gradients.keys, k.num_tokens, k.num_heads, k.head_dim, kv_head) += d_keys;
  }
  return gradients;
}

}  // namespace posenc::inline POSENC_ISA
