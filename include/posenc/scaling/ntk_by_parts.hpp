// NTK-by-parts: slow pairs interpolated, fast ones kept, a ramp over the turns they make.
#pragma once

#include <posenc/scaling/rotary_slice.hpp>

#include <algorithm>
#include <vector>

namespace posenc::inline POSENC_ISA {

struct ntk_by_parts_frequencies_params {
  index_t head_dim = 0;
  index_t rotary_dim = 0;  // 0: head_dim * partial_rotary_factor
  double partial_rotary_factor = 1;
  double rope_theta = 10000;
  double factor = 1;
  index_t original_max_position_embeddings = 0;
  double beta_fast = 32;
  double beta_slow = 1;
  double attention_factor = 1;
};

/// With w = rope_theta^(-2i / rotary_dim) and r = original_max_position_embeddings * w / (2 pi), the turns a pair makes
/// in the original context:
///
///     inv_freq[i] = (1 - ramp) w / factor + ramp w,    ramp = clamp((r - beta_slow) / (beta_fast - beta_slow), 0, 1)
///
/// Errors    as default_frequencies; factor not above 0, original_max_position_embeddings < 1, or not
///           0 < beta_slow < beta_fast: invalid_argument.
/// Accuracy  that of `frequencies`.
/// Source    Peng et al. 2023, arXiv:2309.00071, section 3.2. Public "yarn" code ramps over the index of the pair.
inline frequencies ntk_by_parts_frequencies(const ntk_by_parts_frequencies_params& p) {
  const char* recipe = "ntk_by_parts_frequencies";
  const index_t d = detail::checked_rotary_dim(recipe, p.head_dim, p.rotary_dim, p.partial_rotary_factor);
  detail::require_positive(recipe, "factor", p.factor);
  detail::require_positive(recipe, "beta_fast", p.beta_fast);
  detail::require_positive(recipe, "beta_slow", p.beta_slow);
  require(p.beta_fast > p.beta_slow, recipe, "beta_fast", p.beta_fast, "above beta_slow");
  require(p.original_max_position_embeddings >= 1, recipe, "original_max_position_embeddings",
          p.original_max_position_embeddings, "at least 1");
  const wide turns_a_radian = p.original_max_position_embeddings / (2 * wide::pi());
  const wide width = wide(p.beta_fast) - p.beta_slow;
  std::vector<wide> inv_freq = detail::powers_of_theta(recipe, p.rope_theta, d);
  for (wide& w : inv_freq) {
    const wide ramp = std::clamp((w * turns_a_radian - p.beta_slow) / width, wide(0), wide(1));
    w = (1 - ramp) * (w / p.factor) + ramp * w;
  }
  return frequencies(inv_freq).with_attention_factor(p.attention_factor);
}

}  // namespace posenc::inline POSENC_ISA
