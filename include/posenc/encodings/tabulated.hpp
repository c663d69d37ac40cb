// Any bias of distance, evaluated once for all distances that will be needed.
#pragma once

#include <posenc/hooks.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// Adds a number from a table by head and distance: learned, or the bias of another encoding that is slow to evaluate
/// and whose parameters are fixed.
///
///     score[h, i, j] += table[h, i - j + max_distance]
///
/// Acts on    scores before the softmax; queries and keys are unchanged.
/// Positions  any 32-bit that are at most max_distance apart.
/// Storage    num_heads * (2 max_distance + 1) scalars.
/// Errors     no heads, a negative max_distance or a table of another size throws invalid_argument; check_scores
///            reports heads without a row and distances beyond the table.
/// Accuracy   a copy.
/// Gradient   of the table.
template <real T>
class tabulated_bias {
 public:
  using scalar_type = T;

  tabulated_bias(std::vector<T> table, index_t num_heads, index_t max_distance)  // [num_heads, 2 max_distance + 1]
      : table_(std::move(table)), num_heads_(num_heads), max_distance_(max_distance) {
    check_sizes(num_heads, max_distance);
    const index_t size = num_heads * (2 * max_distance + 1);
    require(std::ssize(table_) == size, "tabulated_bias", "size of the table", std::ssize(table_), "#", size);
  }

  static void check_sizes(index_t num_heads, index_t max_distance) {
    require(num_heads >= 1, "tabulated_bias", "num_heads", num_heads, "at least 1");
    require(max_distance >= 0 && max_distance <= std::numeric_limits<position_t>::max(), "tabulated_bias",
            "max_distance", max_distance, "at least 0 and below 2^31");
  }

  index_t num_heads() const noexcept { return num_heads_; }
  index_t max_distance() const noexcept { return max_distance_; }

  T bias(index_t head, position_t distance) const noexcept { return *at(head, distance); }

  /// out[i] = bias(head, first_distance + i)
  template <real U>
  void fill_bias(index_t head, position_t first_distance, index_t count, U* out) const noexcept {
    const T* values = at(head, first_distance);
    for (index_t i = 0; i < count; ++i) out[i] = static_cast<U>(values[i]);
  }

  problem check_scores(const score_shape& shape, const positions& queries, const positions& keys) const noexcept {
    if (const problem wrong = check_heads(shape, num_heads_)) return wrong;
    if (queries.size() <= 0 || keys.size() <= 0) return {};
    const auto q = queries.bounds();
    const auto k = keys.bounds();
    for (const std::int64_t distance : {q.largest - k.least, q.least - k.largest}) {
      if (distance > max_distance_ || distance < -max_distance_)
        return problem::out_of_range("attend", "distance from query to key", distance,
                                     "at most # in size, the end of the table", max_distance_);
    }
    return {};
  }

  std::span<T> parameters() noexcept { return table_; }  // [num_heads, 2 max_distance + 1]
  std::span<const T> parameters() const noexcept { return table_; }

  /// parameter_gradients[head, first_distance + i + max_distance] += sums[i]; distances beyond the table are skipped.
  template <real U>
  void bias_backward(index_t head, position_t first_distance, std::span<const U> sums,
                     std::span<U> parameter_gradients) const noexcept {
    U* row = parameter_gradients.data() + head * (2 * max_distance_ + 1);
    for (index_t i = 0; i < std::ssize(sums); ++i) {
      const index_t column = first_distance + i + max_distance_;
      if (column >= 0 && column <= 2 * max_distance_) row[column] += sums[static_cast<std::size_t>(i)];
    }
  }

 private:
  const T* at(index_t head, position_t distance) const noexcept {
    return table_.data() + head * (2 * max_distance_ + 1) + distance + max_distance_;
  }

  std::vector<T> table_;
  index_t num_heads_;
  index_t max_distance_;
};

static_assert(relative_bias<tabulated_bias<float>, float>);

/// Tabulates a bias of distance, for the first `num_heads` heads and all distances up to `max_distance`.
///
///     const auto fast = tabulate<float>(mlp_bias<float>(weights, params), num_heads, max_positions - 1);
///
/// Errors: sizes below their bounds: invalid_argument.
template <real T, class E>
requires relative_bias<E, T> tabulated_bias<T> tabulate(const E& encoding, index_t num_heads, index_t max_distance) {
  tabulated_bias<T>::check_sizes(num_heads, max_distance);
  const index_t width = 2 * max_distance + 1;
  std::vector<T> table(static_cast<std::size_t>(num_heads * width));
  for (index_t h = 0; h < num_heads; ++h)
    hooks::fill_bias<T>(encoding, h, static_cast<position_t>(-max_distance), width, table.data() + h * width);
  return {std::move(table), num_heads, max_distance};
}

}  // namespace posenc::inline POSENC_ISA
