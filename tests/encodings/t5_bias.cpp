#include <posenc/encodings/t5_bias.hpp>

#include <posenc/hooks.hpp>

#include "catch.hpp"
#include "owned_tile.hpp"

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

using namespace posenc;

namespace {

// table[b, h] = 100 b + h, so that a bias tells its bucket and its head.
template <class T>
std::vector<T> hundreds(int num_buckets, int num_heads) {
  std::vector<T> table;
  for (int b = 0; b < num_buckets; ++b) {
    for (int h = 0; h < num_heads; ++h) table.push_back(static_cast<T>(100 * b + h));
  }
  return table;
}

t5_bias<double> of_one_head(const t5_params& params) {
  return t5_bias<double>(hundreds<double>(static_cast<int>(params.num_buckets), 1), params);
}

}  // namespace

TEST_CASE("t5_bias: 32 causal buckets hold the distances that the paper's code gives them", "[t5_bias]") {
  const auto decoder = of_one_head({.num_buckets = 32, .max_distance = 128, .bidirectional = false});
  for (position_t d = 0; d < 16; ++d) CHECK(decoder.bucket(d) == d);
  // The first distance of each wide bucket, from transformers' t5 and from 50 digits alike.
  const position_t first_of[] = {16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113};
  for (index_t j = 0; j < 16; ++j) {
    CHECK(decoder.bucket(first_of[j]) == 16 + j);
    CHECK(decoder.bucket(first_of[j] - 1) == 15 + j);
  }
  CHECK(decoder.bucket(128) == 31);
  CHECK(decoder.bucket(std::numeric_limits<position_t>::max()) == 31);
  CHECK(decoder.bucket(-1) == 0);
  CHECK(decoder.bucket(-1000) == 0);
}

TEST_CASE("t5_bias: both ways, keys after the query use the second half", "[t5_bias]") {
  const auto encoder = of_one_head({});
  CHECK(encoder.bucket(0) == 0);
  CHECK(encoder.bucket(7) == 7);
  CHECK(encoder.bucket(-1) == 17);
  CHECK(encoder.bucket(-7) == 23);
  for (position_t d = 1; d < 1000; ++d) CHECK(encoder.bucket(-d) == 16 + encoder.bucket(d));
  CHECK(encoder.bucket(1000) == 15);
  CHECK(encoder.bucket(std::numeric_limits<position_t>::min()) == 31);
}

TEST_CASE("t5_bias: a bucket begins exactly at a power", "[t5_bias]") {
  // E = 8, the j-th wide bucket from 8 * 2^(j/2) on: 16, 32 and 64 begin one, where a logarithm may fall short.
  const auto powers = of_one_head({.num_buckets = 16, .max_distance = 128, .bidirectional = false});
  CHECK(powers.bucket(15) == 9);
  CHECK(powers.bucket(16) == 10);
  CHECK(powers.bucket(31) == 11);
  CHECK(powers.bucket(32) == 12);
  CHECK(powers.bucket(63) == 13);
  CHECK(powers.bucket(64) == 14);

  // E = 3, from 3 * 10^j on: the logarithm of 10^j is exact for no j.
  const auto tens = of_one_head({.num_buckets = 7, .max_distance = 30000, .bidirectional = false});
  for (const auto& [power, bucket] : {std::pair{30, 4}, std::pair{300, 5}, std::pair{3000, 6}}) {
    CHECK(tens.bucket(power) == bucket);
    CHECK(tens.bucket(power - 1) == bucket - 1);
  }
}

TEST_CASE("t5_bias: buckets follow the definition in integers", "[t5_bias]") {
  // (r / E)^n >= (max_distance / E)^j, with n small enough for 64 bits.
  for (const auto& [num_buckets, max_distance] :
       {std::pair{8, 20}, std::pair{10, 100}, std::pair{6, 5}, std::pair{2, 9}}) {
    const auto bias = of_one_head({.num_buckets = num_buckets, .max_distance = max_distance, .bidirectional = false});
    const std::uint64_t exact = static_cast<std::uint64_t>(num_buckets / 2);
    const int num_wide = num_buckets - num_buckets / 2;
    const auto power = [](std::uint64_t base, int exponent) {
      std::uint64_t p = 1;
      for (int i = 0; i < exponent; ++i) p *= base;
      return p;
    };
    for (position_t r = 0; r <= 2 * max_distance; ++r) {
      int expected = r;
      if (r >= static_cast<position_t>(exact)) {
        int j = 0;
        while (j + 1 < num_wide &&
               power(static_cast<std::uint64_t>(r), num_wide) >=
                   power(static_cast<std::uint64_t>(max_distance), j + 1) * power(exact, num_wide - j - 1))
          ++j;
        expected = static_cast<int>(exact) + j;
      }
      CHECK(bias.bucket(r) == expected);
    }
  }
}

TEMPLATE_TEST_CASE("t5_bias: a bias is the table's row of the bucket, its column of the head", "[t5_bias]", float,
                   double) {
  const t5_bias<TestType> bias(hundreds<TestType>(32, 3), {.bidirectional = false});
  CHECK(bias.num_heads() == 3);
  CHECK(bias.bias(2, 5) == 502);
  CHECK(bias.bias(1, 16) == 1601);
  CHECK(bias.bias(0, -9) == 0);
  CHECK(bias.bias(1, 5000) == 3101);
}

TEMPLATE_TEST_CASE("t5_bias: fill_bias is bias at each distance, wherever it starts", "[t5_bias]", float, double) {
  // At distance 9 both sides jump from the last exact bucket to the last of all.
  const t5_bias<float> bias(hundreds<float>(32, 2), {.num_buckets = 32, .max_distance = 9});
  REQUIRE(bias.bucket(-8) == 24);
  REQUIRE(bias.bucket(-9) == 31);
  for (const position_t first : {-40, -11, -10, -9, -8, 0, 8, 9, 10, 2147483600, -2147483647}) {
    for (const index_t count : {0, 1, 2, 30, 47}) {
      std::vector<TestType> out(static_cast<std::size_t>(count + 1), TestType(-1));
      bias.fill_bias(1, first, count, out.data());
      for (index_t i = 0; i < count; ++i) {
        CHECK(out.data()[i] == static_cast<TestType>(bias.bias(1, static_cast<position_t>(first + i))));
      }
      CHECK(out.data()[count] == -1);
    }
  }
}

TEMPLATE_TEST_CASE("t5_bias: a tile gets the bias of each pair, consecutive or not", "[t5_bias]", float, double) {
  const t5_bias<float> bias(hundreds<float>(32, 2), {.num_buckets = 32, .max_distance = 20});
  for (const auto along : {contiguous::queries, contiguous::keys}) {
    for (const bool consecutive : {true, false}) {
      owned_tile<TestType> block(along, 33, 40);
      block.tile.head = 1;
      block.tile.consecutive = consecutive;
      for (position_t& p : block.query_positions) p += consecutive ? 15 : 3 * (p % 7);
      hooks::add_to_scores(bias, block.tile);
      bool right = true;
      for (index_t q = 0; q < 33; ++q) {
        for (index_t k = 0; k < 40; ++k) {
          right = right && block.tile.score(q, k) == static_cast<TestType>(bias.bias(1, block.tile.distance(q, k)));
        }
      }
      CHECK(right);
    }
  }
}

TEST_CASE("t5_bias: gradients gather in the bucket's row and the head's column", "[t5_bias]") {
  const t5_bias<float> bias(hundreds<float>(4, 2), {.num_buckets = 4, .max_distance = 4, .bidirectional = false});
  // Buckets of -1 ... 4: 0 0 1 2 3 3
  const std::vector<double> sums{1, 20, 300, 4000, 50000, 600000};
  std::vector<double> gradients(8, 0.5);
  bias.bias_backward(1, -1, std::span<const double>(sums), std::span<double>(gradients));
  CHECK(gradients == std::vector<double>{0.5, 21.5, 0.5, 300.5, 0.5, 4000.5, 0.5, 650000.5});
}

TEST_CASE("t5_bias: the gradient is the adjoint of the bias", "[t5_bias]") {
  t5_bias<double> bias(hundreds<double>(8, 2), {.num_buckets = 8, .max_distance = 12});
  owned_tile<double> block(contiguous::queries, 20, 17);
  block.tile.head = 1;
  hooks::add_to_scores(bias, block.tile);
  std::vector<double> upstream(block.scores.size());
  for (std::size_t i = 0; i < upstream.size(); ++i) upstream[i] = static_cast<double>(i % 13) - 6;

  std::vector<double> gradients(16, 0.0);
  score_gradients<double> into;
  into.scores = upstream.data();
  into.parameters = gradients;
  hooks::add_to_scores_backward(bias, block.tile, into);
  double forward = 0;
  for (std::size_t i = 0; i < upstream.size(); ++i) forward += upstream[i] * block.scores[i];
  double backward = 0;
  for (std::size_t i = 0; i < 16; ++i) backward += gradients[i] * bias.parameters()[i];
  CHECK(forward == backward);  // whole numbers
  CHECK(forward != 0);
}

TEST_CASE("t5_bias: heads without a column are found before attention starts", "[t5_bias]") {
  const t5_bias<float> bias(hundreds<float>(32, 4));
  const positions none(0, 0);
  CHECK_FALSE(hooks::check_scores<double>(bias, {.num_heads = 2, .first_head = 2}, none, none));
  CHECK(hooks::check_scores<float>(bias, {.num_heads = 8}, none, none).message() ==
        "attend: num_heads is 8, expected at most 4, the heads of the encoding");
}

TEST_CASE("t5_bias: the constructor refuses tables and buckets that do not fit", "[t5_bias]") {
  CHECK_THROWS_WITH(t5_bias<float>(hundreds<float>(31, 1)),
                    "t5_bias: size of the table is 31, expected a multiple of num_buckets, 32");
  CHECK_THROWS_WITH(t5_bias<float>({}), "t5_bias: size of the table is 0, expected a multiple of num_buckets, 32");
  CHECK_THROWS_WITH(t5_bias<float>(hundreds<float>(32, 1), {.num_buckets = 0}),
                    "t5_bias: num_buckets is 0, expected at least 4");
  CHECK_THROWS_WITH(t5_bias<float>(hundreds<float>(2, 1), {.num_buckets = 2}),
                    "t5_bias: num_buckets is 2, expected at least 4");
  CHECK_THROWS_WITH(t5_bias<float>(hundreds<float>(1, 1), {.num_buckets = 1, .bidirectional = false}),
                    "t5_bias: num_buckets is 1, expected at least 2");
  CHECK_THROWS_WITH(t5_bias<float>(hundreds<float>(32, 1), {.max_distance = 8}),
                    "t5_bias: max_distance is 8, expected above 8, the buckets of one distance");
}
