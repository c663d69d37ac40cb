// ALiBi for encoders: separate slopes for keys before and after a query.
#pragma once

#include <posenc/concepts.hpp>  // relative_bias, real, index_t, position_t
#include <posenc/error.hpp>     // require

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// Lowers a score in proportion to distance, by one slope per head for keys before the query and one for keys after it,
/// so that the two sides can be told apart.
///
///     score[h, i, j] -= left_slopes[h] * (i - j)      j <= i
///     score[h, i, j] -= right_slopes[h] * (j - i)     j > i
///
/// Acts on    scores before the softmax; queries and keys are unchanged.
/// Positions  any 32-bit; only differences count, which must fit 32 bits too.
/// Storage    2 * num_heads scalars.
/// Errors     no heads, lists of different lengths or a slope that is not finite throw invalid_argument; check_scores
///            reports heads without slopes.
/// Accuracy   the exact distance times the slope: 1/2 ulp up to distance 2^24 in float, 3/2 ulp beyond.
/// Gradient   of the left slopes, then of the right ones.
/// Source     the encoder's variant in the authors' repository (attention_with_linear_biases, issue 5).
template <real T>
class two_sided_alibi {
 public:
  using scalar_type = T;

  two_sided_alibi(std::span<const T> left_slopes, std::span<const T> right_slopes) {  // [num_heads] each
    require(!left_slopes.empty(), "two_sided_alibi", "number of left_slopes", std::ssize(left_slopes), "at least 1");
    require(left_slopes.size() == right_slopes.size(), "two_sided_alibi", "number of right_slopes",
            std::ssize(right_slopes), "#, that of left_slopes", std::ssize(left_slopes));
    append("left_slopes", left_slopes);
    append("right_slopes", right_slopes);
  }

  index_t num_heads() const noexcept { return std::ssize(slopes_) / 2; }

  /// The bias of `head` for a query `distance` after a key; zero for distance zero.
  T bias(index_t head, position_t distance) const noexcept {
    return -slopes_[at(head, distance)] * std::abs(static_cast<T>(distance));
  }

  problem check_scores(const score_shape& shape, const positions&, const positions&) const noexcept {
    return check_heads(shape, num_heads());
  }

  std::span<T> parameters() noexcept { return slopes_; }  // [left | right]
  std::span<const T> parameters() const noexcept { return slopes_; }

  template <real U>
  void bias_backward(index_t head, position_t first_distance, std::span<const U> sums,
                     std::span<U> parameter_gradients) const noexcept {
    double left = 0, right = 0, distance = first_distance;
    for (const U sum : sums) {
      (distance < 0 ? right : left) += static_cast<double>(sum) * std::abs(distance);
      ++distance;
    }
    parameter_gradients[at(head, 1)] -= static_cast<U>(left);
    parameter_gradients[at(head, -1)] -= static_cast<U>(right);
  }

 private:
  std::size_t at(index_t head, position_t distance) const noexcept {
    return static_cast<std::size_t>(distance < 0 ? num_heads() + head : head);
  }

  void append(const char* name, std::span<const T> slopes) {
    for (index_t h = 0; h < std::ssize(slopes); ++h) {
      const T slope = slopes[static_cast<std::size_t>(h)];
      if (!std::isfinite(slope)) raise(problem::invalid("two_sided_alibi", name, slope, "a finite number").at(h));
      slopes_.push_back(slope);
    }
  }

  std::vector<T> slopes_;  // [2, num_heads]
};

static_assert(relative_bias<two_sided_alibi<float>, float>);

}  // namespace posenc::inline POSENC_ISA
