// What each unit of the consumer does: rotates queries and keys, then attends, with its own checks and without
// exceptions.
#pragma once

#include "wave.hpp"

#include <posenc/attention/reference.hpp>
#include <posenc/attention/self_attention.hpp>
#include <posenc/eigen.hpp>
#include <posenc/posenc.hpp>
#include <posenc/testing/laws.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

// Not named after an instruction set: units that emit it share one copy (two_instruction_sets.sh).
[[gnu::noinline]] inline double outside(const std::vector<float>& x) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * std::cos(0.1 * static_cast<double>(i));
  return sum;
}

static double run_layer() {
  using namespace posenc;
  constexpr index_t num_tokens = 5;
  constexpr index_t num_heads = 4;
  constexpr index_t num_kv_heads = 2;
  constexpr index_t head_dim = 8;
  constexpr double failed = std::numeric_limits<double>::max();

  std::vector<float> q_memory = wave(num_tokens * num_heads * head_dim, 0.7);
  std::vector<float> k_memory = wave(num_tokens * num_kv_heads * head_dim, 0.3);
  std::vector<float> v_memory = wave(num_tokens * num_kv_heads * head_dim, 0.2);
  std::vector<float> out_memory(q_memory.size());
  const head_view<float> q(q_memory.data(), num_tokens, num_heads, head_dim);
  const head_view<float> k(k_memory.data(), num_tokens, num_kv_heads, head_dim);
  const head_view<const float> v(v_memory.data(), num_tokens, num_kv_heads, head_dim);
  const head_view<float> out(out_memory.data(), num_tokens, num_heads, head_dim);

  const rope rotary(pairing::half, default_frequencies({.head_dim = head_dim, .rope_theta = 10000}));
  const any_encoding<float> bias{alibi<float>(num_heads)};
  const attend_options<float> options{.band = causal()};
  const positions ids(7, num_tokens);
  if (check_rotate(rotary, q, ids) || check_rotate(rotary, k, ids)) return failed;
  if (check_attend(q, k, v, out, scores_of(bias), options)) return failed;

  rotate(unchecked, rotary, q, k, ids);
  attend(unchecked, q, k, v, out, scores_of(bias), options);
  return outside(out_memory);
}
