// What is the share of position in a step of a real model?
//
// One layer of Llama-3.1-8B: 4096 columns, 32 heads of 128 on 8, 14336 hidden columns. Its matrices, of bf16, are stood
// for by their limit: reading them once, or multiply-adds at the peak, of bf16 in the matrix unit where there is one
// and of float elsewhere, whichever takes longer. Position's share is an upper figure so. `percent_position`: rotating
// q and k, and the keys into the cache.
#include "attention_call.hpp"
#include "beside.hpp"

#include <posenc/encodings/rope.hpp>
#include <posenc/encodings/rope_to.hpp>
#include <posenc/scaling/llama3.hpp>

#include <algorithm>

namespace posenc_bench {
namespace {

using namespace posenc;

constexpr index_t dim = 4096, num_heads = 32, num_kv_heads = 8, head_dim = 128, hidden = 14336;
constexpr double num_weights = 2.0 * dim * dim + 2.0 * dim * num_kv_heads * head_dim + 3.0 * dim * hidden;

/// Rotates the queries in place, and the keys on their way into the last rows of the cache.
class layer {
 public:
  layer(index_t num_tokens, index_t num_keys)
      : attention_({num_tokens, num_keys, head_dim, num_heads, num_kv_heads, true}),
        new_keys_(num_tokens * num_kv_heads * head_dim),
        weights_(static_cast<index_t>(num_weights) / 2) {}

  void position() {
    const attention_sizes& of = attention_.of;
    const positions at(of.num_keys - of.num_queries, of.num_queries);
    const head_view<const float> keys(new_keys_.data(), of.num_queries, num_kv_heads, head_dim);
    rotate(unchecked, rotary_, attention_.queries(), at);
    rotate_to(unchecked, rotary_, keys, attention_.keys().tokens(of.num_keys - of.num_queries, of.num_queries), at);
  }
  void attention() { attention_(no_encoding{}, {.band = causal()}); }
  void read_matrices() { sum(weights_.data(), weights_.size()); }
  void multiply_matrices() {
    const double flops = 2 * num_weights * static_cast<double>(attention_.of.num_queries);
    if (has_matrix_unit())
      posenc_bench::multiply_matrices(static_cast<int>(flops / multiply_matrices_flops(1)));
    else
      multiply_add(static_cast<int>(flops / multiply_add_flops(1)));
  }

 private:
  rope rotary_{
      pairing::half,
      llama3_frequencies(
          {.head_dim = head_dim, .rope_theta = 500000, .factor = 8, .original_max_position_embeddings = 8192})};
  attention_call<float> attention_;
  pages<float> new_keys_;
  pages<float> weights_;  // two in each
};

void model_step(benchmark::State& state) {
  layer x(state.range(0), state.range(1));
  double position = 1e9, attention = 1e9, reading = 1e9, multiplying = 1e9;
  const auto lower = [](double& least, const auto& run) {
    const double seconds = seconds_of(run, 1);
    least = std::min(least, seconds);
    return seconds;
  };
  for (auto _ : state) {
    double seconds = lower(reading, [&] { x.read_matrices(); });
    seconds += lower(multiplying, [&] { x.multiply_matrices(); });
    seconds += lower(attention, [&] { x.attention(); });
    seconds += lower(position, [&] { x.position(); });
    state.SetIterationTime(seconds);
  }
  const double matrices = std::max(reading, multiplying);
  state.counters["percent_position"] = 100 * position / (position + attention + matrices);
  state.counters["us_position"] = position * 1e6;
  state.counters["us_attention"] = attention * 1e6;
  state.counters["us_matrices"] = matrices * 1e6;
}
BENCHMARK(model_step)
    ->ArgNames({"tokens", "keys"})
    ->Args({1, 4096})
    ->Args({1, 32768})
    ->Args({128, 4096})
    ->UseManualTime()
    ->Iterations(5);

}  // namespace
}  // namespace posenc_bench
