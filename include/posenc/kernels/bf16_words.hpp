// bf16 two at a time, as 32-bit words: no lane has to move on any instruction set.
#pragma once

#include <posenc/scalar.hpp>

#include <bit>
#include <cstdint>
#include <cstring>

namespace posenc::inline POSENC_ISA::kernels::detail {

/// Two neighbours widened: the even one is the word's low half shifted up, the odd one its high half as it is.
struct bf16_pair {
  float even;
  float odd;
};

inline bf16_pair load_bf16_pair(const bf16* from) noexcept {
  std::uint32_t word;
  std::memcpy(&word, from, sizeof word);
  return {std::bit_cast<float>(word << 16), std::bit_cast<float>(word & 0xffff'0000U)};
}

// To nearest even, without a test for NaN: one that comes out of arithmetic on widened bf16 has a zero low half, which
// cannot carry. (A NaN among the cosines and sines could.)
inline std::uint32_t rounded_to_upper_half(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return bits + 0x7fffU + ((bits >> 16) & 1U);
}

inline void store_bf16_pair(bf16* to, float even, float odd) noexcept {
  const std::uint32_t word = (rounded_to_upper_half(even) >> 16) | (rounded_to_upper_half(odd) & 0xffff'0000U);
  std::memcpy(to, &word, sizeof word);
}

static_assert(std::endian::native == std::endian::little,
              "posenc: the even element of a word is taken to be its low half");

}  // namespace posenc::inline POSENC_ISA::kernels::detail
