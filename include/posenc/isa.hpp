// The inline namespace that separates code compiled for different instruction sets.
#pragma once

// A header-only library is compiled once per translation unit, and the linker keeps one copy of each inline function.
// If an engine compiles one unit for AVX-512 and another for the baseline, the copy kept may be the wrong one for the
// machine it runs on. All of posenc therefore lives in `posenc::inline POSENC_ISA`, a name that spells out every
// compile-time feature that changes the code: instruction sets, fast math, and whether errors may throw. Units that
// differ in one of them share nothing; a posenc type passed between them is a link error instead of a crash. Raw memory
// and parameters may be passed freely.
//
// Only these macros may affect code in this library.

#if defined(__AVX512F__)
#define POSENC_ISA_VECTOR_ avx512
#elif defined(__AVX2__)
#define POSENC_ISA_VECTOR_ avx2
#elif defined(__AVX__)
#define POSENC_ISA_VECTOR_ avx
#elif defined(__SSE4_1__)
#define POSENC_ISA_VECTOR_ sse4
#elif defined(__SSE2__)
#define POSENC_ISA_VECTOR_ sse2
#elif defined(__ARM_FEATURE_SVE)
#define POSENC_ISA_VECTOR_ sve
#elif defined(__ARM_NEON)
#define POSENC_ISA_VECTOR_ neon
#else
#define POSENC_ISA_VECTOR_ scalar
#endif

// The extensions of AVX-512 one by one: a unit may be compiled with any of them.
#if defined(__AVX512BW__)
#define POSENC_ISA_BW_ _bw
#else
#define POSENC_ISA_BW_
#endif

#if defined(__AVX512DQ__)
#define POSENC_ISA_DQ_ _dq
#else
#define POSENC_ISA_DQ_
#endif

#if defined(__AVX512VL__)
#define POSENC_ISA_VL_ _vl
#else
#define POSENC_ISA_VL_
#endif

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define POSENC_ISA_FMA_ _fma
#else
#define POSENC_ISA_FMA_
#endif

#if defined(__F16C__)
#define POSENC_ISA_F16C_ _f16c
#else
#define POSENC_ISA_F16C_
#endif

// How bf16 is multiplied faster than widened: by the AMX matrix unit, or in pairs. Not in pairs on cores with AVX-512
// FP16 (Sapphire Rapids and later), which take two cycles for a vector of pairs, half the rate of widening: there bf16
// is `_slow_bf16`. (GCC and Clang spell the AMX macro differently.)
#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__F16C__) && \
    defined(__linux__) && (defined(__AMX_BF16__) || defined(__AMXBF16__))
#define POSENC_BF16_TILES
#define POSENC_ISA_BF16_ _amx
#elif defined(__AVX512BF16__) && !defined(__AVX512FP16__)
#define POSENC_BF16_PAIRS
#define POSENC_ISA_BF16_ _bf16
#elif defined(__AVX512BF16__)
#define POSENC_ISA_BF16_ _slow_bf16
#else
#define POSENC_ISA_BF16_
#endif

#if defined(__AVX512VNNI__)
#define POSENC_ISA_VNNI_ _vnni
#else
#define POSENC_ISA_VNNI_
#endif

#if defined(__FAST_MATH__)
#define POSENC_ISA_MATH_ _fast_math
#else
#define POSENC_ISA_MATH_
#endif

#if defined(__cpp_exceptions)
#define POSENC_ISA_ERRORS_
#else
#define POSENC_ISA_ERRORS_ _no_exceptions
#endif

#define POSENC_ISA_JOIN_(vector, bw, dq, vl, fma, f16c, bf16, vnni, math, errors) \
  isa_##vector##bw##dq##vl##fma##f16c##bf16##vnni##math##errors
#define POSENC_ISA_EXPAND_(vector, bw, dq, vl, fma, f16c, bf16, vnni, math, errors) \
  POSENC_ISA_JOIN_(vector, bw, dq, vl, fma, f16c, bf16, vnni, math, errors)

/// For example `isa_avx2_fma_f16c`.
#define POSENC_ISA                                                                                        \
  POSENC_ISA_EXPAND_(POSENC_ISA_VECTOR_, POSENC_ISA_BW_, POSENC_ISA_DQ_, POSENC_ISA_VL_, POSENC_ISA_FMA_, \
                     POSENC_ISA_F16C_, POSENC_ISA_BF16_, POSENC_ISA_VNNI_, POSENC_ISA_MATH_, POSENC_ISA_ERRORS_)

namespace posenc::inline POSENC_ISA {}
