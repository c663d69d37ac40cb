// Rotary positions whose scores fade with distance (xPos).
#pragma once

#include <posenc/encodings/rope.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

struct xpos_params {
  double scale_base = 512;  // positions over which a pair fades by its own factor once
  double gamma = 0.4;       // the fastest pair's factor is gamma / (1 + gamma), the slowest's near 1
  position_t centre = 0;    // where nothing is scaled; any constant gives the same scores
};

/// RoPE with a factor for each angle, the inverse for keys, so that each pair fades by its own factor with distance.
///
///     query pair j   rotated by p w[j], times factor[j]^((p - centre) / scale_base)
///     key pair j     rotated by p w[j], times factor[j]^((centre - p) / scale_base)
///     factor[j] = (2j / rotary_dim + gamma) / (1 + gamma)
///
/// Keys before their query fade; after it they grow, so attention has to be causal. Far from `centre` queries grow as
/// keys vanish: keep it amid the positions in use. Implementations that use the middle of each call (torchscale: half
/// the length rounded up, x-transformers: rounded down) rotate keys differently as a sequence grows, which invalidates
/// a cache; here it is a constant.
///
/// Acts on    queries and keys, in place: the rotary slice; the rest is unchanged.
/// Positions  integers and real ones, as far from `centre` as the factors fit the element type: with the defaults, up
///            to 28328 positions for float and bf16, 1983 for f16, 271955 for double; one axis.
/// Storage    the frequencies, and for each a logarithm in two doubles.
/// Errors     scale_base or gamma not above 0 or not finite, a rotation with several axes, a different output pairing
///            or more than 128 pairs: invalid_argument; check_rotate as for rope, and a position too far from `centre`.
/// Accuracy   that of rope with one more rounding; factors are within 2^-51 of themselves.
/// Source     Sun et al. 2022, arXiv:2212.10554; torchscale's xpos_relative_position, x-transformers.
class xpos {
 public:
  explicit xpos(rope rotary, const xpos_params& params = {}) : rotary_(std::move(rotary)), params_(params) {
    require(detail::is_positive(params.scale_base), "xpos", "scale_base", params.scale_base, "above 0 and finite");
    require(rotary_.num_position_axes() == 1, "xpos", "number of axes", rotary_.num_position_axes(), "1");
    require(rotary_.layout() == rotary_.output_layout(), "xpos", "another pairing for output", true, "false");
    const index_t num_pairs = rotary_.num_pairs();
    require(num_pairs <= kernels::max_pairs, "xpos", "number of frequencies", num_pairs, "at most #",
            kernels::max_pairs);
    require(detail::is_positive(params.gamma), "xpos", "gamma", params.gamma, "above 0 and finite");
    const wide per_position = 1 / (wide::ln2() * params.scale_base);
    for (index_t j = 0; j < num_pairs; ++j) {
      const wide factor = (wide(j) / num_pairs + params.gamma) / (1 + wide(params.gamma));
      const wide exponent = log(factor) * per_position;
      exponents_.push_back(static_cast<double>(exponent));
      exponent_rests_.push_back(static_cast<double>(exponent - exponents_.back()));
    }
  }

  const rope& rotary() const noexcept { return rotary_; }
  const xpos_params& params() const noexcept { return params_; }

  template <element S, token_positions P>
  void apply_to_queries(head_view<S> x, const P& p) const noexcept {
    turn(x, p, direction::forward, 1);
  }
  template <element S, token_positions P>
  void apply_to_keys(head_view<S> x, const P& p) const noexcept {
    turn(x, p, direction::forward, -1);
  }

  template <element S, token_positions P>
  problem check_rotate(const head_shape& shape, const P& p) const noexcept {
    if (const problem wrong = rotary_.check_rotate(shape, p)) return wrong;
    const double reach = this->reach<S>();
    for (index_t t = 0; t < p.size(); ++t) {
      if (std::abs(static_cast<double>(p[t]) - params_.centre) <= reach) continue;
      return problem::out_of_range("rotate", "positions", p[t],
                                   "at most # from the centre, or the factors leave the element type",
                                   static_cast<std::int64_t>(reach))
          .at(t);
    }
    return {};
  }

  /// How far from `centre` the factors, and queries and keys of usual sizes times them, fit elements of type S.
  template <element S>
  double reach() const noexcept {
    using T = compute_t<S>;
    const bool as_wide_as_float = detail::is_below_two_to(1024, widen<double>(narrow<S>(T(0x1p100F))));
    const double exponent = std::same_as<T, double> ? 960 : as_wide_as_float ? 100 : 7;
    return std::min(std::floor(exponent / -exponents_.front()), 0x1p62);
  }

  // The adjoint of a scaled rotation is the inverse rotation, scaled alike.
  template <element S>
  void apply_to_queries_backward(head_view<const S>, head_view<S> gradients, const positions& p,
                                 std::span<compute_t<S>>) const noexcept {
    turn(gradients, p, direction::inverse, 1);
  }
  template <element S>
  void apply_to_keys_backward(head_view<const S>, head_view<S> gradients, const positions& p,
                              std::span<compute_t<S>>) const noexcept {
    turn(gradients, p, direction::inverse, -1);
  }

 private:
  // Rounding a large exponent would cost thousands of ulps, hence its rest: 2^(e + rest) = 2^e (1 + rest ln 2).
  double factor_at(double distance, std::size_t pair) const noexcept {
    const double exponent = distance * exponents_[pair];
    const double rest = std::fma(distance, exponents_[pair], -exponent) + distance * exponent_rests_[pair];
    const double power = std::exp2(exponent);
    return power + power * (rest * std::numbers::ln2);
  }

  template <element S, token_positions P>
  void turn(head_view<S> x, const P& p, direction way, double sign) const noexcept {
    using T = compute_t<S>;
    const index_t num_pairs = rotary_.num_pairs();
    alignas(64) T cos[kernels::max_pairs];
    alignas(64) T sin[kernels::max_pairs];
    for (index_t t = 0; t < x.num_tokens; ++t) {
      rotary_.angles(p, t, 0, num_pairs, rotary_.inv_freq().attention_factor(), cos, sin);
      const double distance = sign * (static_cast<double>(p[t]) - params_.centre);
      for (index_t j = 0; j < num_pairs; ++j) {
        const double factor = factor_at(distance, static_cast<std::size_t>(j));
        cos[j] = static_cast<T>(static_cast<double>(cos[j]) * factor);
        sin[j] = static_cast<T>(static_cast<double>(sin[j]) * factor);
      }
      kernels::rotate_heads(x.row(t, 0) + rotary_.first_column(), x.num_heads, x.head_stride, rotary_.layout(),
                            num_pairs, 0, num_pairs, cos, sin, way);
    }
  }

  rope rotary_;
  xpos_params params_;
  std::vector<double> exponents_;       // [num_pairs]: log2 of the factors per position
  std::vector<double> exponent_rests_;  // their rounding errors
};

static_assert(query_key_encoding<xpos, float> && real_query_key_encoding<xpos, double>);

}  // namespace posenc::inline POSENC_ISA
