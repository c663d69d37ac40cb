// How does cost grow with length, and with threads?
//
// `exponent`: the slope of log time over log length, by least squares over four lengths. `speedup`: the time of one
// thread over that of two, in turn; pinned to one core, the second thread takes another.
#include "attention_call.hpp"
#include "beside.hpp"
#include "limits.hpp"
#include "thread_pool.hpp"

#include <posenc/encodings/rope.hpp>
#include <posenc/scaling/default.hpp>

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
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

/// While it lives, threads that are started run on other cores than the one we are pinned to.
class other_cores {
 public:
  other_cores() {
    sched_getaffinity(0, sizeof ours_, &ours_);
    cpu_set_t others = ours_;
    if (CPU_COUNT(&ours_) == 1) {
      for (long core = 0; core < sysconf(_SC_NPROCESSORS_CONF); ++core)
        CPU_ISSET(core, &ours_) ? CPU_CLR(core, &others) : CPU_SET(core, &others);
    }
    found_ = sched_setaffinity(0, sizeof others, &others) == 0;
  }
  ~other_cores() { sched_setaffinity(0, sizeof ours_, &ours_); }
  other_cores(const other_cores&) = delete;
  other_cores& operator=(const other_cores&) = delete;

  bool found() const { return found_; }

 private:
  cpu_set_t ours_;
  bool found_;
};

/// Fastest in the first way and in the second, in turn, as a ratio.
class speedup {
 public:
  /// Returns the seconds that the second way took.
  template <class F>
  double measure(const F& run, const parallel_for (&ways)[2]) {
    double seconds = 0;
    for (int i = 0; i < 2; ++i) {
      seconds = seconds_of([&] { run(ways[i]); }, 1);
      least_[i] = std::min(least_[i], seconds);
    }
    return seconds;
  }
  double ratio() const { return least_[0] / least_[1]; }

 private:
  double least_[2] = {1e9, 1e9};
};

/// `limit_speedup`: that of the same amount of multiply-adds, or of a sum over keys and values, which is what two cores
/// of this machine can gain.
void attention_on_two_threads(benchmark::State& state) {
  std::optional<thread_pool> pool;
  {
    const other_cores scope;
    if (!scope.found()) return state.SkipWithError("there is no second core");
    pool.emplace(2);
  }
  const parallel_for ways[2] = {{}, {*pool, 2}};

  const attention_sizes sizes{state.range(0), state.range(1), 128, 32, 8, true};
  const bool prefills = sizes.num_queries > 1;
  attention_call<float> x(sizes);
  std::vector<float> workspace(
      static_cast<std::size_t>(workspace_size(x.queries(), x.keys(), x.values(), no_encoding{}, ways[1])));
  const auto attend_by = [&](const parallel_for& threads) {
    attend(x.queries(), x.keys(), x.values(), x.view(x.out, x.of.num_queries, x.of.num_heads), no_encoding{},
           {.band = prefills ? causal() : index_band{}, .run = {.workspace = workspace, .threads = threads}});
  };
  const auto limit = [&](const parallel_for& threads) {
    constexpr index_t pieces = 64;
    const auto task = [&](index_t i, index_t) {
      if (prefills) return multiply_add(20000);
      const std::size_t share = x.k.size() / pieces, first = static_cast<std::size_t>(i) * share;
      benchmark::DoNotOptimize(sum(x.k.data() + first, share) + sum(x.v.data() + first, share));
    };
    threads(pieces, task_ref(task));
  };

  speedup its, limits;
  for (auto _ : state) {
    limits.measure(limit, ways);
    state.SetIterationTime(its.measure(attend_by, ways));
  }
  state.counters["speedup"] = its.ratio();
  state.counters["limit_speedup"] = limits.ratio();
}
BENCHMARK(attention_on_two_threads)->ArgNames({"queries", "keys"})->Args({512, 512})->Args({1, 32768})->UseManualTime();

}  // namespace
}  // namespace posenc_bench
