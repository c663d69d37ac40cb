#include "limits.hpp"

#include "thread_pool.hpp"

#include <cstddef>
#include <cstring>

namespace {

#if defined(__AVX512F__)
constexpr int lanes = 16;
#elif defined(__AVX__)
constexpr int lanes = 8;
#else
constexpr int lanes = 4;
#endif
using vector = float __attribute__((vector_size(lanes * sizeof(float))));

constexpr int num_chains = 12;  // independent: they cover a latency of four cycles at two a cycle, and more

void keep(const void* memory) { asm volatile("" : : "g"(memory) : "memory"); }

// No chain starts at the fixed point of its map, where a compiler could fold it.
[[gnu::noinline]] void fma_chains(long rounds) {
  vector chains[num_chains];
  for (int c = 0; c < num_chains; ++c) {
    for (int l = 0; l < lanes; ++l) chains[c][l] = static_cast<float>(2 + c + 13 * l);
  }
  for (long i = 0; i < rounds; ++i) {
    for (int c = 0; c < num_chains; ++c) chains[c] = chains[c] * 0.999F + 0.001F;
  }
  keep(chains);
}

template <class Pass>
void repeat(long times, const void* memory, Pass pass) {
  for (long i = 0; i < times; ++i) {
    pass();
    keep(memory);
  }
}

}  // namespace

void limit_scale(float* x, long count, long times) {
  repeat(times, x, [=] {
    for (long i = 0; i < count; ++i) x[i] *= -1.0F;
  });
}

void limit_copy(char* to, const char* from, long bytes, long times) {
  repeat(times, to, [=] { std::memcpy(to, from, static_cast<std::size_t>(bytes)); });
}

void limit_add(float* __restrict x, const float* __restrict y, long count, long times) {
  repeat(times, x, [=] {
    for (long i = 0; i < count; ++i) x[i] += y[i];
  });
}

void limit_read(const float* x, long count, long times) {
  constexpr long stretch = 4 * lanes;  // sums of their own, so that the latency of addition does not count
  repeat(times, x, [=] {
    float sums[stretch] = {};
    for (long i = 0; i + stretch <= count; i += stretch) {
      for (long l = 0; l < stretch; ++l) sums[l] += x[i + l];
    }
    keep(sums);
  });
}

void limit_fma(long rounds, int threads) {
  if (threads <= 1) return fma_chains(rounds);
  const auto task = [=](posenc::index_t, posenc::index_t) { fma_chains(rounds); };
  posenc_bench::pool_of(threads)(threads, posenc::task_ref(task));
}

double limit_fma_flops(long rounds) { return 2.0 * num_chains * lanes * static_cast<double>(rounds); }

void repeat_rope(void (*rope)(void*, const float*, const float*, long, long, long, int, int), void* q, void* k,
                 const float* cos, const float* sin, long tokens, long heads, long kv_heads, long dim, int interleaved,
                 int threads, long times) {
  for (long i = 0; i < times; ++i) {
    rope(q, cos, sin, tokens, heads, dim, interleaved, threads);
    rope(k, cos, sin, tokens, kv_heads, dim, interleaved, threads);
  }
}
