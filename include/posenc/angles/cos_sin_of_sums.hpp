// Cosine and sine of sums of products, for learned frequencies, which have no table.
#pragma once

#include <posenc/angles/cos_sin.hpp>
#include <posenc/angles/wide.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace posenc::inline POSENC_ISA {

namespace detail {

inline constexpr index_t max_summed_pairs = 128;
inline constexpr index_t max_summed_axes = 8;

/// Adds a phase to a sum of phases, modulo one turn.
inline void add_phase(std::array<std::uint64_t, 3>& sum, const phase& p) noexcept {
  const std::uint64_t flip = p.negative ? ~std::uint64_t{0} : 0;
  uint128_t carry = p.negative ? 1 : 0;
  for (std::size_t i = 3; i-- > 0;) {
    carry += uint128_t{sum[i]} + (p.fraction[i] ^ flip);
    sum[i] = static_cast<std::uint64_t>(carry);
    carry >>= 64;
  }
}

/// One coordinate per axis, and the frequencies of that axis: [num_axes, axis_stride], the first `count` of each.
template <real F>
struct summed_products {
  const double* coordinates = nullptr;  // [num_axes]
  const F* inv_freq = nullptr;
  index_t num_axes = 0;
  index_t axis_stride = 0;
  index_t count = 0;

  double frequency(index_t axis, index_t pair) const noexcept {
    return static_cast<double>(inv_freq[axis * axis_stride + pair]);
  }
};

/// In integers. A coordinate becomes turns per unit of frequency, to be multiplied by the frequency, a double.
template <real T, real F>
void cos_sin_of_exact_sums(const summed_products<F>& x, T* cos, T* sin) noexcept {
  wide::fixed_point turns[max_summed_axes];
  const wide turns_per_radian = 1 / (2 * wide::pi());
  for (index_t a = 0; a < x.num_axes; ++a) turns[a] = (x.coordinates[a] * turns_per_radian).to_fixed_point();
  for (index_t i = 0; i < x.count; ++i) {
    phase sum{{}, false};
    bool is_number = true;
    for (index_t a = 0; a < x.num_axes; ++a) {
      const double frequency = x.frequency(a, i);
      is_number = is_number && is_below_two_to(63, frequency);
      if (is_number) add_phase(sum.fraction, phase_at(frequency, turns[a]));
    }
    cos[i] = sin[i] = std::numeric_limits<T>::quiet_NaN();
    if (is_number) cos_sin_of(sum, cos[i], sin[i]);
  }
}

/// In vectors of double. Returns false if the products are so large that their rounding could show in a float.
template <real F>
bool cos_sin_of_short_sums(const frequencies& radians, const summed_products<F>& x, float* cos, float* sin) noexcept {
  constexpr index_t padded = max_summed_pairs + static_cast<index_t>(frequency_table::block);
  double angles[padded] = {};
  double sizes[padded] = {};
  for (index_t a = 0; a < x.num_axes; ++a) {
    for (index_t i = 0; i < x.count; ++i) {
      const double product = x.coordinates[a] * x.frequency(a, i);
      angles[i] += product;
      sizes[i] += std::abs(product);
    }
  }
  for (index_t i = 0; i < x.count; ++i) {
    if (!is_below_two_to(16, sizes[i])) return false;
  }
  cos_sin_blocks(
      radians.table(), 0, static_cast<std::size_t>(x.count), [&](std::size_t pair) { return angles[pair]; }, cos, sin);
  return true;
}

/// cos[i], sin[i] of the sum over the axes of coordinates[a] * inv_freq[a, i], for at most max_summed_pairs pairs.
///
/// radians   a frequency of 1 per pair
/// Accuracy  double within 0.51 ulp of the cosine and sine of the exact sum, float within 0.5001 ulp; with FMA, while
///           the magnitudes of the products sum to less than 2^16, plus 2^-36 absolute. A frequency of magnitude 2^63
///           or more gives NaN.
template <real T, real F>
void cos_sin_of_sums(const frequencies& radians, const summed_products<F>& x, T* cos, T* sin) noexcept {
  if constexpr (std::same_as<T, float> && reduces_real_positions) {
    if (cos_sin_of_short_sums(radians, x, cos, sin)) return;
  }
  cos_sin_of_exact_sums(x, cos, sin);
}

}  // namespace detail

}  // namespace posenc::inline POSENC_ISA
