// Distance of two floating-point numbers in units in the last place.
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

/// The number of steps between representable numbers from a to b: 0 if equal (-0 and 0 are), 1 for neighbors, also
/// across zero. Infinity is the neighbor of the largest number. A NaN is as far as possible from everything but a NaN.
template <class T>
requires std::same_as<T, float> || std::same_as<T, double> std::uint64_t ulp_distance(T a, T b) {
  using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr bits sign = bits{1} << (8 * sizeof(T) - 1);
  constexpr bits infinity = std::bit_cast<bits>(std::numeric_limits<T>::infinity());
  const bits x = std::bit_cast<bits>(a);
  const bits y = std::bit_cast<bits>(b);
  const bits magnitude_of_x = x & ~sign;
  const bits magnitude_of_y = y & ~sign;
  if (magnitude_of_x > infinity || magnitude_of_y > infinity) {
    return magnitude_of_x > infinity && magnitude_of_y > infinity ? 0 : std::numeric_limits<std::uint64_t>::max();
  }
  if ((x ^ y) & sign) return std::uint64_t{magnitude_of_x} + magnitude_of_y;
  return magnitude_of_x > magnitude_of_y ? magnitude_of_x - magnitude_of_y : magnitude_of_y - magnitude_of_x;
}

/// |got - exact| in units of float's last place at `exact`, which is within 2^-53 of the true value: 0.5 is what
/// correct rounding may reach.
inline double ulp_error(float got, double exact) {
  if (exact == 0) return got == 0 ? 0 : std::numeric_limits<double>::infinity();
  const auto exponent = std::bit_cast<std::uint64_t>(exact) & 0x7ff0'0000'0000'0000U;
  return std::abs(static_cast<double>(got) - exact) / (std::bit_cast<double>(exponent) * 0x1p-23);
}
