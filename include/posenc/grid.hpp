// Positions of the points of a grid: patches of an image, frames of a video.
#pragma once

#include <posenc/error.hpp>
#include <posenc/positions.hpp>

#include <cmath>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// Which axis of positions is which axis of the grid.
///
///     first_axis_first   {row, column}, {frame, row, column}   transformers' Qwen2-VL and Pixtral, EVA, CogVideoX
///     last_axis_first    {column, row}, x before y             MAE, Llama 4 vision, rope-vit
///
/// timm's reverse_coord transposes the grid itself: its points come column by column, like those of {columns, rows}.
enum class grid_order { first_axis_first, last_axis_first };

/// The points of a grid, the last axis fastest (row-major), and the tokens before and after them.
struct grid_params {
  std::vector<index_t> sizes;  // {rows, columns}, {frames, rows, columns}
  grid_order order = grid_order::first_axis_first;
  index_t num_prefix_tokens = 0;  // class and register tokens: at 0 on every axis, where nothing rotates
  index_t num_suffix_tokens = 0;
};

namespace detail {

inline index_t check_grid(const char* operation, const grid_params& grid) {
  require(!grid.sizes.empty(), operation, "number of sizes", std::ssize(grid.sizes), "at least 1, one for each axis");
  index_t num_tokens = 1;
  for (const index_t size : grid.sizes) {
    require(size >= 0, operation, "a size", size, "at least 0");
    require(size <= std::numeric_limits<position_t>::max(), operation, "a size", size, "below 2^31");
    num_tokens *= size;
  }
  require(grid.num_prefix_tokens >= 0, operation, "num_prefix_tokens", grid.num_prefix_tokens, "at least 0");
  require(grid.num_suffix_tokens >= 0, operation, "num_suffix_tokens", grid.num_suffix_tokens, "at least 0");
  return grid.num_prefix_tokens + num_tokens + grid.num_suffix_tokens;
}

/// [num_axes, num_tokens]: coordinate(axis of the grid, index on it) for every point.
template <class Coordinate, class Of>
std::vector<Coordinate> coordinates_of(const char* operation, const grid_params& grid, Of coordinate) {
  const index_t num_tokens = check_grid(operation, grid);
  const index_t num_axes = std::ssize(grid.sizes);
  std::vector<Coordinate> all(static_cast<std::size_t>(num_axes * num_tokens));
  index_t inner = 1;  // points from one index of an axis to the next
  for (index_t axis = num_axes; axis-- > 0;) {
    const index_t size = grid.sizes[static_cast<std::size_t>(axis)];
    const index_t row = grid.order == grid_order::first_axis_first ? axis : num_axes - 1 - axis;
    Coordinate* out = all.data() + row * num_tokens + grid.num_prefix_tokens;
    const index_t num_points = num_tokens - grid.num_prefix_tokens - grid.num_suffix_tokens;
    for (index_t point = 0; point < num_points; ++point) out[point] = coordinate(axis, point / inner % size);
    inner *= size;
  }
  return all;
}

}  // namespace detail

/// Indices along each axis, counted from `first`: [num_axes, num_tokens], for `positions(ids, num_axes)`.
///
/// Errors  no sizes, or one below 0, throw invalid_argument; a position beyond 32 bits throws out_of_range.
inline std::vector<position_t> grid_positions(const grid_params& grid, position_t first = 0) {
  return detail::coordinates_of<position_t>("grid_positions", grid, [first](index_t, index_t index) {
    const index_t position = first + index;
    if (position > std::numeric_limits<position_t>::max())
      raise(problem::out_of_range("grid_positions", "a position", position, "below 2^31"));
    return static_cast<position_t>(position);
  });
}

/// The centers of the cells, each axis from -1 to 1 by its own size, times `scale`: [num_axes, num_tokens], for
/// `real_positions(values, num_axes)`. DINOv3 scales by 2 pi.
///
///     coordinate = scale * (2 (index + 1/2) / size - 1)
inline std::vector<double> grid_centres(const grid_params& grid, double scale = 1) {
  return detail::coordinates_of<double>("grid_centres", grid, [&](index_t axis, index_t index) {
    const auto size = static_cast<double>(grid.sizes[static_cast<std::size_t>(axis)]);
    return scale * ((2 * static_cast<double>(index) + 1) / size - 1);
  });
}

/// Evenly spaced from -1 to 1, including both ends: torch.linspace, the "pixel" positions of rotary-embedding-torch. A
/// single point is at -1.
///
///     coordinate = 2 index / (size - 1) - 1
inline std::vector<double> grid_corners(const grid_params& grid) {
  return detail::coordinates_of<double>("grid_corners", grid, [&](index_t axis, index_t index) {
    const index_t size = grid.sizes[static_cast<std::size_t>(axis)];
    return size > 1 ? 2 * static_cast<double>(index) / static_cast<double>(size - 1) - 1 : -1.0;
  });
}

/// Indices along each axis, rescaled to a grid of other sizes: for an image whose resolution differs from training
/// (EVA's ref_feat_shape).
///
///     coordinate = index * reference_sizes[axis] / sizes[axis]
inline std::vector<double> grid_rescaled(const grid_params& grid, std::span<const index_t> reference_sizes) {
  require(reference_sizes.size() == grid.sizes.size(), "grid_rescaled", "number of reference_sizes",
          std::ssize(reference_sizes), "#, that of the sizes", std::ssize(grid.sizes));
  return detail::coordinates_of<double>("grid_rescaled", grid, [&](index_t axis, index_t index) {
    const auto a = static_cast<std::size_t>(axis);
    return static_cast<double>(index) * static_cast<double>(reference_sizes[a]) / static_cast<double>(grid.sizes[a]);
  });
}

/// How DETR counts the pixels of a padded image.
struct masked_grid_params {
  index_t height = 0;
  index_t width = 0;
  bool normalize = true;             // else the plain counts
  double scale = 6.283185307179586;  // of normalized coordinates: 2 pi
  double eps = 1e-6;                 // added to the last count, which may be 0
};

/// Rows and columns of the valid pixels of an image, counted from 1 and, if normalized, divided by the last count: [2,
/// height * width], rows first.
///
///     y[i, j] = mask[0, j] + ... + mask[i, j]        scale * y[i, j] / (y[height - 1, j] + eps)
///     x[i, j] = mask[i, 0] + ... + mask[i, j]        scale * x[i, j] / (x[i, width - 1] + eps)
///
/// mask    [height, width], 1 where a pixel is valid; empty: all are
/// Errors  sizes below 0, a mask of another size: invalid_argument.
/// Source  Carion et al. 2020, arXiv:2005.12872; transformers' DetrSinePositionEmbedding.
inline std::vector<double> masked_grid_positions(const masked_grid_params& grid, const std::vector<bool>& mask = {}) {
  const char* operation = "masked_grid_positions";
  require(grid.height >= 0, operation, "height", grid.height, "at least 0");
  require(grid.width >= 0, operation, "width", grid.width, "at least 0");
  const index_t num_pixels = grid.height * grid.width;
  require(mask.empty() || std::ssize(mask) == num_pixels, operation, "size of the mask", std::ssize(mask),
          "#, height times width", num_pixels);
  std::vector<double> counts(static_cast<std::size_t>(2 * num_pixels));
  // Along a line of pixels `stride` apart: count, then divide by the last count.
  const auto count_line = [&](double* out, index_t first, index_t stride, index_t length) {
    double count = 0;
    for (index_t i = 0; i < length; ++i) {
      const index_t pixel = first + i * stride;
      if (mask.empty() || mask[static_cast<std::size_t>(pixel)]) ++count;
      out[pixel] = count;
    }
    if (!grid.normalize) return;
    for (index_t i = 0; i < length; ++i) out[first + i * stride] *= grid.scale / (count + grid.eps);
  };
  for (index_t column = 0; column < grid.width; ++column) count_line(counts.data(), column, grid.width, grid.height);
  for (index_t row = 0; row < grid.height; ++row) {
    count_line(counts.data() + num_pixels, row * grid.width, 1, grid.width);
  }
  return counts;
}

}  // namespace posenc::inline POSENC_ISA
