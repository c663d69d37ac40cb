// Non-owning strided views: embeddings, and the heads of queries, keys and values.
#pragma once

#include <posenc/error.hpp>   // index_t
#include <posenc/scalar.hpp>  // scalar

#include <concepts>
#include <type_traits>

namespace posenc::inline POSENC_ISA {

template <class S>
concept element = scalar<std::remove_const_t<S>>;

/// Embeddings: [num_tokens, dim], the columns of a token contiguous, tokens any stride apart.
template <element S>
struct token_view {
  S* data = nullptr;
  index_t num_tokens = 0;
  index_t dim = 0;
  index_t token_stride = 0;  // in elements

  token_view() = default;
  token_view(S* x, index_t tokens, index_t columns) : token_view(x, tokens, columns, columns) {}
  token_view(S* x, index_t tokens, index_t columns, index_t stride)
      : data(x), num_tokens(tokens), dim(columns), token_stride(stride) {}
  /// Conversion to a const view.
  template <class M>
  requires(std::is_const_v<S>&& std::same_as<M, std::remove_const_t<S>>) token_view(const token_view<M>& x)
      : token_view(x.data, x.num_tokens, x.dim, x.token_stride) {}

  S* token(index_t t) const noexcept { return data + t * token_stride; }  // [dim]
  token_view tokens(index_t first, index_t count) const noexcept { return {token(first), count, dim, token_stride}; }
};

/// Queries, keys or values: [num_tokens, num_heads, head_dim], the columns of a head contiguous, tokens and heads any
/// stride apart. Token-major memory, head-major memory, packed QKV and part of a KV cache are all this one type.
template <element S>
struct head_view {
  S* data = nullptr;
  index_t num_tokens = 0;
  index_t num_heads = 0;
  index_t head_dim = 0;
  index_t token_stride = 0;  // in elements
  index_t head_stride = 0;   // in elements

  head_view() = default;
  /// Dense, token-major: [num_tokens, num_heads, head_dim].
  head_view(S* x, index_t tokens, index_t heads, index_t columns)
      : head_view(x, tokens, heads, columns, heads * columns, columns) {}
  head_view(S* x, index_t tokens, index_t heads, index_t columns, index_t stride_of_tokens, index_t stride_of_heads)
      : data(x),
        num_tokens(tokens),
        num_heads(heads),
        head_dim(columns),
        token_stride(stride_of_tokens),
        head_stride(stride_of_heads) {}
  /// Conversion to a const view.
  template <class M>
  requires(std::is_const_v<S>&& std::same_as<M, std::remove_const_t<S>>) head_view(const head_view<M>& x)
      : head_view(x.data, x.num_tokens, x.num_heads, x.head_dim, x.token_stride, x.head_stride) {}

  S* row(index_t token, index_t head) const noexcept {
    return data + token * token_stride + head * head_stride;
  }  // [head_dim]
  head_view tokens(index_t first, index_t count) const noexcept {
    return {row(first, 0), count, num_heads, head_dim, token_stride, head_stride};
  }
  head_view heads(index_t first, index_t count) const noexcept {
    return {row(0, first), num_tokens, count, head_dim, token_stride, head_stride};
  }
  /// As a key source: all `count` tokens from `first` on are one piece.
  head_view block(index_t first, index_t count) const noexcept { return tokens(first, count); }
};

/// Dense, head-major: memory is [num_heads, num_tokens, head_dim].
template <element S>
head_view<S> head_major(S* data, index_t num_heads, index_t num_tokens, index_t head_dim) {
  return {data, num_tokens, num_heads, head_dim, head_dim, num_tokens * head_dim};
}

}  // namespace posenc::inline POSENC_ISA
