// How far is rotating queries in place from scaling the same bytes in place (scale_roof)?
#include "roof.hpp"

#include <posenc/encodings/rope.hpp>

#include <cstddef>
#include <vector>

namespace posenc_bench {
namespace {

using namespace posenc;

constexpr index_t num_heads = 32;
constexpr index_t head_dim = 128;  // a token is 16 KiB in float

rope llama(pairing pairs) { return {pairs, geometric_frequencies(10000, head_dim / 2, head_dim / 2)}; }

template <element S>
head_view<S> queries_over(std::vector<S>& memory) {
  return {memory.data(), std::ssize(memory) / (num_heads * head_dim), num_heads, head_dim};
}

// Angles from positions, a row a token for all heads.
template <element S, pairing Pairs>
void rotate_by_positions(benchmark::State& state) {
  const rope rotary = llama(Pairs);
  std::vector<S> memory(static_cast<std::size_t>(state.range(0)) / sizeof(S), narrow<S>(1.0f));
  const head_view<S> queries = queries_over(memory);
  for (auto _ : state) {
    rotate(unchecked, rotary, queries, positions(1000, queries.num_tokens));
    benchmark::ClobberMemory();
  }
  count_bytes(state, 2 * state.range(0));
}

// Angles from rows that were filled before: what every layer but the first of a step pays.
template <element S, pairing Pairs>
void rotate_by_rows(benchmark::State& state) {
  const rope rotary = llama(Pairs);
  std::vector<S> memory(static_cast<std::size_t>(state.range(0)) / sizeof(S), narrow<S>(1.0f));
  const head_view<S> queries = queries_over(memory);
  std::vector<float> cos(static_cast<std::size_t>(queries.num_tokens * rotary.num_pairs()));
  std::vector<float> sin(cos.size());
  const cos_sin_rows<float> rows(cos.data(), sin.data(), queries.num_tokens, rotary.num_pairs());
  fill_cos_sin(rotary, positions(1000, queries.num_tokens), rows);
  for (auto _ : state) {
    rotate(rows, Pairs, queries);
    benchmark::ClobberMemory();
  }
  count_bytes(state, 2 * state.range(0));
}

BENCHMARK_TEMPLATE(rotate_by_positions, float, pairing::half)->Apply(cache_levels);
BENCHMARK_TEMPLATE(rotate_by_positions, float, pairing::interleaved)->Apply(cache_levels);
BENCHMARK_TEMPLATE(rotate_by_positions, bf16, pairing::half)->Apply(cache_levels);
BENCHMARK_TEMPLATE(rotate_by_rows, float, pairing::half)->Apply(cache_levels);
BENCHMARK_TEMPLATE(rotate_by_rows, float, pairing::interleaved)->Apply(cache_levels);
BENCHMARK_TEMPLATE(rotate_by_rows, bf16, pairing::half)->Apply(cache_levels);

}  // namespace
}  // namespace posenc_bench
