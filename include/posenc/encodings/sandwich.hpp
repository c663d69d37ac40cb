// Sandwich: the inner product of two sinusoidal encodings as a bias.
#pragma once

#include <posenc/angles/cos_sin.hpp>
#include <posenc/concepts.hpp>  // relative_bias, index_t, position_t
#include <posenc/error.hpp>     // require

#include <algorithm>
#include <cmath>

namespace posenc::inline POSENC_ISA {

struct sandwich_params {
  index_t num_heads = 0;
  index_t dim = 128;  // of the sinusoidal encodings; even
  double base = 10000;
};

/// Raises the scores of near keys by the inner product of the sinusoidal encodings of both positions, which falls with
/// their distance, more slowly in each head than in the one before.
///
///     score[h, i, j] += H / (8 (h + 1)) * sum over k < dim / 2 of cos((i - j) base^(-2k / dim))
///
/// Acts on    scores before the softmax; queries and keys are unchanged.
/// Positions  any 32-bit; only differences count, which must fit 32 bits too.
/// Storage    dim / 2 frequencies; no table: if the same distances recur, `tabulate` keeps their biases.
/// Errors     no heads, a dim that is odd or below 2, a base not above 0 throw invalid_argument; check_scores reports
///            more heads than num_heads.
/// Accuracy   angles are exact, sums are in double: within 1 ulp of the largest bias in float, and within 16 ulp in
///            double for up to a hundred terms.
/// Source     Chi et al. 2023, arXiv:2212.10356, section 5.
class sandwich {
 public:
  explicit sandwich(const sandwich_params& params) : params_(checked(params)), frequencies_(make(params)) {}

  const sandwich_params& params() const noexcept { return params_; }

  /// The bias of `head` for a query `distance` after a key.
  double bias(index_t head, position_t distance) const noexcept {
    return compression(head) * product<double>(distance);
  }

  /// out[i] = bias(head, first_distance + i)
  template <real U>
  void fill_bias(index_t head, position_t first_distance, index_t count, U* out) const noexcept {
    const double factor = compression(head);
    for (index_t i = 0; i < count; ++i)
      out[i] = static_cast<U>(factor * product<U>(static_cast<position_t>(first_distance + i)));
  }

  problem check_scores(const score_shape& shape, const positions&, const positions&) const noexcept {
    return check_heads(shape, params_.num_heads);
  }

 private:
  static const sandwich_params& checked(const sandwich_params& params) {
    require(params.num_heads >= 1, "sandwich", "num_heads", params.num_heads, "at least 1");
    require(params.dim >= 2 && params.dim % 2 == 0, "sandwich", "dim", params.dim, "even and at least 2");
    require(params.base > 0 && std::isfinite(params.base), "sandwich", "base", params.base, "a number above 0");
    return params;
  }
  static frequencies make(const sandwich_params& params) {
    return geometric_frequencies(params.base, params.dim / 2, static_cast<double>(params.dim) / 2);
  }

  double compression(index_t head) const noexcept {
    return static_cast<double>(params_.num_heads) / (8 * static_cast<double>(head + 1));
  }

  /// The inner product of the encodings of two positions: cosines in U, summed in double.
  template <real U>
  double product(position_t distance) const noexcept {
    constexpr index_t block = 64;
    double sum = 0;
    for (index_t first = 0; first < frequencies_.size(); first += block) {
      U cos[block];
      U sin[block];
      const index_t count = std::min(block, frequencies_.size() - first);
      cos_sin(frequencies_, &distance, first, count, cos, sin);
      for (index_t i = 0; i < count; ++i) sum += static_cast<double>(cos[i]);
    }
    return sum;
  }

  sandwich_params params_;
  frequencies frequencies_;
};

static_assert(relative_bias<sandwich, float> && relative_bias<sandwich, double>);

}  // namespace posenc::inline POSENC_ISA
