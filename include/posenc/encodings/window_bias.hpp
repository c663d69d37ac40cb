// The relative position tables of Swin and BEiT: one learned number per head and offset within a window of patches.
#pragma once

#include <posenc/concepts.hpp>  // pairwise_bias, real, index_t, position_t
#include <posenc/error.hpp>     // require
#include <posenc/window.hpp>

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// Adds a learned number that depends on the head and on the rows and columns between two patches of a window.
///
///     score[h, i, j] += table[offset(i, j), h]
///
///     offset(i, j) = (dy + height - 1)(2 width - 1) + dx + width - 1,   (dy, dx) = rows and columns from key to query
///
/// The last three rows are for a class token: as query of a patch, as key of a patch, and as both.
///
/// Acts on    scores before the softmax; queries and keys are unchanged.
/// Positions  one axis, the token's number in its window: row * width + column, plus one after a class token. A call
///            attends within one window.
/// Storage    the table, and 4 bytes per token.
/// Errors     a window without patches or a table whose size is not a multiple of num_offsets throws invalid_argument;
///            check_scores reports heads without a column and positions outside the window.
/// Accuracy   a copy.
/// Gradient   of the table.
/// Source     Liu et al. 2021, arXiv:2103.14030; with a class token Bao et al. 2021, arXiv:2106.08254; rows ordered
///            as in transformers' swin and beit.
template <real T>
class window_bias {
 public:
  using scalar_type = T;

  window_bias(std::vector<T> table, const patch_window& window)  // [num_offsets, num_heads]
      : offsets_(window), table_(std::move(table)), num_heads_(std::ssize(table_) / window.num_offsets()) {
    require(num_heads_ >= 1 && std::ssize(table_) % window.num_offsets() == 0, "window_bias", "size of the table",
            std::ssize(table_), "a multiple of num_offsets, #", window.num_offsets());
  }

  const patch_window& window() const noexcept { return offsets_.window(); }
  index_t num_heads() const noexcept { return num_heads_; }
  /// The row of the table for two positions.
  index_t offset(position_t query, position_t key) const noexcept { return offsets_(query, key); }

  T bias(index_t head, position_t query, position_t key) const noexcept { return table_[at(head, query, key)]; }

  problem check_scores(const score_shape& shape, const positions& queries, const positions& keys) const noexcept {
    if (const problem wrong = check_heads(shape, num_heads_)) return wrong;
    return offsets_.check(queries, keys);
  }

  std::span<T> parameters() noexcept { return table_; }  // [num_offsets, num_heads]
  std::span<const T> parameters() const noexcept { return table_; }

  /// parameter_gradients[offset(query, key), head] += gradient
  template <real U>
  void bias_backward(index_t head, position_t query, position_t key, U gradient,
                     std::span<U> parameter_gradients) const noexcept {
    parameter_gradients[at(head, query, key)] += gradient;
  }

 private:
  std::size_t at(index_t head, position_t query, position_t key) const noexcept {
    return static_cast<std::size_t>(offset(query, key) * num_heads_ + head);
  }

  window_offsets offsets_;
  std::vector<T> table_;  // [num_offsets, num_heads]
  index_t num_heads_;
};

static_assert(pairwise_bias<window_bias<float>, float>);

}  // namespace posenc::inline POSENC_ISA
