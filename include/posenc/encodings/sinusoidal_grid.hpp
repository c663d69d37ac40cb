// Sinusoidal positions of grids, added to embeddings: images, volumes.
#pragma once

#include <posenc/angles/cos_sin.hpp>
#include <posenc/encode.hpp>
#include <posenc/kernels/add.hpp>
#include <posenc/scaling/axial.hpp>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// The order of columns, for position axes a and b:
///
///     interleaved   sin a, cos a, sin a, cos a, ... sin b, cos b, ...    positional-encodings, DETR
///     halves        sines of a, cosines of a, sines of b, cosines of b    MAE, timm with interleave_sin_cos
///     sines_first   sines of a, sines of b, cosines of a, cosines of b    timm
enum class grid_sinusoid { interleaved, halves, sines_first };

/// The default is that of the package positional-encodings.
struct sinusoidal_grid_params {
  index_t dim = 0;
  index_t num_axes = 2;
  grid_sinusoid layout = grid_sinusoid::interleaved;
  double base = 10000;
  double amplitude = 1;  // multiplies the sine and the cosine
};

/// Adds sines and cosines of each axis of the position, in separate columns.
///
///     x[p, columns of axis a] += amplitude * sin or cos(p[a] * base^(-j / n))      n = ceil(dim / (2 num_axes)), j < n
///
/// Acts on    embeddings.
/// Positions  any 32-bit, and real ones, on num_axes axes, as made by grid.hpp, DETR's counts of a mask included.
/// Storage    one frequency per sine.
/// Errors     dim below 1, num_axes outside 1 to 8, a dim that is not a multiple of 2 num_axes (interleaved instead
///            cuts the last columns), base not above 0: invalid_argument; check_add reports a different width.
/// Accuracy   that of cos_sin, then the roundings of the amplitude, unless it is 1, and of the sum.
/// Source     He et al. 2021, arXiv:2111.06377 (MAE); Carion et al. 2020, arXiv:2005.12872 (DETR); timm's
///            pos_embed_sincos; positional-encodings on PyPI.
class sinusoidal_grid {
 public:
  explicit sinusoidal_grid(const sinusoidal_grid_params& params)
      : params_(checked(params)),
        pairs_an_axis_((params.dim + 2 * params.num_axes - 1) / (2 * params.num_axes)),
        frequencies_(axial_frequencies(
            params.base, std::vector<index_t>(static_cast<std::size_t>(params.num_axes), 2 * pairs_an_axis_))) {}

  index_t dim() const noexcept { return params_.dim; }
  const sinusoidal_grid_params& params() const noexcept { return params_; }
  const frequencies& inv_freq() const noexcept { return frequencies_; }
  index_t num_position_axes() const noexcept { return params_.num_axes; }

  template <scalar S, token_positions P>
  void add_to(token_view<S> x, const P& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      S* row = x.token(t);
      each_run<compute_t<S>>(p, t, [row](index_t column, const auto* values, index_t count) {
        kernels::add(row + column, values, count);
      });
    }
  }

  template <token_positions P>
  problem check_add(const embedding_shape& shape, const P&) const noexcept {
    if (shape.dim == dim()) return {};
    return problem::invalid("add_to", "dim", shape.dim, "#, the width of the encoding", dim());
  }

 private:
  static constexpr index_t block = 64;  // pairs at a time
  static constexpr index_t max_axes = 8;

  static const sinusoidal_grid_params& checked(const sinusoidal_grid_params& params) {
    require(params.dim >= 1, "sinusoidal_grid", "dim", params.dim, "at least 1");
    require(params.num_axes >= 1 && params.num_axes <= max_axes, "sinusoidal_grid", "num_axes", params.num_axes,
            "from 1 to #", max_axes);
    require(params.layout == grid_sinusoid::interleaved || params.dim % (2 * params.num_axes) == 0, "sinusoidal_grid",
            "dim", params.dim, "a multiple of #, a sine and a cosine for each axis", 2 * params.num_axes);
    require(std::isfinite(params.amplitude), "sinusoidal_grid", "amplitude", params.amplitude, "a finite number");
    return params;
  }

  /// Calls `put(column, values, count)` for every run of columns of token t.
  template <real T, token_positions P, class Put>
  void each_run(const P& p, index_t t, Put put) const noexcept {
    using coordinate = std::conditional_t<std::same_as<P, positions>, position_t, double>;
    coordinate by_axis[max_axes];
    for (index_t a = 0; a < params_.num_axes; ++a) by_axis[a] = p.at(a, t);
    for (index_t axis = 0; axis < params_.num_axes; ++axis) {
      for (index_t first = 0; first < pairs_an_axis_; first += block) {
        T cos[block];
        T sin[block];
        const index_t count = std::min(block, pairs_an_axis_ - first);
        cos_sin(frequencies_, by_axis, axis * pairs_an_axis_ + first, count, cos, sin);
        if (params_.amplitude != 1) {
          for (index_t i = 0; i < count; ++i) cos[i] *= static_cast<T>(params_.amplitude);
          for (index_t i = 0; i < count; ++i) sin[i] *= static_cast<T>(params_.amplitude);
        }
        put_block(axis, first, cos, sin, count, put);
      }
    }
  }

  template <real T, class Put>
  void put_block(index_t axis, index_t first, const T* cos, const T* sin, index_t count, Put put) const noexcept {
    const index_t pair = axis * pairs_an_axis_ + first;
    if (params_.layout == grid_sinusoid::interleaved) {
      T both[2 * block];
      for (index_t i = 0; i < count; ++i) {
        both[2 * i] = sin[i];
        both[2 * i + 1] = cos[i];
      }
      if (2 * pair < dim()) put(2 * pair, both, std::min(2 * count, dim() - 2 * pair));
    } else if (params_.layout == grid_sinusoid::halves) {
      put(pair + axis * pairs_an_axis_, sin, count);
      put(pair + (axis + 1) * pairs_an_axis_, cos, count);
    } else {
      put(pair, sin, count);
      put(dim() / 2 + pair, cos, count);
    }
  }

  sinusoidal_grid_params params_;
  index_t pairs_an_axis_;
  frequencies frequencies_;
};

static_assert(embedding_encoding<sinusoidal_grid, float> && real_embedding_encoding<sinusoidal_grid, double>);

}  // namespace posenc::inline POSENC_ISA
