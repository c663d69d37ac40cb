// How near is rotation to the plainest pass over the same bytes, scaling them in place?
#include "beside.hpp"
#include "limits.hpp"
#include "memory.hpp"

#include <posenc/encodings/learned.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/encodings/rope_cache.hpp>
#include <posenc/encodings/rope_to.hpp>
#include <posenc/encodings/sinusoidal.hpp>
#include <posenc/quantized_view.hpp>

#include <cstddef>
#include <cstdint>

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
void sizes(registered_row* row) {
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

// What a step of decoding pays in each layer but the first: one token, keys behind the queries in one memory.
template <element S, pairing Pairs>
void rotate_one_token(benchmark::State& state) {
  constexpr index_t num_heads = 32, num_kv_heads = 8;
  const pages<S> x((num_heads + num_kv_heads) * head_dim);
  const pages<float> cos(head_dim / 2), sin(head_dim / 2);
  const cos_sin_rows<float> rows(cos.data(), sin.data(), 1, head_dim / 2);
  fill_cos_sin(llama(Pairs), positions(1000, 1), rows);
  const head_view<S> q(x.data(), 1, num_heads, head_dim), k(x.data() + num_heads * head_dim, 1, num_kv_heads, head_dim);
  auto* floats = reinterpret_cast<float*>(x.data());
  const auto count = static_cast<std::size_t>(x.bytes()) / sizeof(float);
  beside(state, work{2 * x.bytes(), [&] { rotate(unchecked, rows, Pairs, q, k); }}, "scale",
         work{2 * x.bytes(), [=] { scale(floats, count); }});
}
BENCHMARK_TEMPLATE(rotate_one_token, float, pairing::half)->UseManualTime();
BENCHMARK_TEMPLATE(rotate_one_token, float, pairing::interleaved)->UseManualTime();
BENCHMARK_TEMPLATE(rotate_one_token, f16, pairing::half)->UseManualTime();
BENCHMARK_TEMPLATE(rotate_one_token, bf16, pairing::half)->UseManualTime();

// Keys on their way into a cache: rotated and stored in one pass, beside a copy of as many bytes read and written.
template <class Store>
void beside_copying(benchmark::State& state, double bytes, Store store) {
  const pages<float> from(static_cast<index_t>(bytes) / 8), to(static_cast<index_t>(bytes) / 8);
  beside(state, work{bytes, store}, "memcpy",
         work{bytes, [&] { copy(from.data(), to.data(), from.size() * sizeof(float)); }});
}
template <element S>
void rotate_into_cache(benchmark::State& state) {
  const tokens<float> x(state.range(0), 8);
  const pages<S> cache(x.memory.count());
  const head_view<S> stored(cache.data(), x.num_tokens(), x.num_heads, head_dim);
  fill_cos_sin(llama(pairing::half), positions(1000, x.num_tokens()), x.rows());
  beside_copying(state, x.memory.bytes() + cache.bytes(),
                 [&] { rotate_to(unchecked, x.rows(), pairing::half, x.view(), stored); });
}
void rotate_into_int8_cache(benchmark::State& state) {
  const tokens<float> x(state.range(0), 8);
  const pages<std::int8_t> cache(x.memory.count());
  const pages<float> scales(x.memory.count() / head_dim);
  const quantized_view<std::int8_t> stored(cache.data(), scales.data(), x.num_tokens(), x.num_heads, head_dim);
  fill_cos_sin(llama(pairing::half), positions(1000, x.num_tokens()), x.rows());
  beside_copying(state, x.memory.bytes() + cache.bytes() + scales.bytes(),
                 [&] { rotate_to(unchecked, x.rows(), pairing::half, x.view(), stored); });
}
void cache_levels(registered_row* row) {
  row->ArgName("bytes")->Arg(1 << 14)->Arg(1 << 18)->Arg(1 << 22)->Arg(1 << 28)->UseManualTime();
}
BENCHMARK_TEMPLATE(rotate_into_cache, float)->Apply(cache_levels);
BENCHMARK_TEMPLATE(rotate_into_cache, bf16)->Apply(cache_levels);
BENCHMARK(rotate_into_int8_cache)->Apply(cache_levels);

// ---- The other encodings that are one pass: x += rows ----

template <class E>
void beside_adding(benchmark::State& state, const E& encoding, index_t dim) {
  const index_t num_tokens = state.range(0) / (dim * static_cast<index_t>(sizeof(float)));
  const pages<float> x(num_tokens * dim), y(num_tokens * dim);
  const token_view<float> view(x.data(), num_tokens, dim);
  const positions at(0, num_tokens);
  const double bytes = 3 * x.bytes();
  beside(state, work{bytes, [&] { add_to(unchecked, encoding, view, at); }}, "add",
         work{bytes, [&] { add(x.data(), y.data(), x.size()); }});
}
void add_learned_rows(benchmark::State& state) {
  constexpr index_t dim = 768;
  const pages<float> rows(state.range(0) / static_cast<index_t>(sizeof(float)));
  beside_adding(state, learned_view<float>(token_view<const float>(rows.data(), rows.count() / dim, dim)), dim);
}
void add_sinusoids(benchmark::State& state) { beside_adding(state, sinusoidal({.dim = 768}), 768); }
BENCHMARK(add_learned_rows)->ArgName("bytes")->Arg(768 << 8)->Arg(768 << 13)->Arg(768 << 17)->UseManualTime();
BENCHMARK(add_sinusoids)->ArgName("bytes")->Arg(768 << 8)->Arg(768 << 13)->UseManualTime();

}  // namespace
}  // namespace posenc_bench
