// Proportional RoPE: a share of a head's pairs rotates, the others do not.
#pragma once

#include <posenc/scaling/rotary_slice.hpp>

#include <vector>

namespace posenc::inline POSENC_ISA {

struct proportional_frequencies_params {
  index_t head_dim = 0;
  double partial_rotary_factor = 1;  // the share of the pairs that rotate
  double rope_theta = 10000;
  double factor = 1;
};

/// inv_freq[i] = rope_theta^(-2i / head_dim) / factor    for i < partial_rotary_factor * head_dim / 2, rounded down
///             = 0                                       for the other pairs
///
/// Pairs span the whole head, and the exponent is divided by head_dim: not the same as rotating fewer columns
/// (`rotary_dim` of the other recipes).
///
/// Errors    head_dim odd or below 2, partial_rotary_factor outside (0, 1], factor or rope_theta not above 0:
///           invalid_argument.
/// Accuracy  that of `frequencies`.
/// Source    Barbero et al. 2024, arXiv:2410.06205; `rope_type` "proportional" as in transformers.
inline frequencies proportional_frequencies(const proportional_frequencies_params& p) {
  const char* recipe = "proportional_frequencies";
  const index_t d = detail::checked_rotary_dim(recipe, p.head_dim, p.head_dim, p.partial_rotary_factor);
  detail::require_positive(recipe, "factor", p.factor);
  const auto rotating = static_cast<std::size_t>(p.partial_rotary_factor * static_cast<double>(d) / 2);
  std::vector<wide> inv_freq = detail::powers_of_theta(recipe, p.rope_theta, d);
  for (std::size_t i = 0; i < inv_freq.size(); ++i) inv_freq[i] = i < rotating ? inv_freq[i] / p.factor : wide(0);
  return frequencies(inv_freq);
}

}  // namespace posenc::inline POSENC_ISA
