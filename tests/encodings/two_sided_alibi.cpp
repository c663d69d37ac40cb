#include <posenc/encodings/two_sided_alibi.hpp>

#include "catch.hpp"

#include <limits>
#include <vector>

using namespace posenc;

TEMPLATE_TEST_CASE("two_sided_alibi: each side has its slope", "[two_sided_alibi]", float, double) {
  const std::vector<TestType> left{TestType(0.5), TestType(0.25)}, right{TestType(2), TestType(3)};
  const two_sided_alibi<TestType> encoding(left, right);
  CHECK(encoding.bias(0, 0) == 0);
  CHECK(encoding.bias(0, 6) == -3);
  CHECK(encoding.bias(1, 6) == TestType(-1.5));
  CHECK(encoding.bias(0, -6) == -12);
  CHECK(encoding.bias(1, -6) == -18);
  CHECK(encoding.bias(1, std::numeric_limits<position_t>::min()) == TestType(-3 * 0x1p31));
}

TEST_CASE("two_sided_alibi: heads without slopes are found before attention starts", "[two_sided_alibi]") {
  const std::vector<float> slopes{1, 2};
  CHECK(two_sided_alibi<float>(slopes, slopes).check_scores({.num_heads = 3}, {}, {}).message() ==
        "attend: num_heads is 3, expected at most 2, the heads of the encoding");
}

TEST_CASE("two_sided_alibi: the error names argument, value and rule", "[two_sided_alibi]") {
  const std::vector<float> none, one{1}, two{1, 2}, infinite{1, std::numeric_limits<float>::infinity()};
  CHECK_THROWS_WITH(two_sided_alibi<float>(none, none),
                    "two_sided_alibi: number of left_slopes is 0, expected at least 1");
  CHECK_THROWS_WITH(two_sided_alibi<float>(two, one),
                    "two_sided_alibi: number of right_slopes is 1, expected 2, that of left_slopes");
  CHECK_THROWS_WITH(two_sided_alibi<float>(two, infinite),
                    "two_sided_alibi: right_slopes[1] is inf, expected a finite number");
}
