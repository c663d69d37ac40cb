// Dynamic NTK scaling: theta grows with the length of the sequence.
#pragma once

#include <posenc/scaling/ntk.hpp>

#include <algorithm>

namespace posenc::inline POSENC_ISA {

struct dynamic_ntk_frequencies_params {
  index_t head_dim = 0;
  index_t rotary_dim = 0;  // 0: head_dim * partial_rotary_factor
  double partial_rotary_factor = 1;
  double rope_theta = 10000;
  double factor = 1;
  index_t max_position_embeddings = 0;
  index_t seq_len = 0;  // largest position plus one
};

/// inv_freq[i] = theta'^(-2i / d), d = rotary_dim
///
///     theta' = rope_theta * (factor * L / max_position_embeddings - (factor - 1))^(d / (d - 2))
///     L = max(seq_len, max_position_embeddings)
///
/// Up to max_position_embeddings nothing changes; beyond it every length has its own frequencies, and keys rotated for
/// another length have to be rotated again.
///
/// Errors    as default_frequencies; factor below 1, max_position_embeddings < 1, seq_len < 0, rotary_dim 2:
///           invalid_argument.
/// Accuracy  that of `frequencies`.
/// Source    `rope_type` "dynamic" in model configurations, as in transformers.
inline frequencies dynamic_ntk_frequencies(const dynamic_ntk_frequencies_params& p) {
  const char* recipe = "dynamic_ntk_frequencies";
  const index_t d = detail::checked_rotary_dim(recipe, p.head_dim, p.rotary_dim, p.partial_rotary_factor);
  detail::require_positive(recipe, "factor", p.factor);
  require(p.factor >= 1, recipe, "factor", p.factor, "at least 1");
  require(p.max_position_embeddings >= 1, recipe, "max_position_embeddings", p.max_position_embeddings, "at least 1");
  require(p.seq_len >= 0, recipe, "seq_len", p.seq_len, "at least 0");
  const wide length = std::max(p.seq_len, p.max_position_embeddings);
  return detail::ntk_stretched(recipe, p.rope_theta, d,
                               p.factor * length / p.max_position_embeddings - (wide(p.factor) - 1));
}

}  // namespace posenc::inline POSENC_ISA
