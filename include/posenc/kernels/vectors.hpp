// Short vectors in the compiler's own extension: as wide as the target's registers, the same source everywhere.
#pragma once

#include <posenc/error.hpp>   // index_t
#include <posenc/scalar.hpp>  // f16

#include <cstddef>
#include <cstring>

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace posenc::inline POSENC_ISA::kernels {

#if defined(__AVX512F__)
inline constexpr index_t vector_bytes = 64;
#elif defined(__AVX__)
inline constexpr index_t vector_bytes = 32;
#else
inline constexpr index_t vector_bytes = 16;
#endif

namespace detail {
template <class T, index_t Lanes>
struct vector_of {
  typedef T type __attribute__((vector_size(static_cast<std::size_t>(Lanes) * sizeof(T))));
};
}  // namespace detail

/// Pairs that one call may turn, because cosines and sines are brought into order on the stack. Head sizes up to 256.
inline constexpr index_t max_pairs = 128;

/// As many T as a register holds.
template <class T>
inline constexpr index_t lanes = vector_bytes / static_cast<index_t>(sizeof(T));
template <class T>
using vector = typename detail::vector_of<T, lanes<T>>::type;

// Loads and stores by memcpy: unaligned, and free of aliasing rules.
template <class V>
V load(const void* from) noexcept {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
template <class V>
void store(void* to, const V& v) noexcept {
  std::memcpy(to, &v, sizeof v);
}

/// {v1, v0, v3, v2, ...}
template <class V>
V swap_pairs(V v) noexcept {
  constexpr std::size_t count = sizeof(V) / sizeof(v[0]);
  if constexpr (count == 2)
    return __builtin_shufflevector(v, v, 1, 0);
  else if constexpr (count == 4)
    return __builtin_shufflevector(v, v, 1, 0, 3, 2);
  else if constexpr (count == 8)
    return __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6);
  else
    return __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
}

/// {v0, v0, v1, v1, ...} of the lower half of the lanes, and the same of the upper half.
template <class V>
V double_low_half(V v) noexcept {
  constexpr std::size_t count = sizeof(V) / sizeof(v[0]);
  if constexpr (count == 2)
    return __builtin_shufflevector(v, v, 0, 0);
  else if constexpr (count == 4)
    return __builtin_shufflevector(v, v, 0, 0, 1, 1);
  else if constexpr (count == 8)
    return __builtin_shufflevector(v, v, 0, 0, 1, 1, 2, 2, 3, 3);
  else
    return __builtin_shufflevector(v, v, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
}
template <class V>
V double_high_half(V v) noexcept {
  constexpr std::size_t count = sizeof(V) / sizeof(v[0]);
  if constexpr (count == 2)
    return __builtin_shufflevector(v, v, 1, 1);
  else if constexpr (count == 4)
    return __builtin_shufflevector(v, v, 2, 2, 3, 3);
  else if constexpr (count == 8)
    return __builtin_shufflevector(v, v, 4, 4, 5, 5, 6, 6, 7, 7);
  else
    return __builtin_shufflevector(v, v, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15);
}

/// Keeps a loaded vector in a register: GCC would otherwise fold the load into each of its uses, and loads are the limit.
template <class V>
void pin([[maybe_unused]] V& v) noexcept {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  asm("" : "+v"(v));
#endif
}

#if defined(__F16C__)
// GCC 12 does not vectorise _Float16, and integer conversions are ten times slower than the instruction.
#if defined(__AVX512F__)
// The forms with a mask of ones: the plain ones of GCC 12 start from a value it then warns is uninitialised.
inline vector<float> load_f16(const f16* from) noexcept { return _mm512_maskz_cvtph_ps(0xffff, load<__m256i>(from)); }
inline void store_f16(f16* to, vector<float> v) noexcept {
  store(to, _mm512_maskz_cvtps_ph(0xffff, v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#else
inline vector<float> load_f16(const f16* from) noexcept { return _mm256_cvtph_ps(load<__m128i>(from)); }
inline void store_f16(f16* to, vector<float> v) noexcept { store(to, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT)); }
#endif
#endif

}  // namespace posenc::inline POSENC_ISA::kernels
