#include <posenc/scaling/default.hpp>

#include "catch.hpp"

#include <limits>

using namespace posenc;

TEST_CASE("default_frequencies: powers of theta over the rotated columns", "[scaling]") {
  const frequencies f = default_frequencies({.head_dim = 128, .rope_theta = 10000});
  REQUIRE(f.size() == 64);
  CHECK(f == geometric_frequencies(10000, 64, 64));
  CHECK(f.inv_freq(32) == 0.01);
  CHECK(f.attention_factor() == 1);
  CHECK(f.softmax_multiplier() == 1);
}

TEST_CASE("default_frequencies: a partial rotation takes its powers from the columns that rotate", "[scaling]") {
  const frequencies neox = default_frequencies({.head_dim = 96, .partial_rotary_factor = 0.25});
  CHECK(neox == default_frequencies({.head_dim = 24}));
  CHECK(neox == default_frequencies({.head_dim = 96, .rotary_dim = 24}));
  // Rounded down, as int(80 * 0.4) is.
  CHECK(default_frequencies({.head_dim = 80, .partial_rotary_factor = 0.4}).size() == 16);
  CHECK(default_frequencies({.head_dim = 25, .partial_rotary_factor = 0.99}).size() == 12);
  CHECK(default_frequencies({.head_dim = 7, .rotary_dim = 6}).size() == 3);
}

TEST_CASE("default_frequencies: errors name argument, value and rule", "[scaling]") {
  const auto with_message = [](const char* text) { return Catch::Matchers::Equals(text); };
  CHECK_THROWS_WITH(default_frequencies({}), with_message("default_frequencies: head_dim is 0, expected at least 1"));
  CHECK_THROWS_WITH(default_frequencies({.head_dim = 7}),
                    with_message("default_frequencies: rotary_dim is 7, expected even and at least 2"));
  CHECK_THROWS_WITH(default_frequencies({.head_dim = 64, .rotary_dim = 66}),
                    with_message("default_frequencies: rotary_dim is 66, expected at most head_dim, 64"));
  CHECK_THROWS_WITH(default_frequencies({.head_dim = 64, .rotary_dim = -2}),
                    with_message("default_frequencies: rotary_dim is -2, expected even and at least 2"));
  CHECK_THROWS_WITH(default_frequencies({.head_dim = 64, .partial_rotary_factor = 1.5}),
                    with_message("default_frequencies: partial_rotary_factor is 1.5, expected above 0 and at most 1"));
  CHECK_THROWS_WITH(default_frequencies({.head_dim = 64, .partial_rotary_factor = 0.01}),
                    with_message("default_frequencies: rotary_dim is 0, expected even and at least 2"));
  CHECK_THROWS_WITH(default_frequencies({.head_dim = 64, .rope_theta = 0}),
                    with_message("default_frequencies: rope_theta is 0, expected above 0 and finite"));
  for (const double theta : {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_AS(default_frequencies({.head_dim = 64, .rope_theta = theta}), std::invalid_argument);
  }
}
