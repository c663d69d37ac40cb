// How near is rotation to the plainest pass over the same bytes, scaling them in place?
#include "beside.hpp"
#include "limits.hpp"
#include "memory.hpp"

#include <posenc/encodings/rope.hpp>
#include <posenc/encodings/rope_to.hpp>

#include <cstddef>
#include <vector>

namespace posenc_bench {
namespace {

using namespace posenc;

constexpr index_t head_dim = 128;

rope llama(pairing pairs) { return {pairs, geometric_frequencies(10000, head_dim / 2, head_dim / 2)}; }

/// Tokens of `num_heads` heads that fill so many bytes.
template <element S>
struct tokens {
  index_t num_heads;
  pages<S> memory;
  pages<float> cos, sin;  // filled before: what every layer but the first of a step pays

  tokens(index_t bytes, index_t heads)
      : num_heads(heads),
        memory(bytes / static_cast<index_t>(sizeof(S))),
        cos(num_tokens() * head_dim / 2),
        sin(num_tokens() * head_dim / 2) {}

  index_t num_tokens() const { return static_cast<index_t>(memory.size()) / (num_heads * head_dim); }
  head_view<S> view() const { return {memory.data(), num_tokens(), num_heads, head_dim}; }
  cos_sin_rows<float> rows() const { return {cos.data(), sin.data(), num_tokens(), head_dim / 2}; }
};

/// Scaling as many bytes as floats.
template <element S, class Rotate>
void beside_scaling(benchmark::State& state, const tokens<S>& x, Rotate rotate) {
  auto* floats = reinterpret_cast<float*>(x.memory.data());
  const auto count = static_cast<std::size_t>(x.memory.bytes()) / sizeof(float);
  beside(state, work{2 * x.memory.bytes(), rotate}, "scale", work{2 * x.memory.bytes(), [=] { scale(floats, count); }});
}

template <element S, pairing Pairs>
void rotate_by_rows(benchmark::State& state) {
  const tokens<S> x(state.range(0), state.range(1));
  fill_cos_sin(llama(Pairs), positions(1000, x.num_tokens()), x.rows());
  beside_scaling(state, x, [&] { rotate(x.rows(), Pairs, x.view()); });
}

template <element S, pairing Pairs>
void rotate_by_positions(benchmark::State& state) {
  const rope rotary = llama(Pairs);
  const tokens<S> x(state.range(0), state.range(1));
  beside_scaling(state, x, [&] { rotate(unchecked, rotary, x.view(), positions(1000, x.num_tokens())); });
}

// Sizes in L1, in L2, in L3 and, on most machines, in none; heads of a token as many as a query has, and as few as keys.
void sizes(benchmark::internal::Benchmark* row) {
  row->ArgNames({"bytes", "heads"})->ArgsProduct({{1 << 14, 1 << 18, 1 << 22, 1 << 28}, {32}})->UseManualTime();
  row->Args({1 << 18, 8});
}

BENCHMARK_TEMPLATE(rotate_by_rows, float, pairing::half)->Apply(sizes);
BENCHMARK_TEMPLATE(rotate_by_rows, float, pairing::interleaved)->Apply(sizes);
BENCHMARK_TEMPLATE(rotate_by_rows, f16, pairing::half)->Apply(sizes);
BENCHMARK_TEMPLATE(rotate_by_rows, bf16, pairing::half)->Apply(sizes);
BENCHMARK_TEMPLATE(rotate_by_rows, bf16, pairing::interleaved)->Apply(sizes);
BENCHMARK_TEMPLATE(rotate_by_positions, float, pairing::half)->Apply(sizes);
BENCHMARK_TEMPLATE(rotate_by_positions, float, pairing::interleaved)->Apply(sizes);
BENCHMARK_TEMPLATE(rotate_by_positions, bf16, pairing::half)->Apply(sizes);

// Keys on their way into a cache: rotated and stored in one pass, beside a copy of the bytes read and written.
template <element S>
void rotate_into_cache(benchmark::State& state) {
  const tokens<float> x(state.range(0), state.range(1));
  const pages<S> cache(static_cast<index_t>(x.memory.size()));
  const head_view<S> stored(cache.data(), x.num_tokens(), x.num_heads, head_dim);
  const rope rotary = llama(pairing::half);
  const positions at(1000, x.num_tokens());
  const double bytes = x.memory.bytes() + cache.bytes();
  const pages<float> from(static_cast<index_t>(bytes) / 8), to(static_cast<index_t>(bytes) / 8);
  beside(state, work{bytes, [&] { rotate_to(unchecked, rotary, x.view(), stored, at); }}, "memcpy",
         work{bytes, [&] { copy(from.data(), to.data(), from.size() * sizeof(float)); }});
}
BENCHMARK_TEMPLATE(rotate_into_cache, float)->Apply(sizes);
BENCHMARK_TEMPLATE(rotate_into_cache, bf16)->Apply(sizes);

}  // namespace
}  // namespace posenc_bench
