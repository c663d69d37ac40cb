// Forgetting attention: each token between key and query lowers the bias by what it chooses to forget.
#pragma once

#include <posenc/concepts.hpp>  // tile_bias, real, index_t, position_t
#include <posenc/error.hpp>     // require

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// Sums of log forget gates, as `forgetting` reads them: F[h, t] = sum over s <= t of log sigmoid(logits[s, h]), summed
/// in double. Returns [num_heads, num_tokens].
template <real T>
std::vector<T> sum_log_gates(token_view<const T> logits) {  // [num_tokens, num_heads]
  std::vector<T> sums;
  for (index_t h = 0; h < logits.dim; ++h) {
    double sum = 0;
    for (index_t t = 0; t < logits.num_tokens; ++t) {
      const double logit = logits.token(t)[h];
      // log sigmoid, without overflow on either side.
      sum += std::min(logit, 0.0) - std::log1p(std::exp(-std::abs(logit)));
      sums.push_back(static_cast<T>(sum));
    }
  }
  return sums;
}

/// Adds the gradient of the logits, given dL/dF, to `logit_gradients`: a gate is part of all sums from its token on.
template <real T>
void sum_log_gates_backward(token_view<const T> logits,        // [num_tokens, num_heads]
                            std::span<const T> sum_gradients,  // [num_heads, num_tokens]
                            token_view<T> logit_gradients) {   // [num_tokens, num_heads]
  require(std::ssize(sum_gradients) == logits.dim * logits.num_tokens, "sum_log_gates_backward",
          "size of sum_gradients", std::ssize(sum_gradients), "#", logits.dim * logits.num_tokens);
  require(logit_gradients.dim == logits.dim, "sum_log_gates_backward", "dim of logit_gradients", logit_gradients.dim,
          "#, that of logits", logits.dim);
  require(logit_gradients.num_tokens == logits.num_tokens, "sum_log_gates_backward", "num_tokens of logit_gradients",
          logit_gradients.num_tokens, "#, that of logits", logits.num_tokens);
  for (index_t h = 0; h < logits.dim; ++h) {
    const T* of_sums = sum_gradients.data() + h * logits.num_tokens;
    double sum = 0;
    for (index_t t = logits.num_tokens; t-- > 0;) {
      sum += static_cast<double>(of_sums[t]);
      logit_gradients.token(t)[h] += static_cast<T>(sum / (1 + std::exp(static_cast<double>(logits.token(t)[h]))));
    }
  }
}

struct forgetting_params {
  index_t num_heads = 0;
  index_t num_tokens = 0;
  std::optional<index_t> head_stride = {};  // in elements; default: [num_heads, num_tokens] is dense
  position_t first_position = 0;            // of the first token
};

/// Adds the sum of the log forget gates of the tokens after the key, up to and including the query: ALiBi with a slope
/// that each token chooses. The sums are in the caller's memory, for example beside the keys in a cache.
///
///     score[h, i, j] += F[h, i] - F[h, j]
///
/// Acts on    scores before the softmax; queries and keys are unchanged. For causal attention: the score of a key after
///            the query would be raised.
/// Positions  select the rows of F: first_position to first_position + num_tokens - 1.
/// Storage    a view [num_heads, num_tokens] of F in any real type; the memory must outlive it.
/// Errors     sizes below 1 throw invalid_argument; check_scores reports heads and positions without a sum.
/// Accuracy   one rounding of the difference. F grows with the sequence: keep it in double if 1e-7 of its size is too
///            coarse.
/// Gradient   of F, dense [num_heads, num_tokens]; sum_log_gates_backward propagates it to the gates.
/// Source     Lin et al. 2025, arXiv:2503.02130; fla's forgetting_attn, data-dependent ALiBi of x-transformers.
template <real T>
class forgetting {
 public:
  using scalar_type = T;

  forgetting(const T* sums, const forgetting_params& params)  // [num_heads, num_tokens]
      : sums_(sums), params_(params), head_stride_(params.head_stride.value_or(params.num_tokens)) {
    require(params.num_heads >= 1, "forgetting", "num_heads", params.num_heads, "at least 1");
    require(params.num_tokens >= 1, "forgetting", "num_tokens", params.num_tokens, "at least 1");
  }

  const forgetting_params& params() const noexcept { return params_; }

  /// What a key's score loses on its way to a query.
  T between(index_t head, position_t query, position_t key) const noexcept { return *at(head, query) - *at(head, key); }

  template <real U>
  void add_to_scores(const score_tile<U>& tile) const noexcept {
    if (!tile.consecutive || tile.query_stride != 1) {
      for (index_t q = 0; q < tile.num_queries; ++q) {
        const T of_query = *at(tile.head, tile.query_positions[q]);
        for (index_t k = 0; k < tile.num_keys; ++k)
          tile.score(q, k) += static_cast<U>(of_query - *at(tile.head, tile.key_positions[k]));
      }
      return;
    }
    const T* __restrict of_queries = at(tile.head, tile.query_positions[0]);
    for (index_t k = 0; k < tile.num_keys; ++k) {
      const T of_key = *at(tile.head, tile.key_positions[k]);
      U* __restrict scores = tile.scores + k * tile.key_stride;
      for (index_t q = 0; q < tile.num_queries; ++q) scores[q] += static_cast<U>(of_queries[q] - of_key);
    }
  }

  problem check_scores(const score_shape& shape, const positions& queries, const positions& keys) const noexcept {
    if (const problem wrong = check_heads(shape, params_.num_heads)) return wrong;
    if (const problem wrong = check_rows(queries)) return wrong.of("queries");
    return check_rows(keys).of("keys");
  }

  index_t num_parameters() const noexcept { return params_.num_heads * params_.num_tokens; }

  template <real U>
  void add_to_scores_backward(const score_tile<U>& before, const score_gradients<U>& gradients) const noexcept {
    U* of_head = gradients.parameters.data() + before.head * params_.num_tokens;
    for (index_t q = 0; q < before.num_queries; ++q) {
      for (index_t k = 0; k < before.num_keys; ++k) {
        const U gradient = gradients.scores[q * before.query_stride + k * before.key_stride];
        of_head[row(before.query_positions[q])] += gradient;
        of_head[row(before.key_positions[k])] -= gradient;
      }
    }
  }

 private:
  const T* at(index_t head, position_t position) const noexcept { return sums_ + head * head_stride_ + row(position); }
  index_t row(position_t position) const noexcept { return index_t{position} - params_.first_position; }

  problem check_rows(const positions& p) const noexcept {
    for (index_t t = 0; t < p.size(); ++t) {
      if (row(p[t]) < 0)
        return problem::out_of_range("attend", "positions", p[t], "at least #", params_.first_position).at(t);
      if (row(p[t]) >= params_.num_tokens)
        return problem::out_of_range("attend", "positions", p[t], "at most #, the last with a sum",
                                     params_.first_position + params_.num_tokens - 1)
            .at(t);
    }
    return {};
  }

  const T* sums_;
  forgetting_params params_;
  index_t head_stride_;
};

static_assert(tile_bias<forgetting<float>, float> && tile_bias<forgetting<double>, float>);

}  // namespace posenc::inline POSENC_ISA
