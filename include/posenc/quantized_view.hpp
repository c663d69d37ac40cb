// A view of heads stored as int8 with one scale per row, as in a quantized KV cache.
#pragma once

#include <posenc/error.hpp>  // index_t

#include <concepts>
#include <cstdint>
#include <type_traits>

namespace posenc::inline POSENC_ISA {

/// Queries, keys or values as int8, [num_tokens, num_heads, head_dim], with one scale per row of head_dim columns,
/// [num_tokens, num_heads]. Column i of a row is scale * row[i]. Owns neither array; each has its own strides.
///
///     quantized_view<std::int8_t> keys(memory, scales, num_tokens, num_kv_heads, head_dim);   // dense
///
/// `quantize` and `rotate_to` write symmetric values, from -127 to 127, without a zero point. Where AVX512-VNNI
/// multiplies them, `attend` is less accurate than with other types; its Accuracy states by how much.
template <class Q>
requires std::same_as<std::remove_const_t<Q>, std::int8_t>
struct quantized_view {
  using scale_type = std::conditional_t<std::is_const_v<Q>, const float, float>;

  Q* data = nullptr;
  scale_type* scales = nullptr;
  index_t num_tokens = 0;
  index_t num_heads = 0;
  index_t head_dim = 0;
  index_t token_stride = 0;  // in elements of data
  index_t head_stride = 0;
  index_t scale_token_stride = 0;  // in scales
  index_t scale_head_stride = 0;

  quantized_view() = default;
  /// Dense, token-major.
  quantized_view(Q* x, scale_type* row_scales, index_t tokens, index_t heads, index_t columns)
      : quantized_view(x, row_scales, tokens, heads, columns, heads * columns, columns, heads, 1) {}
  quantized_view(Q* x, scale_type* row_scales, index_t tokens, index_t heads, index_t columns, index_t stride_of_tokens,
                 index_t stride_of_heads, index_t stride_of_scales_of_tokens, index_t stride_of_scales_of_heads)
      : data(x),
        scales(row_scales),
        num_tokens(tokens),
        num_heads(heads),
        head_dim(columns),
        token_stride(stride_of_tokens),
        head_stride(stride_of_heads),
        scale_token_stride(stride_of_scales_of_tokens),
        scale_head_stride(stride_of_scales_of_heads) {}
  /// Conversion to a const view.
  template <class M>
  requires(std::is_const_v<Q>&& std::same_as<M, std::remove_const_t<Q>>) quantized_view(const quantized_view<M>& x)
      : quantized_view(x.data, x.scales, x.num_tokens, x.num_heads, x.head_dim, x.token_stride, x.head_stride,
                       x.scale_token_stride, x.scale_head_stride) {}

  Q* row(index_t token, index_t head) const noexcept {
    return data + token * token_stride + head * head_stride;
  }  // [head_dim]
  scale_type& scale(index_t token, index_t head) const noexcept {
    return scales[token * scale_token_stride + head * scale_head_stride];
  }
  quantized_view tokens(index_t first, index_t count) const noexcept {
    quantized_view part = *this;
    part.data = row(first, 0);
    part.scales = scales + first * scale_token_stride;
    part.num_tokens = count;
    return part;
  }
  quantized_view heads(index_t first, index_t count) const noexcept {
    quantized_view part = *this;
    part.data = row(0, first);
    part.scales = scales + first * scale_head_stride;
    part.num_heads = count;
    return part;
  }
  /// As a key source: all `count` tokens from `first` on are one piece.
  quantized_view block(index_t first, index_t count) const noexcept { return tokens(first, count); }
};

}  // namespace posenc::inline POSENC_ISA
