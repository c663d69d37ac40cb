// The inline namespace that keeps code compiled for different instruction sets apart.
#pragma once

// A header-only library is compiled once a translation unit, and the linker keeps one copy of each inline function. If
// an engine compiles one unit for AVX-512 and another for the baseline, the copy kept may be the wrong one for the
// machine it runs on. All of posenc therefore lives in `posenc::inline POSENC_ISA`, a name that spells every
// compile-time feature that changes the code: instruction sets, fast math, and whether errors may throw. Units that
// differ in one of them share nothing; a posenc type passed between them is a link error instead of a crash. Raw memory
// and parameters cross freely.
//
// Only these macros may steer code in this library.

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define POSENC_ISA_VECTOR_ avx512
#elif defined(__AVX512F__)
#define POSENC_ISA_VECTOR_ avx512f
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

// How bf16 is multiplied faster than widened: by the matrix unit of AMX, or in pairs, unless the core takes two cycles for
// a vector of them, half the rate of widening, as those with AVX-512 FP16 do, Sapphire Rapids and what followed it.
// (GCC and Clang spell the macro of AMX differently.)
#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__F16C__) && \
    defined(__linux__) && (defined(__AMX_BF16__) || defined(__AMXBF16__))
#define POSENC_BF16_TILES
#define POSENC_ISA_BF16_ _amx
#elif defined(__AVX512BF16__) && !defined(__AVX512FP16__)
#define POSENC_BF16_PAIRS
#define POSENC_ISA_BF16_ _bf16
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

#define POSENC_ISA_JOIN_(vector, fma, f16c, bf16, vnni, math, errors) isa_##vector##fma##f16c##bf16##vnni##math##errors
#define POSENC_ISA_EXPAND_(vector, fma, f16c, bf16, vnni, math, errors) \
  POSENC_ISA_JOIN_(vector, fma, f16c, bf16, vnni, math, errors)

/// For example `isa_avx2_fma_f16c`.
#define POSENC_ISA                                                                                              \
  POSENC_ISA_EXPAND_(POSENC_ISA_VECTOR_, POSENC_ISA_FMA_, POSENC_ISA_F16C_, POSENC_ISA_BF16_, POSENC_ISA_VNNI_, \
                     POSENC_ISA_MATH_, POSENC_ISA_ERRORS_)

namespace posenc::inline POSENC_ISA {}
