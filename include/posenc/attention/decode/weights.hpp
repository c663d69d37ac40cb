// Online softmax of a few query rows that share their keys.
#pragma once

#include <posenc/attention/decode/sums.hpp>
#include <posenc/attention/tile/exponential.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace posenc::inline POSENC_ISA::detail {

/// The state of one query row over some keys: the largest score, the sum of exp(score - largest), and the values
/// weighted likewise. The maximum starts at the lowest number rather than minus infinity: in a row of only minus
/// infinities, differences are then minus infinity instead of NaN, and the sum stays zero without a test.
template <real T>
struct partial_row {
  T* largest;
  T* sum;
  T* output;  // [value_dim]
  index_t value_dim;

  void assign(const partial_row& other) const noexcept {
    *largest = *other.largest;
    *sum = *other.sum;
    std::copy_n(other.output, value_dim, output);
  }
  /// Merges the state of other keys.
  void add(const partial_row& other) const noexcept {
    rescale(std::max(*largest, *other.largest));
    const T other_factor = std::exp(*other.largest - *largest);
    *sum += other_factor * *other.sum;
    if (other_factor == T(0)) return;
    for (index_t d = 0; d < value_dim; ++d) output[d] += other_factor * other.output[d];
  }

  /// Adds a score without a value to the softmax.
  void add_sink(T sink) const noexcept {
    rescale(std::max(*largest, sink));
    *sum += std::exp(sink - *largest);
  }

  /// log(sum of exp(score)); minus infinity without scores.
  T log_sum_exp() const noexcept {
    return *sum == T(0) ? -std::numeric_limits<T>::infinity() : *largest + std::log(*sum);
  }

 private:
  void rescale(T new_largest) const noexcept {
    if (new_largest == *largest) return;
    const T factor = std::exp(*largest - new_largest);
    *largest = new_largest;
    *sum *= factor;
    for (index_t d = 0; d < value_dim; ++d) output[d] *= factor;
  }
};

/// Whether all values are finite, tested by exponent, because fast math may assume that they are.
template <real T>
bool all_finite(const T* values, index_t count) noexcept {
  using bits_t = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr bits_t exponent = sizeof(T) == 4 ? bits_t{0x7f80'0000U} : static_cast<bits_t>(0x7ff0'0000'0000'0000U);
  bool finite = true;
  for (index_t i = 0; i < count; ++i) {
    bits_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    finite &= (bits & exponent) != exponent;
  }
  return finite;
}

/// Replaces scores [Rows, count], `stride` apart, by weights relative to the largest score so far, and rescales earlier
/// sums. Pads columns to a whole vector with zeros. Returns whether any weight is not zero.
template <int Rows, real T>
[[gnu::noinline]] bool weigh(T* __restrict scores, index_t stride, index_t count, T* __restrict largest,
                             T* __restrict sum, T* __restrict output, index_t output_size) noexcept {
  using vector = kernels::vector<T>;
  constexpr index_t lanes = kernels::lanes<T>;
  vector top[Rows];
#pragma GCC unroll 4
  for (int g = 0; g < Rows; ++g) {
    top[g] = largest[g] - vector{};
    for (index_t j = count; j % lanes != 0; ++j) scores[g * stride + j] = -std::numeric_limits<T>::infinity();
  }
  for (index_t j = 0; j < count; j += lanes) {
#pragma GCC unroll 4
    for (int g = 0; g < Rows; ++g) {
      const vector score = kernels::load<vector>(scores + g * stride + j);
      top[g] = score > top[g] ? score : top[g];  // NaN is skipped here and reaches the sum, and so its row, as exp(NaN)
    }
  }
  vector sums[4] = {};
#pragma GCC unroll 4
  for (int g = 0; g < Rows; ++g) {
    const T new_largest = largest_lane(top[g]);
    top[g] = new_largest - vector{};
    if (new_largest == largest[g]) continue;
    const T factor = std::exp(largest[g] - new_largest);
    largest[g] = new_largest;
    sum[g] *= factor;
    // Vectors of the rows alternate in the output.
    for (index_t i = g * lanes; i < output_size; i += Rows * lanes) {
      kernels::store(output + i, kernels::load<vector>(output + i) * factor);
    }
  }
  for (index_t j = 0; j < count; j += lanes) {
#pragma GCC unroll 4
    for (int g = 0; g < Rows; ++g) {
      T* at = scores + g * stride + j;
      const vector weight = exponential(kernels::load<vector>(at) - top[g]);
      sums[g] += weight;
      kernels::store(at, weight);
    }
  }
  T total[4];
  sum_lanes(sums, total);
  bool any = false;
  for (int g = 0; g < Rows; ++g) {
    sum[g] += total[g];
    any |= total[g] != T(0);
  }
  return any;
}

}  // namespace posenc::inline POSENC_ISA::detail
