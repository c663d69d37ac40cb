// YaRN: slow pairs interpolated, fast ones kept, a ramp over the pairs between, and sharper attention.
#pragma once

#include <posenc/scaling/rotary_slice.hpp>

#include <algorithm>
#include <optional>
#include <vector>

namespace posenc::inline POSENC_ISA {

struct yarn_frequencies_params {
  index_t head_dim = 0;
  index_t rotary_dim = 0;  // 0: head_dim * partial_rotary_factor
  double partial_rotary_factor = 1;
  double rope_theta = 10000;
  double factor = 1;
  index_t original_max_position_embeddings = 0;
  double beta_fast = 32;
  double beta_slow = 1;
  bool truncate = true;  // ends of the ramp rounded to whole pairs; false for gpt-oss
  double mscale = 0;
  double mscale_all_dim = 0;
  std::optional<double> attention_factor = {};
};

namespace detail {

/// M(s, mu) = 0.1 mu ln s + 1, and 1 for s up to 1.
inline wide yarn_magnitude(double factor, double mscale) {
  return factor <= 1 ? wide(1) : wide(mscale) * log(wide(factor)) / 10 + 1;
}

}  // namespace detail

/// inv_freq[i] = (1 - ramp) w + ramp w / factor, w = rope_theta^(-2i / d), d = rotary_dim
///
///     ramp = clamp((i - low) / (high - low), 0, 1)
///     low = g(beta_fast) and high = g(beta_slow), rounded down and up if `truncate`, within [0, d - 1]
///     g(r) = d ln(original_max_position_embeddings / (2 pi r)) / (2 ln rope_theta), the pair that makes r turns
///
///     attention_factor    as given, else M(mscale) / M(mscale_all_dim) if both are nonzero, else M(1)
///     softmax_multiplier  M(mscale_all_dim)^2 if that is nonzero, else 1: for the models (DeepSeek) that apply it
///     M(mu) = 0.1 mu ln factor + 1, and 1 for a factor up to 1
///
/// Errors    as default_frequencies; factor or a beta not above 0, rope_theta 1, original_max_position_embeddings < 1,
///           beta_fast below beta_slow, mscale or mscale_all_dim not finite: invalid_argument.
/// Accuracy  that of `frequencies`; factors within 1 ulp.
/// Source    Peng et al. 2023, arXiv:2309.00071, in the form of all public code (transformers, ggml): the paper ramps
///           over turns instead of pairs, which is `ntk_by_parts_frequencies`.
inline frequencies yarn_frequencies(const yarn_frequencies_params& p) {
  const char* recipe = "yarn_frequencies";
  const index_t d = detail::checked_rotary_dim(recipe, p.head_dim, p.rotary_dim, p.partial_rotary_factor);
  detail::require_positive(recipe, "factor", p.factor);
  detail::require_finite(recipe, "mscale", p.mscale);
  detail::require_finite(recipe, "mscale_all_dim", p.mscale_all_dim);
  detail::require_positive(recipe, "beta_fast", p.beta_fast);
  detail::require_positive(recipe, "beta_slow", p.beta_slow);
  require(p.beta_fast >= p.beta_slow, recipe, "beta_fast", p.beta_fast, "at least beta_slow");
  require(p.original_max_position_embeddings >= 1, recipe, "original_max_position_embeddings",
          p.original_max_position_embeddings, "at least 1");
  detail::require_positive(recipe, "rope_theta", p.rope_theta);
  require(p.rope_theta != 1, recipe, "rope_theta", p.rope_theta, "other than 1");

  const wide pairs_an_e = d / (2 * log(wide(p.rope_theta)));
  const auto pair_of_turns = [&](double turns) {
    return pairs_an_e * log(p.original_max_position_embeddings / (2 * wide::pi() * turns));
  };
  wide low = pair_of_turns(p.beta_fast);
  wide high = pair_of_turns(p.beta_slow);
  if (p.truncate) {
    low = floor(low);
    high = ceil(high);
  }
  low = std::max(low, wide(0));
  high = std::min(high, wide(d - 1));
  if (low == high) high = high + 0.001;

  std::vector<wide> inv_freq = detail::powers_of_theta(recipe, p.rope_theta, d);
  for (index_t i = 0; i < d / 2; ++i) {
    wide& w = inv_freq[static_cast<std::size_t>(i)];
    const wide ramp = std::clamp((i - low) / (high - low), wide(0), wide(1));
    w = (1 - ramp) * w + ramp * (w / p.factor);
  }

  const wide all_dim = detail::yarn_magnitude(p.factor, p.mscale_all_dim);
  const bool both = p.mscale != 0 && p.mscale_all_dim != 0;
  const wide magnitude =
      both ? detail::yarn_magnitude(p.factor, p.mscale) / all_dim : detail::yarn_magnitude(p.factor, 1);
  return frequencies(inv_freq)
      .with_attention_factor(p.attention_factor.value_or(static_cast<double>(magnitude)))
      .with_softmax_multiplier(p.mscale_all_dim != 0 ? static_cast<double>(all_dim * all_dim) : 1.0);
}

}  // namespace posenc::inline POSENC_ISA
