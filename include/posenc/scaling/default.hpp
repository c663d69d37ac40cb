// RoPE's original frequencies.
#pragma once

#include <posenc/scaling/rotary_slice.hpp>

namespace posenc::inline POSENC_ISA {

struct default_frequencies_params {
  index_t head_dim = 0;
  index_t rotary_dim = 0;  // 0: head_dim * partial_rotary_factor
  double partial_rotary_factor = 1;
  double rope_theta = 10000;
};

/// inv_freq[i] = rope_theta^(-2i / rotary_dim)
///
/// Errors    rotary_dim odd, below 2 or above head_dim, rope_theta not above 0: invalid_argument.
/// Accuracy  that of `frequencies`.
/// Source    Su et al. 2021, arXiv:2104.09864; `rope_type` "default" in model configurations.
inline frequencies default_frequencies(const default_frequencies_params& p) {
  const char* recipe = "default_frequencies";
  const index_t d = detail::checked_rotary_dim(recipe, p.head_dim, p.rotary_dim, p.partial_rotary_factor);
  return frequencies(detail::powers_of_theta(recipe, p.rope_theta, d));
}

}  // namespace posenc::inline POSENC_ISA
