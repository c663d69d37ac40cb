// How near to reading its cache once is the attention of one token, and what do narrower caches gain?
//
// `of_read_sum`: a read-only sum over the same keys and values, over the time of decoding. `of_f32`: the time of float
// queries over a cache of float, of as many keys, over that of bf16 queries over the narrower cache.
#include "beside.hpp"
#include "limits.hpp"
#include "memory.hpp"

#include <posenc/attention/attend.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/quantized_view.hpp>

#include <cstdint>
#include <type_traits>
#include <vector>

namespace posenc_bench {
namespace {

using namespace posenc;

constexpr index_t num_heads = 32, num_kv_heads = 8, head_dim = 128;

enum class layout { by_token, by_head };  // [position, kv_head, dim], [kv_head, position, dim]

/// Keys or values of all heads in one memory.
template <class S>
struct cache {
  pages<S> memory;
  std::vector<float> scales;
  index_t num_keys;

  explicit cache(index_t keys)
      : memory(keys * num_kv_heads * head_dim),
        scales(std::is_same_v<S, std::int8_t> ? static_cast<std::size_t>(keys * num_kv_heads) : 0, 0.01F),
        num_keys(keys) {}

  auto view(layout order) const {
    const bool by_token = order == layout::by_token;
    const index_t token = by_token ? num_kv_heads * head_dim : head_dim;
    const index_t head = by_token ? head_dim : num_keys * head_dim;
    if constexpr (std::is_same_v<S, std::int8_t>) {
      return quantized_view<const S>(memory.data(), scales.data(), num_keys, num_kv_heads, head_dim, token, head,
                                     by_token ? num_kv_heads : 1, by_token ? 1 : num_keys);
    } else {
      return head_view<const S>(memory.data(), num_keys, num_kv_heads, head_dim, token, head);
    }
  }
};

/// One token of type Q over a cache of S.
template <class Q, class S>
struct token {
  cache<S> keys, values;
  pages<Q> q{num_heads * head_dim};
  pages<Q> out{num_heads * head_dim};
  std::vector<float> workspace{};

  explicit token(index_t num_keys) : keys(num_keys), values(num_keys) {}

  template <class E>
  void attend_to_cache(layout order, const E& encoding) {
    const head_view<const Q> queries(q.data(), 1, num_heads, head_dim);
    const auto k = keys.view(order), v = values.view(order);
    if (workspace.empty()) workspace.resize(static_cast<std::size_t>(workspace_size(queries, k, v, encoding)));
    attend(queries, k, v, head_view(out.data(), 1, num_heads, head_dim), encoding, {.run = {.workspace = workspace}});
  }
};

template <layout Order, class E = no_encoding>
void decode_f32(benchmark::State& state) {
  token<float, float> x(state.range(0));
  const auto encoding = [] {
    if constexpr (std::is_same_v<E, no_encoding>)
      return no_encoding{};
    else
      return E(num_heads);
  }();
  const double bytes = x.keys.memory.bytes() + x.values.memory.bytes();
  const auto read = [&](const pages<float>& memory) { benchmark::DoNotOptimize(sum(memory.data(), memory.size())); };
  beside(state, work{bytes, [&] { x.attend_to_cache(Order, encoding); }}, "read_sum", work{bytes, [&] {
                                                                                             read(x.keys.memory);
                                                                                             read(x.values.memory);
                                                                                           }});
}

template <class S, layout Order>
void decode_narrow(benchmark::State& state) {
  token<bf16, S> x(state.range(0));
  token<float, float> wide(state.range(0));
  const double bytes = wide.keys.memory.bytes() + wide.values.memory.bytes();  // the rate is that of as many floats
  beside(state, work{bytes, [&] { x.attend_to_cache(Order, no_encoding{}); }}, "f32",
         work{bytes, [&] { wide.attend_to_cache(Order, no_encoding{}); }});
}

void cache_sizes(registered_row* row) { row->ArgName("num_keys")->Arg(4096)->Arg(32768)->UseManualTime(); }

BENCHMARK_TEMPLATE(decode_f32, layout::by_head)->Apply(cache_sizes);
BENCHMARK_TEMPLATE(decode_f32, layout::by_token)->Apply(cache_sizes);
BENCHMARK_TEMPLATE(decode_f32, layout::by_head, alibi<float>)->Apply(cache_sizes);
BENCHMARK_TEMPLATE(decode_narrow, bf16, layout::by_head)->Apply(cache_sizes);
BENCHMARK_TEMPLATE(decode_narrow, bf16, layout::by_token)->Apply(cache_sizes);
BENCHMARK_TEMPLATE(decode_narrow, f16, layout::by_head)->Apply(cache_sizes);
BENCHMARK_TEMPLATE(decode_narrow, f16, layout::by_token)->Apply(cache_sizes);
BENCHMARK_TEMPLATE(decode_narrow, std::int8_t, layout::by_head)->Apply(cache_sizes);
BENCHMARK_TEMPLATE(decode_narrow, std::int8_t, layout::by_token)->Apply(cache_sizes);

}  // namespace
}  // namespace posenc_bench
