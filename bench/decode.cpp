// How near to reading its cache once is the attention of one token, and what do narrower caches gain?
//
// `of_read_sum`: a read-only sum over the same keys and values, beside it in the same run, over the time of decoding.
// `of_f32`: decoding over a float cache of as many keys, beside it likewise. Minima over the iterations.
#include <posenc/attention/attend.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/kernels/vectors.hpp>
#include <posenc/quantized_view.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <new>
#include <type_traits>
#include <vector>

namespace posenc_bench {
namespace {

using namespace posenc;

constexpr index_t num_heads = 32, num_kv_heads = 8, head_dim = 128;

enum class layout { by_token, by_head };  // [position, kv_head, dim], [kv_head, position, dim]

/// On a page's boundary, as an engine allocates its cache.
template <class S>
class pages {
 public:
  explicit pages(index_t count) : size_(static_cast<std::size_t>(count)), data_(new (std::align_val_t{4096}) S[size_]) {
    std::uint32_t bits = 12345;
    for (std::size_t i = 0; i < size_; ++i) {
      bits = bits * 1664525U + 1013904223U;
      const float x = static_cast<float>(static_cast<std::int32_t>(bits)) * 0x1p-31F;
      if constexpr (std::is_same_v<S, std::int8_t>)
        data_[i] = static_cast<std::int8_t>(x * 127);
      else
        data_[i] = narrow<S>(x);
    }
  }
  ~pages() { ::operator delete[](data_, std::align_val_t{4096}); }
  pages(const pages&) = delete;
  pages& operator=(const pages&) = delete;

  std::size_t size() const { return size_; }
  S* data() const { return data_; }

 private:
  std::size_t size_;
  S* data_;
};

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
    benchmark::ClobberMemory();
  }
};

float read_sum(const pages<float>& x) {
  using vector = kernels::vector<float>;
  constexpr std::size_t lanes = kernels::lanes<float>, at_once = 8;
  vector sums[at_once] = {};
  for (std::size_t i = 0; i + at_once * lanes <= x.size(); i += at_once * lanes) {
    for (std::size_t j = 0; j < at_once; ++j) sums[j] += kernels::load<vector>(x.data() + i + j * lanes);
  }
  vector total{};
  for (const vector& sum : sums) total += sum;
  return total[0];
}

/// Runs both in turn; reports the time of `run`, and how much of it `limit` would take.
template <class Run, class Limit>
void beside(benchmark::State& state, const char* name, Run run, Limit limit) {
  using clock = std::chrono::steady_clock;
  const auto seconds = [](auto f) {
    const auto start = clock::now();
    f();
    return std::chrono::duration<double>(clock::now() - start).count();
  };
  double fastest_run = std::numeric_limits<double>::max(), fastest_limit = fastest_run;
  for (auto _ : state) {
    limit();  // each finds in the caches what it left there itself
    fastest_limit = std::min(fastest_limit, seconds(limit));
    run();
    const double time = seconds(run);
    fastest_run = std::min(fastest_run, time);
    state.SetIterationTime(time);
  }
  state.counters[name] = fastest_limit / fastest_run;
}

template <layout Order, class E = no_encoding>
void decode_f32(benchmark::State& state) {
  token<float, float> x(state.range(0));
  const auto encoding = [] {
    if constexpr (std::is_same_v<E, no_encoding>)
      return no_encoding{};
    else
      return E(num_heads);
  }();
  beside(
      state, "of_read_sum", [&] { x.attend_to_cache(Order, encoding); },
      [&] { benchmark::DoNotOptimize(read_sum(x.keys.memory) + read_sum(x.values.memory)); });
}

template <class S, layout Order>
void decode_narrow(benchmark::State& state) {
  token<bf16, S> x(state.range(0));
  token<float, float> wide(state.range(0));
  beside(
      state, "of_f32", [&] { x.attend_to_cache(Order, no_encoding{}); },
      [&] { wide.attend_to_cache(Order, no_encoding{}); });
}

void cache_sizes(benchmark::internal::Benchmark* row) {
  row->ArgName("num_keys")->Arg(4096)->Arg(32768)->UseManualTime();
}

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
