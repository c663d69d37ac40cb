// Converts heads to int8 with one scale per row, and back.
#pragma once

#include <posenc/encode.hpp>  // unchecked
#include <posenc/kernels/quantize.hpp>
#include <posenc/quantized_view.hpp>
#include <posenc/view.hpp>

#include <cstdint>
#include <type_traits>

namespace posenc::inline POSENC_ISA {

namespace detail {

/// Returns what differs between the shapes of two views, if anything.
template <class From, class To>
problem check_same_shape(const char* operation, const From& from, const To& to) noexcept {
  if (to.num_tokens != from.num_tokens)
    return problem::invalid(operation, "num_tokens of to", to.num_tokens, "#, that of from", from.num_tokens);
  if (to.num_heads != from.num_heads)
    return problem::invalid(operation, "num_heads of to", to.num_heads, "#, that of from", from.num_heads);
  if (to.head_dim != from.head_dim)
    return problem::invalid(operation, "head_dim of to", to.head_dim, "#, that of from", from.head_dim);
  return {};
}

}  // namespace detail

/// Stores heads as int8 with one scale per row: values into a cache, say. (`rotate_to` rotates and quantizes keys in
/// one pass.)
///
///     scale = max |row| / 127, rounded to float; 1 where that is zero
///     to    = row / scale, rounded to the nearest integer, ties to even
///
/// from  [num_tokens, num_heads, head_dim]
/// to    the same shape, and [num_tokens, num_heads] scales
/// Errors    different shapes throw invalid_argument, before anything is written.
/// Accuracy  within half a scale; a row with a NaN or an infinity becomes zeros with a scale of NaN.
template <element S>
void quantize(unchecked_t, head_view<S> from, quantized_view<std::int8_t> to) noexcept {
  for (index_t t = 0; t < from.num_tokens; ++t) {
    for (index_t h = 0; h < from.num_heads; ++h) {
      const std::remove_const_t<S>* row = from.row(t, h);
      to.scale(t, h) = kernels::quantization_scale(row, from.head_dim);
      kernels::quantize(row, from.head_dim, to.scale(t, h), to.row(t, h));
    }
  }
}
template <element S>
void quantize(head_view<S> from, quantized_view<std::int8_t> to) {
  raise_if(detail::check_same_shape("quantize", from, to));
  quantize(unchecked, from, to);
}

/// to = scale * from, rounded once to the element type of `to`.
template <class Q, scalar S>
void dequantize(unchecked_t, quantized_view<Q> from, head_view<S> to) noexcept {
  for (index_t t = 0; t < from.num_tokens; ++t) {
    for (index_t h = 0; h < from.num_heads; ++h) {
      kernels::dequantize(from.row(t, h), from.head_dim, from.scale(t, h), to.row(t, h));
    }
  }
}
template <class Q, scalar S>
void dequantize(quantized_view<Q> from, head_view<S> to) {
  raise_if(detail::check_same_shape("dequantize", from, to));
  dequantize(unchecked, from, to);
}

}  // namespace posenc::inline POSENC_ISA
