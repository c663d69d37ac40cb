// Kernelized relative positions (KERPLE): biases that fall with the logarithm or a power of distance.
#pragma once

#include <posenc/concepts.hpp>  // relative_bias, real, index_t, position_t
#include <posenc/error.hpp>     // require

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// How the bias falls with distance.
enum class kerple_kernel { log, power };

/// Lowers a score by a learned function of distance, with two numbers per head.
///
///     log      score[h, i, j] -= r1[h] * ln(1 + r2[h] * |i - j|)
///     power    score[h, i, j] -= r1[h] * |i - j|^r2[h]
///
/// Acts on    scores before the softmax; queries and keys are unchanged.
/// Positions  any 32-bit; only differences count, which must fit 32 bits too.
/// Storage    2 * num_heads scalars.
/// Errors     no heads, lists of different lengths, a number not above 0, a power above 2 throw invalid_argument;
///            check_scores reports heads without numbers.
/// Accuracy   that of log1p and pow in the type of the parameters, and one rounding of the product.
/// Gradient   of r1, then of r2.
/// Source     Chi et al. 2022, arXiv:2205.09921; the authors' code keeps both numbers at 0.01 or more.
template <real T>
class kerple {
 public:
  using scalar_type = T;

  kerple(kerple_kernel kernel, std::span<const T> r1, std::span<const T> r2) : kernel_(kernel) {  // [num_heads] each
    require(!r1.empty(), "kerple", "number of r1", std::ssize(r1), "at least 1");
    require(r1.size() == r2.size(), "kerple", "number of r2", std::ssize(r2), "#, that of r1", std::ssize(r1));
    for (const T value : r1) require(value > 0 && std::isfinite(value), "kerple", "r1", value, "above 0 and finite");
    for (const T value : r2) require(value > 0 && std::isfinite(value), "kerple", "r2", value, "above 0 and finite");
    if (kernel == kerple_kernel::power) {
      for (const T value : r2) require(value <= 2, "kerple", "r2", value, "at most 2 for a power");
    }
    parameters_.assign(r1.begin(), r1.end());
    parameters_.insert(parameters_.end(), r2.begin(), r2.end());
  }

  index_t num_heads() const noexcept { return std::ssize(parameters_) / 2; }
  kerple_kernel kernel() const noexcept { return kernel_; }

  /// The bias of `head` for a query `distance` after a key.
  T bias(index_t head, position_t distance) const noexcept {
    const T size = std::abs(static_cast<T>(distance));
    return -r1(head) * (kernel_ == kerple_kernel::log ? std::log1p(r2(head) * size) : std::pow(size, r2(head)));
  }

  problem check_scores(const score_shape& shape, const positions&, const positions&) const noexcept {
    return check_heads(shape, num_heads());
  }

  std::span<T> parameters() noexcept { return parameters_; }  // [r1 | r2]
  std::span<const T> parameters() const noexcept { return parameters_; }

  template <real U>
  void bias_backward(index_t head, position_t first_distance, std::span<const U> sums,
                     std::span<U> parameter_gradients) const noexcept {
    const double a = r1(head), b = r2(head);
    double of_r1 = 0, of_r2 = 0, distance = first_distance;
    for (const U sum : sums) {
      const double gradient = sum, size = std::abs(distance++);
      if (kernel_ == kerple_kernel::log) {
        of_r1 -= gradient * std::log1p(b * size);
        of_r2 -= gradient * a * size / (1 + b * size);
      } else if (size > 0) {  // 0^b is 0 for every b
        of_r1 -= gradient * std::pow(size, b);
        of_r2 -= gradient * a * std::pow(size, b) * std::log(size);
      }
    }
    parameter_gradients[static_cast<std::size_t>(head)] += static_cast<U>(of_r1);
    parameter_gradients[static_cast<std::size_t>(num_heads() + head)] += static_cast<U>(of_r2);
  }

 private:
  T r1(index_t head) const noexcept { return parameters_[static_cast<std::size_t>(head)]; }
  T r2(index_t head) const noexcept { return parameters_[static_cast<std::size_t>(num_heads() + head)]; }

  std::vector<T> parameters_;  // [2, num_heads]
  kerple_kernel kernel_;
};

static_assert(relative_bias<kerple<float>, float>);

}  // namespace posenc::inline POSENC_ISA
