// What does the machine allow? Each limit beside the copying of memory, or beside the peak of multiply-adds of float.
#include "attention_call.hpp"
#include "beside.hpp"
#include "limits.hpp"
#include "memory.hpp"

namespace posenc_bench {
namespace {

// Of three arrays that lie in L1, in L2, in L3 and, on most machines, in none of them.
struct arrays {
  pages<float> x, y, z;
  explicit arrays(std::int64_t bytes) : x(bytes / 12), y(bytes / 12), z(bytes / 12) {}
};

template <class Pass>
void beside_copy(benchmark::State& state, double passes, Pass pass) {
  const arrays a(state.range(0));
  beside(state, work{passes * a.x.bytes(), [&] { pass(a); }}, "memcpy",
         work{2 * a.x.bytes(), [&] { copy(a.y.data(), a.z.data(), a.y.size() * sizeof(float)); }});
}
void limit_of_scale(benchmark::State& state) {
  beside_copy(state, 2, [](const arrays& a) { scale(a.x.data(), a.x.size()); });
}
void limit_of_triad(benchmark::State& state) {
  beside_copy(state, 3, [](const arrays& a) { triad(a.x.data(), a.y.data(), a.z.data(), a.x.size()); });
}
void limit_of_add(benchmark::State& state) {
  beside_copy(state, 3, [](const arrays& a) { add(a.x.data(), a.y.data(), a.x.size()); });
}
void limit_of_reading(benchmark::State& state) {
  beside_copy(state, 1, [](const arrays& a) { benchmark::DoNotOptimize(sum(a.x.data(), a.x.size())); });
}
void sizes(registered_row* row) {
  row->ArgName("bytes")->Arg(3 << 13)->Arg(3 << 17)->Arg(3 << 21)->Arg(3 << 27)->UseManualTime();
}
BENCHMARK(limit_of_scale)->Apply(sizes);
BENCHMARK(limit_of_triad)->Apply(sizes);
BENCHMARK(limit_of_add)->Apply(sizes);
BENCHMARK(limit_of_reading)->Apply(sizes);

// Values a second, of which a multiply-add does two in each lane.
void limit_of_exponentials(benchmark::State& state) {
  const pages<float> x(4096), y(4096);
  beside(state, work{4096, [&] { exponentials(x.data(), y.data(), x.size()); }}, "peak", multiply_add_peak());
}
void limit_of_cosines_and_sines(benchmark::State& state) {
  const pages<float> x(4096), cos(4096), sin(4096);
  beside(state, work{2 * 4096, [&] { cosines_and_sines(x.data(), cos.data(), sin.data(), x.size()); }}, "peak",
         multiply_add_peak());
}
BENCHMARK(limit_of_exponentials)->UseManualTime();
BENCHMARK(limit_of_cosines_and_sines)->UseManualTime();

// Of bf16 in the matrix unit, where there is one.
void limit_of_matrix_peak(benchmark::State& state) { beside(state, matrix_peak(1), "peak", multiply_add_peak()); }
const bool registered = [] {
  if (has_matrix_unit()) benchmark::RegisterBenchmark("limit_of_matrix_peak", limit_of_matrix_peak)->UseManualTime();
  return true;
}();

}  // namespace
}  // namespace posenc_bench
