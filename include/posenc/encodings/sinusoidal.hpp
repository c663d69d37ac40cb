// Sinusoidal positions, added to embeddings: the paper's table, its descendants, diffusion timesteps.
#pragma once

#include <posenc/angles/consecutive.hpp>
#include <posenc/angles/cos_sin.hpp>      // cos_sin
#include <posenc/angles/frequencies.hpp>  // frequencies, geometric_frequencies
#include <posenc/encode.hpp>              // check_add
#include <posenc/kernels/add.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>

namespace posenc::inline POSENC_ISA {

/// The columns of the sine and the cosine of frequency i.
///
///     interleaved   columns 2i and 2i + 1   the paper, timm
///     half          [sines | cosines]       tensor2tensor, fairseq, XGLM, Marian, Whisper, diffusers, MLX
enum class sinusoid { interleaved, half };

/// The last column of the half layout if dim is odd. (The interleaved layout ends with a sine without its cosine.)
///
///     zero       the columns of dim - 1, and a zero    tensor2tensor, fairseq, diffusers
///     one_more   one more sine than cosines            Marian
enum class odd_column { zero, one_more };

/// The default is the paper's. Elsewhere:
///
///     tensor2tensor, fairseq, XGLM   layout half, downscale_freq_shift 1, padding_idx; XGLM: offset 2
///     Whisper                        layout half, downscale_freq_shift 1, base: its max_timescale
///     Marian                         layout half, odd one_more
///     diffusers timesteps            layout half; base: its max_period; position_scale: its scale; cos_first: its
///                                    flip_sin_to_cos; downscale_freq_shift: its own, 1 if it is not set
///     MLX                            layout half, downscale_freq_shift 1, amplitude: its scale, sqrt(2 / dim);
///                                    position_scale: 2 pi for its full_turns
///     positional-encodings (PyPI)    downscale_freq_shift -1/2 if dim is odd
///     scaled sinusoidal              layout half, amplitude: the learned scalar, dim^-1/2 at first
struct sinusoidal_params {
  index_t dim = 0;
  sinusoid layout = sinusoid::interleaved;
  odd_column odd = odd_column::zero;
  bool cos_first = false;  // swaps the columns of sines and cosines
  double base = 10000;
  double downscale_freq_shift = 0;             // subtracted from dim / 2 in the exponent
  double position_scale = 1;                   // multiplies the angle
  double amplitude = 1;                        // multiplies the sine and the cosine
  position_t offset = 0;                       // added to every position before it is scaled
  std::optional<position_t> padding_idx = {};  // nothing is added at this position (offset included)
};

/// Adds sines and cosines of the position, at frequencies that fall geometrically from 1 to about 1 / base.
///
///     x[p, column of sine i]   += amplitude * sin(position_scale * (p + offset) * w[i])
///     x[p, column of cosine i] += amplitude * cos(the same)
///     w[i] = base^(-i / (dim / 2 - downscale_freq_shift))       dim - 1 for dim in the half layout with a zero column
///
/// Acts on    embeddings.
/// Positions  any 32-bit, also with the offset; real ones (timesteps). One axis.
/// Storage    dim / 2 frequencies; no table: `fill` writes one into the caller's memory.
/// Errors     dim < 1 (half: < 2), base <= 0 or an exponent without a denominator throw invalid_argument; check_add
///            reports a different width, and a position that leaves 32 bits (a real one: 2^63) with the offset.
/// Accuracy   that of cos_sin in float (double for double data), then the roundings of the amplitude, unless it is 1,
///            and of the sum. 16-bit elements are rounded once, from float.
/// Source     Vaswani et al. 2017, arXiv:1706.03762, section 3.5; the variants as in the named projects' code.
class sinusoidal {
 public:
  explicit sinusoidal(const sinusoidal_params& params) : params_(checked(params)), frequencies_(make(params)) {}

  index_t dim() const noexcept { return params_.dim; }
  const sinusoidal_params& params() const noexcept { return params_; }
  /// Including position_scale.
  const frequencies& inv_freq() const noexcept { return frequencies_; }

  template <scalar S, token_positions P>
  void add_to(token_view<S> x, const P& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      S* row = x.token(t);
      each_run<compute_t<S>>(p, t, [row](index_t column, const auto* values, index_t count) {
        kernels::add(row + column, values, count);
      });
    }
  }

  /// Writes the encoding itself: one row per position, the table that other libraries keep. Float rows for a range of
  /// positions cost half as much as for a list, with the same accuracy: see `consecutive_angles`.
  ///
  /// out   [num_tokens, dim]
  /// Errors: those of `check_add`, raised before anything is written.
  template <scalar S, position_source P>
  void fill(token_view<S> out, const P& p) const {
    raise_if(posenc::check_add(*this, out, p).in("fill"));
    const auto at = as_positions(p);
    // No run covers the zero column or a padding row.
    if (columns(params_) < dim() || params_.padding_idx) {
      for (index_t t = 0; t < out.num_tokens; ++t) std::fill_n(out.token(t), dim(), narrow<S>(compute_t<S>(0)));
    }
    const auto put_into = [](S* row) {
      return [row](index_t column, const auto* values, index_t count) {
        for (index_t i = 0; i < count; ++i) row[column + i] = narrow<S>(values[i]);
      };
    };
    if constexpr (std::same_as<compute_t<S>, float> && std::convertible_to<const P&, positions>) {
      if (at.consecutive()) return each_consecutive_run(at, [&](index_t t) { return put_into(out.token(t)); });
    }
    for (index_t t = 0; t < out.num_tokens; ++t) each_run<compute_t<S>>(at, t, put_into(out.token(t)));
  }

  problem check_add(const embedding_shape& shape, const positions& p) const noexcept {
    if (const problem wrong = check_dim(shape.dim)) return wrong;
    return params_.offset == 0 ? problem{} : check_offset(p);
  }
  problem check_add(const embedding_shape& shape, const real_positions& p) const noexcept {
    if (const problem wrong = check_dim(shape.dim)) return wrong;
    return params_.offset == 0 ? problem{} : check_offset(p);
  }

 private:
  static constexpr index_t block = detail::consecutive_angles::max_pairs;  // pairs at a time

  // With a zero column in the half layout, the other columns are the table of an even width.
  static index_t columns(const sinusoidal_params& params) {
    const bool zero_column = params.layout == sinusoid::half && params.odd == odd_column::zero && params.dim % 2 == 1;
    return zero_column ? params.dim - 1 : params.dim;
  }

  static double denominator(const sinusoidal_params& params) {
    return static_cast<double>(columns(params)) / 2 - params.downscale_freq_shift;
  }

  static const sinusoidal_params& checked(const sinusoidal_params& params) {
    const index_t least = params.layout == sinusoid::half ? 2 : 1;
    require(params.dim >= least, "sinusoidal", "dim", params.dim, "at least #", least);
    require(params.base > 0 && std::isfinite(params.base), "sinusoidal", "base", params.base, "a number above 0");
    // A single frequency is 1, whatever the denominator.
    require(denominator(params) > 0 || columns(params) <= 2, "sinusoidal", "downscale_freq_shift",
            params.downscale_freq_shift, "below dim / 2");
    require(std::isfinite(params.position_scale), "sinusoidal", "position_scale", params.position_scale,
            "a finite number");
    require(std::isfinite(params.amplitude), "sinusoidal", "amplitude", params.amplitude, "a finite number");
    return params;
  }

  static frequencies make(const sinusoidal_params& params) {
    const index_t num_pairs = (columns(params) + 1) / 2;
    const frequencies list = geometric_frequencies(params.base, num_pairs, num_pairs > 1 ? denominator(params) : 1.0);
    return params.position_scale == 1 ? list : list.scaled(params.position_scale);
  }

  /// Calls `put(column, values, count)` for every run of columns that token t has values for.
  template <real T, token_positions P, class Put>
  void each_run(const P& p, index_t t, Put put) const noexcept {
    using coordinate = std::conditional_t<std::same_as<P, positions>, position_t, double>;
    const coordinate position = p[t] + static_cast<coordinate>(params_.offset);
    if (params_.padding_idx && position == static_cast<coordinate>(*params_.padding_idx)) return;
    for (index_t first = 0; first < frequencies_.size(); first += block) {
      T cos[block];
      T sin[block];
      const index_t count = std::min(block, frequencies_.size() - first);
      cos_sin(frequencies_, &position, first, count, cos, sin);
      put_block(first, cos, sin, count, put);
    }
  }

  /// The same for all tokens of a range, one block of pairs after the other; `put_of(token)` returns the `put` of a
  /// token.
  template <class PutOf>
  void each_consecutive_run(const positions& p, PutOf put_of) const noexcept {
    for (index_t first = 0; first < frequencies_.size(); first += block) {
      const index_t count = std::min(block, frequencies_.size() - first);
      detail::consecutive_angles angles(frequencies_, first, count);
      for (index_t t = 0; t < p.size(); ++t) {
        const position_t position = p[t] + params_.offset;
        if (position == params_.padding_idx) continue;
        float cos[block];
        float sin[block];
        angles.row(position, cos, sin);
        put_block(first, cos, sin, count, put_of(t));
      }
    }
  }

  template <real T, class Put>
  void put_block(index_t first, T* cos, T* sin, index_t count, Put put) const noexcept {
    if (params_.amplitude != 1) {
      for (index_t i = 0; i < count; ++i) cos[i] *= static_cast<T>(params_.amplitude);
      for (index_t i = 0; i < count; ++i) sin[i] *= static_cast<T>(params_.amplitude);
    }
    const T* lead = params_.cos_first ? cos : sin;
    const T* follow = params_.cos_first ? sin : cos;
    if (params_.layout == sinusoid::interleaved)
      put_interleaved(first, lead, follow, count, put);
    else
      put_halves(first, lead, follow, count, put);
  }

  template <real T, class Put>
  void put_interleaved(index_t first, const T* lead, const T* follow, index_t count, Put put) const noexcept {
    T both[2 * block];
    for (index_t i = 0; i < count; ++i) {
      both[2 * i] = lead[i];
      both[2 * i + 1] = follow[i];
    }
    put(2 * first, both, std::min(2 * count, dim() - 2 * first));
  }

  template <real T, class Put>
  void put_halves(index_t first, const T* lead, const T* follow, index_t count, Put put) const noexcept {
    const index_t middle = frequencies_.size();
    put(first, lead, count);
    put(middle + first, follow, std::min(count, dim() - middle - first));
  }

  problem check_dim(index_t width) const noexcept {
    if (width == dim()) return {};
    return problem::invalid("add_to", "dim", width, "#, the width of the encoding", dim());
  }

  problem check_offset(const positions& p) const noexcept {
    constexpr std::int64_t least = std::numeric_limits<position_t>::min();
    constexpr std::int64_t largest = std::numeric_limits<position_t>::max();
    const std::int64_t offset = params_.offset;
    for (index_t t = 0; t < p.size(); ++t) {
      if (p[t] + offset > largest)
        return problem::out_of_range("add_to", "positions", p[t], "at most #", largest - offset).at(t);
      if (p[t] + offset < least)
        return problem::out_of_range("add_to", "positions", p[t], "at least #", least - offset).at(t);
    }
    return {};
  }

  problem check_offset(const real_positions& p) const noexcept {
    for (index_t t = 0; t < p.size(); ++t) {
      if (std::abs(p[t] + params_.offset) < 0x1p63) continue;
      return problem::out_of_range("add_to", "positions", p[t], "less than 2^63 in size with the offset").at(t);
    }
    return {};
  }

  sinusoidal_params params_;
  frequencies frequencies_;
};

static_assert(embedding_encoding<sinusoidal, float> && real_embedding_encoding<sinusoidal, double>);

}  // namespace posenc::inline POSENC_ISA
