#include <posenc/scaling/dynamic_ntk.hpp>

#include <posenc/scaling/default.hpp>

#include "catch.hpp"

#include <cmath>

using namespace posenc;
using Catch::Matchers::WithinRel;

namespace {

frequencies at_length(index_t seq_len) {
  return dynamic_ntk_frequencies(
      {.head_dim = 128, .rope_theta = 10000, .factor = 2, .max_position_embeddings = 4096, .seq_len = seq_len});
}

}  // namespace

TEST_CASE("dynamic_ntk_frequencies: nothing changes up to the trained length", "[scaling]") {
  const frequencies plain = default_frequencies({.head_dim = 128, .rope_theta = 10000});
  CHECK(at_length(0) == plain);
  CHECK(at_length(4095) == plain);
  CHECK(at_length(4096) == plain);
  CHECK(at_length(4097) != plain);
  CHECK(at_length(4097).inv_freq(0) == 1);
  CHECK(at_length(4097).inv_freq(63) < plain.inv_freq(63));
}

TEST_CASE("dynamic_ntk_frequencies: twice the length at factor 2 makes theta 30527.737", "[scaling]") {
  const frequencies f = at_length(8192);
  const double theta = std::pow(f.inv_freq(32), -2.0);  // theta^(-1/2)
  CHECK_THAT(theta, WithinRel(30527.737, 1e-8));
  CHECK_THAT(f.inv_freq(63), WithinRel(std::pow(theta, -63.0 / 64), 1e-13));
}

TEST_CASE("dynamic_ntk_frequencies: errors name argument, value and rule", "[scaling]") {
  CHECK_THROWS_WITH(dynamic_ntk_frequencies({.head_dim = 64, .factor = 2}),
                    "dynamic_ntk_frequencies: max_position_embeddings is 0, expected at least 1");
  CHECK_THROWS_WITH(dynamic_ntk_frequencies({.head_dim = 64, .factor = 0.5, .max_position_embeddings = 10}),
                    "dynamic_ntk_frequencies: factor is 0.5, expected at least 1");
  CHECK_THROWS_WITH(at_length(-1), "dynamic_ntk_frequencies: seq_len is -1, expected at least 0");
  CHECK_THROWS_WITH(dynamic_ntk_frequencies({.head_dim = 2, .max_position_embeddings = 10, .seq_len = 11}),
                    "dynamic_ntk_frequencies: rotary_dim is 2, expected above 2");
}
