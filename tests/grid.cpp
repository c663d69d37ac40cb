#include <posenc/grid.hpp>

#include "catch.hpp"

#include <cmath>
#include <limits>
#include <numbers>
#include <stdexcept>
#include <vector>

using namespace posenc;

TEST_CASE("grid: points come row by row, one list of coordinates an axis", "[grid]") {
  CHECK(grid_positions({.sizes = {2, 3}}) == std::vector<position_t>{0, 0, 0, 1, 1, 1, 0, 1, 2, 0, 1, 2});
  CHECK(grid_positions({.sizes = {2, 3}}, 1) == std::vector<position_t>{1, 1, 1, 2, 2, 2, 1, 2, 3, 1, 2, 3});
  CHECK(grid_positions({.sizes = {2, 1, 2}}) == std::vector<position_t>{0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 1});
  CHECK(grid_positions({.sizes = {3}}) == std::vector<position_t>{0, 1, 2});
}

TEST_CASE("grid: the last axis may be listed first; the order of the points stays", "[grid]") {
  CHECK(grid_positions({.sizes = {2, 3}, .order = grid_order::last_axis_first}) ==
        std::vector<position_t>{0, 1, 2, 0, 1, 2, 0, 0, 0, 1, 1, 1});
}

TEST_CASE("grid: tokens before and behind it stand at zero on every axis", "[grid]") {
  CHECK(grid_positions({.sizes = {1, 2}, .num_prefix_tokens = 2, .num_suffix_tokens = 1}, 5) ==
        std::vector<position_t>{0, 0, 5, 5, 0, 0, 0, 5, 6, 0});
}

TEST_CASE("grid: a side of zero has no points", "[grid]") {
  CHECK(grid_positions({.sizes = {0, 3}}).empty());
  CHECK(grid_centres({.sizes = {3, 0}, .num_prefix_tokens = 1}) == std::vector<double>{0, 0});
}

TEST_CASE("grid: centres lie half a cell within -1 and 1, corners at them", "[grid]") {
  CHECK(grid_centres({.sizes = {2, 4}}) == std::vector<double>{-0.5, -0.5, -0.5, -0.5, 0.5, 0.5, 0.5, 0.5, -0.75, -0.25,
                                                               0.25, 0.75, -0.75, -0.25, 0.25, 0.75});
  CHECK(grid_centres({.sizes = {1}}, 7) == std::vector<double>{0});
  CHECK(grid_centres({.sizes = {2}}, 2 * std::numbers::pi) == std::vector<double>{-std::numbers::pi, std::numbers::pi});
  CHECK(grid_corners({.sizes = {5}}) == std::vector<double>{-1, -0.5, 0, 0.5, 1});
  CHECK(grid_corners({.sizes = {1}}) == std::vector<double>{-1});
}

TEST_CASE("grid: indices as a grid of other sizes counts them", "[grid]") {
  const std::vector<index_t> reference{2, 2};
  CHECK(grid_rescaled({.sizes = {4, 1}}, reference) == std::vector<double>{0, 0.5, 1, 1.5, 0, 0, 0, 0});
}

TEST_CASE("grid: a mask's valid pixels are counted from 1 along both axes", "[grid]") {
  const masked_grid_params counts{.height = 2, .width = 3, .normalize = false};
  CHECK(masked_grid_positions(counts) == std::vector<double>{1, 1, 1, 2, 2, 2, 1, 2, 3, 1, 2, 3});
  const std::vector<bool> mask{true, true, false, false, true, false};
  CHECK(masked_grid_positions(counts, mask) == std::vector<double>{1, 1, 0, 1, 2, 0, 1, 2, 2, 0, 1, 1});
  const auto normalized = masked_grid_positions({.height = 1, .width = 2, .scale = 1, .eps = 0.5});
  CHECK(normalized[0] == 1 / 1.5);
  CHECK(normalized[3] == 2 / 2.5);
}

TEST_CASE("grid: positions fill 32 bits, and what leaves them is out of range", "[grid]") {
  constexpr position_t last = std::numeric_limits<position_t>::max();
  CHECK(grid_positions({.sizes = {1, 2}}, last - 1) == std::vector<position_t>{last - 1, last - 1, last - 1, last});
  CHECK(grid_positions({.sizes = {0, 2}}, last).empty());  // no points, no positions
  CHECK_THROWS_AS(grid_positions({.sizes = {1, 2}}, last), std::out_of_range);
  CHECK_THROWS_WITH(grid_positions({.sizes = {1, 2}}, last),
                    "grid_positions: a position is 2147483648, expected below 2^31");
}

TEST_CASE("grid: what is no grid is refused", "[grid]") {
  CHECK_THROWS_WITH(grid_positions({}), "grid_positions: number of sizes is 0, expected at least 1, one for each axis");
  CHECK_THROWS_WITH(grid_centres({.sizes = {2, -1}}), "grid_centres: a size is -1, expected at least 0");
  CHECK_THROWS_WITH(grid_corners({.sizes = {2}, .num_prefix_tokens = -1}),
                    "grid_corners: num_prefix_tokens is -1, expected at least 0");
  CHECK_THROWS_WITH(grid_corners({.sizes = {2}, .num_suffix_tokens = -1}),
                    "grid_corners: num_suffix_tokens is -1, expected at least 0");
  const std::vector<index_t> one{1};
  CHECK_THROWS_WITH(grid_rescaled({.sizes = {2, 2}}, one),
                    "grid_rescaled: number of reference_sizes is 1, expected 2, that of the sizes");
  CHECK_THROWS_WITH(masked_grid_positions({.height = 2, .width = 2}, {true}),
                    "masked_grid_positions: size of the mask is 1, expected 4, height times width");
  CHECK_THROWS_WITH(masked_grid_positions({.height = -1, .width = 2}),
                    "masked_grid_positions: height is -1, expected at least 0");
}
