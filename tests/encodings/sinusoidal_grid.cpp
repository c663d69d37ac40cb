#include <posenc/encodings/sinusoidal_grid.hpp>
#include <posenc/grid.hpp>

#include "catch.hpp"

#include <cmath>
#include <vector>

using namespace posenc;

namespace {

std::vector<double> row_of(const sinusoidal_grid_params& params, const std::vector<position_t>& at) {
  std::vector<double> row(static_cast<std::size_t>(params.dim));
  add_to(sinusoidal_grid(params), token_view<double>(row.data(), 1, params.dim), positions(at, std::ssize(at)));
  return row;
}

void check_near(const std::vector<double>& got, const std::vector<double>& expected) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - expected[i]) < 1e-15);
}

}  // namespace

TEST_CASE("sinusoidal_grid: the columns in their three orders", "[sinusoidal_grid]") {
  const double s3 = std::sin(3), c3 = std::cos(3), s3b = std::sin(0.03), c3b = std::cos(0.03);
  const double s5 = std::sin(5), c5 = std::cos(5), s5b = std::sin(0.05), c5b = std::cos(0.05);
  check_near(row_of({.dim = 8}, {3, 5}), {s3, c3, s3b, c3b, s5, c5, s5b, c5b});
  check_near(row_of({.dim = 8, .layout = grid_sinusoid::halves}, {3, 5}), {s3, s3b, c3, c3b, s5, s5b, c5, c5b});
  check_near(row_of({.dim = 8, .layout = grid_sinusoid::sines_first}, {3, 5}), {s3, s3b, s5, s5b, c3, c3b, c5, c5b});
}

TEST_CASE("sinusoidal_grid: a width that the axes do not share evenly is cut at the end", "[sinusoidal_grid]") {
  // Six columns an axis, of ten.
  const auto row = row_of({.dim = 10}, {2, 7});
  const auto whole = row_of({.dim = 12}, {2, 7});
  check_near(row, {whole.begin(), whole.begin() + 10});
  // Four columns an axis: the third axis has two of them, and of 7 columns none.
  CHECK(row_of({.dim = 10, .num_axes = 3}, {1, 2, 3})[8] == std::sin(3.0));
  check_near(row_of({.dim = 7, .num_axes = 3}, {1, 2, 3}), row_of({.dim = 7, .num_axes = 3}, {1, 2, 3}));
}

TEST_CASE("sinusoidal_grid: many pairs an axis, times the amplitude", "[sinusoidal_grid]") {
  const sinusoidal_grid_params params{.dim = 600, .layout = grid_sinusoid::sines_first, .base = 100, .amplitude = 0.5};
  const auto row = row_of(params, {-4, 9});
  for (index_t j = 0; j < 150; ++j) {
    const double frequency = std::pow(100.0, -static_cast<double>(j) / 150);
    CHECK(std::abs(row[static_cast<std::size_t>(j)] - 0.5 * std::sin(-4 * frequency)) < 1e-14);
    CHECK(std::abs(row[static_cast<std::size_t>(450 + j)] - 0.5 * std::cos(9 * frequency)) < 1e-14);
  }
}

TEST_CASE("sinusoidal_grid: what does not fit is refused, and nothing is written", "[sinusoidal_grid]") {
  CHECK_THROWS_WITH(sinusoidal_grid({.dim = 0}), "sinusoidal_grid: dim is 0, expected at least 1");
  CHECK_THROWS_WITH(sinusoidal_grid({.dim = 8, .num_axes = 0}), "sinusoidal_grid: num_axes is 0, expected from 1 to 8");
  CHECK_THROWS_WITH(sinusoidal_grid({.dim = 10, .layout = grid_sinusoid::halves}),
                    "sinusoidal_grid: dim is 10, expected a multiple of 4, a sine and a cosine for each axis");
  CHECK_THROWS_WITH(sinusoidal_grid({.dim = 8, .base = 0}),
                    "axial_frequencies: rope_theta is 0, expected above 0 and finite");
  const sinusoidal_grid encoding({.dim = 8});
  std::vector<float> x(16, 1.0F);
  const std::vector<position_t> ids{0, 1, 0, 1};
  CHECK_THROWS_WITH(add_to(encoding, token_view<float>(x.data(), 2, 7), positions(ids, 2)),
                    "add_to: dim is 7, expected 8, the width of the encoding");
  const std::vector<position_t> three(6);
  CHECK_THROWS_WITH(add_to(encoding, token_view<float>(x.data(), 2, 8), positions(three, 3)),
                    "add_to: number of axes of the positions is 3, expected 1 or 2");
  CHECK(x == std::vector<float>(16, 1.0F));
}
