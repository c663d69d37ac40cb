// An engine author's program: a rotary model, raw pointers, a cache. It compiles without exceptions too.
#pragma once

#include <posenc/attention/attend.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/scaling/llama3.hpp>

#include <algorithm>
#include <vector>

/// Rotated keys and values of all tokens so far: [num_tokens, 8, 128].
class kv_cache {
 public:
  explicit kv_cache(posenc::index_t max_tokens)
      : keys_(static_cast<std::size_t>(max_tokens * row)), values_(static_cast<std::size_t>(max_tokens * row)) {}

  void append(const posenc::bf16* k, const posenc::bf16* v, posenc::index_t num_tokens) {
    std::copy_n(k, num_tokens * row, keys_.data() + num_tokens_ * row);
    std::copy_n(v, num_tokens * row, values_.data() + num_tokens_ * row);
    num_tokens_ += num_tokens;
  }
  posenc::head_view<const posenc::bf16> keys() const { return {keys_.data(), num_tokens_, 8, 128}; }
  posenc::head_view<const posenc::bf16> values() const { return {values_.data(), num_tokens_, 8, 128}; }

 private:
  static constexpr posenc::index_t row = 8 * 128;
  std::vector<posenc::bf16> keys_, values_;
  posenc::index_t num_tokens_ = 0;
};

inline posenc::rope llama3_rope() {
  using namespace posenc;
  const rope rotary(pairing::half, llama3_frequencies({.head_dim = 128,
                                                       .rope_theta = 500000,
                                                       .factor = 8,
                                                       .low_freq_factor = 1,
                                                       .high_freq_factor = 4,
                                                       .original_max_position_embeddings = 8192}));
  return rotary;
}

/// One layer of attention for `num_tokens` tokens after `past` others.
inline void attend_step(const posenc::rope& rotary, posenc::bf16* q_ptr, posenc::bf16* k_ptr, const posenc::bf16* v_ptr,
                        posenc::bf16* out_ptr, posenc::index_t past, posenc::index_t num_tokens, kv_cache& cache) {
  using namespace posenc;
  head_view<bf16> out{out_ptr, num_tokens, 32, 128};

  head_view<bf16> q{q_ptr, num_tokens, 32, 128}, k{k_ptr, num_tokens, 8, 128};
  rotate(rotary, q, k, positions(past, num_tokens));
  cache.append(k_ptr, v_ptr, num_tokens);
  attend(q, cache.keys(), cache.values(), out, no_encoding{}, {.band = causal()});
}
