// Sinusoidal positions times one learned number, added to embeddings.
#pragma once

#include <posenc/angles/cos_sin.hpp>
#include <posenc/angles/frequencies.hpp>
#include <posenc/encode.hpp>
#include <posenc/kernels/add.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <type_traits>

namespace posenc::inline POSENC_ISA {

struct scaled_sinusoidal_params {
  index_t dim = 0;
  double base = 10000;
  std::optional<double> scale = {};  // initial; default: dim^-1/2, so that a row has length sqrt(1/2)
};

/// Sines in the first half of the columns, cosines in the second, all times one learned number.
///
///     x[p, i]           += scale * sin(p * w[i])           w[i] = base^(-i / (dim / 2)),  i < dim / 2
///     x[p, dim / 2 + i] += scale * cos(p * w[i])
///
/// Acts on    embeddings.
/// Positions  any 32-bit, and real ones; one axis.
/// Storage    dim / 2 frequencies and the scale.
/// Errors     dim odd or below 2, base not above 0, a scale that is not finite: invalid_argument; check_add reports a
///            different width.
/// Accuracy   that of cos_sin, then the roundings of the product and of the sum.
/// Gradient   of the scale.
/// Source     x-transformers' ScaledSinusoidalEmbedding.
template <real T>
class scaled_sinusoidal {
 public:
  explicit scaled_sinusoidal(const scaled_sinusoidal_params& params)
      : dim_(checked(params)),
        frequencies_(geometric_frequencies(params.base, dim_ / 2, static_cast<double>(dim_) / 2)),
        scale_(static_cast<T>(params.scale.value_or(1 / std::sqrt(static_cast<double>(dim_))))) {}

  index_t dim() const noexcept { return dim_; }
  const frequencies& inv_freq() const noexcept { return frequencies_; }

  std::span<T> parameters() noexcept { return {&scale_, 1}; }
  std::span<const T> parameters() const noexcept { return {&scale_, 1}; }

  template <scalar S, token_positions P>
  void add_to(token_view<S> x, const P& p) const noexcept {
    using U = compute_t<S>;
    const U scale = static_cast<U>(scale_);
    each_block<U>(p, [&](index_t t, index_t first, U* cos, U* sin, index_t count) {
      for (index_t i = 0; i < count; ++i) sin[i] *= scale;
      for (index_t i = 0; i < count; ++i) cos[i] *= scale;
      kernels::add(x.token(t) + first, sin, count);
      kernels::add(x.token(t) + dim_ / 2 + first, cos, count);
    });
  }

  template <token_positions P>
  problem check_add(const embedding_shape& shape, const P&) const noexcept {
    if (shape.dim == dim_) return {};
    return problem::invalid("add_to", "dim", shape.dim, "#, the width of the encoding", dim_);
  }

  /// parameter_gradients[0] += the sum over tokens and columns of upstream * (what was added) / scale
  template <scalar S, token_positions P>
  void add_to_backward(token_view<const S> upstream, const P& p,
                       std::span<compute_t<S>> parameter_gradients) const noexcept {
    using U = compute_t<S>;
    U sum = 0;
    each_block<U>(p, [&](index_t t, index_t first, const U* cos, const U* sin, index_t count) {
      const S* of_sines = upstream.token(t) + first;
      const S* of_cosines = of_sines + dim_ / 2;
      for (index_t i = 0; i < count; ++i) sum += widen<U>(of_sines[i]) * sin[i] + widen<U>(of_cosines[i]) * cos[i];
    });
    parameter_gradients[0] += sum;
  }

 private:
  static constexpr index_t block = 64;  // pairs at a time

  static index_t checked(const scaled_sinusoidal_params& params) {
    require(params.dim >= 2 && params.dim % 2 == 0, "scaled_sinusoidal", "dim", params.dim, "even and at least 2");
    const double scale = params.scale.value_or(1);
    require(std::isfinite(scale), "scaled_sinusoidal", "scale", scale, "a finite number");
    return params.dim;
  }

  /// Calls `act(token, first_pair, cos, sin, count)` for every block of pairs.
  template <real U, token_positions P, class Act>
  void each_block(const P& p, Act act) const noexcept {
    for (index_t t = 0; t < p.size(); ++t) {
      const auto position = p[t];
      for (index_t first = 0; first < dim_ / 2; first += block) {
        U cos[block];
        U sin[block];
        const index_t count = std::min(block, dim_ / 2 - first);
        cos_sin(frequencies_, &position, first, count, cos, sin);
        act(t, first, cos, sin, count);
      }
    }
  }

  index_t dim_;
  frequencies frequencies_;
  T scale_;
};

static_assert(embedding_encoding<scaled_sinusoidal<float>, bf16> &&
              real_embedding_encoding<scaled_sinusoidal<float>, double>);

}  // namespace posenc::inline POSENC_ISA
