// Element types: storage type, compute type, and the one rounding between them.
#pragma once

#include <posenc/isa.hpp>

#include <bit>
#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace posenc::inline POSENC_ISA {

/// The types that arithmetic is done in.
template <class T>
concept real = std::same_as<T, float> || std::same_as<T, double>;

namespace detail {

// Narrows a double to a float whose last bit records whether bits were cut off ("round to odd"). Rounding the result
// again, to a type with at least two bits fewer, gives the same as rounding the double once.
inline float round_to_odd(double value) noexcept {
  const float nearest = static_cast<float>(value);
  const std::uint64_t wide = std::bit_cast<std::uint64_t>(value) & 0x7fff'ffff'ffff'ffffU;
  const std::uint64_t back = std::bit_cast<std::uint64_t>(static_cast<double>(nearest)) & 0x7fff'ffff'ffff'ffffU;
  // Magnitudes compare as integers. Above 0x7ff0... are NaNs, which keep their bits.
  if (back == wide || wide > 0x7ff0'0000'0000'0000U) return nearest;
  const auto bits = std::bit_cast<std::uint32_t>(nearest);
  return std::bit_cast<float>((back > wide ? bits - 1 : bits) | 1U);
}

inline std::uint16_t float_to_bf16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fff'ffffU) > 0x7f80'0000U) return static_cast<std::uint16_t>((bits >> 16) | 0x40U);  // quiet NaN
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

// All half-precision conversions are integer arithmetic: the same bits on every machine, whether or not it has F16C,
// and under fast math.
inline float f16_to_float(std::uint16_t half) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1fU;
  std::uint32_t fraction = half & 0x3ffU;
  if (exponent == 0x1fU) return std::bit_cast<float>(sign | 0x7f80'0000U | (fraction << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112U) << 23) | (fraction << 13));
  if (fraction == 0) return std::bit_cast<float>(sign);
  const auto shift =
      static_cast<std::uint32_t>(std::countl_zero(fraction)) - 21U;  // subnormal: moves the leading one to bit 10
  fraction = (fraction << shift) & 0x3ffU;
  return std::bit_cast<float>(sign | ((113U - shift) << 23) | (fraction << 13));
}

inline std::uint16_t float_to_f16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7fff'ffffU;
  if (magnitude > 0x7f80'0000U) return static_cast<std::uint16_t>(sign | 0x7e00U | ((magnitude >> 13) & 0x1ffU));
  if (magnitude >= 0x4780'0000U) return static_cast<std::uint16_t>(sign | 0x7c00U);  // 2^16 and beyond
  if (magnitude >= 0x3880'0000U) {  // 2^-14: normal; a carry runs into the exponent
    const std::uint32_t rebased = magnitude - 0x3800'0000U;
    return static_cast<std::uint16_t>(sign | ((rebased + 0xfffU + ((rebased >> 13) & 1U)) >> 13));
  }
  if (magnitude < 0x3300'0000U) return static_cast<std::uint16_t>(sign);  // below 2^-25: rounds to zero
  const std::uint32_t shift = 126U - (magnitude >> 23);                   // 14 to 24 bits are cut off
  const std::uint32_t fraction = (magnitude & 0x7f'ffffU) | 0x80'0000U;
  const std::uint32_t kept = fraction >> shift;
  const std::uint32_t cut = fraction & ((1U << shift) - 1U);
  const std::uint32_t half = 1U << (shift - 1U);
  return static_cast<std::uint16_t>(sign | (kept + (cut > half || (cut == half && (kept & 1U) != 0) ? 1U : 0U)));
}

}  // namespace detail

/// bfloat16: the upper half of a float. Storage only; arithmetic is done in float.
struct bf16 {
  std::uint16_t bits;

  bf16() = default;
  /// Rounds once, to nearest even; NaN stays NaN.
  explicit bf16(float value) noexcept : bits(detail::float_to_bf16(value)) {}
  explicit bf16(double value) noexcept : bf16(detail::round_to_odd(value)) {}
  explicit operator float() const noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
  explicit operator double() const noexcept { return static_cast<double>(static_cast<float>(*this)); }
};

/// IEEE 754 binary16. Storage only; arithmetic is done in float.
struct f16 {
  std::uint16_t bits;

  f16() = default;
  /// Rounds once, to nearest even, and to infinity from 65520 on; NaN stays NaN.
  explicit f16(float value) noexcept : bits(detail::float_to_f16(value)) {}
  explicit f16(double value) noexcept : f16(detail::round_to_odd(value)) {}
  explicit operator float() const noexcept { return detail::f16_to_float(bits); }
  explicit operator double() const noexcept { return static_cast<double>(static_cast<float>(*this)); }
};

static_assert(sizeof(bf16) == 2 && sizeof(f16) == 2);
static_assert(std::is_trivially_copyable_v<bf16> && std::is_trivially_copyable_v<f16>);

/// Reads and writes an element type. Specialize it for an engine's own 16-bit type:
///
///     template <> struct posenc::storage<my_half> {
///       static float widen(my_half x) noexcept;
///       static my_half narrow(float x) noexcept;   // one rounding, to nearest even
///     };
template <class S>
struct storage;

template <real S>
struct storage<S> {
  static S widen(S value) noexcept { return value; }
  static S narrow(S value) noexcept { return value; }
};
template <class S>
requires std::same_as<S, bf16> || std::same_as<S, f16>
struct storage<S> {
  static float widen(S value) noexcept { return static_cast<float>(value); }
  static S narrow(float value) noexcept { return S(value); }
};

/// The type in which arithmetic on elements of type S is done: double for double, float for everything narrower.
template <class S>
using compute_t = std::conditional_t<std::same_as<std::remove_const_t<S>, double>, double, float>;

// clang-format off

/// An element type that the library reads and writes: float, double, bf16, f16, and any type with a `storage`.
template <class S>
concept scalar = std::is_trivially_copyable_v<S> && requires(S stored) {
  { storage<S>::widen(stored) } noexcept -> std::same_as<compute_t<S>>;
  { storage<S>::narrow(storage<S>::widen(stored)) } noexcept -> std::same_as<S>;
};

// clang-format on

/// Converts an element to the type that arithmetic is done in.
template <real T, scalar S>
T widen(S stored) noexcept {
  return static_cast<T>(storage<S>::widen(stored));
}

/// Converts a computed value to an element, rounded once, to nearest even.
template <scalar S, real T>
S narrow(T value) noexcept {
  if constexpr (std::same_as<T, double> && std::same_as<compute_t<S>, float> && !std::same_as<S, float>) {
    return storage<S>::narrow(detail::round_to_odd(value));
  } else {
    return storage<S>::narrow(static_cast<compute_t<S>>(value));
  }
}

}  // namespace posenc::inline POSENC_ISA
