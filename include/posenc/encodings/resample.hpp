// Resamples a learned table to another length or grid.
#pragma once

#include <posenc/error.hpp>
#include <posenc/scalar.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// The number of old rows that make up a new one, along each axis: 1, 2 or 4.
enum class resampling { nearest, linear, cubic };

/// The default is torch's interpolate(mode = 'linear').
struct resample_params {
  resampling mode = resampling::linear;
  bool align_corners = false;          // the first and the last rows are kept (linear and cubic)
  bool antialias = false;              // when shrinking, a new row is made of all old ones near it (linear and cubic)
  std::optional<double> cubic_a = {};  // slope of the cubic at 1; default: torch's, -0.5 with antialias, else -0.75
  index_t num_prefix_rows = 0;         // class tokens and the like, at the start of the table: copied
};

namespace detail {

/// What one new row takes from the old ones along an axis.
struct taps {
  index_t first = 0;
  std::vector<double> weights;
};

inline double cubic_kernel(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

class resampler {
 public:
  resampler(index_t old_size, index_t new_size, const resample_params& params)
      : old_size_(old_size),
        new_size_(new_size),
        params_(params),
        step_(static_cast<double>(old_size) / static_cast<double>(new_size)),
        a_(params.cubic_a.value_or(params.antialias ? -0.5 : -0.75)) {}

  taps at(index_t row) const {
    if (params_.mode == resampling::nearest) return {row * old_size_ / new_size_, {1.0}};
    return params_.antialias ? smoothed(row) : interpolated(row);
  }

 private:
  double kernel(double x) const {
    return params_.mode == resampling::cubic ? cubic_kernel(x, a_) : std::max(0.0, 1 - std::abs(x));
  }

  double source_of(index_t row) const {
    if (!params_.align_corners) return (static_cast<double>(row) + 0.5) * step_ - 0.5;
    return new_size_ > 1
               ? static_cast<double>(row) * static_cast<double>(old_size_ - 1) / static_cast<double>(new_size_ - 1)
               : 0;
  }

  // Beyond an end, the old row at that end counts again.
  taps interpolated(index_t row) const {
    const double source = source_of(row);
    const double below = std::floor(source);
    const index_t reach = params_.mode == resampling::cubic ? 2 : 1;
    taps result;
    result.weights.assign(static_cast<std::size_t>(old_size_), 0.0);
    for (index_t k = 1 - reach; k <= reach; ++k) {
      const index_t old_row = std::clamp(static_cast<index_t>(below) + k, index_t{0}, old_size_ - 1);
      result.weights[static_cast<std::size_t>(old_row)] += kernel(source - below - static_cast<double>(k));
    }
    return result;
  }

  // The kernel is as wide as a step, cut at the ends and normalized to a sum of one.
  taps smoothed(index_t row) const {
    const double width = std::max(step_, 1.0);
    const double support = (params_.mode == resampling::cubic ? 2 : 1) * width;
    const double centre = (static_cast<double>(row) + 0.5) * step_;
    taps result;
    result.first = std::max(static_cast<index_t>(std::floor(centre - support + 0.5)), index_t{0});
    const index_t end = std::min(static_cast<index_t>(std::floor(centre + support + 0.5)), old_size_);
    double sum = 0;
    for (index_t k = result.first; k < end; ++k) {
      result.weights.push_back(kernel((static_cast<double>(k) + 0.5 - centre) / width));
      sum += result.weights.back();
    }
    for (double& weight : result.weights) weight /= sum;
    return result;
  }

  index_t old_size_, new_size_;
  resample_params params_;
  double step_, a_;
};

/// Replaces an axis of old_size by one of new_size: [outer, old_size, inner] to [outer, new_size, inner].
inline std::vector<double> resample_axis(const std::vector<double>& old, index_t outer, index_t old_size,
                                         index_t new_size, index_t inner, const resample_params& params) {
  const resampler axis(old_size, new_size, params);
  std::vector<double> made(static_cast<std::size_t>(outer * new_size * inner));
  for (index_t row = 0; row < new_size; ++row) {
    const taps from = axis.at(row);
    for (index_t o = 0; o < outer; ++o) {
      double* out = made.data() + (o * new_size + row) * inner;
      for (index_t k = 0; k < std::ssize(from.weights); ++k) {
        const double weight = from.weights[static_cast<std::size_t>(k)];
        if (weight == 0) continue;
        const double* in = old.data() + (o * old_size + from.first + k) * inner;
        for (index_t i = 0; i < inner; ++i) out[i] += weight * in[i];
      }
    }
  }
  return made;
}

}  // namespace detail

/// Resamples a learned table to another number or grid of positions: a new table, to fine-tune or to try.
///
///     resample(table, 768, {512}, {1024})                                       twice the length
///     resample(table, 768, {14, 14}, {24, 32}, {.mode = resampling::cubic, .num_prefix_rows = 1})   ViT
///
/// table      [num_prefix_rows + product of old_sizes, dim], the last axis of the grid fastest
/// returns    [num_prefix_rows + product of new_sizes, dim]
/// Errors     different numbers of sizes, a size or dim below 1, a table of another size, antialias with align_corners:
///            invalid_argument.
/// Accuracy   weights and sums in double, one rounding to T.
/// Source     torch.nn.functional.interpolate (nearest, linear, bicubic, antialias), as transformers' ViT and timm's
///            resample_abs_pos_embed call it; Dosovitskiy et al. 2020, arXiv:2010.11929, section 3.2.
template <real T>
std::vector<T> resample(std::span<const T> table, index_t dim, const std::vector<index_t>& old_sizes,
                        const std::vector<index_t>& new_sizes, const resample_params& params = {}) {
  require(dim >= 1, "resample", "dim", dim, "at least 1");
  require(!old_sizes.empty(), "resample", "number of old_sizes", std::ssize(old_sizes), "at least 1");
  require(new_sizes.size() == old_sizes.size(), "resample", "number of new_sizes", std::ssize(new_sizes),
          "#, that of the old ones", std::ssize(old_sizes));
  require(params.num_prefix_rows >= 0, "resample", "num_prefix_rows", params.num_prefix_rows, "at least 0");
  require(!(params.antialias && params.align_corners), "resample", "antialias", true, "false with align_corners");
  index_t num_rows = 1;
  for (const index_t size : old_sizes) {
    require(size >= 1, "resample", "one of old_sizes", size, "at least 1");
    num_rows *= size;
  }
  for (const index_t size : new_sizes) require(size >= 1, "resample", "one of new_sizes", size, "at least 1");
  require(std::ssize(table) == (params.num_prefix_rows + num_rows) * dim, "resample", "size of the table",
          std::ssize(table), "#, prefix rows and grid", (params.num_prefix_rows + num_rows) * dim);

  const auto prefix = table.first(static_cast<std::size_t>(params.num_prefix_rows * dim));
  std::vector<double> values(table.begin() + std::ssize(prefix), table.end());
  index_t outer = 1;
  index_t inner = num_rows * dim;
  for (std::size_t axis = 0; axis < old_sizes.size(); ++axis) {
    inner /= old_sizes[axis];
    values = detail::resample_axis(values, outer, old_sizes[axis], new_sizes[axis], inner, params);
    outer *= new_sizes[axis];
  }
  std::vector<T> made(prefix.begin(), prefix.end());
  for (const double value : values) made.push_back(static_cast<T>(value));
  return made;
}

template <real T>
std::vector<T> resample(const std::vector<T>& table, index_t dim, const std::vector<index_t>& old_sizes,
                        const std::vector<index_t>& new_sizes, const resample_params& params = {}) {
  return resample(std::span<const T>(table), dim, old_sizes, new_sizes, params);
}

}  // namespace posenc::inline POSENC_ISA
