#include "limits.hpp"

#include "../limits.hpp"
#include "../thread_pool.hpp"

#include <cstddef>

using posenc_bench::multiply_add;

namespace {

template <class Pass>
void repeat(long times, const void* memory, Pass pass) {
  for (long i = 0; i < times; ++i) {
    pass();
    asm volatile("" : : "g"(memory) : "memory");
  }
}

}  // namespace

void limit_scale(float* x, long count, long times) {
  repeat(times, x, [=] { posenc_bench::scale(x, static_cast<std::size_t>(count)); });
}

void limit_copy(char* to, const char* from, long bytes, long times) {
  repeat(times, to, [=] { posenc_bench::copy(from, to, static_cast<std::size_t>(bytes)); });
}

void limit_add(float* x, const float* y, long count, long times) {
  repeat(times, x, [=] { posenc_bench::add(x, y, static_cast<std::size_t>(count)); });
}

void limit_read(const float* x, long count, long times) {
  repeat(times, x, [=] { posenc_bench::sum(x, static_cast<std::size_t>(count)); });
}

void limit_fma(long rounds, int threads) {
  if (threads <= 1) return multiply_add(static_cast<int>(rounds));
  const auto task = [=](posenc::index_t, posenc::index_t) { multiply_add(static_cast<int>(rounds)); };
  posenc_bench::pool_of(threads)(threads, posenc::task_ref(task));
}

double limit_fma_flops(long rounds) { return posenc_bench::multiply_add_flops(static_cast<int>(rounds)); }

void repeat_rope(void (*rope)(void*, const float*, const float*, long, long, long, int, int), void* q, void* k,
                 const float* cos, const float* sin, long tokens, long heads, long kv_heads, long dim, int interleaved,
                 int threads, long times) {
  for (long i = 0; i < times; ++i) {
    rope(q, cos, sin, tokens, heads, dim, interleaved, threads);
    rope(k, cos, sin, tokens, kv_heads, dim, interleaved, threads);
  }
}
