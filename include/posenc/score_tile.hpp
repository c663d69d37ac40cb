// The score tile that encodings see, the shapes that checks see, and the destinations of gradients.
#pragma once

#include <posenc/positions.hpp>  // position_t
#include <posenc/scalar.hpp>     // real

#include <span>

namespace posenc::inline POSENC_ISA {

/// The scores of one head for a block of queries and a block of keys: scaled, soft-capped, masked (minus infinity), in
/// natural units. Each block of queries sees its key blocks from last to first, so that a running sum over distance
/// needs only a carry.
template <real T>
struct score_tile {
  T* scores = nullptr;  // [num_queries, num_keys], by the two strides below, one of which is 1
  index_t query_stride = 0;
  index_t key_stride = 0;
  index_t num_queries = 0;
  index_t num_keys = 0;                         // 0 when a block of queries begins
  index_t head = 0;                             // index in the whole model, even if this call has only some heads
  index_t first_query = 0;                      // row among the call's queries
  index_t first_key = 0;                        // index of the first key in the sequence
  const position_t* query_positions = nullptr;  // [num_queries]
  const position_t* key_positions = nullptr;    // [num_keys]
  bool consecutive = false;                     // both position lists count up by one

  // Only for encodings that read content; null for others.
  const T* queries = nullptr;  // scale * q: [num_queries, head_dim], by the two strides below
  index_t query_token_stride = 0;
  index_t query_dim_stride = 0;
  const T* keys = nullptr;  // [num_keys, head_dim]
  index_t key_token_stride = 0;
  index_t head_dim = 0;
  T scale = 1;
  T* scratch = nullptr;  // [scratch_size(num_queries)], kept across all tiles of a block of queries

  T& score(index_t q, index_t k) const noexcept { return scores[q * query_stride + k * key_stride]; }
  T query(index_t q, index_t d) const noexcept { return queries[q * query_token_stride + d * query_dim_stride]; }
  T key(index_t k, index_t d) const noexcept { return keys[k * key_token_stride + d]; }
  position_t distance(index_t q, index_t k) const noexcept { return query_positions[q] - key_positions[k]; }
};

/// What the adjoint of `add_to_scores` reads and writes.
template <real T>
struct score_gradients {
  T* scores = nullptr;      // laid out like the tile's; in: complete dL/dscore after the encoding; out: before it
  T* queries = nullptr;     // += dL/d(scale * q), laid out like the tile's queries
  T* keys = nullptr;        // += dL/dk, laid out like the tile's keys
  std::span<T> parameters;  // += dL/dparameters
};

/// Shape that `add_to` is about to be called on.
struct embedding_shape {
  index_t num_tokens = 0;
  index_t dim = 0;
};
/// Shape that `apply_to_queries` or `apply_to_keys` is about to be called on.
struct head_shape {
  index_t num_tokens = 0;
  index_t num_heads = 0;
  index_t head_dim = 0;
};
/// Shape of the scores that `attend` is about to compute.
struct score_shape {
  index_t num_queries = 0;
  index_t num_keys = 0;
  index_t num_heads = 0;  // of the queries
  index_t head_dim = 0;
  index_t first_head = 0;  // index in the whole model
};

/// Returns what is wrong with a call's heads for an encoding that has parameters for `num_heads`, if anything.
inline problem check_heads(const score_shape& shape, index_t num_heads) noexcept {
  const index_t end = shape.first_head + shape.num_heads;
  if (end <= num_heads) return {};
  return problem::invalid("attend", shape.first_head > 0 ? "first_head + num_heads" : "num_heads", end,
                          "at most #, the heads of the encoding", num_heads);
}

}  // namespace posenc::inline POSENC_ISA
