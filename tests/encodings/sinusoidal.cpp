#include <posenc/encodings/sinusoidal.hpp>

#include "catch.hpp"
#include "ulp.hpp"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <numeric>
#include <vector>

using namespace posenc;

namespace {

template <class S, class P>
std::vector<S> rows(const sinusoidal& encoding, const P& p) {
  const index_t num_tokens = as_positions(p).size();
  // Not zeros: `fill` writes every column.
  std::vector<S> table(static_cast<std::size_t>(num_tokens * encoding.dim()), narrow<S>(compute_t<S>(9)));
  encoding.fill(token_view<S>(table.data(), num_tokens, encoding.dim()), p);
  return table;
}

template <class S>
std::vector<S> row(const sinusoidal& encoding, position_t position) {
  return rows<S>(encoding, std::vector<position_t>{position});
}

}  // namespace

TEST_CASE("sinusoidal: the paper's columns are sine and cosine of one frequency", "[sinusoidal]") {
  const auto e = row<double>(sinusoidal({.dim = 4}), 1);
  CHECK(ulp_distance(e[0], 0.84147098480789650665) <= 1);  // sin(1)
  CHECK(ulp_distance(e[1], 0.54030230586813971740) <= 1);  // cos(1)
  CHECK(ulp_distance(e[2], 0.00999983333416666468) <= 1);  // sin(1 / 100)
  CHECK(ulp_distance(e[3], 0.99995000041666527778) <= 1);  // cos(1 / 100)
}

TEST_CASE("sinusoidal: the last 32-bit position is as exact as the first", "[sinusoidal]") {
  const auto e = row<double>(sinusoidal({.dim = 16}), 2147483647);
  CHECK(ulp_distance(e[0], -0.7249165551445564) <= 1);
  CHECK(ulp_distance(e[1], -0.6888366918779438) <= 1);
  CHECK(ulp_distance(e[2], -0.24393779304983632) <= 1);
  CHECK(ulp_distance(e[3], 0.9697908811295223) <= 1);
  CHECK(row<float>(sinusoidal({.dim = 16}), 2147483647)[0] == -0.7249165551445564F);
}

TEMPLATE_TEST_CASE("sinusoidal: position 0 is zeros and ones", "[sinusoidal]", float, double, bf16, f16) {
  const auto interleaved = row<TestType>(sinusoidal({.dim = 6}), 0);
  const auto half = row<TestType>(sinusoidal({.dim = 6, .layout = sinusoid::half}), 0);
  for (std::size_t c = 0; c < 6; ++c) {
    CHECK(widen<double>(interleaved[c]) == (c % 2 == 0 ? 0.0 : 1.0));
    CHECK(widen<double>(half[c]) == (c < 3 ? 0.0 : 1.0));
  }
}

TEST_CASE("sinusoidal: the half layout holds the interleaved columns in another order", "[sinusoidal]") {
  // Wide enough for several blocks, and a part of one.
  const auto interleaved = row<float>(sinusoidal({.dim = 300}), 77);
  const auto half = row<float>(sinusoidal({.dim = 300, .layout = sinusoid::half}), 77);
  for (std::size_t i = 0; i < 150; ++i) {
    CHECK(half[i] == interleaved[2 * i]);
    CHECK(half[150 + i] == interleaved[2 * i + 1]);
  }
}

TEST_CASE("sinusoidal: cos_first exchanges sines and cosines", "[sinusoidal]") {
  for (const auto layout : {sinusoid::interleaved, sinusoid::half}) {
    const index_t other = layout == sinusoid::half ? 4 : 1;
    const auto sines_first = row<double>(sinusoidal({.dim = 8, .layout = layout}), 3);
    const auto cosines_first = row<double>(sinusoidal({.dim = 8, .layout = layout, .cos_first = true}), 3);
    CHECK(cosines_first.data()[0] == sines_first.data()[other]);
    CHECK(cosines_first.data()[other] == sines_first.data()[0]);
  }
}

TEST_CASE("sinusoidal: downscale_freq_shift of 1 makes the last frequency 1 / base", "[sinusoidal]") {
  const sinusoidal paper({.dim = 8, .base = 256});
  const sinusoidal tensor2tensor({.dim = 8, .base = 256, .downscale_freq_shift = 1});
  CHECK(ulp_distance(paper.inv_freq().inv_freq(3), std::pow(256.0, -0.75)) <= 1);
  CHECK(ulp_distance(tensor2tensor.inv_freq().inv_freq(3), 1.0 / 256) <= 1);
  CHECK(paper.inv_freq().inv_freq(0) == 1.0);
}

TEST_CASE("sinusoidal: an odd width ends with a sine, a zero, or one more sine", "[sinusoidal]") {
  SECTION("interleaved: the cosine of the last sine is cut") {
    const auto e = row<double>(sinusoidal({.dim = 7}), 1);
    CHECK(ulp_distance(e[2], 0.07190645682527372) <= 1);  // sin(10000^(-2/7))
    CHECK(ulp_distance(e[6], std::sin(std::pow(10000.0, -6.0 / 7))) <= 4);
  }
  SECTION("half: the columns of one less, and a zero") {
    const auto odd = row<double>(sinusoidal({.dim = 7, .layout = sinusoid::half, .downscale_freq_shift = 1}), 5);
    auto even = row<double>(sinusoidal({.dim = 6, .layout = sinusoid::half, .downscale_freq_shift = 1}), 5);
    even.push_back(0);
    CHECK(odd == even);
  }
  SECTION("half, one more: as in Marian, in the paper's frequencies") {
    const auto marian = row<double>(sinusoidal({.dim = 7, .layout = sinusoid::half, .odd = odd_column::one_more}), 5);
    const auto paper = row<double>(sinusoidal({.dim = 7}), 5);
    for (std::size_t i = 0; i < 4; ++i) CHECK(marian[i] == paper[2 * i]);
    for (std::size_t i = 0; i < 3; ++i) CHECK(marian[4 + i] == paper[2 * i + 1]);
  }
  SECTION("one column is a sine") { CHECK(row<float>(sinusoidal({.dim = 1}), 1)[0] == 0.841470985F); }
}

TEST_CASE("sinusoidal: the least half table has one frequency, with a shift as well", "[sinusoidal]") {
  const auto e = row<double>(sinusoidal({.dim = 2, .layout = sinusoid::half, .downscale_freq_shift = 1}), 1);
  CHECK(ulp_distance(e[0], 0.84147098480789650665) <= 1);
  CHECK(ulp_distance(e[1], 0.54030230586813971740) <= 1);
}

TEST_CASE("sinusoidal: an offset moves positions, and position_scale stretches them", "[sinusoidal]") {
  const sinusoidal plain({.dim = 10});
  CHECK(row<float>(sinusoidal({.dim = 10, .offset = 2}), 40) == row<float>(plain, 42));
  CHECK(row<float>(sinusoidal({.dim = 10, .offset = -40}), 40) == row<float>(plain, 0));
  const auto scaled = row<double>(sinusoidal({.dim = 10, .position_scale = 1000, .offset = 1}), 6);
  const auto far = row<double>(plain, 7000);
  for (std::size_t i = 0; i < 10; ++i) CHECK(std::abs(scaled[i] - far[i]) <= 1e-15);
}

TEST_CASE("sinusoidal: an amplitude of sqrt(2 / dim) makes every row of length 1", "[sinusoidal]") {
  const sinusoidal mlx({.dim = 64, .layout = sinusoid::half, .amplitude = std::sqrt(2.0 / 64)});
  const std::vector<position_t> ids{0, 1, -77, 123456789};
  const auto table = rows<double>(mlx, ids);
  for (index_t t = 0; t < 4; ++t) {
    double squares = 0;
    for (index_t c = 0; c < 64; ++c) squares += table.data()[t * 64 + c] * table.data()[t * 64 + c];
    CHECK(std::abs(squares - 1) <= 1e-15);
  }
}

TEST_CASE("sinusoidal: the product of two rows depends on their distance alone", "[sinusoidal]") {
  const sinusoidal encoding({.dim = 32, .layout = sinusoid::half});
  const auto product = [&](position_t a, position_t b) {
    const auto x = row<double>(encoding, a);
    const auto y = row<double>(encoding, b);
    double sum = 0;
    for (std::size_t i = 0; i < 32; ++i) sum += x[i] * y[i];
    return sum;
  };
  const double near = product(0, 12);
  for (const position_t shift : {1, -500, 1 << 20, 2000000000})
    CHECK(std::abs(product(shift, shift + 12) - near) <= 1e-14);
}

TEST_CASE("sinusoidal: at padding_idx nothing is added", "[sinusoidal]") {
  const sinusoidal xglm({.dim = 4, .layout = sinusoid::half, .downscale_freq_shift = 1, .offset = 2, .padding_idx = 1});
  std::vector<float> x(3 * 4, 9.0F);
  add_to(xglm, token_view<float>(x.data(), 3, 4), std::vector<position_t>{0, -1, 0});
  for (std::size_t c = 0; c < 4; ++c) {
    CHECK(x[c] != 9.0F);
    CHECK(x[4 + c] == 9.0F);
    CHECK(x[8 + c] == x[c]);
  }
  CHECK(row<float>(xglm, -1) == std::vector<float>(4, 0.0F));
}

TEST_CASE("sinusoidal: ids may be negative, repeated and in any order", "[sinusoidal]") {
  const sinusoidal encoding({.dim = 6});
  const auto table = rows<double>(encoding, std::vector<position_t>{7, -7, 0, 7});
  for (std::size_t i = 0; i < 6; i += 2) {
    CHECK(table[6 + i] == -table[i]);         // a sine
    CHECK(table[6 + i + 1] == table[i + 1]);  // a cosine
    CHECK(table[18 + i] == table[i]);
  }
}

TEMPLATE_TEST_CASE("sinusoidal: adding is the sum with the row, rounded once", "[sinusoidal]", float, double, bf16,
                   f16) {
  using T = compute_t<TestType>;
  const sinusoidal encoding({.dim = 130});
  const std::vector<position_t> ids{5, 100000};
  const auto table = rows<T>(encoding, ids);
  std::vector<TestType> x;
  for (int i = 0; i < 260; ++i) x.push_back(narrow<TestType>(T(1) / static_cast<T>(i + 3)));
  auto sum = x;
  add_to(encoding, token_view<TestType>(sum.data(), 2, 130), ids);
  for (std::size_t i = 0; i < 260; ++i) {
    CHECK(widen<T>(sum[i]) == widen<T>(narrow<TestType>(widen<T>(x[i]) + table[i])));
  }
}

TEST_CASE("sinusoidal: columns between the rows stay as they are", "[sinusoidal]") {
  const sinusoidal encoding({.dim = 5});
  std::vector<float> x(3 * 8, -1.0F);
  add_to(encoding, token_view<float>(x.data(), 3, 5, 8), positions(0, 3));
  const auto table = rows<float>(encoding, positions(0, 3));
  for (std::size_t t = 0; t < 3; ++t) {
    for (std::size_t c = 0; c < 8; ++c) CHECK(x[t * 8 + c] == (c < 5 ? -1.0F + table[t * 5 + c] : -1.0F));
  }
}

TEMPLATE_TEST_CASE("sinusoidal: one pass, chunks and one by one give the same bits", "[sinusoidal]", float, double) {
  const sinusoidal encoding({.dim = 96, .layout = sinusoid::half});
  const auto all = rows<TestType>(encoding, positions(1000, 70));
  const std::vector<TestType> zeros(70 * 96, TestType(0));
  for (const index_t chunk : {1, 7, 64}) {
    auto x = zeros;
    const token_view<TestType> view(x.data(), 70, 96);
    for (index_t first = 0; first < 70; first += chunk) {
      const index_t count = std::min<index_t>(chunk, 70 - first);
      add_to(encoding, view.tokens(first, count), positions(1000 + first, count));
    }
    CHECK(x == all);
  }
}

TEST_CASE("sinusoidal: real positions are timesteps, and agree with whole ones", "[sinusoidal]") {
  const sinusoidal timesteps({.dim = 16, .layout = sinusoid::half, .cos_first = true});
  CHECK(rows<float>(timesteps, std::vector<double>{0.0, 999.0, 131071.0}) ==
        rows<float>(timesteps, std::vector<position_t>{0, 999, 131071}));
  const auto half = rows<double>(timesteps, std::vector<double>{0.5});
  CHECK(ulp_distance(half[0], 0.87758256189037271612) <= 1);  // cos(1/2)
  CHECK(ulp_distance(half[8], 0.47942553860420300027) <= 1);  // sin(1/2)
}

TEMPLATE_TEST_CASE("sinusoidal: the table of a range is that of its positions listed, to a last place", "[sinusoidal]",
                   float, double, bf16) {
  std::vector<position_t> ids(200);
  std::iota(ids.begin(), ids.end(), -9);
  for (const sinusoidal_params& params :
       {sinusoidal_params{.dim = 130}, sinusoidal_params{.dim = 7, .offset = 2, .padding_idx = 5},
        sinusoidal_params{.dim = 9, .layout = sinusoid::half, .amplitude = 0.5},
        sinusoidal_params{.dim = 9, .layout = sinusoid::half, .odd = odd_column::one_more, .cos_first = true}}) {
    const sinusoidal encoding(params);
    const auto of_range = rows<TestType>(encoding, positions(-9, 200));
    const auto of_list = rows<TestType>(encoding, ids);
    REQUIRE(of_range.size() == of_list.size());
    for (std::size_t i = 0; i < of_list.size(); ++i) {
      CAPTURE(params.dim, i);
      if constexpr (std::same_as<TestType, bf16>)
        CHECK(static_cast<float>(of_range[i]) == static_cast<float>(of_list[i]));
      else
        CHECK(ulp_distance(of_range[i], of_list[i]) <= (std::same_as<TestType, float> ? 1 : 0));
    }
  }
}

TEST_CASE("sinusoidal: no tokens are nothing to do", "[sinusoidal]") {
  const sinusoidal encoding({.dim = 4});
  add_to(encoding, token_view<float>(nullptr, 0, 4), positions(0, 0));
  encoding.fill(token_view<double>(nullptr, 0, 4), std::vector<double>{});
}

TEST_CASE("sinusoidal: the constructor refuses what has no table", "[sinusoidal]") {
  CHECK_THROWS_WITH(sinusoidal({.dim = 0}), "sinusoidal: dim is 0, expected at least 1");
  CHECK_THROWS_WITH(sinusoidal({.dim = 1, .layout = sinusoid::half}), "sinusoidal: dim is 1, expected at least 2");
  CHECK_THROWS_WITH(sinusoidal({.dim = 4, .base = 0}), "sinusoidal: base is 0, expected a number above 0");
  CHECK_THROWS_WITH(sinusoidal({.dim = 4, .downscale_freq_shift = 2}),
                    "sinusoidal: downscale_freq_shift is 2, expected below dim / 2");
  CHECK_THROWS_WITH(sinusoidal({.dim = 4, .amplitude = std::numeric_limits<double>::infinity()}),
                    "sinusoidal: amplitude is inf, expected a finite number");
}

TEST_CASE("sinusoidal: a wrong call is refused before anything is written", "[sinusoidal]") {
  const sinusoidal encoding({.dim = 4, .offset = 2});
  std::vector<float> x(2 * 4, 1.0F);
  const token_view<float> view(x.data(), 2, 4);
  CHECK_THROWS_WITH(add_to(encoding, token_view<float>(x.data(), 2, 3), positions(0, 2)),
                    "add_to: dim is 3, expected 4, the width of the encoding");
  CHECK_THROWS_WITH(add_to(encoding, view, positions(0, 3)),
                    "add_to: number of positions is 3, expected 2, one for each token");
  CHECK_THROWS_WITH(add_to(encoding, view, std::vector<position_t>{0, 2147483646}),
                    "add_to: positions[1] is 2147483646, expected at most 2147483645");
  CHECK_THROWS_WITH(encoding.fill(token_view<float>(x.data(), 2, 5), positions(0, 2)),
                    "fill: dim is 5, expected 4, the width of the encoding");
  CHECK_THROWS_WITH(encoding.fill(view, positions(2147483645, 2)),
                    "fill: positions[1] is 2147483646, expected at most 2147483645");
  CHECK_THROWS_WITH(sinusoidal({.dim = 4, .offset = 1000}).fill(view, std::vector<double>{0.5, 0x1.fffffffffffffp62}),
                    "fill: positions[1] is 9.22337204e+18, expected less than 2^63 in size with the offset");
  CHECK(x == std::vector<float>(2 * 4, 1.0F));
}
