#include <posenc/scaling/proportional.hpp>

#include <posenc/scaling/default.hpp>

#include "catch.hpp"

using namespace posenc;

TEST_CASE("proportional_frequencies: a quarter of Gemma 4's pairs turns, with powers over the whole head",
          "[scaling]") {
  const frequencies plain = default_frequencies({.head_dim = 512, .rope_theta = 1e6});
  const frequencies f = proportional_frequencies({.head_dim = 512, .partial_rotary_factor = 0.25, .rope_theta = 1e6});
  REQUIRE(f.size() == 256);
  for (index_t i = 0; i < 64; ++i) CHECK(f.inv_freq(i) == plain.inv_freq(i));
  for (index_t i = 64; i < 256; ++i) CHECK(f.inv_freq(i) == 0);
  // Not a partial rotation, whose powers run out with the columns that rotate.
  const frequencies partial = default_frequencies({.head_dim = 512, .partial_rotary_factor = 0.25, .rope_theta = 1e6});
  CHECK(partial.size() == 64);
  CHECK(partial.inv_freq(1) != f.inv_freq(1));
}

TEST_CASE("proportional_frequencies: half a pair does not turn, and the factor divides", "[scaling]") {
  const frequencies f = proportional_frequencies({.head_dim = 6, .partial_rotary_factor = 0.5, .factor = 8});
  REQUIRE(f.size() == 3);
  CHECK(f.inv_freq(0) == 0.125);
  CHECK(f.inv_freq(1) == 0);
  CHECK(proportional_frequencies({.head_dim = 64}) == default_frequencies({.head_dim = 64}));
}

TEST_CASE("proportional_frequencies: errors name argument, value and rule", "[scaling]") {
  CHECK_THROWS_WITH(proportional_frequencies({.head_dim = 64, .partial_rotary_factor = 0}),
                    "proportional_frequencies: partial_rotary_factor is 0, expected above 0 and at most 1");
  CHECK_THROWS_WITH(proportional_frequencies({.head_dim = 64, .factor = 0}),
                    "proportional_frequencies: factor is 0, expected above 0 and finite");
  CHECK_THROWS_AS(proportional_frequencies({.head_dim = 63}), std::invalid_argument);
}
