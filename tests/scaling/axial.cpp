#include <posenc/scaling/axial.hpp>

#include <posenc/angles/cos_sin.hpp>

#include "catch.hpp"

#include <cmath>
#include <numbers>
#include <vector>

using namespace posenc;

TEST_CASE("axial_frequencies: each axis has the frequencies of a head of its own", "[scaling]") {
  const frequencies f = axial_frequencies(10000, {4, 6, 6});
  REQUIRE(f.size() == 8);
  CHECK(f.num_axes() == 3);
  const double expected[] = {1,
                             0.01,
                             1,
                             std::pow(10000, -2.0 / 6),
                             std::pow(10000, -4.0 / 6),
                             1,
                             std::pow(10000, -2.0 / 6),
                             std::pow(10000, -4.0 / 6)};
  const index_t axes[] = {0, 0, 1, 1, 1, 2, 2, 2};
  for (index_t pair = 0; pair < 8; ++pair) {
    CHECK(std::abs(f.inv_freq(pair) / expected[pair] - 1) < 1e-15);
    CHECK(f.axis(pair) == axes[pair]);
  }
}

TEST_CASE("pixtral_frequencies: even ones turn with the row, odd ones with the column", "[scaling]") {
  const frequencies f = pixtral_frequencies(10000, 8);
  const double expected[] = {1, 0.01, 0.1, 0.001};
  const index_t axes[] = {0, 0, 1, 1};
  REQUIRE(f.size() == 4);
  for (index_t pair = 0; pair < 4; ++pair) {
    CHECK(std::abs(f.inv_freq(pair) / expected[pair] - 1) < 1e-15);
    CHECK(f.axis(pair) == axes[pair]);
  }
}

TEST_CASE("pixel_frequencies: evenly spaced from pi to pi times half the largest", "[scaling]") {
  const frequencies f = pixel_frequencies(10, 5, 2);
  REQUIRE(f.size() == 10);
  for (index_t pair = 0; pair < 10; ++pair) {
    CHECK(std::abs(f.inv_freq(pair) / (std::numbers::pi * static_cast<double>(1 + pair % 5)) - 1) < 1e-15);
    CHECK(f.axis(pair) == pair / 5);
  }
  CHECK(pixel_frequencies(10, 1).inv_freq(0) == std::numbers::pi);
}

TEST_CASE("pixel_frequencies: half a turn at the edge is half a turn exactly", "[scaling]") {
  const double edge = 1;
  double cos = 0, sin = 1;
  cos_sin(pixel_frequencies(2, 1), &edge, 0, 1, &cos, &sin);
  CHECK(cos == -1);
  CHECK(std::abs(sin) < 1e-55);
}

TEST_CASE("axial recipes: what makes no frequencies is refused", "[scaling]") {
  CHECK_THROWS_WITH(axial_frequencies(10000, {}),
                    "axial_frequencies: number of dims is 0, expected at least 1, one for each axis");
  CHECK_THROWS_WITH(axial_frequencies(10000, {4, 3}), "axial_frequencies: a dim is 3, expected even and at least 2");
  CHECK_THROWS_WITH(axial_frequencies(0, {4}), "axial_frequencies: rope_theta is 0, expected above 0 and finite");
  CHECK_THROWS_WITH(pixtral_frequencies(10000, 6), "pixtral_frequencies: head_dim is 6, expected a multiple of 4");
  CHECK_THROWS_WITH(pixel_frequencies(10, 0), "pixel_frequencies: num_pairs is 0, expected at least 1, for each axis");
  CHECK_THROWS_WITH(pixel_frequencies(10, 1, 0), "pixel_frequencies: num_axes is 0, expected at least 1");
}
