// A 256-bit real number, in which frequencies are computed once.
#pragma once

#include <posenc/isa.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>

namespace posenc::inline POSENC_ISA {

namespace detail {
__extension__ typedef unsigned __int128 uint128_t;  // GCC and Clang have it on every 64-bit target
}

/// A real number with a 256-bit mantissa, for writing frequency formulas as the papers do.
///
///     const wide ratio = pow(rope_theta, wide(-2) / rotary_dim);
///
/// Made of integers only, so that no compiler option affects a digit. There are no infinities or NaN: the caller has to
/// prevent division by zero, logarithms of numbers that are not positive, and magnitudes beyond 2^(2^28).
///
/// Accuracy   relative 2^-250 for + (of the larger operand), * and /, 2^-240 for exp, log and pow while y log x is
///            below 100 in magnitude; + and * are exact if the result fits in 254 bits. Converting from double is
///            exact, to double rounds to nearest.
class wide {
 public:
  constexpr wide() noexcept = default;  // zero
  wide(double value) noexcept {
    if (value == 0) return;
    limbs_[0] = static_cast<std::uint64_t>(std::ldexp(std::frexp(std::abs(value), &exponent_), 64));
    negative_ = value < 0;
  }
  template <std::integral I>
  wide(I value) noexcept {
    const auto bits = static_cast<std::uint64_t>(value);
    *this = normalised({value < 0 ? 0 - bits : bits, 0, 0, 0}, 64, value < 0);
  }

  static constexpr wide pi() noexcept {
    return {{0xc90fdaa22168c234U, 0xc4c6628b80dc1cd1U, 0x29024e088a67cc74U, 0x020bbea63b139b22U}, 2, false};
  }
  static constexpr wide ln2() noexcept {
    return {{0xb17217f7d1cf79abU, 0xc9e3b39803f2f6afU, 0x40f343267298b62dU, 0x8a0d175b8baafa2bU}, 0, false};
  }

  explicit operator double() const noexcept {
    std::uint64_t kept = limbs_[0] >> 11;
    const std::uint64_t cut = limbs_[0] & 0x7ffU;
    const bool above_half_or_odd = (limbs_[1] | limbs_[2] | limbs_[3] | (kept & 1U)) != 0;
    if (cut > 0x400U || (cut == 0x400U && above_half_or_odd)) ++kept;
    const double magnitude = std::ldexp(static_cast<double>(kept), exponent_ - 53);
    return negative_ ? -magnitude : magnitude;
  }

  /// Two's complement with 192 bits after the point, most significant word first.
  using fixed_point = std::array<std::uint64_t, 4>;
  /// Rounds to nearest; the magnitude must be below 2^63.
  fixed_point to_fixed_point() const noexcept {
    const limbs rounded = add(shift_right(limbs_, 63 - exponent_), {0, 0, 0, 1});
    const limbs magnitude = shift_right(rounded, 1);
    return negative_ ? subtract({}, magnitude) : magnitude;
  }
  static wide from_fixed_point(const fixed_point& value) noexcept {
    const bool negative = value[0] >> 63 != 0;
    return normalised(negative ? subtract({}, value) : value, 64, negative);
  }

  friend wide operator-(wide x) noexcept {
    x.negative_ = !x.negative_ && x.limbs_[0] != 0;
    return x;
  }
  friend wide operator+(const wide& a, const wide& b) noexcept {
    const bool swapped = compare_sizes(a, b) < 0;
    const wide& large = swapped ? b : a;
    const wide& small = swapped ? a : b;
    // Shifted right by one bit, to leave room for a carry.
    const limbs x = shift_right(large.limbs_, 1);
    const limbs y = shift_right(small.limbs_, 1 + large.exponent_ - small.exponent_);
    return normalised(a.negative_ == b.negative_ ? add(x, y) : subtract(x, y), large.exponent_ + 1, large.negative_);
  }
  friend wide operator-(const wide& a, const wide& b) noexcept { return a + -b; }
  friend wide operator*(const wide& a, const wide& b) noexcept {
    std::array<std::uint64_t, 8> product{};
    for (std::size_t i = 4; i-- > 0;) {
      std::uint64_t carry = 0;
      for (std::size_t j = 4; j-- > 0;) {
        const detail::uint128_t sum = detail::uint128_t{a.limbs_[i]} * b.limbs_[j] + product[i + j + 1] + carry;
        product[i + j + 1] = static_cast<std::uint64_t>(sum);
        carry = static_cast<std::uint64_t>(sum >> 64);
      }
      product[i] = carry;
    }
    return normalised({product[0], product[1], product[2], product[3]}, a.exponent_ + b.exponent_,
                      a.negative_ != b.negative_);
  }
  friend wide operator/(const wide& a, const wide& b) noexcept {
    // Newton's iteration for 1/b doubles the 53 bits of the initial guess three times.
    const wide size = b.negative_ ? -b : b;
    wide inverse = 1 / static_cast<double>(size.scaled_by_power_of_two(-size.exponent_));
    inverse = inverse.scaled_by_power_of_two(-size.exponent_);
    for (int i = 0; i < 3; ++i) inverse = inverse + inverse * (1 - size * inverse);
    return a * (b.negative_ ? -inverse : inverse);
  }

  friend bool operator==(const wide&, const wide&) = default;
  friend std::strong_ordering operator<=>(const wide& a, const wide& b) noexcept {
    if (a.negative_ != b.negative_) return b.negative_ <=> a.negative_;
    return a.negative_ ? compare_sizes(b, a) : compare_sizes(a, b);
  }

  friend wide floor(const wide& x) noexcept {
    limbs whole = x.limbs_;
    for (int i = 0; i < 4; ++i) {
      const int fraction_bits = std::clamp(64 * (i + 1) - x.exponent_, 0, 64);
      std::uint64_t& limb = whole[static_cast<std::size_t>(i)];
      limb = fraction_bits < 64 ? limb >> fraction_bits << fraction_bits : 0;
    }
    const wide toward_zero = normalised(whole, x.exponent_, x.negative_);
    return toward_zero > x ? toward_zero - 1 : toward_zero;
  }
  friend wide ceil(const wide& x) noexcept { return -floor(-x); }

  friend wide exp(const wide& x) noexcept {
    // e^x = 2^k (e^r)^256 with |r| < 2^-9.5, so that twenty terms of the series leave an error of 2^-265.
    const auto k = static_cast<int>(std::lrint(static_cast<double>(x) / 0.6931471805599453));
    const wide r = (x - k * ln2()).scaled_by_power_of_two(-8);
    // Horner's rule for 20! (e^r - 1) / r: the coefficients 20!/n! are integers.
    wide sum = 1;
    std::uint64_t coefficient = 1;
    for (std::uint64_t n = 20; n > 1; --n) {
      coefficient *= n;
      sum = sum * r + coefficient;
    }
    sum = 1 + r * sum / coefficient;
    for (int i = 0; i < 8; ++i) sum = sum * sum;
    return sum.scaled_by_power_of_two(k);
  }
  /// x > 0.
  friend wide log(const wide& x) noexcept {
    // x = m 2^e with m near 1, so that log(1) is zero. Halley's iteration triples the 50 bits of the initial guess
    // twice.
    wide m = x.scaled_by_power_of_two(-x.exponent_);
    const int e = x.exponent_ - (m < 0.7 ? 1 : 0);
    m = x.scaled_by_power_of_two(-e);
    wide y = std::log(static_cast<double>(m));
    for (int i = 0; i < 2; ++i) {
      const wide power = exp(y);
      y = y + 2 * (m - power) / (m + power);
    }
    return y + e * ln2();
  }
  /// x > 0.
  friend wide pow(const wide& x, const wide& y) noexcept { return exp(y * log(x)); }

 private:
  using limbs = std::array<std::uint64_t, 4>;  // most significant first
  static constexpr int exponent_of_zero = -(1 << 29);

  constexpr wide(const limbs& fraction, int exponent, bool negative) noexcept
      : exponent_(exponent), limbs_(fraction), negative_(negative) {}

  static wide normalised(limbs fraction, int exponent, bool negative) noexcept {
    for (int skipped = 0; fraction[0] == 0; ++skipped) {
      if (skipped == 4) return {};
      fraction = {fraction[1], fraction[2], fraction[3], 0};
      exponent -= 64;
    }
    const int zeros = std::countl_zero(fraction[0]);
    for (std::size_t i = 0; i < 4; ++i) {
      const std::uint64_t next = i < 3 ? fraction[i + 1] : 0;
      fraction[i] = (fraction[i] << zeros) | (next >> 1 >> (63 - zeros));
    }
    return {fraction, exponent - zeros, negative};
  }
  wide scaled_by_power_of_two(int power) const noexcept {
    return limbs_[0] == 0 ? *this : wide(limbs_, exponent_ + power, negative_);
  }

  static std::strong_ordering compare_sizes(const wide& a, const wide& b) noexcept {
    if (a.exponent_ != b.exponent_) return a.exponent_ <=> b.exponent_;
    return a.limbs_ <=> b.limbs_;
  }
  static limbs shift_right(const limbs& x, int bits) noexcept {
    limbs result{};
    const auto skipped = static_cast<std::size_t>(bits / 64);
    for (std::size_t i = skipped; i < 4; ++i) {
      const std::uint64_t above = i > skipped ? x[i - skipped - 1] : 0;
      result[i] = (x[i - skipped] >> bits % 64) | (above << 1 << (63 - bits % 64));
    }
    return result;
  }
  static limbs add(const limbs& x, const limbs& y, std::uint64_t carry = 0) noexcept {
    limbs result{};
    for (std::size_t i = 4; i-- > 0;) {
      const detail::uint128_t sum = detail::uint128_t{x[i]} + y[i] + carry;
      result[i] = static_cast<std::uint64_t>(sum);
      carry = static_cast<std::uint64_t>(sum >> 64);
    }
    return result;
  }
  static limbs subtract(const limbs& x, const limbs& y) noexcept { return add(x, {~y[0], ~y[1], ~y[2], ~y[3]}, 1); }

  // The value is 0.limbs * 2^exponent, with the first bit of the limbs set; zero has the lowest exponent.
  int exponent_ = exponent_of_zero;
  limbs limbs_{};
  bool negative_ = false;
};

}  // namespace posenc::inline POSENC_ISA
