#include <posenc/encodings/tabulated.hpp>

#include <posenc/encodings/kerple.hpp>
#include <posenc/encodings/sandwich.hpp>

#include "catch.hpp"

#include <vector>

using namespace posenc;

TEMPLATE_TEST_CASE("tabulated_bias: is the bias of what it was made of", "[tabulated]", float, double) {
  const std::vector<TestType> r1{1, 2}, r2{3, 4};
  const kerple<TestType> encoding(kerple_kernel::log, r1, r2);
  const tabulated_bias<TestType> table = tabulate<TestType>(encoding, 2, 50);
  CHECK(table.num_heads() == 2);
  CHECK(table.max_distance() == 50);
  for (index_t h = 0; h < 2; ++h) {
    for (position_t distance = -50; distance <= 50; ++distance)
      CHECK(table.bias(h, distance) == encoding.bias(h, distance));
  }
  std::vector<TestType> out(8, TestType(1));
  table.fill_bias(1, 44, 7, out.data());
  for (position_t i = 0; i < 7; ++i) CHECK(out[static_cast<std::size_t>(i)] == encoding.bias(1, 44 + i));
  CHECK(out[7] == 1);
}

TEST_CASE("tabulated_bias: gradients gather by head and distance", "[tabulated]") {
  const tabulated_bias<float> table(std::vector<float>(10), 2, 2);
  const std::vector<double> sums{0, 1, 20, 300, 4000, 50000, 0};
  std::vector<double> gradients(10, 0.5);
  table.bias_backward(1, -3, std::span<const double>(sums), std::span<double>(gradients));
  CHECK(gradients == std::vector<double>{0.5, 0.5, 0.5, 0.5, 0.5, 1.5, 20.5, 300.5, 4000.5, 50000.5});
}

TEST_CASE("tabulated_bias: distances beyond the table are found before attention starts", "[tabulated]") {
  const auto table = tabulate<float>(sandwich({.num_heads = 2}), 2, 3);
  CHECK_FALSE(table.check_scores({.num_heads = 2}, positions(10, 4), positions(10, 4)));
  CHECK(table.check_scores({.num_heads = 2}, positions(10, 5), positions(10, 4)).message() ==
        "attend: distance from query to key is 4, expected at most 3 in size, the end of the table");
  CHECK(table.check_scores({.num_heads = 2}, positions(10, 4), positions(10, 5)).message() ==
        "attend: distance from query to key is -4, expected at most 3 in size, the end of the table");
  CHECK(table.check_scores({.num_heads = 3}, positions(0, 1), positions(0, 1)).message() ==
        "attend: num_heads is 3, expected at most 2, the heads of the encoding");
}

TEST_CASE("tabulated_bias: the error names argument, value and rule", "[tabulated]") {
  CHECK_THROWS_WITH(tabulated_bias<float>({}, 0, 1), "tabulated_bias: num_heads is 0, expected at least 1");
  CHECK_THROWS_WITH(tabulated_bias<float>({}, 1, -1),
                    "tabulated_bias: max_distance is -1, expected at least 0 and below 2^31");
  CHECK_THROWS_WITH(tabulated_bias<float>({1, 2}, 1, 1), "tabulated_bias: size of the table is 2, expected 3");
  CHECK_THROWS_WITH(tabulate<float>(sandwich({.num_heads = 1}), 0, 1),
                    "tabulated_bias: num_heads is 0, expected at least 1");
}
