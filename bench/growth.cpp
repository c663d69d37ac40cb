// How does cost grow with length, and with threads?
//
// `exponent`: the slope of log time over log length, by least squares over four lengths. `speedup`: the time of one
// thread over that of two, in turn.
#include "attention_call.hpp"
#include "beside.hpp"

#include <posenc/encodings/rope.hpp>
#include <posenc/scaling/default.hpp>

#include <array>
#include <cmath>
#include <memory>
#include <thread>
#include <vector>

namespace posenc_bench {
namespace {

using namespace posenc;

constexpr std::array<index_t, 4> lengths{512, 1024, 2048, 4096};

double slope_of(const std::array<double, lengths.size()>& seconds) {
  double x_mean = 0, y_mean = 0, xy = 0, xx = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    x_mean += std::log(static_cast<double>(lengths[i])) / lengths.size();
    y_mean += std::log(seconds[i]) / lengths.size();
  }
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const double x = std::log(static_cast<double>(lengths[i])) - x_mean;
    xy += x * (std::log(seconds[i]) - y_mean);
    xx += x * x;
  }
  return xy / xx;
}

/// Runs `make(length)()` for each length in turn, round after round.
template <class Make>
void fit_exponent(benchmark::State& state, Make make) {
  using run_t = decltype(make(index_t{}));
  std::vector<run_t> runs;
  for (const index_t length : lengths) runs.push_back(make(length));
  std::array<double, lengths.size()> least;
  least.fill(1e9);
  for (auto _ : state) {
    double all = 0;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      const double seconds = seconds_of(runs[i], 1);
      least[i] = std::min(least[i], seconds);
      all += seconds;
    }
    state.SetIterationTime(all);
  }
  state.counters["exponent"] = slope_of(least);
  for (std::size_t i = 0; i < lengths.size(); ++i) state.counters["us_" + std::to_string(lengths[i])] = least[i] * 1e6;
}

void attention_grows(benchmark::State& state, index_band band) {
  fit_exponent(state, [=](index_t n) {
    const auto call = std::make_shared<attention_call<float>>(attention_sizes{n, n, 64});
    return [=] { (*call)(no_encoding{}, {.band = band}); };
  });
}
BENCHMARK_CAPTURE(attention_grows, full, index_band{})->UseManualTime();
BENCHMARK_CAPTURE(attention_grows, causal, causal())->UseManualTime();
BENCHMARK_CAPTURE(attention_grows, window_of_256, sliding_window(256))->UseManualTime();

void decoding_grows(benchmark::State& state) {
  fit_exponent(state, [](index_t n) {
    const auto call = std::make_shared<attention_call<float>>(attention_sizes{1, n, 128, 32, 8, true});
    return [=] { (*call)(no_encoding{}, {}); };
  });
}
BENCHMARK(decoding_grows)->UseManualTime();

void rotation_grows(benchmark::State& state) {
  const rope rotary(pairing::half, default_frequencies({.head_dim = 128}));
  fit_exponent(state, [&](index_t n) {
    const auto x = std::make_shared<pages<float>>(n * 8 * 128);
    return [=, &rotary] { rotate(unchecked, rotary, head_view<float>(x->data(), n, 8, 128), positions(0, n)); };
  });
}
BENCHMARK(rotation_grows)->UseManualTime();

/// A loop over two threads, one of them made for the call.
const auto on_two_threads = [](index_t num_tasks, task_ref task) {
  const auto every_other = [=](index_t worker) {
    for (index_t i = worker; i < num_tasks; i += 2) task(i, worker);
  };
  std::thread second([=] { every_other(1); });
  every_other(0);
  second.join();
};

// Pinned to one core there is nothing to gain: run this one without.
void attention_on_two_threads(benchmark::State& state) {
  const attention_sizes sizes{state.range(0), state.range(1), 128, 32, 8, true};
  attention_call<float> x(sizes);
  const index_band band = sizes.num_queries > 1 ? causal() : index_band{};
  const auto run = [&](const parallel_for& threads) {
    std::vector<float> workspace(
        static_cast<std::size_t>(workspace_size(x.queries(), x.keys(), x.values(), no_encoding{}, threads)));
    return [&x, threads, band, workspace = std::move(workspace)]() mutable {
      attend(x.queries(), x.keys(), x.values(), x.view(x.out, x.of.num_queries, x.of.num_heads), no_encoding{},
             {.band = band, .run = {.workspace = workspace, .threads = threads}});
    };
  };
  auto one = run({}), two = run(parallel_for(on_two_threads, 2));
  double least[2] = {1e9, 1e9};
  for (auto _ : state) {
    least[0] = std::min(least[0], seconds_of([&] { one(); }, 1));
    const double seconds = seconds_of([&] { two(); }, 1);
    least[1] = std::min(least[1], seconds);
    state.SetIterationTime(seconds);
  }
  state.counters["speedup"] = least[0] / least[1];
}
BENCHMARK(attention_on_two_threads)->ArgNames({"queries", "keys"})->Args({512, 512})->Args({1, 32768})->UseManualTime();

}  // namespace
}  // namespace posenc_bench
