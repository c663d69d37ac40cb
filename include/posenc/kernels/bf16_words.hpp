// Reads and writes bf16 two at a time, as 32-bit words, so that no instruction set has to permute lanes.
#pragma once

#include <posenc/kernels/vectors.hpp>
#include <posenc/scalar.hpp>

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace posenc::inline POSENC_ISA::kernels::detail {

/// Two adjacent bf16, widened, of one word (V is float) or of each of a vector of words: the even one is the word's low
/// half shifted up, the odd one its high half as it is.
template <class V>
struct bf16_pair {
  V even;
  V odd;
};

template <class V>
bf16_pair<V> load_bf16_pair(const bf16* from) noexcept {
  using words = std::conditional_t<std::same_as<V, float>, std::uint32_t, vector<std::uint32_t>>;
  words word;
  std::memcpy(&word, from, sizeof word);
  if constexpr (!std::same_as<V, float>) pin(word);
  return {std::bit_cast<V>(word << 16), std::bit_cast<V>(word & 0xffff'0000U)};
}

// Rounds to nearest even without a test for NaN: a NaN from arithmetic on widened bf16 has a zero low half, which
// cannot carry. (A NaN among the cosines and sines could.)

inline std::uint32_t rounded_to_upper_half(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return bits + 0x7fffU + ((bits >> 16) & 1U);
}
inline void store_bf16_pair(bf16* to, bf16_pair<float> pair) noexcept {
  const std::uint32_t word =
      (rounded_to_upper_half(pair.even) >> 16) | (rounded_to_upper_half(pair.odd) & 0xffff'0000U);
  std::memcpy(to, &word, sizeof word);
}

using bf16_halves = vector<std::uint16_t>;

/// The upper halves of pairs of words, in memory order, and their lower halves.
struct bf16_split {
  bf16_halves upper;
  bf16_halves lower;

  explicit bf16_split(bf16_pair<vector<float>> pair) noexcept {
    const auto even = std::bit_cast<vector<std::uint32_t>>(pair.even);
    const auto odd = std::bit_cast<vector<std::uint32_t>>(pair.odd);
    upper = alternating(std::bit_cast<bf16_halves>(even >> 16), std::bit_cast<bf16_halves>(odd));
    lower = alternating(std::bit_cast<bf16_halves>(even), std::bit_cast<bf16_halves>(odd << 16));
  }
  /// To nearest even: the highest bit of an average is the carry of the sum, and an average is one instruction.
  bf16_halves rounded() const noexcept {
    const bf16_halves to_even = (upper & 1) | 0x7ffe;
    return upper + (average(lower, to_even) >> 15);
  }
  bf16_halves rounded_or_nan() const noexcept {
    // NaN is above infinity in magnitude: a nonzero lower half counts as a last bit, which cannot carry into the sign.
    // Compared as signed integers, which every instruction set can do.
    const bf16_halves something = lower != 0 ? bf16_halves{} + 1 : bf16_halves{};
    const auto size = std::bit_cast<vector<std::int16_t>>((upper & 0x7fff) | something);
    return size > 0x7f80 ? upper | 0x40 : rounded();
  }
};

inline void store_bf16_pair(bf16* to, bf16_pair<vector<float>> pair) noexcept { store(to, bf16_split(pair).rounded()); }

static_assert(std::endian::native == std::endian::little,
              "posenc: the even element of a word is taken to be its low half");

}  // namespace posenc::inline POSENC_ISA::kernels::detail
