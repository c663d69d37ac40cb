#include <posenc/encodings/sandwich.hpp>

#include "catch.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace posenc;

TEST_CASE("sandwich: sums cosines, by 8 (h + 1) / H in each head", "[sandwich]") {
  for (const index_t dim : {2, 16, 132}) {
    const sandwich encoding({.num_heads = 3, .dim = dim, .base = 5000});
    for (const position_t distance : {0, 1, -1, 7, 1000, -12345}) {
      double sum = 0;
      for (index_t k = 0; k < dim / 2; ++k)
        sum += std::cos(distance * std::pow(5000.0, -2 * static_cast<double>(k) / static_cast<double>(dim)));
      for (index_t h = 0; h < 3; ++h)
        CHECK(std::abs(encoding.bias(h, distance) - sum / (8 * static_cast<double>(h + 1) / 3)) < 1e-10);
    }
  }
}

TEMPLATE_TEST_CASE("sandwich: a table is the bias, rounded once", "[sandwich]", float, double) {
  const sandwich encoding({.num_heads = 2});
  std::vector<TestType> out(41, TestType(-1));
  for (const position_t first : {-20, 1 << 20, std::numeric_limits<position_t>::max() - 39}) {
    encoding.fill_bias(1, first, 40, out.data());
    const double largest = encoding.bias(1, 0);
    for (position_t i = 0; i < 40; ++i) {
      const double error = static_cast<double>(out[static_cast<std::size_t>(i)]) - encoding.bias(1, first + i);
      CHECK(std::abs(error) <= largest * std::numeric_limits<TestType>::epsilon());
    }
    CHECK(out[40] == -1);
  }
}

TEST_CASE("sandwich: more heads than it has are found before attention starts", "[sandwich]") {
  CHECK(sandwich({.num_heads = 2}).check_scores({.num_heads = 3}, {}, {}).message() ==
        "attend: num_heads is 3, expected at most 2, the heads of the encoding");
}

TEST_CASE("sandwich: the error names argument, value and rule", "[sandwich]") {
  CHECK_THROWS_WITH(sandwich({}), "sandwich: num_heads is 0, expected at least 1");
  CHECK_THROWS_WITH(sandwich({.num_heads = 1, .dim = 5}), "sandwich: dim is 5, expected even and at least 2");
  CHECK_THROWS_WITH(sandwich({.num_heads = 1, .base = 0}), "sandwich: base is 0, expected a number above 0");
}
