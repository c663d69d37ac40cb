// Rotates from one place to another: between element types, strides and pairings, scaled on the way.
#pragma once

#include <posenc/encodings/rope.hpp>
#include <posenc/kernels/change_pairing.hpp>
#include <posenc/kernels/convert.hpp>
#include <posenc/kernels/rotate_to.hpp>
#include <posenc/quantize.hpp>  // check_same_shape

#include <algorithm>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace posenc::inline POSENC_ISA {

namespace detail {

/// Which columns rotate, and how they are read and written.
struct turned_slice {
  pairing read;
  pairing written;
  index_t first_column;
  index_t num_pairs;

  index_t end() const noexcept { return first_column + 2 * num_pairs; }
};

inline turned_slice slice_of(pairing pairs, pairing output, index_t first_column, index_t num_pairs,
                             direction way) noexcept {
  if (way == direction::inverse) std::swap(pairs, output);
  return {pairs, output, first_column, num_pairs};
}
inline turned_slice slice_of(const rope& rotary, direction way) noexcept {
  return slice_of(rotary.layout(), rotary.output_layout(), rotary.first_column(), rotary.num_pairs(), way);
}

/// Cosines and sines of a token's pairs, wherever they are stored.
template <real T>
struct angle_row {
  const T* cos;
  const T* sin;
};

/// Angles computed on the fly.
template <token_positions P>
struct angles_at {
  const rope& rotary;
  P at;
  double magnitude;
  direction way;

  template <real T>
  angle_row<T> row(index_t t, index_t first, index_t count, T* cos, T* sin) const noexcept {
    rotary.angles(at, t, first, count, magnitude, cos, sin);
    if (way == direction::inverse) {
      for (index_t i = 0; i < count; ++i) sin[i] = -sin[i];
    }
    return {cos, sin};
  }
};

/// Angles from row t of a table.
template <element C>
struct angles_from {
  cos_sin_rows<C> rows;
  double magnitude;
  direction way;

  template <real T>
  angle_row<T> row(index_t t, index_t first, index_t count, T* cos, T* sin) const noexcept {
    const C* row_cos = rows.cos + t * rows.row_stride + first;
    const C* row_sin = rows.sin + t * rows.row_stride + first;
    if constexpr (std::same_as<std::remove_const_t<C>, T>) {
      if (magnitude == 1 && way == direction::forward) return {row_cos, row_sin};
    }
    const T of_cosine = static_cast<T>(magnitude);
    const T of_sine = way == direction::forward ? of_cosine : -of_cosine;
    kernels::convert<T, std::remove_const_t<C>, T>(row_cos, cos, count, of_cosine);
    kernels::convert<T, std::remove_const_t<C>, T>(row_sin, sin, count, of_sine);
    return {cos, sin};
  }
};

/// Copies and scales the columns of a row that do not rotate.
template <real T, scalar S, scalar D>
void pass_columns(const S* from, D* to, index_t head_dim, const turned_slice& slice, T scale) noexcept {
  kernels::convert(from, to, slice.first_column, scale);
  kernels::convert(from + slice.end(), to + slice.end(), head_dim - slice.end(), scale);
}

template <class Angles, scalar S, scalar D>
void turn_to(const Angles& angles, turned_slice slice, head_view<const S> from, head_view<D> to,
             double scale) noexcept {
  using T = std::common_type_t<compute_t<S>, compute_t<D>>;
  constexpr index_t block = kernels::max_pairs;
  T cos[block];
  T sin[block];
  // In place, columns must not move before their neighbors are read.
  const bool moves = static_cast<const void*>(from.data) == to.data && slice.read != slice.written;
  const pairing written = moves ? slice.read : slice.written;
  for (index_t t = 0; t < from.num_tokens; ++t) {
    D* to_slice = to.row(t, 0) + slice.first_column;
    for (index_t first = 0; first < slice.num_pairs; first += block) {
      const index_t count = std::min(block, slice.num_pairs - first);
      const angle_row<T> row = angles.template row<T>(t, first, count, cos, sin);
      kernels::rotate_heads_to(from.row(t, 0) + slice.first_column, from.head_stride, slice.read,  //
                               to_slice, to.head_stride, written,                                  //
                               from.num_heads, slice.num_pairs, first, count, row.cos, row.sin);
    }
    if (moves) kernels::change_pairing(to_slice, to.num_heads, to.head_stride, slice.read, slice.num_pairs);
    if (slice.end() - slice.first_column == from.head_dim) continue;
    for (index_t h = 0; h < from.num_heads; ++h) {
      pass_columns(from.row(t, h), to.row(t, h), from.head_dim, slice, static_cast<T>(scale));
    }
  }
}

inline problem check_scale(const char* operation, double scale) noexcept {
  if (kernels::detail::is_finite(scale)) return {};
  return problem::invalid(operation, "scale", scale, "finite");
}

/// Reports different shapes, or the same memory viewed in different ways.
template <element S, scalar D>
problem check_places(const char* operation, head_view<S> from, head_view<D> to) noexcept {
  if (const problem wrong = check_same_shape(operation, from, to)) return wrong;
  if (static_cast<const void*>(from.data) != to.data || from.data == nullptr) return {};
  if (sizeof(S) != sizeof(D)) {
    return problem::invalid(operation, "bytes of an element of to", sizeof(D), "#, because to is from", sizeof(S));
  }
  if (to.token_stride != from.token_stride) {
    return problem::invalid(operation, "token_stride of to", to.token_stride, "#, because to is from",
                            from.token_stride);
  }
  if (to.head_stride != from.head_stride) {
    return problem::invalid(operation, "head_stride of to", to.head_stride, "#, because to is from", from.head_stride);
  }
  return {};
}

}  // namespace detail

// ---- By positions ----

/// Returns what would be wrong with `rotate_to(rotary, from, to, p, scale)` or `unrotate_to`, if anything.
template <element S, scalar D, position_source P>
problem check_rotate_to(const rope& rotary, head_view<S> from, head_view<D> to, const P& p, double scale = 1) noexcept {
  if (const problem wrong = detail::check_places("rotate_to", from, to)) return wrong;
  if (const problem wrong = check_rotate(rotary, from, p)) return wrong.in("rotate_to");
  return detail::check_scale("rotate_to", scale);
}

/// Rotates into other memory in one pass: keys into their cache, for example, with the cache's strides and element
/// type.
///
///     to = scale * R(p) from
///
/// from   [num_tokens, num_heads, head_dim]
/// to     the same shape, its own strides and element type; columns outside the rotary slice are only scaled. It may be
///        `from` itself (same memory, type and strides); other overlaps are not allowed.
/// p      one position per token
/// Errors     those of `check_rotate_to`, raised before anything is written.
/// Accuracy   as `rotate`: computed in float (in double if either is double), rounded once to the type of `to`.
template <element S, scalar D, position_source P>
void rotate_to(unchecked_t, const rope& rotary, head_view<S> from, head_view<D> to, const P& p,
               double scale = 1) noexcept {
  const auto at = as_positions(p);
  const double magnitude = scale * rotary.inv_freq().attention_factor();
  detail::turn_to<detail::angles_at<std::remove_const_t<decltype(at)>>, std::remove_const_t<S>, D>(
      {rotary, at, magnitude, direction::forward}, detail::slice_of(rotary, direction::forward), from, to, scale);
}
template <element S, scalar D, position_source P>
void rotate_to(const rope& rotary, head_view<S> from, head_view<D> to, const P& p, double scale = 1) {
  raise_if(check_rotate_to(rotary, from, to, p, scale));
  rotate_to(unchecked, rotary, from, to, p, scale);
}

/// Undoes `rotate_to` into other memory, including the attention factor: to = scale * R(-p) from.
template <element S, scalar D, position_source P>
void unrotate_to(unchecked_t, const rope& rotary, head_view<S> from, head_view<D> to, const P& p,
                 double scale = 1) noexcept {
  const auto at = as_positions(p);
  const double magnitude = scale / rotary.inv_freq().attention_factor();
  detail::turn_to<detail::angles_at<std::remove_const_t<decltype(at)>>, std::remove_const_t<S>, D>(
      {rotary, at, magnitude, direction::inverse}, detail::slice_of(rotary, direction::inverse), from, to, scale);
}
template <element S, scalar D, position_source P>
void unrotate_to(const rope& rotary, head_view<S> from, head_view<D> to, const P& p, double scale = 1) {
  if (const problem wrong = check_rotate_to(rotary, from, to, p, scale)) raise(wrong.in("unrotate_to"));
  unrotate_to(unchecked, rotary, from, to, p, scale);
}

/// Rotates in place and multiplies all columns by `scale`, such as queries by their softmax scale.
template <scalar S, position_source P>
void rotate_scaled(unchecked_t, const rope& rotary, head_view<S> x, double scale, const P& p) noexcept {
  if (rotary.rotary_dim() == x.head_dim) {
    rotary.turn(as_positions(p), direction::forward, scale * rotary.inv_freq().attention_factor(), x);
  } else {
    rotate_to(unchecked, rotary, x, x, p, scale);
  }
}
template <scalar S, position_source P>
void rotate_scaled(const rope& rotary, head_view<S> x, double scale, const P& p) {
  if (const problem wrong = check_rotate_to(rotary, x, x, p, scale)) raise(wrong.in("rotate_scaled"));
  rotate_scaled(unchecked, rotary, x, scale, p);
}

// ---- By rows of cosines and sines ----

/// Options of `rotate_to` by given rows.
struct rotate_to_options {
  index_t first_column = 0;            // of the rotary slice in a head
  std::optional<pairing> output{};     // the pairing that is written; default: the one that is read
  direction way = direction::forward;  // inverse: the adjoint, from `output` back to the other one
  double scale = 1;                    // of all columns
};

namespace detail {

inline turned_slice slice_of(pairing pairs, index_t num_pairs, const rotate_to_options& options) noexcept {
  return slice_of(pairs, options.output.value_or(pairs), options.first_column, num_pairs, options.way);
}

template <element C, element S>
problem check_slice_of_rows(cos_sin_rows<C> rows, head_view<S> from, const rotate_to_options& options) noexcept {
  if (const problem wrong = check_rows("rotate_to", rows, rows.num_pairs, from.num_tokens)) return wrong;
  if (const problem wrong = check_row_slice(rows, from.head_dim, options.first_column)) return wrong.in("rotate_to");
  return check_scale("rotate_to", options.scale);
}

}  // namespace detail

/// Returns what would be wrong with `rotate_to(rows, pairs, from, to, options)`, if anything.
template <element C, element S, scalar D>
problem check_rotate_to(cos_sin_rows<C> rows, pairing pairs, head_view<S> from, head_view<D> to,
                        const rotate_to_options& options = {}) noexcept {
  if (const problem wrong = detail::check_places("rotate_to", from, to)) return wrong;
  if (const problem wrong = detail::check_slice_of_rows(rows, from, options)) return wrong;
  if (options.output.value_or(pairs) == pairs || rows.num_pairs <= kernels::max_moved_pairs) return {};
  return problem::invalid("rotate_to", "pairs of the cos and sin rows", rows.num_pairs,
                          "at most # with another pairing for output", kernels::max_moved_pairs);
}

/// Rotates into other memory by given rows, row t for token t: to = scale * R from.
///
/// rows   [>= num_tokens, num_pairs], including the attention factor and a negative sign, as `fill_cos_sin` writes them
/// pairs  the pairing that is read
template <element C, element S, scalar D>
void rotate_to(unchecked_t, cos_sin_rows<C> rows, pairing pairs, head_view<S> from, head_view<D> to,
               const rotate_to_options& options = {}) noexcept {
  detail::turn_to<detail::angles_from<C>, std::remove_const_t<S>, D>(
      {rows, options.scale, options.way}, detail::slice_of(pairs, rows.num_pairs, options), from, to, options.scale);
}
template <element C, element S, scalar D>
void rotate_to(cos_sin_rows<C> rows, pairing pairs, head_view<S> from, head_view<D> to,
               const rotate_to_options& options = {}) {
  raise_if(check_rotate_to(rows, pairs, from, to, options));
  rotate_to(unchecked, rows, pairs, from, to, options);
}

}  // namespace posenc::inline POSENC_ISA
