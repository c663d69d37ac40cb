// Converts stored elements to vectors of the compute type, and back.
#pragma once

#include <posenc/error.hpp>            // index_t
#include <posenc/kernels/vectors.hpp>  // vector, load, store
#include <posenc/scalar.hpp>           // widen, narrow

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace posenc::inline POSENC_ISA {

namespace kernels {

namespace detail {

#if defined(__F16C__)
inline constexpr bool f16_by_instruction = true;
#else
inline constexpr bool f16_by_instruction = false;
#endif

/// Whether S is loaded and stored as a vector of T by a few instructions. Otherwise elements are converted one by one.
template <class S, class T>
inline constexpr bool in_vectors = std::same_as<S, T> ||
                                   (std::same_as<T, float> &&
                                    (std::same_as<S, bf16> || (std::same_as<S, f16> && f16_by_instruction)));

template <real T, scalar S>
vector<T> load_wide(const S* from) noexcept {
  if constexpr (std::same_as<S, bf16>) {
    typename vector_of<std::uint16_t, lanes<T>>::type halves;
    std::memcpy(&halves, from, sizeof halves);
    return std::bit_cast<vector<T>>(__builtin_convertvector(halves, vector<std::uint32_t>) << 16);
#if defined(__F16C__)
  } else if constexpr (std::same_as<S, f16>) {
    return load_f16(from);
#endif
  } else {
    return load<vector<T>>(from);
  }
}

template <scalar S, class V>
void store_narrow(S* to, V v) noexcept {
  if constexpr (std::same_as<S, bf16>) {
    using words = vector<std::uint32_t>;
    const words bits = std::bit_cast<words>(v);
    const words rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    // Rounding would carry a NaN into the sign. Compared as signed integers, which every instruction set can do.
    const auto is_nan = std::bit_cast<words>(std::bit_cast<vector<std::int32_t>>(bits & 0x7fff'ffffU) > 0x7f80'0000);
    const words chosen = (is_nan & ((bits >> 16) | 0x40U)) | (~is_nan & rounded);
    const auto halves = __builtin_convertvector(chosen, typename vector_of<std::uint16_t, lanes<float>>::type);
    std::memcpy(to, &halves, sizeof halves);
#if defined(__F16C__)
  } else if constexpr (std::same_as<S, f16>) {
    store_f16(to, v);
#endif
  } else {
    store(to, v);
  }
}

}  // namespace detail

/// to[i] = from[i] * factor, computed in T and rounded once to the type of `to`. `from` and `to` are the same or do not
/// overlap.
template <real T, scalar S, scalar D>
void convert(const S* from,  // [count]
             D* to,          // [count]
             index_t count, T factor = 1) noexcept {
  if constexpr (std::same_as<S, D>) {
    if (factor == 1) {
      if (count > 0) std::memmove(to, from, static_cast<std::size_t>(count) * sizeof(S));
      return;
    }
  }
  // Loop bounds are computed up front: GCC warns about a loop that continues where another stopped, if it knows the
  // count.
  index_t whole = 0;
  if constexpr (detail::in_vectors<S, T> && detail::in_vectors<D, T>) {
    whole = count - count % lanes<T>;
    for (index_t i = 0; i < whole; i += lanes<T>) {
      detail::store_narrow(to + i, detail::load_wide<T>(from + i) * factor);
    }
  }
  for (index_t i = whole; i < count; ++i) to[i] = narrow<D>(widen<T>(from[i]) * factor);
}

}  // namespace kernels

}  // namespace posenc::inline POSENC_ISA
