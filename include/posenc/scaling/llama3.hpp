// Llama 3.1 scaling: high frequencies are kept, low ones divided, with a blend between.
#pragma once

#include <posenc/scaling/rotary_slice.hpp>

#include <vector>

namespace posenc::inline POSENC_ISA {

struct llama3_frequencies_params {
  index_t head_dim = 0;
  index_t rotary_dim = 0;  // 0: head_dim * partial_rotary_factor
  double partial_rotary_factor = 1;
  double rope_theta = 10000;
  double factor = 1;
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  index_t original_max_position_embeddings = 0;
};

/// With w = rope_theta^(-2i / rotary_dim) and r = original_max_position_embeddings * w / (2 pi), the turns a pair makes
/// in the original context:
///
///     inv_freq[i] = w                           where r > high_freq_factor
///                   w / factor                  where r < low_freq_factor
///                   (1 - t) w / factor + t w    between
///     t = (r - low_freq_factor) / (high_freq_factor - low_freq_factor)
///
/// Errors    as default_frequencies; factor not above 0, original_max_position_embeddings < 1, or not
///           0 < low_freq_factor < high_freq_factor: invalid_argument.
/// Accuracy  that of `frequencies`.
/// Source    `rope_type` "llama3" in model configurations, as in transformers.
inline frequencies llama3_frequencies(const llama3_frequencies_params& p) {
  const char* recipe = "llama3_frequencies";
  const index_t d = detail::checked_rotary_dim(recipe, p.head_dim, p.rotary_dim, p.partial_rotary_factor);
  detail::require_positive(recipe, "factor", p.factor);
  detail::require_positive(recipe, "low_freq_factor", p.low_freq_factor);
  detail::require_positive(recipe, "high_freq_factor", p.high_freq_factor);
  require(p.high_freq_factor > p.low_freq_factor, recipe, "high_freq_factor", p.high_freq_factor,
          "above low_freq_factor");
  require(p.original_max_position_embeddings >= 1, recipe, "original_max_position_embeddings",
          p.original_max_position_embeddings, "at least 1");
  const wide turns_a_radian = p.original_max_position_embeddings / (2 * wide::pi());
  const wide width = wide(p.high_freq_factor) - p.low_freq_factor;
  std::vector<wide> inv_freq = detail::powers_of_theta(recipe, p.rope_theta, d);
  for (wide& w : inv_freq) {
    const wide turns = w * turns_a_radian;
    if (turns > p.high_freq_factor) continue;
    const wide scaled = w / p.factor;
    const wide t = turns < p.low_freq_factor ? wide(0) : (turns - p.low_freq_factor) / width;
    w = (1 - t) * scaled + t * w;
  }
  return frequencies(inv_freq);
}

}  // namespace posenc::inline POSENC_ISA
