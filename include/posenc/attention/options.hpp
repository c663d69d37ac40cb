// Options of attention.
#pragma once

#include <posenc/attention/masks.hpp>
#include <posenc/parallel.hpp>
#include <posenc/positions.hpp>
#include <posenc/scalar.hpp>

#include <optional>
#include <span>

namespace posenc::inline POSENC_ISA {

/// Positions of queries and keys, for encodings that act on scores; default: indices in the sequence.
struct query_key_positions {
  std::optional<positions> queries{};
  std::optional<positions> keys{};
};

/// Log-sum-exp of each query's scores: [num_queries, num_heads], strided.
template <real T>
struct lse_view {
  T* data = nullptr;  // null: not wanted
  index_t num_tokens = 0;
  index_t num_heads = 0;
  index_t token_stride = 0;
  index_t head_stride = 0;

  lse_view() = default;
  /// Dense, token-major.
  lse_view(T* x, index_t tokens, index_t heads) : lse_view(x, tokens, heads, heads, 1) {}
  lse_view(T* x, index_t tokens, index_t heads, index_t stride_of_tokens, index_t stride_of_heads)
      : data(x), num_tokens(tokens), num_heads(heads), token_stride(stride_of_tokens), head_stride(stride_of_heads) {}

  T& at(index_t token, index_t head) const noexcept { return data[token * token_stride + head * head_stride]; }
};

/// The caller's memory and threads.
template <real T>
struct run_options {
  std::span<T> workspace{};  // [workspace_size(...)]; empty: use a small block on the stack
  parallel_for threads{};
};

/// Options of attention computed in T. The order of operations is scale, soft-cap, encoding, mask, softmax.
template <real T>
struct attend_options {
  index_band band{};                      // default: every key
  std::optional<index_t> query_offset{};  // index of the first query; default: the queries are the last tokens
  query_key_positions positions{};
  std::optional<double> scale{};  // default: 1 / sqrt(head_dim)
  double softcap = 0;             // c > 0: s becomes c tanh(s / c)
  std::span<const T> sinks{};     // [num_heads]: an extra score in the softmax that has no value
  lse_view<T> lse{};
  run_options<T> run{};
  attend_masks more{};
};

}  // namespace posenc::inline POSENC_ISA
