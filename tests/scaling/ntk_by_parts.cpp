#include <posenc/scaling/ntk_by_parts.hpp>

#include <posenc/scaling/default.hpp>
#include <posenc/scaling/yarn.hpp>

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

using namespace posenc;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

TEST_CASE("ntk_by_parts_frequencies: the ramp runs over the turns a pair makes in the trained context", "[scaling]") {
  const frequencies plain = default_frequencies({.head_dim = 128});
  const frequencies f =
      ntk_by_parts_frequencies({.head_dim = 128, .factor = 16, .original_max_position_embeddings = 4096});
  for (index_t pair = 0; pair < 64; ++pair) {
    CAPTURE(pair);
    const double w = plain.inv_freq(pair);
    const double turns = 4096 * w / (2 * std::numbers::pi);
    const double ramp = std::clamp((turns - 1) / 31, 0.0, 1.0);
    CHECK_THAT(f.inv_freq(pair), WithinRel((1 - ramp) * w / 16 + ramp * w, 1e-13));
    if (turns >= 32) CHECK(f.inv_freq(pair) == w);
    if (turns <= 1) CHECK(f.inv_freq(pair) == w / 16);
  }
  CHECK(f.attention_factor() == 1);
  CHECK(f.softmax_multiplier() == 1);
}

TEST_CASE("ntk_by_parts_frequencies: up to 3.04 times apart from yarn, at pair 38 of Llama-2", "[scaling]") {
  const frequencies parts =
      ntk_by_parts_frequencies({.head_dim = 128, .factor = 16, .original_max_position_embeddings = 4096});
  const frequencies yarn = yarn_frequencies({.head_dim = 128, .factor = 16, .original_max_position_embeddings = 4096});
  index_t worst = 0;
  const auto ratio = [&](index_t pair) { return yarn.inv_freq(pair) / parts.inv_freq(pair); };
  for (index_t pair = 0; pair < 64; ++pair) worst = ratio(pair) > ratio(worst) ? pair : worst;
  CHECK(worst == 38);
  CHECK_THAT(ratio(38), WithinAbs(3.04, 0.005));
}

TEST_CASE("ntk_by_parts_frequencies: errors name argument, value and rule", "[scaling]") {
  CHECK_THROWS_WITH(ntk_by_parts_frequencies({.head_dim = 64, .factor = 2}),
                    "ntk_by_parts_frequencies: original_max_position_embeddings is 0, expected at least 1");
  CHECK_THROWS_WITH(ntk_by_parts_frequencies(
                        {.head_dim = 64, .original_max_position_embeddings = 4096, .beta_fast = 1, .beta_slow = 1}),
                    "ntk_by_parts_frequencies: beta_fast is 1, expected above beta_slow");
}
