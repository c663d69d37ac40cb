// LongRoPE: a divisor searched for each pair, one list for short sequences and one for long ones.
#pragma once

#include <posenc/scaling/rotary_slice.hpp>

#include <optional>
#include <span>
#include <vector>

namespace posenc::inline POSENC_ISA {

struct longrope_frequencies_params {
  index_t head_dim = 0;
  index_t rotary_dim = 0;  // 0: head_dim * partial_rotary_factor
  double partial_rotary_factor = 1;
  double rope_theta = 10000;
  std::span<const double> short_factor = {};  // [rotary_dim / 2]
  std::span<const double> long_factor = {};   // [rotary_dim / 2]
  index_t original_max_position_embeddings = 0;
  index_t max_position_embeddings = 0;  // for the attention factor, where factor is not given
  std::optional<double> factor = {};    // for the attention factor; default max / original
  index_t seq_len = 0;                  // largest position plus one
  std::optional<double> attention_factor = {};
};

/// inv_freq[i] = rope_theta^(-2i / rotary_dim) / f[i]
///
///     f                 long_factor if seq_len > original_max_position_embeddings, else short_factor
///     attention_factor  as given, else sqrt(1 + ln s / ln original_max_position_embeddings), and 1 if s <= 1;
///                       s = factor, or max_position_embeddings / original_max_position_embeddings
///
/// Errors    as default_frequencies; a list of another length than rotary_dim / 2, a divisor not above 0,
///           original_max_position_embeddings < 2, neither factor, attention_factor nor max_position_embeddings:
///           invalid_argument.
/// Accuracy  that of `frequencies`; the factor within 1 ulp.
/// Source    Ding et al. 2024, arXiv:2402.13753; `rope_type` "longrope" (once "su") as in transformers. Keys that were
///           rotated on the other side of the switch have to be rotated again.
inline frequencies longrope_frequencies(const longrope_frequencies_params& p) {
  const char* recipe = "longrope_frequencies";
  const index_t d = detail::checked_rotary_dim(recipe, p.head_dim, p.rotary_dim, p.partial_rotary_factor);
  require(std::ssize(p.short_factor) == d / 2, recipe, "size of short_factor", std::ssize(p.short_factor),
          "#, half of rotary_dim", d / 2);
  require(std::ssize(p.long_factor) == d / 2, recipe, "size of long_factor", std::ssize(p.long_factor),
          "#, half of rotary_dim", d / 2);
  require(p.original_max_position_embeddings >= 2, recipe, "original_max_position_embeddings",
          p.original_max_position_embeddings, "at least 2");
  require(p.seq_len >= 0, recipe, "seq_len", p.seq_len, "at least 0");
  if (p.factor) detail::require_positive(recipe, "factor", *p.factor);
  require(p.factor || p.attention_factor || p.max_position_embeddings >= 1, recipe, "max_position_embeddings",
          p.max_position_embeddings, "at least 1, or a factor");
  const bool is_long = p.seq_len > p.original_max_position_embeddings;
  const std::span<const double> divisors = is_long ? p.long_factor : p.short_factor;
  std::vector<wide> inv_freq = detail::powers_of_theta(recipe, p.rope_theta, d);
  for (std::size_t i = 0; i < inv_freq.size(); ++i) {
    if (!detail::is_positive(divisors[i])) {
      raise(problem::invalid(recipe, is_long ? "long_factor" : "short_factor", divisors[i], "above 0 and finite")
                .at(static_cast<index_t>(i)));
    }
    inv_freq[i] = inv_freq[i] / divisors[i];
  }

  const wide stretch =
      p.factor ? wide(*p.factor) : wide(p.max_position_embeddings) / p.original_max_position_embeddings;
  const auto root = [](const wide& x) { return exp(log(x) / 2); };
  const wide magnitude =
      stretch <= 1 ? wide(1) : root(1 + log(stretch) / log(wide(p.original_max_position_embeddings)));
  return frequencies(inv_freq).with_attention_factor(p.attention_factor.value_or(static_cast<double>(magnitude)));
}

}  // namespace posenc::inline POSENC_ISA
