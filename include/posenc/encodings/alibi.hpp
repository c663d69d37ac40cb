// Attention with linear biases (ALiBi).
#pragma once

#include <posenc/concepts.hpp>  // relative_bias, real, index_t, position_t
#include <posenc/error.hpp>     // require

#include <bit>  // bit_floor
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace posenc::inline POSENC_ISA {

struct alibi_params {
  index_t num_heads = 0;
  double max_bias = 8;  // alibi_bias_max of MPT, max_bias of ggml
};

/// Lowers a score in proportion to distance, by one fixed slope per head.
///
///     score[h, i, j] -= slopes[h] * |i - j|
///     slopes[h] = 2^(-max_bias * (h + 1) / c)            h < c, the largest power of two up to num_heads
///     slopes[h] = 2^(-max_bias * (h - c + 1/2) / c)      the other heads
///
/// Acts on    scores before the softmax; queries and keys are unchanged. The bias is the same with or without a causal
///            mask.
/// Positions  any 32-bit; only differences count, which must fit 32 bits too.
/// Storage    num_heads scalars, computed once, in double.
/// Errors     num_heads < 1, or a slope that is not finite, throws invalid_argument; check_scores reports heads without
///            a slope; bias() cannot fail.
/// Accuracy   slopes within 1 ulp of T; exact for 1, 2, 4 and 8 heads. A bias is the exact distance times the slope:
///            1/2 ulp up to distance 2^24 in float, 3/2 ulp beyond.
/// Gradient   of the slopes.
/// Source     Press et al. 2022, arXiv:2108.12409; other head counts as in the authors' code, max_bias as in MPT.
template <real T>
class alibi {
 public:
  using scalar_type = T;

  explicit alibi(const alibi_params& params) : slopes_(checked(make_slopes(params))) {}
  explicit alibi(index_t num_heads) : alibi(alibi_params{.num_heads = num_heads}) {}
  /// Slopes as given; a head with slope 0 has no bias.
  explicit alibi(std::span<const T> slopes) : slopes_(checked(std::vector<T>(slopes.begin(), slopes.end()))) {}

  index_t num_heads() const noexcept { return std::ssize(slopes_); }
  std::span<const T> slopes() const noexcept { return slopes_; }  // [num_heads]

  /// The bias of `head` for a query `distance` after a key; zero for distance zero.
  T bias(index_t head, position_t distance) const noexcept {
    // Converted before the sign is dropped: -distance could overflow.
    return -slopes_[static_cast<std::size_t>(head)] * std::abs(static_cast<T>(distance));
  }

  problem check_scores(const score_shape& shape, const positions&, const positions&) const noexcept {
    return check_heads(shape, num_heads());
  }

  std::span<T> parameters() noexcept { return slopes_; }
  std::span<const T> parameters() const noexcept { return slopes_; }

  /// parameter_gradients[head] -= sum of sums[i] * |first_distance + i|
  template <real U>
  void bias_backward(index_t head, position_t first_distance, std::span<const U> sums,
                     std::span<U> parameter_gradients) const noexcept {
    double total = 0;
    double distance = first_distance;
    for (const U sum : sums) total += static_cast<double>(sum) * std::abs(distance++);
    parameter_gradients[static_cast<std::size_t>(head)] -= static_cast<U>(total);
  }

 private:
  static std::vector<T> make_slopes(const alibi_params& params) {
    require(params.num_heads >= 1, "alibi", "num_heads", params.num_heads, "at least 1");
    require(std::isfinite(params.max_bias), "alibi", "max_bias", params.max_bias, "a finite number");
    const auto count = static_cast<std::size_t>(params.num_heads);
    const auto rung = std::bit_floor(count);
    std::vector<T> slopes(count);
    for (std::size_t h = 0; h < count; ++h) {
      // Heads past the largest power of two fall halfway between the first ones.
      const double step = h < rung ? static_cast<double>(h) + 1.0 : static_cast<double>(h - rung) + 0.5;
      slopes[h] = static_cast<T>(std::exp2(-params.max_bias * step / static_cast<double>(rung)));
    }
    return slopes;
  }

  static std::vector<T> checked(std::vector<T> slopes) {
    require(!slopes.empty(), "alibi", "number of slopes", std::ssize(slopes), "at least 1");
    for (std::size_t h = 0; h < slopes.size(); ++h) {
      if (std::isfinite(slopes[h])) continue;
      raise(problem::invalid("alibi", "slopes", slopes[h], "a finite number").at(static_cast<index_t>(h)));
    }
    return slopes;
  }

  std::vector<T> slopes_;
};

static_assert(relative_bias<alibi<float>, float>);

}  // namespace posenc::inline POSENC_ISA
