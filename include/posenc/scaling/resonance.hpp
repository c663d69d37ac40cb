// Resonance: wavelengths of whole positions, so that a pair returns to angles it has met before.
#pragma once

#include <posenc/angles/frequencies.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// The frequencies of any recipe, with each wavelength rounded to whole positions: beyond the training length a pair
/// meets no angle that it has not met within its first wavelength.
///
///     inv_freq[i] = 2 pi / max(1, round(2 pi / inv_freq[i]))        halves up; signs and zeros are kept
///
///     resonance_frequencies(yarn_frequencies({...}))
///
/// The rest of the list (axes, factors, float32 angles) is kept.
///
/// Accuracy  that of `frequencies`: a wavelength is whole positions to 2^-193 of a turn per position.
/// Source    Wang et al. 2024, arXiv:2403.00071, section 4.1.
inline frequencies resonance_frequencies(const frequencies& list) {
  std::vector<wide> inv_freq;
  std::vector<index_t> axes;
  for (index_t pair = 0; pair < list.size(); ++pair) {
    const wide turns = wide::from_fixed_point(list.table().turns[static_cast<std::size_t>(pair)]);
    const bool negative = turns < 0;
    const wide size = negative ? -turns : turns;
    const wide wavelength = size == 0 ? wide(1) : std::max(wide(1), floor(1 / size + 0.5));
    const wide rounded = size == 0 ? wide(0) : 2 * wide::pi() / wavelength;
    inv_freq.push_back(negative ? -rounded : rounded);
    axes.push_back(list.axis(pair));
  }
  const frequencies made = frequencies(inv_freq)
                               .with_axes(axes)
                               .with_attention_factor(list.attention_factor())
                               .with_softmax_multiplier(list.softmax_multiplier());
  return list.float32_angles() ? made.with_float32_angles() : made;
}

}  // namespace posenc::inline POSENC_ISA
