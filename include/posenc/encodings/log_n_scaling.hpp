// Log-n scaling: queries beyond the training length grow with the logarithm of their position.
#pragma once

#include <posenc/concepts.hpp>  // query_key_encoding, index_t, position_t
#include <posenc/error.hpp>     // require
#include <posenc/kernels/multiply.hpp>

#include <cmath>
#include <span>

namespace posenc::inline POSENC_ISA {

/// Multiplies queries, and so their scores, by the logarithm of the number of keys up to their position, to the base of
/// the training length, if that is above 1: this preserves the entropy of the softmax. Keys are unchanged.
///
///     q[p] *= max(1, ln(p + 1) / ln(training_length))
///
/// Acts on    queries.
/// Positions  any 32-bit; the factor is 1 up to training_length - 1.
/// Storage    one number.
/// Errors     a training_length below 2 throws invalid_argument.
/// Accuracy   the factor is computed in double; then two roundings in the compute type, one more to 16 bits.
/// Gradient   of the queries.
/// Source     Su, kexue.fm/archives/8823; bojone's rerope, and Qwen's use_logn_attn.
class log_n_scaling {
 public:
  explicit log_n_scaling(index_t training_length) : training_length_(training_length) {
    require(training_length >= 2, "log_n_scaling", "training_length", training_length, "at least 2");
  }

  index_t training_length() const noexcept { return training_length_; }

  /// The factor for a query at this position.
  double factor(position_t position) const noexcept {
    if (position < training_length_) return 1;
    return std::log(static_cast<double>(position) + 1) / std::log(static_cast<double>(training_length_));
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
  index_t training_length_;
};

static_assert(query_key_encoding<log_n_scaling, float> && query_key_encoding<log_n_scaling, bf16>);

}  // namespace posenc::inline POSENC_ISA
