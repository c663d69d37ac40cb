#include <posenc/encodings/learned_grid.hpp>

#include <posenc/grid.hpp>

#include "catch.hpp"

#include <vector>

using namespace posenc;

TEST_CASE("learned_grid: a row of each axis is added", "[learned_grid]") {
  const learned_grid<float> encoding({1, 2, 10, 20, /*columns*/ 100, 200, 1000, 2000, 10000, 20000},
                                     {.sizes = {2, 3}, .dim = 2});
  const auto ids = grid_positions({.sizes = {2, 3}});
  std::vector<float> x(6 * 2, 0.5F);
  add_to(encoding, token_view<float>(x.data(), 6, 2), positions(ids, 2));
  CHECK(x == std::vector<float>{101.5F, 202.5F, 1001.5F, 2002.5F, 10001.5F, 20002.5F,  //
                                110.5F, 220.5F, 1010.5F, 2020.5F, 10010.5F, 20020.5F});
}

TEST_CASE("learned_grid: or stands in columns of its own", "[learned_grid]") {
  // DETR: the column's table first.
  const learned_grid<double> encoding({1, 2, 10, 20, 100, 200, /*rows*/ 3, 4, 30, 40},
                                      {.sizes = {3, 2}, .dim = 4, .form = grid_rows::side_by_side});
  const auto ids = grid_positions({.sizes = {2, 3}, .order = grid_order::last_axis_first});
  std::vector<double> x(6 * 4, 0.0);
  add_to(encoding, token_view<double>(x.data(), 6, 4), positions(ids, 2));
  CHECK(x == std::vector<double>{1, 2, 3,  4,  10, 20, 3,  4,  100, 200, 3,  4,  //
                                 1, 2, 30, 40, 10, 20, 30, 40, 100, 200, 30, 40});
}

TEST_CASE("learned_grid: 16 bits are rounded once, not once an axis", "[learned_grid]") {
  // In bf16 1 + 2^-8 lies halfway and falls back to 1; two of them are one step.
  std::vector<bf16> x{bf16(1.0F)};
  const learned_grid<float> encoding({0x1p-8F, 0x1p-8F}, {.sizes = {1, 1}, .dim = 1});
  add_to(encoding, token_view<bf16>(x.data(), 1, 1), positions(0, 1));
  CHECK(static_cast<float>(x[0]) == 1 + 0x1p-7F);
}

TEST_CASE("learned_grid: gradients scatter to the rows in use", "[learned_grid]") {
  const std::vector<position_t> ids{1, 1, 0, 2};  // rows of two tokens, then their columns
  const std::vector<double> upstream{1, 2, 10, 20};
  const learned_grid<double> sum(std::vector<double>(10), {.sizes = {2, 3}, .dim = 2});
  std::vector<double> gradients(10, 0.5);
  sum.add_to_backward(token_view<const double>(upstream.data(), 2, 2), positions(ids, 2), std::span(gradients));
  CHECK(gradients == std::vector<double>{0.5, 0.5, 11.5, 22.5, 1.5, 2.5, 0.5, 0.5, 10.5, 20.5});

  const learned_grid<double> apart(std::vector<double>(5),
                                   {.sizes = {2, 3}, .dim = 2, .form = grid_rows::side_by_side});
  std::vector<double> of_apart(5, 0.0);
  apart.add_to_backward(token_view<const double>(upstream.data(), 2, 2), positions(ids, 2), std::span(of_apart));
  CHECK(of_apart == std::vector<double>{0, 11, 2, 0, 20});
}

TEST_CASE("learned_grid: the error names argument, value and rule", "[learned_grid]") {
  using table = learned_grid<float>;
  CHECK_THROWS_WITH(table({}, {.dim = 2}), "learned_grid: number of sizes is 0, expected from 1 to 8");
  CHECK_THROWS_WITH(table({}, {.sizes = {1}}), "learned_grid: dim is 0, expected at least 1");
  CHECK_THROWS_WITH(table({}, {.sizes = {1, 1}, .dim = 3, .form = grid_rows::side_by_side}),
                    "learned_grid: dim is 3, expected a multiple of 2, the number of axes");
  CHECK_THROWS_WITH(table({}, {.sizes = {1, 0}, .dim = 3}), "learned_grid: a size is 0, expected at least 1");
  CHECK_THROWS_WITH(table({1, 2, 3}, {.sizes = {1, 1}, .dim = 2}),
                    "learned_grid: size of the tables is 3, expected 4, all rows of all axes");

  const table encoding(std::vector<float>(5 * 4), {.sizes = {2, 3}, .dim = 4});
  std::vector<float> x(12, 1.0F);
  const auto add = [&](const std::vector<position_t>& ids, index_t num_axes, index_t dim) {
    add_to(encoding, token_view<float>(x.data(), 2, dim), positions(ids, num_axes));
  };
  CHECK_THROWS_WITH(add({0, 1, 2, 3}, 2, 4),
                    "add_to: positions[3] is 3, expected from 0 to 2, the last row of its axis");
  CHECK_THROWS_WITH(add({0, 2, 0, 0}, 2, 4),
                    "add_to: positions[1] is 2, expected from 0 to 1, the last row of its axis");
  CHECK_THROWS_WITH(add({0, -1}, 1, 4), "add_to: positions[1] is -1, expected from 0 to 1, the last row of its axis");
  CHECK_THROWS_WITH(add({0, 1}, 1, 5), "add_to: dim is 5, expected 4, the width of the tables");
  CHECK(x == std::vector<float>(12, 1.0F));
}
