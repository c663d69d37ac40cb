// How far are the gradients of attention from the peak of multiply-adds, and what do those of a bias add?
//
// 10 head_dim flops a pair that the mask lets through: five products. The peak is measured between any two calls.
#include <benchmark/benchmark.h>

#include <posenc/attention/backward.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/cope.hpp>
#include <posenc/encodings/kerple.hpp>
#include <posenc/encodings/t5_bias.hpp>
#include <posenc/kernels/vectors.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <random>
#include <span>
#include <thread>
#include <vector>

namespace posenc_bench {
namespace {

using namespace posenc;

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Flops a second of twelve independent chains of multiply-adds, which start apart so that none can be folded away.
double multiply_add_peak() {
  using vector = kernels::vector<float>;
  constexpr int chains = 12;
  constexpr int steps = 20000;
  vector sums[chains];
  for (int c = 0; c < chains; ++c) sums[c] = static_cast<float>(c + 2) - vector{};
  const double seconds = seconds_of([&] {
    for (int i = 0; i < steps; ++i) {
#pragma GCC unroll 12
      for (int c = 0; c < chains; ++c) sums[c] = sums[c] * 0.999F + 0.001F;
    }
    for (vector& sum : sums) benchmark::DoNotOptimize(sum);
  });
  return 2.0 * chains * steps * kernels::lanes<float> / seconds;
}

struct sizes {
  index_t num_tokens = 2048;
  index_t head_dim = 64;
  bool is_causal = false;
  index_t num_heads = 1;
  index_t num_kv_heads = 1;
  bool head_by_head = true;  // memory [head, token, dim]; else [token, head, dim]

  double flops() const {
    const auto n = static_cast<double>(num_tokens);
    const double pairs = is_causal ? n * (n + 1) / 2 : n * n;
    return 10.0 * static_cast<double>(head_dim * num_heads) * pairs;
  }
};

template <class E>
struct call {
  sizes of;
  E encoding;
  attend_options<float> options{};
  bool trains = false;
  std::vector<float> q, k, v, out, d_out, dq, dk, dv, lse, parameters, workspace;

  call(const sizes& s, const E& e) : of(s), encoding(e) {
    std::mt19937 bits(1);
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<float>& x, index_t heads) {
      x.resize(static_cast<std::size_t>(s.num_tokens * heads * s.head_dim));
      for (float& value : x) value = normal(bits);
    };
    for (auto* x : {&q, &out, &d_out, &dq}) fill(*x, s.num_heads);
    for (auto* x : {&k, &v, &dk, &dv}) fill(*x, s.num_kv_heads);
    lse.assign(static_cast<std::size_t>(s.num_tokens * s.num_heads), 10.0F);
    parameters.resize(static_cast<std::size_t>(hooks::num_parameters(encoding)));
    if (s.is_causal) options.band = causal();
    options.lse = {lse.data(), s.num_tokens, s.num_heads};
  }

  head_view<float> view(std::vector<float>& x) const {
    const index_t heads = std::ssize(x) / (of.num_tokens * of.head_dim);
    if (of.head_by_head) return head_major(x.data(), heads, of.num_tokens, of.head_dim);
    return {x.data(), of.num_tokens, heads, of.head_dim};
  }
  void run() {
    const auto size = backward_workspace_size(view(q), view(k), view(v), encoding, options);
    workspace.resize(static_cast<std::size_t>(size));
    options.run.workspace = workspace;
    attend_gradients<float> gradients{view(dq), view(dk), view(dv)};
    if (trains) gradients.parameters = parameters;
    attend_backward(view(q), view(k), view(v), view(out), view(d_out), gradients, encoding, options);
    benchmark::ClobberMemory();
  }
};

/// The best of the calls, in flops and as a share of the best peak between them.
template <class E>
void run_beside_peak(benchmark::State& state, call<E> c) {
  double peak = 0, best = std::numeric_limits<double>::infinity();
  for (auto _ : state) {
    peak = std::max(peak, multiply_add_peak());
    const double seconds = seconds_of([&] { c.run(); });
    best = std::min(best, seconds);
    state.SetIterationTime(seconds);
  }
  state.counters["GFLOP/s"] = c.of.flops() / best * 1e-9;
  state.counters["of_peak"] = c.of.flops() / best / peak;
}

sizes sizes_of(const benchmark::State& state) {
  return {.num_tokens = state.range(0), .head_dim = state.range(1), .is_causal = state.range(2) != 0};
}

void backward(benchmark::State& state) { run_beside_peak(state, call<no_encoding>(sizes_of(state), {})); }
BENCHMARK(backward)
    ->ArgNames({"num_tokens", "head_dim", "causal"})
    ->ArgsProduct({{512, 2048, 8192}, {64, 128}, {0, 1}})
    ->UseManualTime();
BENCHMARK(backward)
    ->ArgNames({"num_tokens", "head_dim", "causal"})
    ->ArgsProduct({{2047}, {64, 72, 80, 96, 128, 256}, {0, 1}})
    ->UseManualTime();

// Layouts: rows of one head one after the other, or the rows of a token.
void backward_of_groups(benchmark::State& state) {
  sizes s{.head_dim = state.range(0), .is_causal = true, .num_heads = 8, .num_kv_heads = 2};
  s.head_by_head = state.range(1) != 0;
  run_beside_peak(state, call<no_encoding>(s, {}));
}
BENCHMARK(backward_of_groups)
    ->ArgNames({"head_dim", "head_by_head"})
    ->ArgsProduct({{64, 128}, {0, 1}})
    ->UseManualTime();

void backward_with_softcap(benchmark::State& state) {
  call<no_encoding> c(sizes_of(state), {});
  c.options.softcap = 50;
  run_beside_peak(state, c);
}
BENCHMARK(backward_with_softcap)
    ->ArgNames({"num_tokens", "head_dim", "causal"})
    ->ArgsProduct({{2048}, {64, 128}, {1}})
    ->UseManualTime();

void backward_with_cope(benchmark::State& state) {
  const index_t head_dim = state.range(1);
  const std::vector<float> embedding(static_cast<std::size_t>(64 * head_dim), 0.01F);
  call<cope<float>> c(sizes_of(state), cope<float>(embedding, head_dim));
  c.trains = true;
  run_beside_peak(state, c);
}
BENCHMARK(backward_with_cope)
    ->ArgNames({"num_tokens", "head_dim", "causal"})
    ->ArgsProduct({{2048}, {64, 128}, {1}})
    ->UseManualTime();

// ---- What the gradients of a bias's parameters add ----

// Three calls in turn: no encoding, the bias, and the bias with its gradients.
template <class E>
void gradients_of(benchmark::State& state, const E& encoding) {
  call<no_encoding> none(sizes_of(state), {});
  call<E> biased(sizes_of(state), encoding);
  call<E> trained(sizes_of(state), encoding);
  trained.trains = true;
  double best[3] = {1e9, 1e9, 1e9};
  for (auto _ : state) {
    best[0] = std::min(best[0], seconds_of([&] { none.run(); }));
    best[1] = std::min(best[1], seconds_of([&] { biased.run(); }));
    const double seconds = seconds_of([&] { trained.run(); });
    best[2] = std::min(best[2], seconds);
    state.SetIterationTime(seconds);
  }
  state.counters["bias_adds"] = best[1] / best[0] - 1;
  state.counters["gradients_add"] = best[2] / best[1] - 1;
}

void gradients_of_alibi(benchmark::State& state) { gradients_of(state, alibi<float>(std::vector<float>{0.1F})); }
void gradients_of_t5(benchmark::State& state) { gradients_of(state, t5_bias<float>(std::vector<float>(32, 0.1F))); }
void gradients_of_kerple(benchmark::State& state) {
  const float rates[] = {0.3F, 0.5F};
  const std::span<const float> all(rates);
  gradients_of(state, kerple<float>(kerple_kernel::log, all.first(1), all.last(1)));
}
#define POSENC_BENCH_GRADIENTS(name)                   \
  BENCHMARK(name)                                      \
      ->ArgNames({"num_tokens", "head_dim", "causal"}) \
      ->ArgsProduct({{2048}, {64, 128}, {0, 1}})       \
      ->UseManualTime()
POSENC_BENCH_GRADIENTS(gradients_of_alibi);
POSENC_BENCH_GRADIENTS(gradients_of_t5);
POSENC_BENCH_GRADIENTS(gradients_of_kerple);

// ---- Threads ----

// A thread a worker for the length of a call: key-value heads in turn.
void backward_on_threads(benchmark::State& state) {
  const index_t num_workers = state.range(0);
  const auto loop = [&](index_t num_tasks, task_ref task) {
    std::vector<std::thread> threads;
    for (index_t worker = 1; worker < num_workers; ++worker) {
      threads.emplace_back([=] {
        for (index_t i = worker; i < num_tasks; i += num_workers) task(i, worker);
      });
    }
    for (index_t i = 0; i < num_tasks; i += num_workers) task(i, 0);
    for (std::thread& thread : threads) thread.join();
  };
  call<no_encoding> serial({.is_causal = true, .num_heads = 4, .num_kv_heads = 4}, {});
  call<no_encoding> parallel = serial;
  parallel.options.lse.data = parallel.lse.data();
  parallel.options.run.threads = parallel_for(loop, num_workers);
  double best[2] = {1e9, 1e9};
  for (auto _ : state) {
    best[0] = std::min(best[0], seconds_of([&] { serial.run(); }));
    const double seconds = seconds_of([&] { parallel.run(); });
    best[1] = std::min(best[1], seconds);
    state.SetIterationTime(seconds);
  }
  state.counters["speedup"] = best[0] / best[1];
}
BENCHMARK(backward_on_threads)->ArgName("num_workers")->Arg(2)->UseManualTime();

}  // namespace
}  // namespace posenc_bench
