// What the machine allows, by C functions: each passes `times` over its memory in one call, so that the caller's
// language costs nothing.
#pragma once

#pragma GCC visibility push(default)
extern "C" {
void limit_scale(float* x, long count, long times);                   // x *= a
void limit_copy(char* to, const char* from, long bytes, long times);  // memcpy
void limit_add(float* x, const float* y, long count, long times);     // x += y
void limit_read(const float* x, long count, long times);              // a sum
void limit_fma(long rounds, int threads);                             // float32, in registers
double limit_fma_flops(long rounds);                                  // of one thread

/// `times` calls of a `cand_rope_*` on queries and on keys.
void repeat_rope(void (*rope)(void*, const float*, const float*, long, long, long, int, int), void* q, void* k,
                 const float* cos, const float* sin, long tokens, long heads, long kv_heads, long dim, int interleaved,
                 int threads, long times);
}
#pragma GCC visibility pop
