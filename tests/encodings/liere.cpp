#include <posenc/encodings/liere.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace posenc;

TEST_CASE("liere: blocks of two columns are rotations by an angle", "[liere]") {
  const liere<double> encoding({-1, -0.25, -0.5, -2}, {.num_axes = 2, .num_blocks = 2, .block_dim = 2});
  const std::vector<position_t> ids{3, 5};
  std::vector<double> x{1, 0, 0, 1, 7};
  apply_to_queries(encoding, head_view<double>(x.data(), 1, 1, 5), positions(ids, 2));
  const double first = 3 * 1 + 5 * 0.5, second = 3 * 0.25 + 5 * 2;
  const double expected[] = {std::cos(first), std::sin(first), -std::sin(second), std::cos(second), 7};
  for (std::size_t i = 0; i < 5; ++i) CHECK(std::abs(x[i] - expected[i]) < 1e-14);
}

TEST_CASE("liere: a block keeps lengths, and far positions too", "[liere]") {
  random_values random(1);
  CAPTURE(random.seed());
  const index_t block_dim = GENERATE(2, 3, 7, 32);
  const liere<double> encoding(random.list<double>(block_dim * (block_dim - 1) / 2),
                               {.num_axes = 1, .block_dim = block_dim});
  for (const position_t p : {0, 1, -40, 100000}) {
    auto x = random.list<double>(block_dim);
    double before = 0, after = 0;
    for (const double value : x) before += value * value;
    apply_to_keys(encoding, head_view<double>(x.data(), 1, 1, block_dim), positions(p, 1));
    for (const double value : x) after += value * value;
    CHECK(std::abs(after / before - 1) < 1e-8);
  }
}

TEST_CASE("liere: along one axis positions add up", "[liere]") {
  random_values random(2);
  CAPTURE(random.seed());
  const liere<double> encoding(random.list<double>(10), {.num_axes = 1, .block_dim = 5});
  auto x = random.list<double>(5);
  auto y = x;
  apply_to_keys(encoding, head_view<double>(x.data(), 1, 1, 5), positions(3, 1));
  apply_to_keys(encoding, head_view<double>(x.data(), 1, 1, 5), positions(4, 1));
  apply_to_keys(encoding, head_view<double>(y.data(), 1, 1, 5), positions(7, 1));
  for (std::size_t i = 0; i < 5; ++i) CHECK(std::abs(x[i] - y[i]) < 1e-13);
}

TEST_CASE("liere: what does not fit is refused, and nothing is written", "[liere]") {
  CHECK_THROWS_WITH(liere<float>({1}, {.num_axes = 0, .block_dim = 2}), "liere: num_axes is 0, expected from 1 to 8");
  CHECK_THROWS_WITH(liere<float>({1}, {.num_axes = 1, .num_blocks = 0, .block_dim = 2}),
                    "liere: num_blocks is 0, expected at least 1");
  CHECK_THROWS_WITH(liere<float>({1}, {.num_axes = 1, .block_dim = 33}),
                    "liere: block_dim is 33, expected from 2 to 32");
  CHECK_THROWS_WITH(liere<float>({1}, {.num_axes = 1, .block_dim = 3}),
                    "liere: number of generators is 1, expected 3, an upper triangle for each axis and block");
  CHECK_THROWS_WITH(liere<float>({std::numeric_limits<float>::infinity()}, {.num_axes = 1, .block_dim = 2}),
                    "liere: generators[0] is inf, expected finite");
  std::vector<float> x{1, 2, 3};
  CHECK_THROWS_WITH(apply_to_keys(liere<float>({1, 1}, {.num_axes = 1, .num_blocks = 2, .block_dim = 2}),
                                  head_view<float>(x.data(), 1, 1, 3), positions(1, 1)),
                    "rotate: head_dim is 3, expected at least 4, the columns of the blocks");
  CHECK(x == std::vector<float>{1, 2, 3});
}
