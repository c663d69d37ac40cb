#include <posenc/scaling/ntk.hpp>

#include <posenc/scaling/default.hpp>
#include <posenc/scaling/linear.hpp>

#include "catch.hpp"

#include <cmath>

using namespace posenc;
using Catch::Matchers::WithinRel;

TEST_CASE("ntk_frequencies: the first pair as it is, the last one divided by the factor", "[scaling]") {
  for (const index_t head_dim : {4, 6, 64, 128, 192}) {
    for (const double factor : {0.5, 1.0, 2.0, 8.0, 33.3}) {
      CAPTURE(head_dim, factor);
      const frequencies f = ntk_frequencies({.head_dim = head_dim, .factor = factor});
      const index_t last = head_dim / 2 - 1;
      CHECK(f.inv_freq(0) == 1);
      CHECK(f.inv_freq(last) == linear_frequencies({.head_dim = head_dim, .factor = factor}).inv_freq(last));
    }
  }
}

TEST_CASE("ntk_frequencies: powers of theta * factor^(d / (d - 2))", "[scaling]") {
  const frequencies f = ntk_frequencies({.head_dim = 128, .factor = 4});
  const double theta = 10000 * std::pow(4.0, 128.0 / 126);
  for (index_t i = 0; i < 64; ++i) {
    CHECK_THAT(f.inv_freq(i), WithinRel(std::pow(theta, -static_cast<double>(i) / 64), 1e-13));
  }
  CHECK(ntk_frequencies({.head_dim = 128}) == default_frequencies({.head_dim = 128}));
}

TEST_CASE("ntk_frequencies: two columns are refused", "[scaling]") {
  CHECK_THROWS_WITH(ntk_frequencies({.head_dim = 2, .factor = 4}),
                    "ntk_frequencies: rotary_dim is 2, expected above 2");
  CHECK_THROWS_WITH(ntk_frequencies({.head_dim = 64, .factor = -4}),
                    "ntk_frequencies: factor is -4, expected above 0 and finite");
}
