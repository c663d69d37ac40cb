// Rotary positions on several axes with learned frequencies per head (RoPE-Mixed).
#pragma once

#include <posenc/angles/cos_sin_of_sums.hpp>
#include <posenc/encode.hpp>
#include <posenc/kernels/rotate.hpp>

#include <cmath>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

struct mixed_rope_params {
  index_t num_axes = 2;
  index_t num_heads = 0;
  index_t first_column = 0;  // of the rotary slice in a head
};

/// Rotates each pair of columns by a sum over the axes, so that a pair can look along any direction of an image.
///
///     angle[p, h, i] = sum over a of p[a] * inv_freq[a, h, i]
///
///     mixed_rope<float> encoding(pairing::interleaved, std::move(inv_freq), {.num_heads = 12});
///
/// Acts on    queries and keys, in place: columns [first_column, first_column + 2 num_pairs) of each head; the rest is
///            unchanged.
/// Positions  any 32-bit, and real ones, on num_axes axes. rope-vit has x, the column, before y:
///            grid_order::last_axis_first.
/// Storage    inv_freq, [num_axes, num_heads, num_pairs].
/// Errors     no axes, more than 8, no heads, a list whose size is not a multiple of num_axes * num_heads, more than
///            128 pairs, first_column < 0: invalid_argument; check_rotate reports a different number of heads (keys
///            need as many as queries) and a head that is too narrow. A hook is not told which heads of a model it
///            gets: a machine that has some of them makes an encoding from their frequencies.
/// Accuracy   cosine and sine of the exact sum within 0.51 ulp (in float, plus 2^-36); then as rope. A frequency that
///            is not finite, or of magnitude 2^63 or more, turns its pair into NaN.
/// Gradient   of inv_freq; it grows with the position.
/// Source     Heo et al. 2024, arXiv:2403.13298; naver-ai/rope-vit, compute_mixed_cis (interleaved).
template <real T>
class mixed_rope {
 public:
  mixed_rope(pairing pairs, std::vector<T> inv_freq, const mixed_rope_params& params)
      : inv_freq_(std::move(inv_freq)),
        params_(params),
        num_pairs_(count_pairs(inv_freq_, params)),
        radians_(std::vector<double>(static_cast<std::size_t>(num_pairs_), 1.0)),
        pairing_(pairs) {}

  pairing layout() const noexcept { return pairing_; }
  const mixed_rope_params& params() const noexcept { return params_; }
  index_t num_pairs() const noexcept { return num_pairs_; }
  index_t num_position_axes() const noexcept { return params_.num_axes; }

  std::span<T> parameters() noexcept { return inv_freq_; }  // [num_axes, num_heads, num_pairs]
  std::span<const T> parameters() const noexcept { return inv_freq_; }

  template <element S, token_positions P>
  void apply_to_queries(head_view<S> x, const P& p) const noexcept {
    turn(x, p, direction::forward);
  }
  template <element S, token_positions P>
  void apply_to_keys(head_view<S> x, const P& p) const noexcept {
    turn(x, p, direction::forward);
  }

  template <token_positions P>
  problem check_rotate(const head_shape& shape, const P&) const noexcept {
    if (shape.num_heads != params_.num_heads)
      return problem::invalid("rotate", "num_heads", shape.num_heads, "#, those with frequencies", params_.num_heads);
    const index_t end = params_.first_column + 2 * num_pairs_;
    if (shape.head_dim >= end) return {};
    return problem::invalid("rotate", "head_dim", shape.head_dim, "at least #, the end of the rotary slice", end);
  }

  template <element S, token_positions P>
  void apply_to_queries_backward(head_view<const S> x, head_view<S> gradients, const P& p,
                                 std::span<compute_t<S>> parameter_gradients) const noexcept {
    add_frequency_gradients(x, head_view<const S>(gradients), p, parameter_gradients);
    turn(gradients, p, direction::inverse);
  }
  template <element S, token_positions P>
  void apply_to_keys_backward(head_view<const S> x, head_view<S> gradients, const P& p,
                              std::span<compute_t<S>> parameter_gradients) const noexcept {
    apply_to_queries_backward(x, gradients, p, parameter_gradients);
  }

 private:
  static index_t count_pairs(const std::vector<T>& inv_freq, const mixed_rope_params& params) {
    require(params.num_axes >= 1 && params.num_axes <= detail::max_summed_axes, "mixed_rope", "num_axes",
            params.num_axes, "from 1 to #", detail::max_summed_axes);
    require(params.num_heads >= 1, "mixed_rope", "num_heads", params.num_heads, "at least 1");
    require(params.first_column >= 0, "mixed_rope", "first_column", params.first_column, "at least 0");
    const index_t lists = params.num_axes * params.num_heads;
    require(!inv_freq.empty() && std::ssize(inv_freq) % lists == 0, "mixed_rope", "number of frequencies",
            std::ssize(inv_freq), "a multiple of #, num_axes times num_heads", lists);
    const index_t num_pairs = std::ssize(inv_freq) / lists;
    require(num_pairs <= kernels::max_pairs, "mixed_rope", "number of pairs", num_pairs, "at most #",
            kernels::max_pairs);
    return num_pairs;
  }

  /// Calls `act(token, head, coordinates, cos, sin)` for every token and head.
  template <real U, token_positions P, class Act>
  void each_head(const P& p, Act act) const noexcept {
    static_assert(kernels::max_pairs <= detail::max_summed_pairs);
    alignas(64) U cos[kernels::max_pairs];
    alignas(64) U sin[kernels::max_pairs];
    double coordinates[detail::max_summed_axes];
    for (index_t t = 0; t < p.size(); ++t) {
      for (index_t a = 0; a < params_.num_axes; ++a) coordinates[a] = static_cast<double>(p.at(a, t));
      for (index_t h = 0; h < params_.num_heads; ++h) {
        detail::cos_sin_of_sums(
            radians_,
            detail::summed_products<T>{coordinates, inv_freq_.data() + h * num_pairs_, params_.num_axes,
                                       params_.num_heads * num_pairs_, num_pairs_},
            cos, sin);
        act(t, h, coordinates, cos, sin);
      }
    }
  }

  template <element S, token_positions P>
  void turn(head_view<S> x, const P& p, direction way) const noexcept {
    if (x.num_heads == 0) return;
    using U = compute_t<S>;
    each_head<U>(p, [&](index_t t, index_t h, const double*, const U* cos, const U* sin) {
      kernels::rotate_heads(x.row(t, h) + params_.first_column, 1, x.head_stride, pairing_, num_pairs_, 0, num_pairs_,
                            cos, sin, way);
    });
  }

  // An output (y0, y1) moves along (-y1, y0) as its angle grows.
  template <element S, token_positions P, real U>
  void add_frequency_gradients(head_view<const S> x, head_view<const S> upstream, const P& p,
                               std::span<U> sums) const noexcept {
    if (x.num_heads == 0) return;
    const bool halves = pairing_ == pairing::half;
    const index_t step = halves ? 1 : 2;
    const index_t distance = halves ? num_pairs_ : 1;
    each_head<U>(p, [&](index_t t, index_t h, const double* coordinates, const U* cos, const U* sin) {
      const S* in = x.row(t, h) + params_.first_column;
      const S* out = upstream.row(t, h) + params_.first_column;
      for (index_t i = 0; i < num_pairs_; ++i) {
        const U x0 = widen<U>(in[i * step]), x1 = widen<U>(in[i * step + distance]);
        const U g0 = widen<U>(out[i * step]), g1 = widen<U>(out[i * step + distance]);
        const U of_angle = g1 * (x0 * cos[i] - x1 * sin[i]) - g0 * (x0 * sin[i] + x1 * cos[i]);
        for (index_t a = 0; a < params_.num_axes; ++a) {
          sums[static_cast<std::size_t>((a * params_.num_heads + h) * num_pairs_ + i)] +=
              static_cast<U>(coordinates[a]) * of_angle;
        }
      }
    });
  }

  std::vector<T> inv_freq_;  // [num_axes, num_heads, num_pairs]
  mixed_rope_params params_;
  index_t num_pairs_;
  frequencies radians_;  // all 1, because the positions are the angles
  pairing pairing_;
};

static_assert(query_key_encoding<mixed_rope<float>, bf16> && real_query_key_encoding<mixed_rope<float>, double>);

/// Frequencies to start training from: in each head, half of the pairs along one direction of the plane and half
/// perpendicular to it.
///
///     inv_freq[:, h, k]                   rope_theta^(-4k / head_dim) * (cos, sin)(directions[h])     k < head_dim / 4
///     inv_freq[:, h, head_dim / 4 + k]    the same, a quarter turn further
///
/// directions  [num_heads], in radians; rope-vit draws them from [0, 2 pi)
/// Errors      head_dim not a multiple of 4 or below 4, rope_theta not above 0: invalid_argument.
/// Source      naver-ai/rope-vit, init_random_2d_freqs, with a rope_theta of 10.
template <real T>
std::vector<T> mixed_rope_frequencies(index_t head_dim, std::span<const double> directions, double rope_theta = 10) {
  require(head_dim >= 4 && head_dim % 4 == 0, "mixed_rope_frequencies", "head_dim", head_dim, "a multiple of 4");
  require(detail::is_positive(rope_theta), "mixed_rope_frequencies", "rope_theta", rope_theta, "above 0 and finite");
  const std::vector<wide> sizes = detail::powers(rope_theta, head_dim / 4, wide(head_dim) / 4);
  std::vector<T> inv_freq;
  for (const double of_axis : {std::numbers::pi / 2, 0.0}) {  // cos(a) = sin(pi / 2 + a)
    for (const double direction : directions) {
      for (const double turned : {0.0, std::numbers::pi / 2}) {
        for (const wide& size : sizes)
          inv_freq.push_back(static_cast<T>(static_cast<double>(size) * std::sin(of_axis + direction + turned)));
      }
    }
  }
  return inv_freq;
}

}  // namespace posenc::inline POSENC_ISA
