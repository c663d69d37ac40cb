// Rotations for images and videos, named after the models that use them.
#include "grids.hpp"
#include "heads.hpp"
#include "rope_parameters.hpp"

#include <posenc/grid.hpp>
#include <posenc/scaling/axial.hpp>

#include <numbers>

namespace verify {

namespace {

using posenc::axial_frequencies;
using posenc::frequencies;
using posenc::grid_order;
using posenc::grid_params;

/// A grid's frequencies, and its coordinates: whole ones as doubles, which cos_sin takes for the same.
struct grid_rotation {
  frequencies list;
  std::vector<double> coordinates;  // [num_axes, num_tokens]
};

std::vector<double> indices_of(const grid_params& grid, position_t first = 0) {
  const std::vector<position_t> ids = posenc::grid_positions(grid, first);
  return {ids.begin(), ids.end()};
}

grid_rotation video(const golden_case& one) {
  return {axial_frequencies(one.number("rope_theta"), one.parameter("dims_per_axis").get<std::vector<index_t>>()),
          indices_of({.sizes = {one.count("frames"), one.count("height"), one.count("width")}})};
}

grid_rotation equal_axes(const golden_case& one) {
  const auto sizes = one.parameter("shape").get<std::vector<index_t>>();
  const std::vector<index_t> dims(sizes.size(), one.count("dim_per_axis"));
  return {axial_frequencies(one.number("rope_theta"), dims), indices_of({.sizes = sizes})};
}

grid_rotation pixels(const golden_case& one) {
  return {posenc::pixel_frequencies(one.number("max_freq"), one.count("dim_per_axis") / 2),
          posenc::grid_corners({.sizes = {one.count("size")}})};
}

grid_rotation image(const golden_case& one) {
  const double theta = one.number("rope_theta");
  const index_t head_dim = one.count("head_dim");
  const std::vector<index_t> halves(2, head_dim / 2);
  grid_params grid{.sizes = {one.count("height"), one.count("width")},
                   .num_prefix_tokens = one.count("num_prefix_tokens", 0)};
  if (one.has_parameter("normalize"))  // DINOv3
    return {axial_frequencies(theta, halves), grid_centres(grid, 2 * std::numbers::pi)};
  if (one.has_parameter("class_token")) {  // Llama 4: x before y, counted from 1, the class token last
    grid.order = grid_order::last_axis_first;
    grid.num_suffix_tokens = 1;
    return {axial_frequencies(theta, halves), indices_of(grid, 1)};
  }
  if (one.has_parameter("ref_feat_shape")) {  // EVA
    const auto reference = one.parameter("ref_feat_shape").get<std::vector<index_t>>();
    return {axial_frequencies(theta, halves), grid_rescaled(grid, reference)};
  }
  if (one.mentions("ixtral")) return {posenc::pixtral_frequencies(theta, head_dim), indices_of(grid)};
  return {axial_frequencies(theta, halves), indices_of(grid)};
}

grid_rotation rotation_of(const golden_case& one) {
  if (one.has_parameter("frames")) return video(one);
  if (one.has_parameter("shape")) return equal_axes(one);
  if (one.has_parameter("max_freq")) return pixels(one);
  return image(one);
}

void give_angles(golden_case& one, const grid_rotation& grid) {
  const posenc::real_positions at(grid.coordinates, grid.list.num_axes());
  std::vector<double> angles, sizes;
  for (index_t t = 0; t < at.size(); ++t) {
    for (index_t pair = 0; pair < grid.list.size(); ++pair) {
      angles.push_back(at.at(grid.list.axis(pair), t) * grid.list.inv_freq(pair));
      sizes.push_back(std::abs(angles.back()));
    }
  }
  one.give("angles", angles, sizes);
  one.give("angles", std::vector<float>(angles.begin(), angles.end()), sizes);
}

template <posenc::real T>
void rotate_one(golden_case& one, const std::string& name, const grid_rotation& grid) {
  const tensor& x = one.input(name);
  const posenc::rope rotary(rope_pairing(one), grid.list);
  const posenc::real_positions at(grid.coordinates, grid.list.num_axes());
  std::vector<T> turned = values_as<T>(x);
  const index_t head_dim = x.dim(-1);
  const index_t num_tokens = at.size();
  const index_t num_heads = x.size() / (num_tokens * head_dim);  // of all batches
  const auto heads = posenc::head_major(turned.data(), num_heads, num_tokens, head_dim);
  if (name == "k")
    apply_to_keys(rotary, heads, at);
  else
    apply_to_queries(rotary, heads, at);
  one.give(name + "_rotated", turned);
}

}  // namespace

void check_axial_rope(golden_case& one) {
  const grid_rotation grid = rotation_of(one);
  give_angles(one, grid);
  for (const std::string name : {"q", "k", "x"}) {
    if (!one.has(name)) continue;
    rotate_one<float>(one, name, grid);
    rotate_one<double>(one, name, grid);
  }
}

}  // namespace verify
