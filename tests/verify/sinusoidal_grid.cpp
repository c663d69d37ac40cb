// Sinusoids for images and volumes, named after the packages that use them.
#include "grids.hpp"

#include <posenc/encodings/sinusoidal_grid.hpp>
#include <posenc/grid.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace verify {

namespace {

using posenc::grid_order;
using posenc::grid_sinusoid;
using posenc::sinusoidal_grid;
using posenc::sinusoidal_grid_params;

template <class P>
std::vector<double> radians_of(const sinusoidal_grid& encoding, const P& at) {
  // By the largest angle of the token: every frequency is 1 or less.
  std::vector<double> radians;
  for (index_t t = 0; t < at.size(); ++t) {
    double largest = 0;
    for (index_t axis = 0; axis < at.num_axes(); ++axis)
      largest = std::max(largest, std::abs(static_cast<double>(at.at(axis, t))));
    radians.insert(radians.end(), static_cast<std::size_t>(encoding.dim()), largest);
  }
  return radians;
}

template <posenc::real T, class P>
std::vector<T> table_of(const sinusoidal_grid& encoding, const P& at, index_t num_prefix_tokens = 0) {
  const index_t num_tokens = at.size() + num_prefix_tokens;
  std::vector<T> table(static_cast<std::size_t>(num_tokens * encoding.dim()), T(0));
  const posenc::token_view<T> view(table.data(), num_tokens, encoding.dim());
  add_to(encoding, view.tokens(num_prefix_tokens, at.size()), at);
  return table;
}

template <class T>
void give(golden_case& one, const std::vector<T>& table, const std::vector<double>& radians) {
  for (const char* stem : {"exact", "output"}) one.give(stem, table, radians);
}

template <class P>
void give_tables(golden_case& one, const sinusoidal_grid& encoding, const P& at, index_t num_prefix_tokens = 0) {
  std::vector<double> radians(static_cast<std::size_t>(num_prefix_tokens * encoding.dim()), 0.0);
  const std::vector<double> of_grid = radians_of(encoding, at);
  radians.insert(radians.end(), of_grid.begin(), of_grid.end());
  give(one, table_of<float>(encoding, at, num_prefix_tokens), radians);
  give(one, table_of<double>(encoding, at, num_prefix_tokens), radians);
}

// Channels before pixels, image by image.
template <class T>
std::vector<T> channels_first(const std::vector<T>& table, index_t dim) {
  const index_t num_pixels = std::ssize(table) / dim;
  std::vector<T> turned;
  for (index_t channel = 0; channel < dim; ++channel) {
    for (index_t pixel = 0; pixel < num_pixels; ++pixel)
      turned.push_back(table[static_cast<std::size_t>(pixel * dim + channel)]);
  }
  return turned;
}

template <posenc::real T>
void give_detr(golden_case& one, const sinusoidal_grid& encoding, const std::vector<std::vector<double>>& images) {
  std::vector<T> all;
  std::vector<double> radians;
  for (const std::vector<double>& coordinates : images) {
    const posenc::real_positions at(coordinates, 2);
    const auto pixels = channels_first(table_of<T>(encoding, at), encoding.dim());
    const auto angles = channels_first(radians_of(encoding, at), encoding.dim());
    all.insert(all.end(), pixels.begin(), pixels.end());
    radians.insert(radians.end(), angles.begin(), angles.end());
  }
  give(one, all, radians);
}

void check_detr(golden_case& one) {
  const posenc::masked_grid_params grid{.height = one.count("height"),
                                        .width = one.count("width"),
                                        .normalize = one.flag("normalize", false),
                                        .scale = one.number("scale"),
                                        .eps = one.number("eps")};
  const sinusoidal_grid encoding({.dim = 2 * one.count("num_position_features"), .base = one.number("temperature")});
  std::vector<std::vector<double>> images;
  if (one.has("mask")) {
    const tensor& mask = one.input("mask");
    const index_t num_pixels = grid.height * grid.width;
    for (index_t first = 0; first < mask.size(); first += num_pixels) {
      std::vector<bool> valid;
      for (index_t i = 0; i < num_pixels; ++i) valid.push_back(mask.values[static_cast<std::size_t>(first + i)] != 0);
      images.push_back(masked_grid_positions(grid, valid));
    }
  } else {
    images.push_back(masked_grid_positions(grid));
  }
  give_detr<float>(one, encoding, images);
  give_detr<double>(one, encoding, images);
}

void check_timm(golden_case& one) {
  auto sizes = one.parameter("feat_shape").get<std::vector<index_t>>();
  // timm turns the grid itself, not the axes of its points: they come column by column.
  if (one.flag("reverse_coord", false)) std::reverse(sizes.begin(), sizes.end());
  const auto ids = posenc::grid_positions({.sizes = sizes});
  const bool halves = one.flag("interleave_sin_cos", false);
  const sinusoidal_grid encoding({.dim = one.count("dim"),
                                  .num_axes = std::ssize(sizes),
                                  .layout = halves ? grid_sinusoid::halves : grid_sinusoid::sines_first,
                                  .base = one.number("temperature")});
  give_tables(one, encoding, posenc::positions(ids, std::ssize(sizes)));
}

void check_mae(golden_case& one) {
  const index_t side = one.count("grid_size");
  const auto ids = posenc::grid_positions({.sizes = {side, side}, .order = grid_order::last_axis_first});
  const sinusoidal_grid encoding(
      {.dim = one.count("d_model"), .layout = grid_sinusoid::halves, .base = one.number("temperature", 10000)});
  give_tables(one, encoding, posenc::positions(ids, 2), one.flag("cls_token", false) ? 1 : 0);
}

}  // namespace

void check_sinusoidal_grid(golden_case& one) {
  if (one.has_parameter("num_position_features")) return check_detr(one);
  if (one.has_parameter("feat_shape")) return check_timm(one);
  if (one.has_parameter("grid_size")) return check_mae(one);
  const auto sizes = one.parameter("shape").get<std::vector<index_t>>();
  const auto ids = posenc::grid_positions({.sizes = sizes});
  const sinusoidal_grid encoding(
      {.dim = one.count("d_model"), .num_axes = std::ssize(sizes), .base = one.number("base", 10000)});
  give_tables(one, encoding, posenc::positions(ids, std::ssize(sizes)));
}

}  // namespace verify
