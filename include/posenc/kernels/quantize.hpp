// Symmetric quantization of rows to int8 with a scale, and back.
#pragma once

#include <posenc/error.hpp>  // index_t
#include <posenc/kernels/convert.hpp>
#include <posenc/kernels/larger.hpp>
#include <posenc/kernels/vectors.hpp>
#include <posenc/scalar.hpp>  // widen, narrow

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace posenc::inline POSENC_ISA {

namespace kernels {

// A row x is stored as q and a scale:
//
//     scale = max |x| / 127, rounded to float; 1 where that is zero
//     q[i]  = x[i] / scale, rounded to the nearest integer, halves to even; from -127 to 127
//     x[i] ~= scale q[i], within half a scale
//
// A row with a NaN or an infinity gets the scale NaN and zeros, so that all of it, and nothing else, comes back as NaN.
// The largest value is found and numbers are rounded on bits, because fast math may fold away comparisons and additions
// of floating-point numbers.

namespace detail {

/// The bits of |x|, which are ordered like the magnitudes, with infinities and NaN above all numbers.
template <scalar S>
auto bits_of_size(S x) noexcept {
  if constexpr (std::same_as<S, double>) {
    return static_cast<std::int64_t>(std::bit_cast<std::uint64_t>(x) & 0x7fff'ffff'ffff'ffffU);
  } else if constexpr (std::same_as<S, bf16> || std::same_as<S, f16>) {
    return static_cast<std::int16_t>(x.bits & 0x7fffU);
  } else {
    return static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(widen<float>(x)) & 0x7fff'ffffU);
  }
}

template <scalar S>
using size_bits = decltype(bits_of_size(std::declval<S>()));

template <scalar S>
size_bits<S> largest_size(const S* x, index_t count, size_bits<S> largest = 0) noexcept {
  for (index_t i = 0; i < count; ++i) largest = std::max(largest, bits_of_size(x[i]));
  return largest;
}

inline bool is_finite(double x) noexcept { return (std::bit_cast<std::uint64_t>(x) >> 52 & 0x7ffU) != 0x7ffU; }
inline bool is_finite(float x) noexcept { return (std::bit_cast<std::uint32_t>(x) >> 23 & 0xffU) != 0xffU; }

template <scalar S>
float scale_of(size_bits<S> largest) noexcept {
  compute_t<S> size;
  if constexpr (std::same_as<S, bf16> || std::same_as<S, f16>) {
    S stored;
    stored.bits = static_cast<std::uint16_t>(largest);
    size = widen<float>(stored);
  } else {
    size = std::bit_cast<compute_t<S>>(largest);
  }
  if (!is_finite(size)) return std::numeric_limits<float>::quiet_NaN();
  // Divided in double: no quotient of a float and 127 is so near the middle of two floats that rounding twice would
  // matter.
  const auto scale = static_cast<float>(static_cast<double>(size) / 127);
  return scale == 0 ? 1 : scale;
}

// Added to a number below 2^15 in magnitude, it leaves the number in the lowest bits, 36 of them after the point.
inline constexpr double fixed_point_rounder = 0x1.8p16;

/// Rounds a number from -127 to 127, known to 2^-40, to the nearest integer, halves to even. The cut to 36 bits after
/// the point removes the error from a half, and no other quotient of floats is within 2^-25 of one.
inline std::int8_t nearest_integer(double x) noexcept {
  const auto fixed = std::bit_cast<std::uint64_t>(x + fixed_point_rounder);
  const std::uint64_t odd = fixed >> 36 & 1U;
  return static_cast<std::int8_t>(static_cast<std::uint8_t>((fixed + (1ULL << 35) - 1 + odd) >> 36));
}

// 16-bit types are converted to float in blocks, because conversions of single elements do not vectorize.
inline constexpr index_t block = 128;
template <class Act>
void in_blocks(index_t count, Act act) noexcept {
  for (index_t first = 0; first < count; first += block) act(first, std::min(block, count - first));
}

}  // namespace detail

/// The scale of a single row.
template <scalar S>
float quantization_scale(const S* x,  // [count]
                         index_t count) noexcept {
  return detail::scale_of<S>(detail::largest_size(x, count));
}

namespace detail {

/// Right for all quotients.
template <real S>
void quantize_exactly(const S* __restrict x,  // [count]
                      index_t count, float scale,
                      std::int8_t* __restrict q)  // [count]
    noexcept {
  const double inverse = 1 / static_cast<double>(scale);
  const double largest = 127 * static_cast<double>(scale);
  for (index_t i = 0; i < count; ++i) {
    // Selects between variables: GCC compiles std::clamp, and selects between constants, to branches.
    double value = static_cast<double>(x[i]);
    value = value < largest ? value : largest;
    value = value > -largest ? value : -largest;
    q[i] = nearest_integer(value * inverse);
  }
}

// Added to a number below 2^22 in magnitude, it leaves the nearest integer in the lowest bits.
inline constexpr float integer_rounder = 0x1.8p23F;

/// Computes quotients in float and rounds them to the nearest integers: right, unless one is nearer to a half than its
/// error, or so large that it saturates.
class quick_quantizer {
  using floats = vector<float>;
  using integers = vector<std::int32_t>;

 public:
  /// scale  of ordinary magnitude, so that its inverse is normal
  explicit quick_quantizer(float scale) noexcept : inverse_(1 / scale) {}

  void operator()(const float* x, std::int8_t* q) noexcept {
    const floats value = load<floats>(x) * inverse_;
    floats sum = value + integer_rounder;
    hide_origin(sum);
    store_bytes(q, std::bit_cast<integers>(sum));
    largest_ = larger(largest_, size_of(value));
    farthest_ = larger(farthest_, size_of(value - (sum - integer_rounder)));
  }
  bool was_right() const noexcept {
    // Two roundings of a quotient up to 127 cause an error below 2^-16.
    constexpr float near_half = 0.5F - 0x1p-15F;
    const integers beyond = larger(largest_ - std::bit_cast<std::int32_t>(127.25F),  //
                                   farthest_ - std::bit_cast<std::int32_t>(near_half));
    return largest_lane(beyond) < 0;
  }

 private:
  // Magnitudes as bits, which have the same order, with NaN above all.
  static integers size_of(floats x) noexcept { return std::bit_cast<integers>(x) & 0x7fff'ffff; }

  float inverse_;
  integers largest_{};   // quotient
  integers farthest_{};  // distance to an integer
};

/// Returns true if all results are right.
inline bool quantize_quickly(const float* __restrict x, index_t count, float scale,
                             std::int8_t* __restrict q) noexcept {
  if (scale < 0x1p-100F || scale > 0x1p100F) return false;
  quick_quantizer quantize(scale);
  for (index_t i = 0; i < count; i += lanes<float>) quantize(x + i, q + i);
  return quantize.was_right();
}

}  // namespace detail

/// q[i] = x[i] / scale, rounded half to even, clamped to -127 and 127; zeros if the scale is not finite.
///
/// scale  above 0: the row's own, or a larger one. A smaller one saturates the largest values.
template <scalar S>
void quantize(const S* __restrict x,  // [count]
              index_t count, float scale,
              std::int8_t* __restrict q)  // [count]
    noexcept {
  if (!detail::is_finite(scale)) {
    std::fill_n(q, count, std::int8_t{0});
    return;
  }
  if constexpr (std::same_as<S, float>) {
    const index_t whole = count - count % lanes<float>;
    const index_t done = detail::quantize_quickly(x, whole, scale, q) ? whole : 0;
    detail::quantize_exactly(x + done, count - done, scale, q + done);
  } else if constexpr (std::same_as<S, double>) {
    detail::quantize_exactly(x, count, scale, q);
  } else {
    detail::in_blocks(count, [&](index_t first, index_t size) {
      float wide[detail::block];
      convert<float>(x + first, wide, size);
      quantize(wide, size, scale, q + first);
    });
  }
}

/// x[i] = scale q[i], in the compute type of x, rounded once to its type.
template <scalar S>
void dequantize(const std::int8_t* __restrict q,  // [count]
                index_t count, float scale,
                S* __restrict x)  // [count]
    noexcept {
  if constexpr (real<S>) {
    for (index_t i = 0; i < count; ++i) x[i] = static_cast<S>(q[i]) * static_cast<S>(scale);
  } else {
    detail::in_blocks(count, [&](index_t first, index_t size) {
      float wide[detail::block];
      dequantize(q + first, size, scale, wide);
      convert<float>(wide, x + first, size);
    });
  }
}

/// One scale per row.
template <scalar S>
void quantize_rows(const S* x,  // [num_rows, count]
                   index_t x_stride, index_t num_rows, index_t count,
                   std::int8_t* q,  // [num_rows, count]
                   index_t q_stride,
                   float* scales)  // [num_rows]
    noexcept {
  for (index_t r = 0; r < num_rows; ++r) {
    scales[r] = quantization_scale(x + r * x_stride, count);
    quantize(x + r * x_stride, count, scales[r], q + r * q_stride);
  }
}

/// One scale for all rows, which is returned. A NaN or an infinity in one row spoils all of them.
template <scalar S>
float quantize_tensor(const S* x,  // [num_rows, count]
                      index_t x_stride, index_t num_rows, index_t count,
                      std::int8_t* q,  // [num_rows, count]
                      index_t q_stride) noexcept {
  detail::size_bits<S> largest = 0;
  for (index_t r = 0; r < num_rows; ++r) largest = detail::largest_size(x + r * x_stride, count, largest);
  const float scale = detail::scale_of<S>(largest);
  for (index_t r = 0; r < num_rows; ++r) quantize(x + r * x_stride, count, scale, q + r * q_stride);
  return scale;
}

/// One scale per row; a `scale_stride` of 0 uses one for all.
template <scalar S>
void dequantize_rows(const std::int8_t* q,  // [num_rows, count]
                     index_t q_stride,
                     const float* scales,  // [num_rows]
                     index_t scale_stride, index_t num_rows, index_t count,
                     S* x,  // [num_rows, count]
                     index_t x_stride) noexcept {
  for (index_t r = 0; r < num_rows; ++r)
    dequantize(q + r * q_stride, count, scales[r * scale_stride], x + r * x_stride);
}

}  // namespace kernels

}  // namespace posenc::inline POSENC_ISA
