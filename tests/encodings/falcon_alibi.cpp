#include <posenc/encodings/falcon_alibi.hpp>

#include "catch.hpp"

#include <cmath>
#include <vector>

using namespace posenc;

TEMPLATE_TEST_CASE("falcon_alibi: slopes are ALiBi's, rounded to bfloat16", "[falcon_alibi]", float, double) {
  const falcon_alibi<TestType> eight({.num_heads = 8, .scale = 1});
  for (int h = 0; h < 8; ++h) CHECK(eight.slopes()[static_cast<std::size_t>(h)] == std::ldexp(TestType(1), -1 - h));
  // 2^-0.5 lies between 181/256 and 182/256.
  const falcon_alibi<TestType> sixteen({.num_heads = 16, .scale = 1});
  CHECK(sixteen.slopes()[0] == TestType(181.0 / 256));
  // Heads past the power of two: 2^-4 in steps of a half.
  const falcon_alibi<TestType> three({.num_heads = 3, .scale = 1});
  CHECK(std::vector<TestType>(three.slopes().begin(), three.slopes().end()) ==
        std::vector<TestType>{TestType(0x1p-4), TestType(0x1p-8), TestType(0x1p-2)});
}

TEMPLATE_TEST_CASE("falcon_alibi: the bias is scaled with the scores", "[falcon_alibi]", float, double) {
  const falcon_alibi<TestType> encoding({.num_heads = 8, .scale = 0.125});
  CHECK(encoding.bias(0, 0) == 0);
  CHECK(encoding.bias(0, 16) == -1);
  CHECK(encoding.bias(1, -16) == TestType(-0.5));
}

TEST_CASE("falcon_alibi: heads without a slope are found before attention starts", "[falcon_alibi]") {
  CHECK(falcon_alibi<float>({.num_heads = 2, .scale = 1}).check_scores({.num_heads = 3}, {}, {}).message() ==
        "attend: num_heads is 3, expected at most 2, the heads of the encoding");
}

TEST_CASE("falcon_alibi: the error names argument, value and rule", "[falcon_alibi]") {
  CHECK_THROWS_WITH(falcon_alibi<float>({.scale = 1}), "falcon_alibi: num_heads is 0, expected at least 1");
  CHECK_THROWS_WITH(falcon_alibi<float>({.num_heads = 1}), "falcon_alibi: scale is 0, expected above 0 and finite");
}
