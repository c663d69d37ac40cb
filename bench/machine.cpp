#include "machine.hpp"

#include "beside.hpp"
#include "limits.hpp"
#include "version.hpp"

#include <posenc/kernels/vectors.hpp>

#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

namespace posenc_bench {

namespace {

#if defined(__clang__)
constexpr const char* compiler = __VERSION__;
#else
constexpr const char* compiler = "GCC " __VERSION__;
#endif

template <class F>
double least_seconds_of(const F& run) {
  double least = 1e9;
  for (int attempt = 0; attempt < 20; ++attempt) least = std::min(least, seconds_of(run, 1));
  return least;
}

std::string first_line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::string cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return "unknown";
  const int count = CPU_COUNT(&set);
  if (count > 1) return "any of " + std::to_string(count) + ": pin it (taskset -c 1) for figures that hold";
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) return "pinned to core " + std::to_string(core);
  }
  return "none";
}

std::string frequency() {
  const std::string governor = first_line_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  const std::string boost = first_line_of("/sys/devices/system/cpu/cpufreq/boost");
  char text[80];
  std::snprintf(text, sizeof text, "%.2f GHz at the start, governor %s, boost %s", clock_rate() * 1e-9,
                governor.empty() ? "not told" : governor.c_str(), boost.empty() ? "not told" : boost.c_str());
  return text;
}

template <class F>
std::string a_cycle(double flops, const F& run) {
  char text[40];
  std::snprintf(text, sizeof text, "%.1f", flops / (least_seconds_of(run) * clock_rate()));
  return text;
}

}  // namespace

double clock_rate() {
  constexpr long steps = 4'000'000;
  return static_cast<double>(steps) / least_seconds_of([] {
           long sum = 0;
           for (long i = 0; i < steps; ++i) {
             sum += i;
             asm volatile("" : "+r"(sum));
           }
         });
}

std::string flops_a_cycle() {
  constexpr int rounds = 100'000;
  std::string text = a_cycle(multiply_add_flops(rounds), [] { multiply_add(rounds); }) + " flops a cycle";
  if (has_matrix_unit())
    text += ", " + a_cycle(multiply_matrices_flops(rounds), [] { multiply_matrices(rounds); }) + " of bf16 in matrices";
  return text;
}

const std::vector<std::pair<std::string, std::string>>& describe_machine() {
  static const std::vector<std::pair<std::string, std::string>> description{
      {"posenc", version()},
      {"cpu", cpu_model()},
      {"clock", frequency()},
      {"peak", flops_a_cycle() + " at the start"},
      {"cores", cores()},
      {"load", first_line_of("/proc/loadavg")},
      {"compiler", compiler},
      {"flags", POSENC_BENCH_FLAGS},
      {"vectors", std::to_string(8 * posenc::kernels::vector_bytes) + " bits"},
  };
  return description;
}

}  // namespace posenc_bench
