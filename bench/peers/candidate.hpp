// posenc as a C library, for programs that time several libraries in one process. Unchecked: sizes must fit.
#pragma once

#include <cstdint>

// x is [tokens, heads, dim], rotated in place; tables are [tokens, dim / 2]; interleaved: 0 = halves, 1 = neighbours.
// q, k, v, o of attention are [heads, n, dim]; slopes: ALiBi's, one a head, or null.
// q and o of decode are [heads, dim], k and v [kv_heads, n, dim].
#pragma GCC visibility push(default)
extern "C" {
const char* cand_version();
void cand_rope_f32(float* x, const float* cos, const float* sin, long tokens, long heads, long dim, int interleaved,
                   int threads);
void cand_rope_bf16(std::uint16_t* x, const float* cos, const float* sin, long tokens, long heads, long dim,
                    int interleaved, int threads);
void cand_rope_f16(std::uint16_t* x, const float* cos, const float* sin, long tokens, long heads, long dim,
                   int interleaved, int threads);
void cand_table(float* cos, float* sin, long positions, long dim, double base, int threads);
/// x and rows are [tokens, dim]: x += rows.
void cand_add_f32(float* x, const float* rows, long tokens, long dim, int threads);
void cand_attention_f32(const float* q, const float* k, const float* v, float* o, long heads, long n, long dim,
                        int causal, const float* slopes, int threads);
void cand_attention_bf16(const std::uint16_t* q, const std::uint16_t* k, const std::uint16_t* v, std::uint16_t* o,
                         long heads, long n, long dim, int causal, int threads);
/// Causal, with a bias of distance: 0 none, 1 ALiBi, 2 KERPLE's logarithm as a user writes it, 3 T5's buckets.
void cand_attention_biased_f32(const float* q, const float* k, const float* v, float* o, long heads, long n, long dim,
                               int bias, int threads);
/// forward != 0: writes o and lse [n, heads]; else reads them and overwrites dq, dk and dv.
void cand_attention_backward_f32(const float* q, const float* k, const float* v, float* o, const float* d_o, float* lse,
                                 float* dq, float* dk, float* dv, long heads, long n, long dim, int causal, int forward,
                                 int threads);
void cand_decode_f32(const float* q, const float* k, const float* v, float* o, long heads, long kv_heads, long n,
                     long dim, int threads);
}
#pragma GCC visibility pop
