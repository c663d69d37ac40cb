// Short vectors through the compiler's own extension: as wide as the target's registers, the same source everywhere.
#pragma once

#include <posenc/error.hpp>   // index_t
#include <posenc/scalar.hpp>  // f16

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace posenc::inline POSENC_ISA::kernels {

#if defined(__AVX512F__)
inline constexpr index_t vector_bytes = 64;
#elif defined(__AVX__)
inline constexpr index_t vector_bytes = 32;
#else
inline constexpr index_t vector_bytes = 16;
#endif

/// Number of vector registers.
#if defined(__AVX512F__) || defined(__ARM_NEON)
inline constexpr int num_registers = 32;
#else
inline constexpr int num_registers = 16;
#endif

namespace detail {
template <class T, index_t Lanes>
struct vector_of {
  typedef T type __attribute__((vector_size(static_cast<std::size_t>(Lanes) * sizeof(T))));
};
}  // namespace detail

/// Largest number of pairs per call, because cosines and sines are arranged on the stack: head sizes up to 256.
inline constexpr index_t max_pairs = 128;

/// Number of T in a register.
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
template <class V>
void add_at(void* to, const V& v) noexcept {
  store(to, load<V>(to) + v);
}

namespace detail {
template <class V>
inline constexpr std::size_t num_lanes = sizeof(V) / sizeof(std::declval<V&>()[0]);

/// Lane i of the result is lane `LaneOf{}(i)` of a and b concatenated.
template <class LaneOf, class V, std::size_t... I>
auto shuffled(V a, V b, std::index_sequence<I...>) noexcept {
  return __builtin_shufflevector(a, b, static_cast<int>(LaneOf{}(I))...);
}
template <std::size_t Lanes, class V, class LaneOf>
auto shuffled(V a, V b, LaneOf) noexcept {
  return shuffled<LaneOf>(a, b, std::make_index_sequence<Lanes>{});
}
}  // namespace detail

/// Concatenates two vectors.
template <class V>
auto joined(V a, V b) noexcept {
  return detail::shuffled<2 * detail::num_lanes<V>>(a, b, [](std::size_t i) { return i; });
}

/// {a0, a2, a4, ..., b0, b2, b4, ...}: the first of adjacent pairs, or the lower halves of 64-bit lanes.
template <class V>
V evens(V a, V b) noexcept {
  return detail::shuffled<detail::num_lanes<V>>(a, b, [](std::size_t i) { return 2 * i; });
}
template <class V>
V odds(V a, V b) noexcept {
  return detail::shuffled<detail::num_lanes<V>>(a, b, [](std::size_t i) { return 2 * i + 1; });
}

/// {a0, b0, a1, b1, ...} of the lower halves of a and b; zip_high: of their upper halves.
template <class V>
V zip_low(V a, V b) noexcept {
  return detail::shuffled<detail::num_lanes<V>>(a, b,
                                                [](std::size_t i) { return i / 2 + i % 2 * detail::num_lanes<V>; });
}
template <class V>
V zip_high(V a, V b) noexcept {
  return detail::shuffled<detail::num_lanes<V>>(
      a, b, [](std::size_t i) { return (detail::num_lanes<V> + i) / 2 + i % 2 * detail::num_lanes<V>; });
}

/// {v0, v(n/2), v1, v(n/2 + 1), ...} for n lanes.
template <class V>
V zip_halves(V v) noexcept {
  return detail::shuffled<detail::num_lanes<V>>(
      v, v, [](std::size_t i) { return i / 2 + i % 2 * (detail::num_lanes<V> / 2); });
}

/// {v0, v2, v4, ..., v1, v3, v5, ...}
template <class V>
V evens_then_odds(V v) noexcept {
  constexpr std::size_t half = detail::num_lanes<V> / 2;
  return detail::shuffled<2 * half>(v, v, [](std::size_t i) { return i < half ? 2 * i : 2 * (i - half) + 1; });
}

template <class V>
auto lower_half(V v) noexcept {
  return detail::shuffled<detail::num_lanes<V> / 2>(v, v, [](std::size_t i) { return i; });
}
template <class V>
auto upper_half(V v) noexcept {
  return detail::shuffled<detail::num_lanes<V> / 2>(v, v, [](std::size_t i) { return detail::num_lanes<V> / 2 + i; });
}

/// Converts two vectors of double to one of float.
inline vector<float> narrowed(vector<double> a, vector<double> b) noexcept {
  using half = typename detail::vector_of<float, lanes<double>>::type;
  return joined(__builtin_convertvector(a, half), __builtin_convertvector(b, half));
}

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
/// a * b + c rounded once, whatever the compiler may do to products and sums.
inline vector<double> fused(vector<double> a, vector<double> b, vector<double> c) noexcept {
#if defined(__AVX512F__)
  return _mm512_fmadd_pd(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_pd(a, b, c);
#else
  return vfmaq_f64(c, a, b);
#endif
}
#endif

/// {v1, v0, v3, v2, ...}
template <class V>
V swap_pairs(V v) noexcept {
  return detail::shuffled<detail::num_lanes<V>>(v, v, [](std::size_t i) { return i ^ 1U; });
}

/// {a0, b1, a2, b3, ...}
template <class V>
V alternating(V a, V b) noexcept {
  return detail::shuffled<detail::num_lanes<V>>(
      a, b, [](std::size_t i) { return i % 2 == 0 ? i : detail::num_lanes<V> + i; });
}

/// (a + b + 1) / 2, without overflow.
inline vector<std::uint16_t> average(vector<std::uint16_t> a, vector<std::uint16_t> b) noexcept {
#if defined(__AVX512BW__)
  return std::bit_cast<vector<std::uint16_t>>(_mm512_avg_epu16(std::bit_cast<__m512i>(a), std::bit_cast<__m512i>(b)));
#elif defined(__AVX2__) && !defined(__AVX512F__)
  return std::bit_cast<vector<std::uint16_t>>(_mm256_avg_epu16(std::bit_cast<__m256i>(a), std::bit_cast<__m256i>(b)));
#elif defined(__SSE2__) && !defined(__AVX__)
  return std::bit_cast<vector<std::uint16_t>>(_mm_avg_epu16(std::bit_cast<__m128i>(a), std::bit_cast<__m128i>(b)));
#elif defined(__ARM_NEON)
  return std::bit_cast<vector<std::uint16_t>>(vrhaddq_u16(std::bit_cast<uint16x8_t>(a), std::bit_cast<uint16x8_t>(b)));
#else
  return (a | b) - ((a ^ b) >> 1);
#endif
}

/// Whether a comparison holds in every lane; `mask` is minus one or zero in each.
template <class Mask>
bool all_of(const Mask& mask) noexcept {
#if defined(__AVX512DQ__)
  if constexpr (sizeof(mask[0]) == 4) return _mm512_movepi32_mask(std::bit_cast<__m512i>(mask)) == 0xffff;
#endif
  std::int64_t parts[sizeof mask / 8], all = -1;
  std::memcpy(parts, &mask, sizeof mask);
  for (const std::int64_t part : parts) all &= part;
  return all == -1;
}

/// {v0, v0, v1, v1, ...} of the lower half of v; double_high_half: of its upper half.
template <class V>
V double_low_half(V v) noexcept {
  return detail::shuffled<detail::num_lanes<V>>(v, v, [](std::size_t i) { return i / 2; });
}
template <class V>
V double_high_half(V v) noexcept {
  return detail::shuffled<detail::num_lanes<V>>(v, v, [](std::size_t i) { return (detail::num_lanes<V> + i) / 2; });
}

/// Prefetches a page ahead. Hardware prefetchers stop at the end of a page, and are not far enough ahead for elements
/// that take much arithmetic: worth a third of the speed of 16-bit elements from memory.
inline void fetch_page_ahead(const void* at) noexcept { __builtin_prefetch(static_cast<const char*>(at) + 4096); }

/// Bytes per cache line, on all processors that this is for.
inline constexpr index_t line_bytes = 64;

/// Prefetches every line of a memory range into L2.
inline void fetch_lines(const void* first, index_t bytes) noexcept {
  for (index_t i = 0; i < bytes; i += line_bytes) __builtin_prefetch(static_cast<const char*>(first) + i, 0, 2);
}

/// Keeps a loaded vector in a register: GCC would otherwise fold the load into each use, and loads are the limit.
template <class V>
void pin([[maybe_unused]] V& v) noexcept {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  asm("" : "+v"(v));
#endif
}

/// Hides from the compiler where `v` comes from: under fast math it takes a fused product with one for a sum like any
/// other, and simplifies (x + c) - c to x.
template <class V>
void hide_origin(V& v) noexcept {
#if defined(__x86_64__)
  asm("" : "+v"(v));
#elif defined(__aarch64__)
  asm("" : "+w"(v));
#endif
}

/// Stores the lowest byte of each lane.
inline void store_bytes(std::int8_t* to, vector<std::int32_t> v) noexcept {
#if defined(__AVX512F__)
  store(to, _mm512_maskz_cvtepi32_epi8(0xffff, std::bit_cast<__m512i>(v)));
#else
  const auto bytes = std::bit_cast<vector<std::int8_t>>(v);
  store(to, detail::shuffled<lanes<float>>(bytes, bytes, [](std::size_t i) { return 4 * i; }));
#endif
}

#if defined(__F16C__)
// GCC 12 does not vectorize _Float16, and integer conversions are ten times slower than the instruction.
#if defined(__AVX512F__)
// Masked forms with a mask of ones: GCC 12's plain forms start from a value that it then warns is uninitialized.
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
