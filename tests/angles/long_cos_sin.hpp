// Cosine and sine to 200 bits by power series, and the error of a result against them.
#pragma once

#include <posenc/angles/wide.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

struct long_cos_sin {
  posenc::wide cos, sin;
};

/// Cosine and sine of an angle in radians. The error of the angle, 2^-250 of it, remains in a sine near zero.
inline long_cos_sin long_cos_sin_of(const posenc::wide& angle) {
  using posenc::wide;
  static const std::array<wide, 50> one_over_factorial = [] {
    std::array<wide, 50> table{1};
    for (std::size_t n = 1; n < table.size(); ++n) table[n] = table[n - 1] / n;
    return table;
  }();
  const wide quarter_turn = wide::pi() / 2;
  const wide quadrant = floor(angle / quarter_turn + 0.5);
  const wide x = angle - quadrant * quarter_turn;
  wide cos, sin;
  for (std::size_t n = 48; n > 0; n -= 2) {  // 0.8^50 / 50! < 2^-230
    cos = one_over_factorial[n] - x * x * cos;
    sin = one_over_factorial[n + 1] - x * x * sin;
  }
  cos = 1 - x * x * cos;
  sin = x * (1 - x * x * sin);
  const wide turns = quadrant / 4 - floor(quadrant / 4);
  if (turns == 0.25) return {-sin, cos};
  if (turns == 0.5) return {-cos, -sin};
  if (turns == 0.75) return {sin, -cos};
  return {cos, sin};
}

/// |got - exact| in units of T's last place at the exact value; 0.5 is what correct rounding may reach.
template <class T>
double ulp_error(T got, const posenc::wide& exact) {
  using posenc::wide;
  using limits = std::numeric_limits<T>;
  int exponent = limits::min_exponent;
  if (exact != 0) std::frexp(static_cast<double>(exact), &exponent);
  const double last_place = std::ldexp(1.0, std::max(exponent, limits::min_exponent) - limits::digits);
  const auto error = static_cast<double>((wide(static_cast<double>(got)) - exact) / last_place);
  return std::abs(error);
}
