// Rotary positions whose cosines and sines are learned mixes of all frequencies (FoPE).
#pragma once

#include <posenc/angles/cos_sin.hpp>
#include <posenc/encode.hpp>
#include <posenc/kernels/rotate.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// What pairs do whose own frequency was dropped, because it is too slow for one turn within the training length.
///
///     pass         cosine 1, sine 0: their columns are unchanged              vLLM
///     sine_of_one  cosine 1, sine 1: an eighth of a turn, times sqrt(2)       the authors' code
enum class fope_dropped : std::uint8_t { pass, sine_of_one };

struct fope_params {
  index_t num_heads = 1;   // of the coefficients: key-value heads, or 1 for all
  index_t rotary_dim = 0;  // twice the pairs, including those of dropped frequencies
  pairing layout = pairing::half;
  fope_dropped dropped = fope_dropped::pass;
};

/// Rotates pair j not by the cosine and sine of its own angle, but by a learned sum over all frequencies.
///
///     C[h, j] = sum over f of cos(p w[f]) cos_coefficients[h, f, j]
///     S[h, j] = sum over f of sin(p w[f]) sin_coefficients[h, f, j]
///     y[a] = x[a] C - x[b] S,  y[b] = x[a] S + x[b] C            (a, b) = (j, j + d/2) or (2j, 2j + 1)
///
/// With identity matrices as coefficients it is RoPE. It does not preserve lengths, and scores depend on both
/// positions.
///
/// Acts on    queries and keys, in place: columns [0, rotary_dim). Head h of x uses the coefficients of head h / (heads
///            of x / num_heads), as in grouped-query attention.
/// Positions  any 32-bit, and real ones; one axis.
/// Storage    the frequencies, 2 * num_heads * n^2 coefficients for n frequencies.
/// Errors     rotary_dim odd or less than twice the frequencies, more than 128 pairs, num_heads below 1, a wrong number
///            of coefficients: invalid_argument; check_rotate reports a number of heads that num_heads does not divide,
///            and heads that are too narrow.
/// Accuracy   cosines and sines as cos_sin; sums of n products in the compute type.
/// Gradient   of the coefficients of the cosines, then of the sines; of what is rotated.
/// Source     Hua et al. 2024, arXiv:2412.17739; vLLM's FourierRotaryEmbedding. The frequencies are those above 2 pi /
///            training length, as selected by `faster_than`.
template <real T>
class fope {
 public:
  using scalar_type = T;

  fope(frequencies list, std::vector<T> coefficients, const fope_params& params)
      : params_(params), frequencies_(std::move(list)), coefficients_(std::move(coefficients)) {
    const index_t n = frequencies_.size();
    require(n >= 1, "fope", "number of frequencies", n, "at least 1");
    require(frequencies_.num_axes() == 1, "fope", "number of axes", frequencies_.num_axes(), "1");
    require(params.num_heads >= 1, "fope", "num_heads", params.num_heads, "at least 1");
    require(params.rotary_dim % 2 == 0 && params.rotary_dim >= 2 * n, "fope", "rotary_dim", params.rotary_dim,
            "even and at least #, twice the number of frequencies", 2 * n);
    require(num_pairs() <= kernels::max_pairs, "fope", "number of pairs", num_pairs(), "at most #", kernels::max_pairs);
    require(std::ssize(coefficients_) == 2 * params.num_heads * n * n, "fope", "number of coefficients",
            std::ssize(coefficients_), "#, two matrices a head", 2 * params.num_heads * n * n);
  }

  const fope_params& params() const noexcept { return params_; }
  const frequencies& inv_freq() const noexcept { return frequencies_; }
  index_t num_pairs() const noexcept { return params_.rotary_dim / 2; }

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
    if (shape.num_heads % params_.num_heads != 0)
      return problem::invalid("rotate", "num_heads", shape.num_heads, "a multiple of #, the heads of the encoding",
                              params_.num_heads);
    if (shape.head_dim < params_.rotary_dim)
      return problem::invalid("rotate", "head_dim", shape.head_dim, "at least #, the rotary width", params_.rotary_dim);
    return {};
  }

  std::span<T> parameters() noexcept { return coefficients_; }  // [cos | sin], each [num_heads, n, n]
  std::span<const T> parameters() const noexcept { return coefficients_; }

  template <element S>
  void apply_to_queries_backward(head_view<const S> x, head_view<S> gradients, const positions& p,
                                 std::span<compute_t<S>> parameter_gradients) const noexcept {
    turn_back(x, gradients, p, parameter_gradients);
  }
  template <element S>
  void apply_to_keys_backward(head_view<const S> x, head_view<S> gradients, const positions& p,
                              std::span<compute_t<S>> parameter_gradients) const noexcept {
    turn_back(x, gradients, p, parameter_gradients);
  }

 private:
  /// For one token: cosines and sines of the frequencies, and their mixes for a head.
  template <real U>
  struct row {
    U cos[kernels::max_pairs], sin[kernels::max_pairs];
    U mixed_cos[kernels::max_pairs], mixed_sin[kernels::max_pairs];
  };

  std::size_t matrix(bool of_sine, index_t head) const noexcept {
    const index_t n = frequencies_.size();
    return static_cast<std::size_t>(((of_sine ? params_.num_heads : 0) + head) * n * n);
  }

  template <real U, token_positions P>
  void fill(const P& p, index_t t, row<U>& r) const noexcept {
    const auto position = p[t];
    cos_sin(frequencies_, &position, 0, frequencies_.size(), r.cos, r.sin);
    for (index_t j = frequencies_.size(); j < num_pairs(); ++j) {
      r.mixed_cos[j] = U(1);
      r.mixed_sin[j] = params_.dropped == fope_dropped::pass ? U(0) : U(1);
    }
  }

  template <real U>
  void mix(const U* waves, std::size_t first_coefficient, U* mixed) const noexcept {
    const index_t n = frequencies_.size();
    const T* coefficients = coefficients_.data() + first_coefficient;
    std::fill_n(mixed, n, U(0));
    for (index_t f = 0; f < n; ++f) {
      for (index_t j = 0; j < n; ++j) mixed[j] += waves[f] * static_cast<U>(coefficients[f * n + j]);
    }
  }

  /// Calls `visit(token, group, heads_per_group, row)` for each token and group of heads.
  template <real U, token_positions P, class Visit>
  void for_each_group(const P& p, index_t num_tokens, index_t num_heads, Visit visit) const noexcept {
    const index_t group = num_heads / params_.num_heads;
    row<U> r;
    for (index_t t = 0; t < num_tokens; ++t) {
      fill(p, t, r);
      for (index_t head = 0; head < params_.num_heads; ++head) {
        mix(r.cos, matrix(false, head), r.mixed_cos);
        mix(r.sin, matrix(true, head), r.mixed_sin);
        visit(t, head, group, r);
      }
    }
  }

  template <element S, token_positions P>
  void turn(head_view<S> x, const P& p, direction way) const noexcept {
    using U = compute_t<S>;
    for_each_group<U>(p, x.num_tokens, x.num_heads, [&](index_t t, index_t head, index_t group, const row<U>& r) {
      kernels::rotate_heads(x.row(t, head * group), group, x.head_stride, params_.layout, num_pairs(), 0, num_pairs(),
                            r.mixed_cos, r.mixed_sin, way);
    });
  }

  // dL/dC = dy[a] x[a] + dy[b] x[b] and dL/dS = dy[b] x[a] - dy[a] x[b]; what was rotated is rotated back.
  template <element S>
  void turn_back(head_view<const S> x, head_view<S> gradients, const positions& p,
                 std::span<compute_t<S>> parameter_gradients) const noexcept {
    using U = compute_t<S>;
    const index_t n = frequencies_.size();
    const bool interleaved = params_.layout == pairing::interleaved;
    for_each_group<U>(p, x.num_tokens, x.num_heads, [&](index_t t, index_t head, index_t group, const row<U>& r) {
      for (index_t h = head * group; h < (head + 1) * group; ++h) {
        const S* before = x.row(t, h);
        const S* upstream = gradients.row(t, h);
        for (index_t j = 0; j < n; ++j) {
          const index_t a = interleaved ? 2 * j : j, b = interleaved ? 2 * j + 1 : j + num_pairs();
          const U xa = widen<U>(before[a]), xb = widen<U>(before[b]);
          const U ya = widen<U>(upstream[a]), yb = widen<U>(upstream[b]);
          const U of_cos = ya * xa + yb * xb, of_sin = yb * xa - ya * xb;
          for (index_t f = 0; f < n; ++f) {
            const auto place = static_cast<std::size_t>(f * n + j);
            parameter_gradients[matrix(false, head) + place] += r.cos[f] * of_cos;
            parameter_gradients[matrix(true, head) + place] += r.sin[f] * of_sin;
          }
        }
      }
    });
    turn(gradients, p, direction::inverse);
  }

  fope_params params_;
  frequencies frequencies_;
  std::vector<T> coefficients_;  // [cos | sin], each [num_heads, n, n]
};

/// The frequencies that make more than one turn within `training_length` positions; in a descending list they come
/// first.
///
/// Errors  training_length below 1: invalid_argument.
inline frequencies faster_than(const frequencies& list, index_t training_length) {
  require(training_length >= 1, "faster_than", "training_length", training_length, "at least 1");
  std::vector<wide> kept;
  for (index_t pair = 0; pair < list.size(); ++pair) {
    if (list.inv_freq(pair) * static_cast<double>(training_length) > 2 * 3.141592653589793)
      kept.push_back(wide::from_fixed_point(list.table().turns[static_cast<std::size_t>(pair)]) * (2 * wide::pi()));
  }
  return frequencies(kept);
}

static_assert(query_key_encoding<fope<float>, float> && real_query_key_encoding<fope<double>, double>);

}  // namespace posenc::inline POSENC_ISA
