// Runs the suite: repeated, in random order, and a line for each row.
#include "machine.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace posenc_bench {
namespace {

/// Google Benchmark 1.8 gave some things other names.
template <class R>
concept of_1_8 = requires(R run) {
  run.skip_message;
};
constexpr bool is_1_8 = of_1_8<benchmark::BenchmarkReporter::Run>;

/// Why a run was left; empty if it was not.
template <class R>
std::string why_skipped(const R& run) {
  if constexpr (of_1_8<R>)
    return run.skipped ? "error: " + run.skip_message : "";
  else
    return run.error_occurred ? "error: " + run.error_message : "";
}

/// Repetitions of a row that differ by more than this say that something else ran.
constexpr double most_spread = 0.05;

/// Seconds are as the clock was; everything else has to hold.
bool is_time(std::string_view counter) { return counter.starts_with("us_"); }

double median_of(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + std::ssize(values) / 2, values.end());
  return values[values.size() / 2];
}

/// One line a row: its rate, and whatever else it says as the median of the repetitions, with their least and largest.
class table : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override {
    for (const auto& [name, value] : describe_machine()) std::printf("%-10s%s\n", name.c_str(), value.c_str());
    std::printf("\n");
    return true;
  }

  void ReportRuns(const std::vector<Run>& runs) override {
    std::map<std::string, std::vector<double>> counters;
    std::string name, label;
    for (const Run& run : runs) {
      if (const std::string why = why_skipped(run); !why.empty()) {
        std::printf("%-58s %s\n", run.benchmark_name().c_str(), why.c_str());
        return;
      }
      if (run.run_type != Run::RT_Iteration) continue;
      name = row_name(run);
      label = run.report_label;
      for (const auto& [counter, value] : run.counters) counters[counter].push_back(value);
    }
    if (!counters.empty()) print(name, label, counters);
  }

 private:
  // Without what is the same for all rows.
  static std::string row_name(const Run& run) {
    std::string name = run.benchmark_name();
    for (const std::string_view common : {"/manual_time", "/repeats:1"}) {
      if (const auto at = name.find(common); at != std::string::npos) name.erase(at, common.size());
    }
    return name;
  }

  static void print(const std::string& name, const std::string& label,
                    const std::map<std::string, std::vector<double>>& counters) {
    std::printf("%-58s", name.c_str());
    if (const auto rate = counters.find("rate"); rate != counters.end())
      std::printf(" %9.2f G/s", *std::max_element(rate->second.begin(), rate->second.end()) * 1e-9);
    bool noisy = false;
    for (const auto& [counter, values] : counters) {
      if (counter == "rate" || counter == "median") continue;
      const auto [least, largest] = std::minmax_element(values.begin(), values.end());
      const double middle = median_of(values);
      if (counter.starts_with("of_"))
        std::printf("  %#.3g %s (%#.3g .. %#.3g)", middle, counter.c_str(), *least, *largest);
      else if (is_time(counter) || *least == *largest)
        std::printf("  %s %.4g", counter.c_str(), middle);
      else
        std::printf("  %s %.4g (%.4g .. %.4g)", counter.c_str(), middle, *least, *largest);
      noisy |= !is_time(counter) && *largest - *least > most_spread * middle;
    }
    std::printf("%s%s%s\n", label.empty() ? "" : "  ", label.c_str(), noisy ? "  NOISY" : "");
    std::fflush(stdout);
  }
};

/// What a row needs to be believed, unless the command line says otherwise.
std::vector<char*> with_defaults(int argc, char** argv) {
  static std::string defaults[] = {"--benchmark_enable_random_interleaving=true", "--benchmark_repetitions=5",
                                   is_1_8 ? "--benchmark_min_time=0.06s" : "--benchmark_min_time=0.06"};
  std::vector<char*> arguments(argv, argv + argc);
  for (std::string& given : defaults) {
    const std::string_view name(given.data(), given.find('='));
    const bool told =
        std::any_of(argv, argv + argc, [&](const char* a) { return std::string_view(a).starts_with(name); });
    if (!told) arguments.insert(arguments.begin() + 1, given.data());
  }
  return arguments;
}

}  // namespace
}  // namespace posenc_bench

int main(int argc, char** argv) {
  std::vector<char*> arguments = posenc_bench::with_defaults(argc, argv);
  int count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 1;
  for (const auto& [name, value] : posenc_bench::describe_machine()) benchmark::AddCustomContext(name, value);
  posenc_bench::table report;
  benchmark::RunSpecifiedBenchmarks(&report);
  std::printf("\n%-10s%.2f GHz at the end\n", "clock", posenc_bench::clock_rate() * 1e-9);
  std::printf("%-10s%s at the end\n", "peak", posenc_bench::flops_a_cycle().c_str());
  benchmark::Shutdown();
}
