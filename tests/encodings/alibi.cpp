#include <posenc/encodings/alibi.hpp>

#include <posenc/hooks.hpp>

#include "catch.hpp"
#include "owned_tile.hpp"
#include "ulp.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <vector>

using namespace posenc;

TEMPLATE_TEST_CASE("alibi: eight slopes halve from 1/2 to 1/256", "[alibi]", float, double) {
  const alibi<TestType> encoding{8};
  TestType expected = 1;
  for (const TestType slope : encoding.slopes()) CHECK(slope == (expected /= 2));
}

TEMPLATE_TEST_CASE("alibi: heads past a power of two fall between the first, as in the authors' code", "[alibi]", float,
                   double) {
  const alibi<TestType> twelve{12};
  const std::array<double, 4> between{0.70710678118654752440, 0.35355339059327376220, 0.17677669529663688110,
                                      0.08838834764831844055};  // 2^(-1/2), 2^(-3/2), ...
  for (std::size_t h = 0; h < 8; ++h) CHECK(twelve.slopes()[h] == alibi<TestType>{8}.slopes()[h]);
  for (std::size_t h = 0; h < 4; ++h) CHECK(twelve.slopes()[8 + h] == static_cast<TestType>(between[h]));
  CHECK(alibi<TestType>{1}.slopes()[0] == TestType(1) / 256);
  CHECK(alibi<TestType>{3}.slopes()[2] == TestType(0.25));  // 2^(-8 / 4)
}

TEST_CASE("alibi: max_bias is the exponent of the last power-of-two head, as alibi_bias_max", "[alibi]") {
  const alibi<double> gentle({.num_heads = 4, .max_bias = 4});
  CHECK(gentle.slopes()[0] == 0.5);
  CHECK(gentle.slopes()[3] == 0.0625);
  const alibi<double> mpt({.num_heads = 6, .max_bias = 16});
  CHECK(mpt.slopes()[3] == 0x1p-16);
  CHECK(mpt.slopes()[4] == 0.25);
  CHECK(mpt.slopes()[5] == 0x1p-6);
}

TEMPLATE_TEST_CASE("alibi: the bias falls with distance to either side, and is exact", "[alibi]", float, double) {
  const alibi<TestType> encoding{2};  // 1/16 and 1/256
  CHECK(encoding.bias(0, 0) == 0);
  CHECK(encoding.bias(0, 16) == -1);
  CHECK(encoding.bias(0, -16) == -1);
  CHECK(encoding.bias(1, 3) == TestType(-3) / 256);
  // The last distances of 32 bits: 2^31 - 1 is no float, and -2^31 has no positive counterpart.
  CHECK(encoding.bias(0, 2147483647) == -static_cast<TestType>(2147483647) / 16);
  CHECK(encoding.bias(0, -2147483647) == encoding.bias(0, 2147483647));
  CHECK(encoding.bias(0, std::numeric_limits<position_t>::min()) == -TestType(0x1p27));
}

TEST_CASE("alibi: slopes may be given, zero for a head without bias", "[alibi]") {
  const std::vector<float> slopes{0.125F, 0};
  const alibi<float> encoding(slopes);
  CHECK(encoding.num_heads() == 2);
  CHECK(encoding.bias(0, 8) == -1);
  CHECK(encoding.bias(1, 1000000) == 0);
}

TEMPLATE_TEST_CASE("alibi: a tile gets the bias of each pair, at any positions", "[alibi]", float, double) {
  for (const auto along : {contiguous::queries, contiguous::keys}) {
    for (const bool consecutive : {true, false}) {
      owned_tile<TestType> block(along, 5, 9);
      block.tile.head = 1;
      block.tile.consecutive = consecutive;
      for (position_t& p : block.query_positions) p = consecutive ? p + 100 : 2000000000 - 7 * p * p;
      for (position_t& p : block.key_positions) p = consecutive ? p + 97 : 5 * (p % 3) - 4;
      hooks::add_to_scores(alibi<TestType>{2}, block.tile);
      for (index_t q = 0; q < 5; ++q) {
        for (index_t k = 0; k < 9; ++k) {
          const double distance = block.tile.distance(q, k);
          CHECK(ulp_distance(block.tile.score(q, k), static_cast<TestType>(-std::abs(distance) / 256)) <= 1);
        }
      }
    }
  }
}

TEST_CASE("alibi: the gradient of a slope is minus the sum of distances", "[alibi]") {
  const alibi<float> encoding{4};
  const std::array<float, 4> sums{1, 10, 100, 1000};
  std::array<float, 4> gradients{0, 0, 5, 0};
  encoding.bias_backward(2, -1, std::span<const float>(sums), std::span<float>(gradients));
  CHECK(gradients == std::array<float, 4>{0, 0, 5 - (1 + 0 + 100 + 2000), 0});
}

TEST_CASE("alibi: gradients agree with differences of the bias", "[alibi]") {
  alibi<double> encoding{3};
  owned_tile<double> before(contiguous::queries, 6, 7);
  before.tile.head = 1;
  std::vector<double> upstream(before.scores.size());
  for (std::size_t i = 0; i < upstream.size(); ++i) upstream[i] = std::cos(static_cast<double>(3 * i));
  std::vector<double> gradients(3, 0.0);
  score_gradients<double> into;
  into.scores = upstream.data();
  into.parameters = gradients;
  hooks::add_to_scores_backward(encoding, before.tile, into);

  const auto loss = [&] {
    owned_tile<double> block(contiguous::queries, 6, 7);
    block.tile.head = 1;
    hooks::add_to_scores(encoding, block.tile);
    double sum = 0;
    for (std::size_t i = 0; i < upstream.size(); ++i) sum += upstream[i] * block.scores[i];
    return sum;
  };
  for (std::size_t h = 0; h < 3; ++h) {
    const double slope = encoding.parameters()[h];
    encoding.parameters()[h] = slope + 0x1p-10;
    const double above = loss();
    encoding.parameters()[h] = slope - 0x1p-10;
    const double below = loss();
    encoding.parameters()[h] = slope;
    CHECK(std::abs((above - below) / 0x1p-9 - gradients[h]) <= 1e-11);  // linear: rounding alone
  }
}

TEST_CASE("alibi: heads without a slope are found before attention starts", "[alibi]") {
  const alibi<float> encoding{8};
  const positions none(0, 0);
  CHECK_FALSE(hooks::check_scores<float>(encoding, {.num_heads = 8}, none, none));
  CHECK_FALSE(hooks::check_scores<float>(encoding, {.num_heads = 4, .first_head = 4}, none, none));
  CHECK(hooks::check_scores<float>(encoding, {.num_heads = 32}, none, none).message() ==
        "attend: num_heads is 32, expected at most 8, the heads of the encoding");
  CHECK(hooks::check_scores<float>(encoding, {.num_heads = 4, .first_head = 5}, none, none).message() ==
        "attend: first_head + num_heads is 9, expected at most 8, the heads of the encoding");
}

TEST_CASE("alibi: the error names argument, value and rule", "[alibi]") {
  CHECK_THROWS_WITH(alibi<float>{0}, "alibi: num_heads is 0, expected at least 1");
  CHECK_THROWS_WITH(alibi<float>({.num_heads = 4, .max_bias = std::numeric_limits<double>::infinity()}),
                    "alibi: max_bias is inf, expected a finite number");
  // Far below zero, max_bias makes slopes beyond every number.
  CHECK_THROWS_WITH(alibi<double>({.num_heads = 4, .max_bias = -1e6}),
                    "alibi: slopes[0] is inf, expected a finite number");
  CHECK_THROWS_WITH(alibi<float>({.num_heads = 2, .max_bias = -200}),
                    "alibi: slopes[1] is inf, expected a finite number");
  CHECK(alibi<double>({.num_heads = 2, .max_bias = -200}).slopes()[1] == 0x1p200);
  CHECK_THROWS_WITH(alibi<double>(std::vector<double>{}), "alibi: number of slopes is 0, expected at least 1");
  CHECK_THROWS_WITH(alibi<double>(std::vector<double>{1, std::nan("")}),
                    "alibi: slopes[1] is nan, expected a finite number");
}
