// NTK-aware scaling: a larger theta, which stretches slow pairs and spares fast ones.
#pragma once

#include <posenc/scaling/rotary_slice.hpp>

namespace posenc::inline POSENC_ISA {

namespace detail {

// theta' = rope_theta * stretch^(d / (d - 2)): the first pair keeps its frequency, the last is divided by `stretch`.
inline frequencies ntk_stretched(const char* recipe, double rope_theta, index_t d, const wide& stretch) {
  require(d > 2, recipe, "rotary_dim", d, "above 2");
  require_positive(recipe, "rope_theta", rope_theta);
  return frequencies(powers(wide(rope_theta) * pow(stretch, wide(d) / (d - 2)), d / 2, wide(d) / 2));
}

}  // namespace detail

struct ntk_frequencies_params {
  index_t head_dim = 0;
  index_t rotary_dim = 0;  // 0: head_dim * partial_rotary_factor
  double partial_rotary_factor = 1;
  double rope_theta = 10000;
  double factor = 1;
};

/// inv_freq[i] = theta'^(-2i / d), theta' = rope_theta * factor^(d / (d - 2)), d = rotary_dim
///
/// Errors    as default_frequencies; factor not above 0, rotary_dim 2: invalid_argument.
/// Accuracy  that of `frequencies`.
/// Source    bloc97's post of 2023 ("NTK-aware scaled RoPE"); Hunyuan's `alpha` is this factor.
inline frequencies ntk_frequencies(const ntk_frequencies_params& p) {
  const char* recipe = "ntk_frequencies";
  const index_t d = detail::checked_rotary_dim(recipe, p.head_dim, p.rotary_dim, p.partial_rotary_factor);
  detail::require_positive(recipe, "factor", p.factor);
  return detail::ntk_stretched(recipe, p.rope_theta, d, p.factor);
}

}  // namespace posenc::inline POSENC_ISA
