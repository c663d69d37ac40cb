// Rotated keys in a KV cache: stored as int8, moved to other positions, converted to other frequencies.
#pragma once

#include <posenc/angles/difference.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/encodings/rope_to.hpp>
#include <posenc/kernels/quantize.hpp>
#include <posenc/quantize.hpp>
#include <posenc/quantized_view.hpp>

#include <cstdint>
#include <type_traits>

namespace posenc::inline POSENC_ISA {

// What an engine does to cached keys, whatever the cache holds (float, double, f16, bf16, or int8 with one scale per
// row):
//
//     rotate_to(rotary, k, cache.tokens(past, num_tokens), positions(past, num_tokens));   // rotate and store
//     shift(rotary, cache, by);                                                            // context shift
//     rotate(rerotation(old_rope, new_rope), cache, positions(0, past));                   // other frequencies
//
// Every shift rounds again (an int8 row is rotated in float and gets a new scale), and a shift that rotates a pair by
// less than that rounding leaves it where it is. So shift once by the sum rather than often by little. Errors of keys
// between -1 and 1 after a thousand shifts, root mean square and largest (tests/encodings/rope_cache.cpp):
//
//     by       double           float          f16            bf16          int8           once by the sum, int8
//     512      2e-14  7e-14     1e-5  6e-5     .004  .02      .1   .7       .1   .5        .004  .01
//     1        the same         the same       .04   .2       .3   2        .6   3

namespace detail {

/// Largest number of columns in a quantized row, because it passes through the stack in float.
inline constexpr index_t max_quantized_columns = 2048;

inline problem check_quantized_columns(const char* operation, index_t head_dim) noexcept {
  if (head_dim <= max_quantized_columns) return {};
  return problem::invalid(operation, "head_dim", head_dim, "at most # in int8", max_quantized_columns);
}

/// Rotates a row and stores it as int8.
template <scalar S, real T>
void turn_row(const S* from, const turned_slice& slice, index_t head_dim, angle_row<T> angles, double scale,
              std::int8_t* to, float& to_scale) noexcept {
  float row[max_quantized_columns];
  pass_columns(from, row, head_dim, slice, static_cast<T>(scale));
  kernels::rotate_heads_to(from + slice.first_column, 0, slice.read, row + slice.first_column, 0, slice.written, 1,
                           slice.num_pairs, 0, slice.num_pairs, angles.cos, angles.sin);
  to_scale = kernels::quantization_scale(row, head_dim);
  kernels::quantize(row, head_dim, to_scale, to);
}

template <class Angles, scalar S>
void turn_to(const Angles& angles, const turned_slice& slice, head_view<const S> from, quantized_view<std::int8_t> to,
             double scale) noexcept {
  using T = compute_t<S>;
  T cos[max_quantized_columns / 2];
  T sin[max_quantized_columns / 2];
  for (index_t t = 0; t < from.num_tokens; ++t) {
    const angle_row<T> row = angles.template row<T>(t, 0, slice.num_pairs, cos, sin);
    for (index_t h = 0; h < from.num_heads; ++h) {
      turn_row(from.row(t, h), slice, from.head_dim, row, scale, to.row(t, h), to.scale(t, h));
    }
  }
}

/// Rotates int8 rows in place.
template <class Angles>
void turn_quantized(const Angles& angles, const turned_slice& slice, quantized_view<std::int8_t> x) noexcept {
  float cos[max_quantized_columns / 2];
  float sin[max_quantized_columns / 2];
  float wide[max_quantized_columns];
  for (index_t t = 0; t < x.num_tokens; ++t) {
    const angle_row<float> row = angles.template row<float>(t, 0, slice.num_pairs, cos, sin);
    for (index_t h = 0; h < x.num_heads; ++h) {
      kernels::dequantize(x.row(t, h), x.head_dim, x.scale(t, h), wide);
      turn_row(wide, slice, x.head_dim, row, 1, x.row(t, h), x.scale(t, h));
    }
  }
}

}  // namespace detail

// ---- Into an int8 cache ----

/// Returns what would be wrong with `rotate_to(rotary, from, to, p, scale)`, if anything.
template <element S, position_source P>
problem check_rotate_to(const rope& rotary, head_view<S> from, quantized_view<std::int8_t> to, const P& p,
                        double scale = 1) noexcept {
  if (const problem wrong = detail::check_same_shape("rotate_to", from, to)) return wrong;
  if (const problem wrong = detail::check_quantized_columns("rotate_to", to.head_dim)) return wrong;
  if (const problem wrong = check_rotate(rotary, from, p)) return wrong.in("rotate_to");
  return detail::check_scale("rotate_to", scale);
}

/// Rotates and stores as int8 with one scale per row, in one pass over memory: to = scale * R(p) from.
///
/// from  [num_tokens, num_heads, head_dim], head_dim at most 2048
/// to    the same shape, and [num_tokens, num_heads] scales, in the caller's memory
/// Errors    those of `check_rotate_to`, raised before anything is written.
/// Accuracy  that of `rotate`, then half a scale; a row with a NaN or an infinity becomes zeros with a scale of NaN.
template <element S, position_source P>
void rotate_to(unchecked_t, const rope& rotary, head_view<S> from, quantized_view<std::int8_t> to, const P& p,
               double scale = 1) noexcept {
  const auto at = as_positions(p);
  const double magnitude = scale * rotary.inv_freq().attention_factor();
  detail::turn_to<detail::angles_at<std::remove_const_t<decltype(at)>>, std::remove_const_t<S>>(
      {rotary, at, magnitude, direction::forward}, detail::slice_of(rotary, direction::forward), from, to, scale);
}
template <element S, position_source P>
void rotate_to(const rope& rotary, head_view<S> from, quantized_view<std::int8_t> to, const P& p, double scale = 1) {
  raise_if(check_rotate_to(rotary, from, to, p, scale));
  rotate_to(unchecked, rotary, from, to, p, scale);
}

/// Returns what would be wrong with `rotate_to(rows, pairs, from, to, options)`, if anything.
template <element C, element S>
problem check_rotate_to(cos_sin_rows<C> rows, pairing, head_view<S> from, quantized_view<std::int8_t> to,
                        const rotate_to_options& options = {}) noexcept {
  if (const problem wrong = detail::check_same_shape("rotate_to", from, to)) return wrong;
  if (const problem wrong = detail::check_quantized_columns("rotate_to", to.head_dim)) return wrong;
  return detail::check_slice_of_rows(rows, from, options);
}

/// The same by given rows: one table for all layers of a step.
template <element C, element S>
void rotate_to(unchecked_t, cos_sin_rows<C> rows, pairing pairs, head_view<S> from, quantized_view<std::int8_t> to,
               const rotate_to_options& options = {}) noexcept {
  detail::turn_to<detail::angles_from<C>, std::remove_const_t<S>>(
      {rows, options.scale, options.way}, detail::slice_of(pairs, rows.num_pairs, options), from, to, options.scale);
}
template <element C, element S>
void rotate_to(cos_sin_rows<C> rows, pairing pairs, head_view<S> from, quantized_view<std::int8_t> to,
               const rotate_to_options& options = {}) {
  raise_if(check_rotate_to(rows, pairs, from, to, options));
  rotate_to(unchecked, rows, pairs, from, to, options);
}

// ---- In an int8 cache ----

/// Returns what would be wrong with rotating int8 rows in place, if anything.
template <position_source P>
problem check_rotate(const rope& rotary, quantized_view<std::int8_t> x, const P& p) noexcept {
  if (const problem wrong = detail::check_quantized_columns("rotate", x.head_dim)) return wrong;
  return hooks::check_rotate<float>(rotary, {x.num_tokens, x.num_heads, x.head_dim}, as_positions(p));
}

/// Rotates int8 rows in place; each gets a new scale.
template <position_source P>
void rotate(unchecked_t, const rope& rotary, quantized_view<std::int8_t> x, const P& p) noexcept {
  const auto at = as_positions(p);
  const detail::angles_at<std::remove_const_t<decltype(at)>> angles{rotary, at, rotary.inv_freq().attention_factor(),
                                                                    direction::forward};
  detail::turn_quantized(angles, detail::slice_of(rotary, direction::forward), x);
}
template <position_source P>
void rotate(const rope& rotary, quantized_view<std::int8_t> x, const P& p) {
  raise_if(check_rotate(rotary, x, p));
  rotate(unchecked, rotary, x, p);
}

/// Moves rotated keys forward by `by` positions (back, if negative), like the other `shift`.
template <position_source P>
void shift(unchecked_t, const rope& rotary, quantized_view<std::int8_t> rotated, const P& by) noexcept {
  const auto at = as_positions(by);
  const detail::angles_at<std::remove_const_t<decltype(at)>> angles{rotary, at, 1, direction::forward};
  const pairing written = rotary.output_layout();
  detail::turn_quantized(angles, {written, written, rotary.first_column(), rotary.num_pairs()}, rotated);
}
template <position_source P>
void shift(const rope& rotary, quantized_view<std::int8_t> rotated, const P& by) {
  raise_if(check_rotate(rotary, rotated, by));
  shift(unchecked, rotary, rotated, by);
}

// ---- From one list of frequencies to another ----

/// The rotation that converts keys rotated by `from` to keys rotated by `to`, for a cache when dynamic NTK has grown
/// its base, or a LongRoPE model crosses its original length.
///
///     rotate(rerotation(short_rope, long_rope), cache, positions_of_the_cached_keys);
///
/// One pass, at the keys' own positions; the attention factor of `from` is replaced by that of `to`. Making it
/// allocates, as for any `rope`.
///
/// Errors    different numbers of pairs, axes, pairings, signs or first columns throw invalid_argument, and so do
///           float32_angles in either: `unrotate` and `rotate` such keys.
/// Accuracy  that of `rotate`: the difference of the frequencies is exact to the lists' own 2^-192 of a turn.
inline rope rerotation(const rope& from, const rope& to) {
  const auto same = [](const char* what, auto of_to, auto of_from) {
    require(of_to == of_from, "rerotation", what, static_cast<index_t>(of_to), "#, that of from",
            static_cast<index_t>(of_from));
  };
  same("num_pairs of to", to.num_pairs(), from.num_pairs());
  same("first_column of to", to.first_column(), from.first_column());
  same("output_layout of to", to.output_layout(), from.output_layout());
  same("sign of to", to.sign(), from.sign());
  return rope(to.output_layout(), difference(to.inv_freq(), from.inv_freq()),
              {.first_column = to.first_column(), .sign = to.sign()});
}

}  // namespace posenc::inline POSENC_ISA
