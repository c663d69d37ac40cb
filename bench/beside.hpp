// A row of the suite: a piece of work and the limits that it is held to, in turn.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace posenc_bench {

/// What registers a row: Google Benchmark 1.9 gave it another name, and says so of the old one.
using registered_row =
    std::remove_pointer_t<decltype(benchmark::RegisterBenchmark("", std::declval<void (*)(benchmark::State&)>()))>;

/// Something to run, and how much it gets done each time: bytes read and written, flops, values, tokens.
template <class F>
struct work {
  double amount;
  F run;
};
template <class F>
work(double, F) -> work<F>;

/// Seconds that one of `times` runs takes.
template <class F>
double seconds_of(const F& run, int times) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < times; ++i) {
    run();
    benchmark::ClobberMemory();
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / times;
}

/// How the clock is read so rarely that it does not count, and each finds in the caches what it left there itself.
template <class F>
class batch {
 public:
  explicit batch(const F& run) : run_(run) {
    constexpr double long_enough = 50e-6;
    double seconds = seconds_of(run_, 1);
    while (seconds * times_ < long_enough) {
      times_ *= 4;
      seconds = seconds_of(run_, times_);
    }
    warms_up_ = seconds < 10e-3;
  }
  /// Runs it once more; returns how long that took.
  double operator()() {
    if (warms_up_) run_();
    all_.push_back(seconds_of(run_, times_));
    return all_.back() * times_;
  }
  double least() const { return *std::min_element(all_.begin(), all_.end()); }
  double median() const {
    std::vector<double> sorted(all_);
    std::nth_element(sorted.begin(), sorted.begin() + std::ssize(sorted) / 2, sorted.end());
    return sorted[sorted.size() / 2];
  }

 private:
  const F& run_;
  int times_ = 1;
  bool warms_up_ = false;
  std::vector<double> all_;
};

/// What a row is held to. Its work is counted in the row's unit.
template <class F>
struct limit {
  std::string name;
  work<F> of;
};
template <class F>
limit(const char*, work<F>) -> limit<F>;

/// Runs `row` and its limits in turn for as long as the benchmark lasts. Reports
///     rate         what the row gets done a second, from its fastest run
///     of_<limit>   the same as a share of the limit's, fastest against fastest
///     median       likewise, median against median, of the first limit
template <class Row, class... Limits>
void beside(benchmark::State& state, const work<Row>& row, const limit<Limits>&... limits) {
  batch its(row.run);
  std::tuple batches{batch(limits.of.run)...};
  for (auto _ : state) {
    std::apply([](auto&... each) { (each(), ...); }, batches);
    state.SetIterationTime(its());
  }
  state.counters["rate"] = row.amount / its.least();
  const auto report = [&](const auto& limit, const auto& runs) {
    const double share = limit.of.amount / row.amount;
    state.counters["of_" + limit.name] = runs.least() / (its.least() * share);
    state.counters.try_emplace("median", runs.median() / (its.median() * share));
  };
  std::apply([&](const auto&... runs) { (report(limits, runs), ...); }, batches);
}

template <class Row, class F>
void beside(benchmark::State& state, const work<Row>& row, const char* name, const work<F>& of) {
  beside(state, row, limit{name, of});
}

}  // namespace posenc_bench
