// Falcon's ALiBi: bfloat16 slopes, and a bias that is scaled with the scores.
#pragma once

#include <posenc/concepts.hpp>  // relative_bias, real, index_t, position_t
#include <posenc/error.hpp>     // require
#include <posenc/scalar.hpp>    // bf16

#include <bit>  // bit_floor
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace posenc::inline POSENC_ISA {

struct falcon_alibi_params {
  index_t num_heads = 0;
  double scale = 0;  // that of the scores: 1 / sqrt(head_dim) in the model
};

/// Lowers the product of query and key in proportion to distance before scaling, so that the effective slope is
/// `alibi`'s times the scale.
///
///     score[h, i, j] = scale * (<q[i], k[j]> - slopes[h] * |i - j|)
///
/// The slopes are ALiBi's, rounded to bfloat16.
///
/// Acts on    scores before the softmax; queries and keys are unchanged.
/// Positions  any 32-bit; only differences count, which must fit 32 bits too.
/// Storage    num_heads scalars, computed once, in double.
/// Errors     num_heads < 1 or a scale that is not finite and above 0 throws invalid_argument; check_scores reports
///            heads without a slope.
/// Accuracy   2 ulp. The model also rounds slope * key position to bfloat16, which at position 2047 is off by up to 4
///            slopes; that rounding is left out.
/// Gradient   of the slopes.
/// Source     transformers' falcon; ALIBI_WITH_SCALE of TensorRT-LLM, scale_alibi of CTranslate2.
template <real T>
class falcon_alibi {
 public:
  using scalar_type = T;

  explicit falcon_alibi(const falcon_alibi_params& params) : slopes_(make_slopes(params)), scale_(params.scale) {}

  index_t num_heads() const noexcept { return std::ssize(slopes_); }
  std::span<const T> slopes() const noexcept { return slopes_; }  // [num_heads], before the scale
  double scale() const noexcept { return scale_; }

  /// The bias of `head` for a query `distance` after a key; zero for distance zero.
  T bias(index_t head, position_t distance) const noexcept {
    const T slope = static_cast<T>(scale_) * slopes_[static_cast<std::size_t>(head)];
    return -slope * std::abs(static_cast<T>(distance));
  }

  problem check_scores(const score_shape& shape, const positions&, const positions&) const noexcept {
    return check_heads(shape, num_heads());
  }

  std::span<T> parameters() noexcept { return slopes_; }
  std::span<const T> parameters() const noexcept { return slopes_; }

  /// parameter_gradients[head] -= scale * sum of sums[i] * |first_distance + i|
  template <real U>
  void bias_backward(index_t head, position_t first_distance, std::span<const U> sums,
                     std::span<U> parameter_gradients) const noexcept {
    double total = 0;
    double distance = first_distance;
    for (const U sum : sums) total += static_cast<double>(sum) * std::abs(distance++);
    parameter_gradients[static_cast<std::size_t>(head)] -= static_cast<U>(scale_ * total);
  }

 private:
  static std::vector<T> make_slopes(const falcon_alibi_params& params) {
    require(params.num_heads >= 1, "falcon_alibi", "num_heads", params.num_heads, "at least 1");
    require(params.scale > 0 && std::isfinite(params.scale), "falcon_alibi", "scale", params.scale,
            "above 0 and finite");
    const auto count = static_cast<std::size_t>(params.num_heads);
    const auto rung = std::bit_floor(count);
    std::vector<T> slopes;
    for (std::size_t h = 0; h < count; ++h) {
      // Heads past the largest power of two fall halfway between the first ones.
      const double step = h < rung ? static_cast<double>(h) + 1.0 : static_cast<double>(h - rung) + 0.5;
      slopes.push_back(widen<T>(narrow<bf16>(std::exp2(-8 * step / static_cast<double>(rung)))));
    }
    return slopes;
  }

  std::vector<T> slopes_;  // [num_heads]
  double scale_;
};

static_assert(relative_bias<falcon_alibi<float>, float>);

}  // namespace posenc::inline POSENC_ISA
