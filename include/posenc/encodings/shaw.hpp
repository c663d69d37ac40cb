// Shaw's relative keys: a learned vector for each distance, added to the keys as a query sees them.
#pragma once

#include <posenc/concepts.hpp>  // tile_bias, real, index_t, position_t
#include <posenc/error.hpp>     // require
#include <posenc/relative_rows.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

struct shaw_params {
  index_t left_max = 0;   // keys farther before the query count as this far
  index_t right_max = 0;  // the same for keys after it
  index_t head_dim = 0;
  index_t num_tables = 1;  // 1: one for all heads; otherwise one per head
};

/// Adds to a score the product of the query with a learned vector for the distance, as if the vector were added to the
/// key.
///
///     score[h, i, j] += scale * <q[i], table[clip(j - i, -left_max, right_max) + left_max]>
///
/// Acts on    scores before the softmax; reads queries. The second table of the paper, which is added to values, is not
///            a bias and not supported.
/// Positions  any 32-bit; only differences count, which must fit 32 bits too.
/// Storage    num_tables tables of (left_max + right_max + 1) * head_dim scalars.
/// Errors     a bound that is negative or 2^31 or more, head_dim < 1, num_tables < 1 or a table of another size throws
///            invalid_argument; check_scores reports a different head_dim and heads without a table.
/// Accuracy   that of a product of head_dim numbers in the type of the scores.
/// Gradient   of the table and the queries.
/// Source     Shaw et al. 2018, arXiv:1803.02155; transformers' wav2vec2_bert (relative_key). With right_max 0 and one
///            table per head, the relative attention of Music Transformer, arXiv:1809.04281.
template <real T>
class shaw {
 public:
  using scalar_type = T;

  shaw(std::vector<T> table, const shaw_params& params)  // [num_tables, left_max + right_max + 1, head_dim]
      : params_(checked(params)), table_(std::move(table)) {
    const index_t size = params.num_tables * num_rows() * params.head_dim;
    require(std::ssize(table_) == size, "shaw", "size of the table", std::ssize(table_), "#", size);
  }

  const shaw_params& params() const noexcept { return params_; }

  /// The row of the table for a query `distance` after a key.
  index_t row(position_t distance) const noexcept {
    return std::clamp(-index_t{distance}, -params_.left_max, params_.right_max) + params_.left_max;
  }

  bool reads_content() const noexcept { return true; }

  template <real U>
  void add_to_scores(const score_tile<U>& tile) const noexcept {
    const auto queries = detail::vectors_of<detail::tile_side::queries>(tile);
    detail::add_relative_products<detail::tile_side::queries>(
        tile, [this](position_t distance) { return row(distance); },
        [&](const index_t* rows, index_t num_rows, index_t first, index_t count, U* out, index_t out_stride) {
          const T* of_rows[kernels::max_rows];
          for (index_t r = 0; r < num_rows; ++r) of_rows[r] = table_.data() + begin_of(tile.head, rows[r]);
          kernels::multiply_by_rows(queries, first, count, of_rows, num_rows, out, out_stride);
        });
  }

  problem check_scores(const score_shape& shape, const positions&, const positions&) const noexcept {
    if (shape.head_dim != params_.head_dim)
      return problem::invalid("attend", "head_dim", shape.head_dim, "#, the width of the table", params_.head_dim);
    return params_.num_tables > 1 ? check_heads(shape, params_.num_tables) : problem{};
  }

  std::span<T> parameters() noexcept { return table_; }  // [num_tables, left_max + right_max + 1, head_dim]
  std::span<const T> parameters() const noexcept { return table_; }

  template <real U>
  void add_to_scores_backward(const score_tile<U>& before, const score_gradients<U>& gradients) const noexcept {
    detail::for_each_gradient(before, gradients, [&](index_t q, index_t k, U gradient) {
      const index_t begin = begin_of(before.head, row(before.distance(q, k)));
      for (index_t d = 0; d < params_.head_dim; ++d) {
        gradients.parameters[static_cast<std::size_t>(begin + d)] += gradient * before.query(q, d);
        gradients.queries[q * before.query_token_stride + d * before.query_dim_stride] +=
            gradient * static_cast<U>(table_[static_cast<std::size_t>(begin + d)]);
      }
    });
  }

 private:
  static const shaw_params& checked(const shaw_params& params) {
    constexpr index_t limit = std::numeric_limits<position_t>::max();
    require(params.left_max >= 0 && params.left_max <= limit, "shaw", "left_max", params.left_max,
            "at least 0 and below 2^31");
    require(params.right_max >= 0 && params.right_max <= limit, "shaw", "right_max", params.right_max,
            "at least 0 and below 2^31");
    require(params.head_dim >= 1, "shaw", "head_dim", params.head_dim, "at least 1");
    require(params.num_tables >= 1, "shaw", "num_tables", params.num_tables, "at least 1");
    return params;
  }

  index_t num_rows() const noexcept { return params_.left_max + params_.right_max + 1; }
  index_t begin_of(index_t head, index_t r) const noexcept {
    return ((params_.num_tables > 1 ? head : 0) * num_rows() + r) * params_.head_dim;
  }

  shaw_params params_;
  std::vector<T> table_;
};

static_assert(tile_bias<shaw<float>, float> && tile_bias<shaw<float>, double>);

}  // namespace posenc::inline POSENC_ISA
