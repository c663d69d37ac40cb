// A matrix of biases from the caller: an additive mask, another library's bias.
#pragma once

#include <posenc/concepts.hpp>  // tile_bias, scalar, index_t
#include <posenc/error.hpp>     // require
#include <posenc/kernels/add.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>

namespace posenc::inline POSENC_ISA {

/// What happens to keys beyond the last column of a matrix: an error, or they are masked (ONNX).
enum class beyond_last_key { refuse, mask };

struct dense_bias_params {
  index_t num_heads = 1;    // 1: the same for all heads
  index_t num_queries = 1;  // 1: the same for all queries
  index_t num_keys = 0;
  std::optional<index_t> head_stride = {};   // in elements; default: [num_heads, num_queries, num_keys] is dense
  std::optional<index_t> query_stride = {};  // in elements
  index_t key_stride = 1;                    // in elements
  index_t first_query = 0;                   // row of the call's first query, if a call is a chunk
  beyond_last_key beyond = beyond_last_key::refuse;
  bool trainable = false;  // the matrix is a parameter: `add_to_scores_backward` sums its gradient
};

/// Adds a matrix in the caller's memory, by index: positions play no part.
///
///     score[h, i, j] += matrix[h, first_query + i, j]
///
/// Acts on    scores before the softmax. Minus infinity masks a pair; boolean masks are an option of `attend`.
/// Positions  none; i is the row in the call's queries, j the key's index in the sequence, h the head in the model.
/// Storage    a pointer and strides, for any element type; the memory must outlive it.
/// Errors     a size below 1 (num_keys: 0), or a negative first_query, throws invalid_argument; check_scores reports
///            heads, queries and keys outside the matrix.
/// Accuracy   one rounding of each sum; a matrix wider than the scores is rounded to their type first.
/// Gradient   of the matrix if it is `trainable`, dense [num_heads, num_queries, num_keys]; heads or queries that share
///            a row add up.
/// Source     the additive masks of ONNX Attention and of torch's scaled_dot_product_attention.
template <scalar S>
class dense_bias {
 public:
  dense_bias(const S* matrix, const dense_bias_params& params) : matrix_(matrix), params_(params) {
    require(params.num_heads >= 1, "dense_bias", "num_heads", params.num_heads, "at least 1");
    require(params.num_queries >= 1, "dense_bias", "num_queries", params.num_queries, "at least 1");
    require(params.num_keys >= 0, "dense_bias", "num_keys", params.num_keys, "at least 0");
    require(params.first_query >= 0, "dense_bias", "first_query", params.first_query, "at least 0");
    const index_t query_stride = params.query_stride.value_or(params.num_keys);
    if (params.num_queries > 1) query_stride_ = query_stride;
    if (params.num_heads > 1) head_stride_ = params.head_stride.value_or(params.num_queries * query_stride);
  }

  const dense_bias_params& params() const noexcept { return params_; }

  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    const index_t num_keys = keys_in(tile);
    if (num_keys > 0) {
      const S* matrix = matrix_ + row(tile.head, tile.first_query) + tile.first_key * params_.key_stride;
      if (tile.key_stride == 1)
        add_by_query(tile, matrix, num_keys);
      else
        add_by_key(tile, matrix, num_keys);
    }
    for (index_t k = num_keys; k < tile.num_keys; ++k) {
      for (index_t q = 0; q < tile.num_queries; ++q) tile.score(q, k) = -std::numeric_limits<T>::infinity();
    }
  }

  problem check_scores(const score_shape& shape, const positions&, const positions&) const noexcept {
    if (params_.num_heads > 1) {
      if (const problem wrong = check_heads(shape, params_.num_heads)) return wrong;
    }
    const index_t last_row = params_.first_query + shape.num_queries;
    if (params_.num_queries > 1 && last_row > params_.num_queries)
      return problem::invalid("attend", params_.first_query > 0 ? "first_query + num_queries" : "num_queries", last_row,
                              "at most #, the rows of the dense bias", params_.num_queries);
    if (params_.beyond == beyond_last_key::refuse && shape.num_keys > params_.num_keys)
      return problem::invalid("attend", "num_keys", shape.num_keys, "at most #, the columns of the dense bias",
                              params_.num_keys);
    return {};
  }

  index_t num_parameters() const noexcept {
    return params_.trainable ? params_.num_heads * params_.num_queries * params_.num_keys : 0;
  }

  template <real T>
  void add_to_scores_backward(const score_tile<T>& before, const score_gradients<T>& gradients) const noexcept {
    if (!params_.trainable) return;
    const index_t head = params_.num_heads > 1 ? before.head : 0;
    for (index_t q = 0; q < before.num_queries; ++q) {
      const index_t query = params_.num_queries > 1 ? params_.first_query + before.first_query + q : 0;
      T* sums = gradients.parameters.data() + (head * params_.num_queries + query) * params_.num_keys;
      for (index_t k = 0; k < keys_in(before); ++k) {
        sums[before.first_key + k] += gradients.scores[q * before.query_stride + k * before.key_stride];
      }
    }
  }

 private:
  // Dimensions with one entry for all have stride zero.
  index_t row(index_t head, index_t query) const noexcept {
    return head * head_stride_ + (params_.first_query + query) * query_stride_;
  }

  template <real T>
  index_t keys_in(const score_tile<T>& tile) const noexcept {
    return std::clamp<index_t>(params_.num_keys - tile.first_key, 0, tile.num_keys);
  }

  /// For tiles in which the keys of a query are contiguous.
  template <real T>
  void add_by_query(const score_tile<T>& tile, const S* matrix, index_t num_keys) const noexcept {
    if (params_.key_stride == 1)
      kernels::add_rows(tile.scores, tile.query_stride, matrix, query_stride_, tile.num_queries, num_keys);
    else
      add_by_pair(tile, matrix, num_keys);
  }

  /// For tiles in which the queries of a key are contiguous.
  template <real T>
  void add_by_key(const score_tile<T>& tile, const S* matrix, index_t num_keys) const noexcept {
    if (query_stride_ == 0)
      add_row_to_all(tile, matrix, num_keys);
    else if (params_.key_stride == 1) {
      fetch_tile_before(tile, matrix);
      kernels::add_transposed(tile.scores, tile.key_stride, matrix, query_stride_, tile.num_queries, num_keys);
    } else if (query_stride_ == 1)
      kernels::add_rows(tile.scores, tile.key_stride, matrix, params_.key_stride, num_keys, tile.num_queries);
    else
      add_by_pair(tile, matrix, num_keys);
  }

  /// Prefetches for the next tile: `attend` goes from the last keys to the first, and rows are too far apart for
  /// hardware prefetchers.
  template <real T>
  void fetch_tile_before(const score_tile<T>& tile, const S* matrix) const noexcept {
    const index_t count = std::min(tile.first_key, tile.num_keys);
    for (index_t q = 0; q < tile.num_queries; ++q)
      kernels::fetch_lines(matrix + q * query_stride_ - count, count * static_cast<index_t>(sizeof(S)));
  }

  template <real T>
  void add_row_to_all(const score_tile<T>& tile, const S* matrix, index_t num_keys) const noexcept {
    for (index_t k = 0; k < num_keys; ++k) {
      const T bias = widen<T>(matrix[k * params_.key_stride]);
      T* scores = tile.scores + k * tile.key_stride;
      for (index_t q = 0; q < tile.num_queries; ++q) scores[q] += bias;
    }
  }

  template <real T>
  void add_by_pair(const score_tile<T>& tile, const S* matrix, index_t num_keys) const noexcept {
    for (index_t q = 0; q < tile.num_queries; ++q) {
      for (index_t k = 0; k < num_keys; ++k) {
        tile.score(q, k) += widen<T>(matrix[q * query_stride_ + k * params_.key_stride]);
      }
    }
  }

  const S* matrix_;
  dense_bias_params params_;
  index_t head_stride_ = 0;
  index_t query_stride_ = 0;
};

static_assert(tile_bias<dense_bias<float>, double> && tile_bias<dense_bias<bf16>, float>);

}  // namespace posenc::inline POSENC_ISA
