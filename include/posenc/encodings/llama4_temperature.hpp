// Llama 4's temperature: queries of layers without rotation grow with their position.
#pragma once

#include <posenc/concepts.hpp>  // query_key_encoding, index_t, position_t
#include <posenc/error.hpp>     // require
#include <posenc/kernels/multiply.hpp>

#include <algorithm>
#include <cmath>
#include <span>

namespace posenc::inline POSENC_ISA {

struct llama4_temperature_params {
  double attn_scale = 0.1;
  double floor_scale = 8192;
};

/// Multiplies queries, and so their scores, by a factor that grows in steps with the position. Keys are unchanged.
///
///     q[p] *= 1 + attn_scale * ln(1 + floor((p + 1) / floor_scale))
///
/// Acts on    queries.
/// Positions  any 32-bit; the factor is 1 up to floor_scale - 2, also below 0.
/// Storage    two numbers.
/// Errors     an attn_scale that is negative or not finite, or a floor_scale not above 0, throws invalid_argument.
/// Accuracy   the factor is computed in double; then two roundings in the compute type, one more to 16 bits.
/// Gradient   of the queries.
/// Source     transformers' llama4 (attn_temperature_tuning); rationale in Nakanishi 2025, arXiv:2501.19399.
class llama4_temperature {
 public:
  explicit llama4_temperature(const llama4_temperature_params& params = {}) : params_(params) {
    require(params.attn_scale >= 0 && std::isfinite(params.attn_scale), "llama4_temperature", "attn_scale",
            params.attn_scale, "at least 0 and finite");
    require(params.floor_scale > 0 && std::isfinite(params.floor_scale), "llama4_temperature", "floor_scale",
            params.floor_scale, "above 0 and finite");
  }

  const llama4_temperature_params& params() const noexcept { return params_; }

  /// The factor for a query at this position.
  double factor(position_t position) const noexcept {
    const double steps =
        std::floor((static_cast<double>(std::max(position, position_t{-1})) + 1) / params_.floor_scale);
    return 1 + params_.attn_scale * std::log1p(steps);
  }

  template <scalar S>
  void apply_to_queries(head_view<S> x, const positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) kernels::multiply(x, t, static_cast<compute_t<S>>(factor(p[t])));
  }
  template <scalar S>
  void apply_to_keys(head_view<S>, const positions&) const noexcept {}

  template <scalar S>
  void apply_to_queries_backward(head_view<const S>, head_view<S> gradients, const positions& p,
                                 std::span<compute_t<S>>) const noexcept {
    apply_to_queries(gradients, p);
  }
  template <scalar S>
  void apply_to_keys_backward(head_view<const S>, head_view<S>, const positions&,
                              std::span<compute_t<S>>) const noexcept {}

 private:
  llama4_temperature_params params_;
};

static_assert(query_key_encoding<llama4_temperature, float> && query_key_encoding<llama4_temperature, bf16>);

}  // namespace posenc::inline POSENC_ISA
