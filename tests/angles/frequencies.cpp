#include <posenc/angles/frequencies.hpp>

#include "catch.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <type_traits>
#include <vector>

using namespace posenc;

static_assert(std::is_nothrow_move_constructible_v<frequencies>);
static_assert(!std::is_convertible_v<std::vector<double>, frequencies>);

TEST_CASE("frequencies: a list is taken as exact, zeros and negatives included", "[frequencies]") {
  const std::vector<double> doubles{1.0, 0.1, 0.0, -0.25, 1e-9, 1e9};
  const std::vector<float> floats{1.0f, 0.1f, 0.0f, -0.25f};
  const frequencies a(doubles);
  const frequencies b(floats);
  REQUIRE(a.size() == 6);
  REQUIRE(b.size() == 4);
  for (index_t i = 0; i < a.size(); ++i) CHECK(a.inv_freq(i) == doubles[static_cast<std::size_t>(i)]);
  for (index_t i = 0; i < b.size(); ++i)
    CHECK(b.inv_freq(i) == static_cast<double>(floats[static_cast<std::size_t>(i)]));
  CHECK(frequencies(std::vector<double>{}).size() == 0);
}

TEST_CASE("frequencies: unless told otherwise there is one axis and no factor", "[frequencies]") {
  const frequencies f(std::vector<double>{1.0, 0.5});
  CHECK(f.num_axes() == 1);
  CHECK(f.axis(1) == 0);
  CHECK(f.attention_factor() == 1);
  CHECK(f.softmax_multiplier() == 1);
}

TEST_CASE("frequencies: with_ and scaled change one thing and leave the original alone", "[frequencies]") {
  const frequencies f(std::vector<double>{1.0, 0.5, 0.25});
  const frequencies g = f.with_axes(std::array<index_t, 3>{2, 0, 1})
                            .with_attention_factor(1.25)
                            .with_softmax_multiplier(1.5)
                            .scaled(1000);
  CHECK(g.num_axes() == 3);
  CHECK(g.axis(0) == 2);
  CHECK(g.axis(2) == 1);
  CHECK(g.attention_factor() == 1.25);
  CHECK(g.softmax_multiplier() == 1.5);
  CHECK(g.inv_freq(1) == 500);
  CHECK(f == frequencies(std::vector<double>{1.0, 0.5, 0.25}));
  CHECK(f != g);
  CHECK(f.scaled(2).scaled(0.5) == f);
  CHECK(f.scaled(0).inv_freq(0) == 0);
  CHECK(f.scaled(-1).inv_freq(2) == -0.25);
}

TEST_CASE("frequencies: powers of the base, correctly rounded", "[frequencies]") {
  const frequencies f = geometric_frequencies(10000, 64, 64);  // by mpmath at 400 bits
  REQUIRE(f.size() == 64);
  CHECK(f.inv_freq(0) == 1);
  CHECK(f.inv_freq(1) == 0x1.bb5fad00ab22cp-1);
  CHECK(f.inv_freq(31) == 0x1.7a66224a8fc07p-7);
  CHECK(f.inv_freq(32) == 0.01);
  CHECK(f.inv_freq(48) == 0.001);
  CHECK(f.inv_freq(63) == 0x1.e459c57e28a47p-14);
}

TEST_CASE("frequencies: the denominator may be one less, so that the last pair has 1 / base", "[frequencies]") {
  const frequencies f = geometric_frequencies(10000, 32, 31);
  CHECK(f.inv_freq(0) == 1);
  CHECK(f.inv_freq(31) == 1e-4);
  CHECK(geometric_frequencies(10000, 1, 0).inv_freq(0) == 1);  // a width of two
}

TEST_CASE("frequencies: errors name argument, value and rule", "[frequencies]") {
  const double infinity = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH(frequencies(std::vector<double>{1.0, infinity}),
                    "frequencies: inv_freq[1] is inf, expected finite and less than 2^62 in size");
  CHECK_THROWS_WITH(frequencies(std::vector<float>{std::numeric_limits<float>::quiet_NaN()}),
                    Catch::Matchers::StartsWith("frequencies: inv_freq[0] is "));
  CHECK_THROWS_AS(frequencies(std::vector<double>{0x1p62}), std::invalid_argument);
  CHECK_NOTHROW(frequencies(std::vector<double>{std::nextafter(0x1p62, 0.0)}));

  const frequencies f(std::vector<double>{1.0, 0.5});
  CHECK_THROWS_WITH(f.with_axes(std::array<index_t, 1>{0}),
                    "frequencies: number of axes listed is 1, expected 2, one for each pair");
  CHECK_THROWS_WITH(f.with_axes(std::array<index_t, 2>{0, -1}),
                    "frequencies: axis_of_pair[1] is -1, expected at least 0");
  CHECK_THROWS_WITH(f.with_attention_factor(0), "frequencies: attention_factor is 0, expected above 0 and finite");
  CHECK_THROWS_AS(f.with_attention_factor(nan), std::invalid_argument);
  CHECK_THROWS_AS(f.with_softmax_multiplier(-1), std::invalid_argument);
  CHECK_THROWS_AS(f.scaled(nan), std::invalid_argument);
  CHECK_THROWS_AS(f.scaled(0x1p62), std::invalid_argument);

  CHECK_THROWS_WITH(geometric_frequencies(0, 4, 4), "geometric_frequencies: base is 0, expected above 0 and finite");
  CHECK_THROWS_AS(geometric_frequencies(nan, 4, 4), std::invalid_argument);
  CHECK_THROWS_AS(geometric_frequencies(10000, 0, 4), std::invalid_argument);
  CHECK_THROWS_AS(geometric_frequencies(10000, 2, 0), std::invalid_argument);
}
