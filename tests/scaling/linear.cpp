#include <posenc/scaling/linear.hpp>

#include <posenc/scaling/default.hpp>

#include "catch.hpp"

#include <limits>

using namespace posenc;

TEST_CASE("linear_frequencies: every frequency divided by the factor", "[scaling]") {
  const frequencies plain = default_frequencies({.head_dim = 256, .rope_theta = 1e6});
  const frequencies gemma = linear_frequencies({.head_dim = 256, .rope_theta = 1e6, .factor = 8});
  REQUIRE(gemma.size() == 128);
  for (index_t i = 0; i < gemma.size(); ++i) CHECK(gemma.inv_freq(i) == plain.inv_freq(i) / 8);
  CHECK(linear_frequencies({.head_dim = 64}) == default_frequencies({.head_dim = 64}));
  const frequencies partial = linear_frequencies({.head_dim = 64, .partial_rotary_factor = 0.5, .factor = 2.5});
  REQUIRE(partial.size() == 16);
  CHECK(partial.inv_freq(0) == 0.4);
  CHECK(partial.inv_freq(8) == 0.004);
}

TEST_CASE("linear_frequencies: a factor above zero, and no odd rotation", "[scaling]") {
  CHECK_THROWS_WITH(linear_frequencies({.head_dim = 64, .factor = 0}),
                    "linear_frequencies: factor is 0, expected above 0 and finite");
  CHECK_THROWS_AS(linear_frequencies({.head_dim = 64, .factor = std::numeric_limits<double>::quiet_NaN()}),
                  std::invalid_argument);
  CHECK_THROWS_WITH(linear_frequencies({.head_dim = 65}),
                    "linear_frequencies: rotary_dim is 65, expected even and at least 2");
}
