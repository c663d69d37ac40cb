// Cosine and sine of position * inv_freq, accurate at every position.
#pragma once

#include <posenc/angles/frequencies.hpp>
#include <posenc/kernels/vectors.hpp>
#include <posenc/positions.hpp>
#include <posenc/scalar.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace posenc::inline POSENC_ISA {

namespace detail {

// ---- One pair, in integers from the product to the one rounding at the end, which no compiler option reorders. ----

// |position * turns| modulo one turn, most significant word first; the sign of the position is kept separately.
struct phase {
  std::array<std::uint64_t, 3> fraction;
  bool negative;
};

inline phase phase_at(position_t position, const wide::fixed_point& turns) noexcept {
  const auto size = static_cast<std::uint64_t>(position < 0 ? -std::int64_t{position} : position);
  const uint128_t low = uint128_t{turns[3]} * size;
  const uint128_t middle = uint128_t{turns[2]} * size + static_cast<std::uint64_t>(low >> 64);
  const std::uint64_t high = turns[1] * size + static_cast<std::uint64_t>(middle >> 64);
  return {{high, static_cast<std::uint64_t>(middle), static_cast<std::uint64_t>(low)}, position < 0};
}

// For positions below 2^63 in magnitude. Whole turns per position count here: half a position makes half of them.
inline phase phase_at(double position, const wide::fixed_point& turns) noexcept {
  const auto bits = std::bit_cast<std::uint64_t>(position);
  // |position| = significand / 2^shift; subnormals count as zero.
  const std::uint64_t exponent = bits >> 52 & 0x7ffU;
  const std::uint64_t significand = exponent == 0 ? 0 : bits << 11 | 1ULL << 63;
  const std::uint64_t shift = 1023 + 63 - exponent;
  std::array<std::uint64_t, 5> words{};
  for (std::size_t i = 4; i-- > 0;) {
    const uint128_t sum = uint128_t{turns[i]} * significand + words[i + 1];
    words[i + 1] = static_cast<std::uint64_t>(sum);
    words[i] = static_cast<std::uint64_t>(sum >> 64);
  }
  if (turns[0] >> 63 != 0) words[0] -= significand;  // two's complement
  const std::uint64_t sign = 0 - (words[0] >> 63);
  phase result{{}, bits >> 63 != 0};
  for (std::size_t i = 0; i < 3; ++i) {
    const std::uint64_t upper = i + 1 >= shift / 64 ? words[i + 1 - shift / 64] : sign;
    const std::uint64_t lower = i + 2 >= shift / 64 ? words[i + 2 - shift / 64] : sign;
    result.fraction[i] = lower >> shift % 64 | upper << 1 << (63 - shift % 64);
  }
  return result;
}

inline std::uint64_t high_product(std::uint64_t a, std::uint64_t b) noexcept {
  return static_cast<std::uint64_t>(uint128_t{a} * b >> 64);
}

// c[0] - z (c[1] - z (c[2] - ...)), z with 64 bits after the point, the others with 63.
inline std::uint64_t alternating_series(std::uint64_t z, const std::array<std::uint64_t, 8>& c) noexcept {
  std::uint64_t sum = c[7];
  for (std::size_t i = 7; i-- > 0;) sum = c[i] - high_product(z, sum);
  return sum;
}

template <real T>
void cos_sin_of(const phase& p, T& cos, T& sin) noexcept {
  const auto [p0, p1, p2] = p.fraction;
  const std::uint64_t quadrant = (p0 + (1ULL << 61)) >> 62;
  // t, from -1/2 to 1/2, is the remainder from the nearest quarter turn, in quarter turns: its sign, then its
  // magnitude.
  const std::uint64_t negative = 0 - (p0 >> 61 & 1U);
  std::uint64_t t0 = (p0 << 2 | p1 >> 62) ^ negative;
  std::uint64_t t1 = (p1 << 2 | p2 >> 62) ^ negative;
  std::uint64_t t2 = (p2 << 2) ^ negative;

  // Minimax polynomials in t^2 for sin(pi/2 t) / t and (1 - cos(pi/2 t)) / t^2, within 2^-68 of the sine and the
  // cosine.
  const std::uint64_t z = high_product(t0, t0);
  const std::uint64_t sin_over_t =
      alternating_series(z, {0xc90fdaa22168c235U, 0x52aef39896f94aedU, 0x0a335e33bad56c6fU, 0x0099696673155de9U,  //
                             0x000541e0d2170b56U, 0x00001e3074b42c32U, 0x0000007a3bb1e6ffU, 0x000000016c58cc26U});
  const std::uint64_t one_minus_cos = high_product(
      z, alternating_series(z, {0x9de9e64df22ef2d2U, 0x20783e1036b5875eU, 0x02aba78fc797fdbcU, 0x001e1f5068919ae4U,
                                0x0000d368f94f8ed6U, 0x000003f3a70a8b09U, 0x0000000db6eb4d07U, 0x0000000023c5279cU}));

  // A sine is as precise as t, however small: the leading bit of t is moved to the top.
  int exponent = 0;
  for (; t0 == 0 && exponent < 128; exponent += 64) {
    t0 = t1;
    t1 = t2;
    t2 = 0;
  }
  const int zeros = std::countl_zero(t0 | 1U);
  t0 = t0 << zeros | t1 >> 1 >> (63 - zeros);
  exponent += zeros;
  const double c = static_cast<double>(static_cast<std::int64_t>((1ULL << 63) - 1 - one_minus_cos)) * 0x1p-63;
  const double s = static_cast<double>(static_cast<std::int64_t>(high_product(t0, sin_over_t) >> 1)) *
                   std::bit_cast<double>(static_cast<std::uint64_t>(1023 - 62 - exponent) << 52);

  // An odd quadrant swaps the two; signs are bits.
  const auto c_bits = std::bit_cast<std::uint64_t>(c);
  const auto s_bits = std::bit_cast<std::uint64_t>(s) ^ negative << 63;
  const std::uint64_t swap = (c_bits ^ s_bits) & (0 - (quadrant & 1U));
  const std::uint64_t sign = p.negative ? 1ULL << 63 : 0;
  cos = static_cast<T>(std::bit_cast<double>(c_bits ^ swap ^ (quadrant + 1U) >> 1 << 63));
  sin = static_cast<T>(std::bit_cast<double>(s_bits ^ swap ^ quadrant >> 1 << 63 ^ sign));
}

// ---- Many pairs in float: in double up to the one rounding. In explicit vectors, because compilers vectorize loops at
// half the width for some AVX-512 processors. ----

using doubles = kernels::vector<double>;
using whole_numbers = kernels::vector<std::uint64_t>;
inline constexpr auto lanes_of_double = static_cast<std::size_t>(kernels::lanes<double>);

// The same position for every pair.
template <class Position>
struct one_position {
  Position value;
  Position operator()(std::size_t) const noexcept { return value; }
};

// The positions of a vector of pairs.
template <class PositionOf>
doubles positions_of(const PositionOf& position_of, std::size_t first) noexcept {
  double each[lanes_of_double];
  for (std::size_t l = 0; l < lanes_of_double; ++l) each[l] = static_cast<double>(position_of(first + l));
  return kernels::load<doubles>(each);
}
template <class Position>
doubles positions_of(const one_position<Position>& position, std::size_t) noexcept {
  return static_cast<double>(position.value) - doubles{};
}

// Remainders of a vector of angles from their nearest quarter turns, and which quarter turns those are.
struct remainder {
  doubles t;               // in quarter turns, from -1/2 to 1/2
  whole_numbers quadrant;  // only the lowest two bits count
};

// Remainders of Count pairs.
template <std::size_t Count>
struct remainders {
  alignas(64) double t[Count];
  alignas(64) std::uint64_t quadrant[Count];

  remainder at(std::size_t i) const noexcept {
    return {kernels::load<doubles>(t + i), kernels::load<whole_numbers>(quadrant + i)};
  }
};

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)

inline constexpr bool reduces_real_positions = true;

// Exact where it matters: a fused product minus an integer fits in 53 bits whenever the two nearly cancel, and so does
// the next one. The error of t is 2^-51 of t itself for every frequency and every position below 2^31 in magnitude.
template <std::size_t Count, class PositionOf>
void reduce(const frequency_table& f, std::size_t first, const PositionOf& position_of, remainders<Count>& r) noexcept {
  using kernels::fused;
  // Adding this leaves no bits after the point, and the integer in the lowest bits.
  const doubles rounder = 0x1.8p52 - doubles{};
  for (std::size_t i = 0; i < Count; i += lanes_of_double) {
    const auto high = kernels::load<doubles>(f.high.data() + first + i);
    const auto middle = kernels::load<doubles>(f.middle.data() + first + i);
    const auto low = kernels::load<doubles>(f.low.data() + first + i);
    doubles position = positions_of(position_of, first + i);
    kernels::hide_origin(position);
    const doubles rounded = fused(position, high, rounder);
    const doubles rest = fused(position, high, rounder - rounded);
    kernels::store(r.t + i, fused(position, low, fused(position, middle, rest)));
    kernels::store(r.quadrant + i, rounded);
  }
}

#else

inline constexpr bool reduces_real_positions = false;

// The phase to 96 bits by 32-bit products, converted to double in three pieces of the same sign, which may be added in
// any order. The error of t is 2^-51 of itself plus 2^-93.
template <std::size_t Count, class PositionOf>
void reduce(const frequency_table& f, std::size_t first, const PositionOf& position_of, remainders<Count>& r) noexcept {
  const wide::fixed_point* turns = f.turns.data() + first;
  std::int32_t upper[Count], middle[Count], lower[Count];  // 31 bits each
  for (std::size_t i = 0; i < Count; ++i) {
    const position_t position = position_of(first + i);
    const std::uint32_t position_sign = position < 0 ? ~0U : 0U;
    const std::uint64_t size = (static_cast<std::uint32_t>(position) ^ position_sign) - position_sign;
    std::uint64_t w1 = size * (turns[i][2] >> 32) + (size * (turns[i][2] & 0xffff'ffffU) >> 32);
    const std::uint64_t w2 = size * (turns[i][1] & 0xffff'ffffU) + (w1 >> 32);
    const std::uint64_t w3 = (size * (turns[i][1] >> 32) << 32) + w2;
    std::uint64_t t = w3 << 2 | (w1 >> 30 & 3U);
    const std::uint64_t negative = 0 - (t >> 63);
    t ^= negative;
    w1 ^= negative;
    const std::uint32_t sign = static_cast<std::uint32_t>(negative) ^ position_sign;
    const auto with_sign = [sign](std::uint64_t bits) {
      return static_cast<std::int32_t>((static_cast<std::uint32_t>(bits) ^ sign) - sign);
    };
    upper[i] = with_sign(t >> 32);
    middle[i] = with_sign(t >> 1 & 0x7fff'ffffU);
    lower[i] = with_sign((t & 1U) << 30 | (w1 & 0x3fff'ffffU));
    r.quadrant[i] = (((static_cast<std::uint32_t>(w3 >> 61) + 1U) >> 1) ^ position_sign) - position_sign;
  }
  for (std::size_t i = 0; i < Count; ++i) r.t[i] = upper[i] * 0x1p-32 + (middle[i] * 0x1p-63 + lower[i] * 0x1p-94);
}

#endif

// Minimax polynomials in z = t^2 for cos(pi/2 t) and sin(pi/2 t) / t: within 2^-43.7 and 2^-37.6.
inline doubles short_cosine(doubles z) noexcept {
  return 0.999999999999934358 +
         z * (-1.233700550118188616 +
              z * (0.253669507091481025 +
                   z * (-0.0208634673119695330 + z * (0.000919158603981327746 + z * -0.0000248459785602657658))));
}
inline doubles short_sine_over_t(doubles z) noexcept {
  return 1.570796326787750048 +
         z * (-0.645964096102418169 +
              z * (0.0796925818428896029 + z * (-0.00468126062757122194 + z * 0.000158195074282853308)));
}

template <std::size_t Count, class PositionOf>
void cos_sin_block(const frequency_table& f, std::size_t first, const PositionOf& position_of, float* __restrict cos,
                   float* __restrict sin) noexcept {
  using words = kernels::vector<std::uint32_t>;
  remainders<Count> r;
  reduce(f, first, position_of, r);
  for (std::size_t i = 0; i < Count; i += 2 * lanes_of_double) {
    const remainder lower = r.at(i), upper = r.at(i + lanes_of_double);
    const doubles lower_z = lower.t * lower.t, upper_z = upper.t * upper.t;
    const auto c = (words)kernels::narrowed(short_cosine(lower_z), short_cosine(upper_z));
    const auto s = (words)kernels::narrowed(lower.t * short_sine_over_t(lower_z), upper.t * short_sine_over_t(upper_z));
    // An odd quadrant swaps the two; signs are bits.
    const words quadrant = kernels::evens((words)lower.quadrant, (words)upper.quadrant);
    const words swap = (c ^ s) & (0U - (quadrant & 1U));
    kernels::store(cos + i, c ^ swap ^ ((quadrant + 1U) & 2U) << 30);
    kernels::store(sin + i, s ^ swap ^ (quadrant & 2U) << 30);
  }
}

// position_of(pair) is a position_t, or a double if reduces_real_positions.
template <class PositionOf>
void cos_sin_blocks(const frequency_table& f, std::size_t first, std::size_t count, const PositionOf& position_of,
                    float* cos, float* sin) noexcept {
  // No shorter blocks: without FMA, a wide load of what two narrower stores have just written would stall.
  constexpr std::size_t block = frequency_table::block;
  std::size_t done = 0;
  for (; count - done >= 64; done += 64) cos_sin_block<64>(f, first + done, position_of, cos + done, sin + done);
  for (; count - done >= block; done += block) {
    cos_sin_block<block>(f, first + done, position_of, cos + done, sin + done);
  }
  if (done == count) return;
  float last_cos[block], last_sin[block];
  cos_sin_block<block>(f, first + done, position_of, last_cos, last_sin);
  std::copy_n(last_cos, count - done, cos + done);
  std::copy_n(last_sin, count - done, sin + done);
}

template <class Position>
void cos_sin_in_float(const frequencies& f, const Position* position_by_axis, std::size_t first, std::size_t count,
                      float* cos, float* sin) noexcept {
  const frequency_table& table = f.table();
  if (f.num_axes() == 1) {
    cos_sin_blocks(table, first, count, one_position<Position>{*position_by_axis}, cos, sin);
  } else {
    const auto position_of = [position_by_axis, axis = table.axis.data()](std::size_t pair) {
      return position_by_axis[axis[pair]];
    };
    cos_sin_blocks(table, first, count, position_of, cos, sin);
  }
}

// For float32 angles: each product is rounded to float, and the results are the cosine and sine of so many radians.
template <real T, class Position>
void cos_sin_of_float32_angles(const frequencies& f, const Position* position_by_axis, std::size_t first,
                               std::size_t count, T* cos, T* sin) noexcept {
  constexpr wide::fixed_point turns_per_radian{0, 0x28be60db9391054aU, 0x7f09d5f47d4d3770U,
                                               0x36d8a5664f10e410U};  // 1 / (2 pi)
  const frequency_table& table = f.table();
  for (std::size_t i = 0; i < count; ++i) {
    const auto position = static_cast<float>(position_by_axis[table.axis[first + i]]);
    const double angle = position * static_cast<float>(table.inv_freq[first + i]);
    if (is_below_two_to(63, angle)) {
      cos_sin_of(phase_at(angle, turns_per_radian), cos[i], sin[i]);
    } else {
      cos[i] = sin[i] = std::numeric_limits<T>::quiet_NaN();
    }
  }
}

}  // namespace detail

/// Cosine and sine of position * inv_freq for `num_pairs` pairs from `first_pair` on, of unit magnitude: the attention
/// factor is left to the caller.
///
/// Positions  one per axis of `f`, any 32-bit integer.
/// Accuracy   float within 0.5001 ulp, double within 0.51 ulp of the cosine and sine of the exact product, with or
///            without fast math, for frequencies of magnitude 2^-80 or more and for zero. (Float without FMA: if the
///            angle is at least 2^-55 of a quarter turn away from any multiple of one, which only a list made for it
///            can miss.) A pair's result depends on its position alone, not on the pairs around it. With float32_angles
///            the same holds for the angle that float32 gives, which is a different one.
/// Memory     reads `f` and the positions, writes the outputs, which must not overlap; allocates nothing.
template <real T>
void cos_sin(const frequencies& f, const position_t* position_by_axis, index_t first_pair, index_t num_pairs, T* cos,
             T* sin) noexcept {
  const auto first = static_cast<std::size_t>(first_pair);
  const auto count = static_cast<std::size_t>(num_pairs);
  if (f.float32_angles()) return detail::cos_sin_of_float32_angles(f, position_by_axis, first, count, cos, sin);
  if constexpr (std::same_as<T, float>) {
    detail::cos_sin_in_float(f, position_by_axis, first, count, cos, sin);
  } else {
    const detail::frequency_table& table = f.table();
    for (std::size_t i = 0; i < count; ++i) {
      const position_t position = position_by_axis[table.axis[first + i]];
      detail::cos_sin_of(detail::phase_at(position, table.turns[first + i]), cos[i], sin[i]);
    }
  }
}

/// The same for real-valued positions.
///
/// Positions  any double below 2^63 in magnitude, taken as exact; others, including infinities and NaN, give NaN.
/// Accuracy   the same if position * inv_freq is zero or at least 2^-120 in magnitude; 2^-190 absolute below.
template <real T>
void cos_sin(const frequencies& f, const double* position_by_axis, index_t first_pair, index_t num_pairs, T* cos,
             T* sin) noexcept {
  const auto first = static_cast<std::size_t>(first_pair);
  const auto count = static_cast<std::size_t>(num_pairs);
  if (f.float32_angles()) return detail::cos_sin_of_float32_angles(f, position_by_axis, first, count, cos, sin);
  const detail::frequency_table& table = f.table();
  if constexpr (std::same_as<T, float> && detail::reduces_real_positions) {
    const auto is_short = [](double position) { return detail::is_below_two_to(31, position); };
    if (!table.fraction_only && std::all_of(position_by_axis, position_by_axis + f.num_axes(), is_short)) {
      return detail::cos_sin_in_float(f, position_by_axis, first, count, cos, sin);
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    const double position = position_by_axis[table.axis[first + i]];
    if (detail::is_below_two_to(63, position)) {
      detail::cos_sin_of(detail::phase_at(position, table.turns[first + i]), cos[i], sin[i]);
    } else {
      cos[i] = sin[i] = std::numeric_limits<T>::quiet_NaN();
    }
  }
}

}  // namespace posenc::inline POSENC_ISA
