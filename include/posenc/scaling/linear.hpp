// Position interpolation: all frequencies divided by one factor.
#pragma once

#include <posenc/scaling/rotary_slice.hpp>

#include <vector>

namespace posenc::inline POSENC_ISA {

struct linear_frequencies_params {
  index_t head_dim = 0;
  index_t rotary_dim = 0;  // 0: head_dim * partial_rotary_factor
  double partial_rotary_factor = 1;
  double rope_theta = 10000;
  double factor = 1;
};

/// inv_freq[i] = rope_theta^(-2i / rotary_dim) / factor
///
/// Errors    as default_frequencies; factor not above 0: invalid_argument.
/// Accuracy  that of `frequencies`.
/// Source    Chen et al. 2023, arXiv:2306.15595; `rope_type` "linear" in model configurations.
inline frequencies linear_frequencies(const linear_frequencies_params& p) {
  const char* recipe = "linear_frequencies";
  const index_t d = detail::checked_rotary_dim(recipe, p.head_dim, p.rotary_dim, p.partial_rotary_factor);
  detail::require_positive(recipe, "factor", p.factor);
  std::vector<wide> inv_freq = detail::powers_of_theta(recipe, p.rope_theta, d);
  for (wide& frequency : inv_freq) frequency = frequency / p.factor;
  return frequencies(inv_freq);
}

}  // namespace posenc::inline POSENC_ISA
