// How fast are the two plainest passes over memory: copying it, and scaling it in place?
#include "roof.hpp"

#include <cstddef>
#include <cstring>
#include <vector>

namespace posenc_bench {
namespace {

void copy_roof(benchmark::State& state) {
  const auto half = static_cast<std::size_t>(state.range(0)) / 2;  // from one half of the bytes to the other
  const std::vector<char> from(half, 1);
  std::vector<char> to(half);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), half);
    benchmark::ClobberMemory();
  }
  count_bytes(state, 2 * static_cast<std::int64_t>(half));
}
BENCHMARK(copy_roof)->Apply(cache_levels);

void scale_roof(benchmark::State& state) {
  std::vector<float> x(static_cast<std::size_t>(state.range(0)) / sizeof(float), 1.0f);
  float factor = -1.0f;  // keeps the values, and the compiler from knowing them
  benchmark::DoNotOptimize(factor);
  for (auto _ : state) {
    for (float& value : x) value *= factor;
    benchmark::ClobberMemory();
  }
  count_bytes(state, 2 * state.range(0));
}
BENCHMARK(scale_roof)->Apply(cache_levels);

}  // namespace
}  // namespace posenc_bench
