#include <posenc/scaling/resonance.hpp>

#include <posenc/angles/cos_sin.hpp>
#include <posenc/scaling/default.hpp>
#include <posenc/scaling/yarn.hpp>

#include "catch.hpp"

#include <cmath>
#include <numbers>
#include <vector>

using namespace posenc;

namespace {

// The division and 2 pi of the test are rounded.
bool is_near(double seen, double expected) { return std::abs(seen - expected) <= 0x1p-51 * std::abs(expected); }

}  // namespace

TEST_CASE("resonance: wavelengths are whole, and the nearest ones", "[resonance]") {
  const frequencies plain = default_frequencies({.head_dim = 128});
  const frequencies rounded = resonance_frequencies(plain);
  REQUIRE(rounded.size() == plain.size());
  for (index_t pair = 0; pair < plain.size(); ++pair) {
    CAPTURE(pair);
    const double wavelength = 2 * std::numbers::pi / plain.inv_freq(pair);
    CHECK(is_near(rounded.inv_freq(pair), 2 * std::numbers::pi / std::round(wavelength)));
  }
  CHECK(is_near(rounded.inv_freq(0), 2 * std::numbers::pi / 6));
}

TEST_CASE("resonance: positions a wavelength apart have the same angle to the last bit", "[resonance]") {
  const frequencies rounded = resonance_frequencies(default_frequencies({.head_dim = 64}));
  for (index_t pair = 0; pair < rounded.size(); ++pair) {
    const auto wavelength = static_cast<position_t>(std::lround(2 * std::numbers::pi / rounded.inv_freq(pair)));
    for (const position_t p : {1, 5, 1000}) {
      const position_t again = p + 1000 * wavelength;
      double cos[2], sin[2];
      cos_sin(rounded, &p, pair, 1, &cos[0], &sin[0]);
      cos_sin(rounded, &again, pair, 1, &cos[1], &sin[1]);
      CAPTURE(pair, p, wavelength);
      // Where one of them is zero, 2^-193 of a turn for each position is left of it.
      CHECK(std::abs(cos[0] - cos[1]) < 1e-45);
      CHECK(std::abs(sin[0] - sin[1]) < 1e-45);
    }
  }
}

TEST_CASE("resonance: zero, negative and fast frequencies", "[resonance]") {
  const frequencies rounded = resonance_frequencies(frequencies(std::vector<double>{0, -1, 100}));
  CHECK(rounded.inv_freq(0) == 0);
  CHECK(is_near(rounded.inv_freq(1), -2 * std::numbers::pi / 6));
  CHECK(is_near(rounded.inv_freq(2),
                2 * std::numbers::pi));  // a whole turn a position, the shortest wavelength that is whole
}

TEST_CASE("resonance: keeps what else a list says", "[resonance]") {
  const std::vector<index_t> axes{0, 1, 1, 0, 0, 0, 0, 1};
  const frequencies list = yarn_frequencies({.head_dim = 16, .factor = 4, .original_max_position_embeddings = 1024})
                               .with_axes(axes)
                               .with_softmax_multiplier(1.5);
  REQUIRE(list.attention_factor() > 1);
  const frequencies rounded = resonance_frequencies(list);
  CHECK(rounded.num_axes() == 2);
  for (index_t pair = 0; pair < 8; ++pair) CHECK(rounded.axis(pair) == list.axis(pair));
  CHECK(rounded.attention_factor() == list.attention_factor());
  CHECK(rounded.softmax_multiplier() == 1.5);
  CHECK(!rounded.float32_angles());
  CHECK(resonance_frequencies(list.with_float32_angles()).float32_angles());
}
