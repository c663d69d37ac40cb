// Vectorized 2^x, for softmax weights.
#pragma once

#include <posenc/kernels/larger.hpp>
#include <posenc/kernels/vectors.hpp>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__AVX512DQ__)
#include <immintrin.h>
#endif

namespace posenc::inline POSENC_ISA::detail {

/// Some processors take a hundred times as long if a product or sum is subnormal. With this limit no weight is near
/// that, nor its product with a value of usual size, nor the last of its three bf16 parts.
inline constexpr int least_exponent = -101;

/// 2^x for x up to 127, within 2.2 ulp; 0 for x below least_exponent - 0.5, so also for minus infinity. NaN stays NaN.
template <class V>
[[gnu::always_inline]] inline V power_of_two(V x) noexcept {
  if constexpr (std::is_same_v<V, kernels::vector<float>>) {
#if defined(__AVX512DQ__)
    // There are instructions for both ends: x minus its floor, and multiplying by 2^floor(x).
    const __mmask16 counts = _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(least_exponent - 0.5F), _CMP_NLT_UQ);
    const V part = (V)_mm512_maskz_reduce_ps(0xffff, (__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    V p = part * 0.00188529736F + 0.00897337589F;
    p = p * part + 0.0558359176F;
    p = p * part + 0.240152866F;
    p = p * part + 0.693152428F;
    p = p * part + 1.0F;
    return (V)_mm512_maskz_scalef_ps(counts, (__m512)p, (__m512)x);
#else
    using bits_t = kernels::vector<std::int32_t>;
    // Adding 1.5 * 2^23 rounds to an integer in the low bits; adding `bias` too makes those bits a biased exponent,
    // zero at the lower clamp. The polynomial makes up for the remaining factor `rest`.
    constexpr int bias = 1 - least_exponent;
    constexpr float rounder = 12582912.0F + bias;
    x = kernels::larger(V{} - float{bias}, x);  // in this order, so that NaN is kept
    const V rounded = x + rounder;
    bits_t exponent;
    std::memcpy(&exponent, &rounded, sizeof rounded);
#if defined(__FAST_MATH__)
    // Fast math simplifies (x + rounder) - rounder to x.
    const V whole = __builtin_convertvector(exponent - (0x4b40'0000 + bias), V);
#else
    const V whole = rounded - rounder;
#endif
    const V part = x - whole;
    exponent <<= 23;
    V scale;
    std::memcpy(&scale, &exponent, sizeof exponent);
    constexpr float rest = 0x1p25F;
    static_assert(bias + 25 == 127);
    V p = part * (rest * 0.00132647333318F) + rest * 0.009671512643F;
    p = p * part + rest * 0.0555073372426F;
    p = p * part + rest * 0.240222420861F;
    p = p * part + rest * 0.69314697761F;
    p = p * part + rest;
    return p * scale;  // a product, not a sum of bits, which could turn a NaN into a number
#endif
  } else {
    for (index_t l = 0; l < static_cast<index_t>(sizeof x / sizeof x[0]); ++l) x[l] = std::exp2(x[l]);
    return x;
  }
}

}  // namespace posenc::inline POSENC_ISA::detail
