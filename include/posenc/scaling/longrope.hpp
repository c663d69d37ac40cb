// LongRoPE: one divisor per pair, found by search, in one list for short sequences and one for long ones.
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
  index_t max_position_embeddings = 0;  // for the attention factor, if factor is not given
  std::optional<double> factor = {};    // for the attention factor; default max / original
  index_t seq_len = 0;                  // largest position plus one
  std::optional<double> attention_factor = {};
};

namespace detail {

inline void check_divisors(const char* recipe, const char* size_name, const char* name,
                           std::span<const double> divisors, index_t num_pairs) {
  require(std::ssize(divisors) == num_pairs, recipe, size_name, std::ssize(divisors), "#, half of rotary_dim",
          num_pairs);
  for (index_t i = 0; i < num_pairs; ++i) {
    const double divisor = divisors[static_cast<std::size_t>(i)];
    if (!is_positive(divisor)) raise(problem::invalid(recipe, name, divisor, "above 0 and finite").at(i));
  }
}

}  // namespace detail

/// inv_freq[i] = rope_theta^(-2i / rotary_dim) / f[i]
///
///     f                 long_factor if seq_len > original_max_position_embeddings, else short_factor
///     attention_factor  as given, else sqrt(1 + ln s / ln original_max_position_embeddings), and 1 if s <= 1;
///                       s = factor, or max_position_embeddings / original_max_position_embeddings
///
/// Errors    as default_frequencies; a list whose length is not rotary_dim / 2, a divisor not above 0 in either,
///           original_max_position_embeddings < 2, none of factor, attention_factor and max_position_embeddings:
///           invalid_argument.
/// Accuracy  that of `frequencies`; the factor within 1 ulp.
/// Source    Ding et al. 2024, arXiv:2402.13753; `rope_type` "longrope" (once "su") as in transformers. Keys that were
///           rotated on the other side of the switch have to be rotated again.
inline frequencies longrope_frequencies(const longrope_frequencies_params& p) {
  const char* recipe = "longrope_frequencies";
  const index_t d = detail::checked_rotary_dim(recipe, p.head_dim, p.rotary_dim, p.partial_rotary_factor);
  detail::check_divisors(recipe, "size of short_factor", "short_factor", p.short_factor, d / 2);
  detail::check_divisors(recipe, "size of long_factor", "long_factor", p.long_factor, d / 2);
  require(p.original_max_position_embeddings >= 2, recipe, "original_max_position_embeddings",
          p.original_max_position_embeddings, "at least 2");
  require(p.seq_len >= 0, recipe, "seq_len", p.seq_len, "at least 0");
  if (p.factor) detail::require_positive(recipe, "factor", *p.factor);
  require(p.factor || p.attention_factor || p.max_position_embeddings >= 1, recipe, "max_position_embeddings",
          p.max_position_embeddings, "at least 1, or a factor");
  const std::span<const double> divisors =
      p.seq_len > p.original_max_position_embeddings ? p.long_factor : p.short_factor;
  std::vector<wide> inv_freq = detail::powers_of_theta(recipe, p.rope_theta, d);
  for (std::size_t i = 0; i < inv_freq.size(); ++i) inv_freq[i] = inv_freq[i] / divisors[i];

  const wide stretch =
      p.factor ? wide(*p.factor) : wide(p.max_position_embeddings) / p.original_max_position_embeddings;
  const auto root = [](const wide& x) { return exp(log(x) / 2); };
  const wide magnitude =
      stretch <= 1 ? wide(1) : root(1 + log(stretch) / log(wide(p.original_max_position_embeddings)));
  return frequencies(inv_freq).with_attention_factor(p.attention_factor.value_or(static_cast<double>(magnitude)));
}

}  // namespace posenc::inline POSENC_ISA
