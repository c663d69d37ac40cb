#include <posenc/scaling/yarn.hpp>

#include <posenc/scaling/default.hpp>

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

using namespace posenc;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace {

struct model {
  const char* name;
  yarn_frequencies_params params;
  double low, high;  // ends of the ramp as they are used
};

constexpr double epsilon = 1e-6;  // the ends of the ramp are known to six digits after the point

double expected(const model& m, index_t pair) {
  const double plain =
      default_frequencies({.head_dim = m.params.head_dim, .rope_theta = m.params.rope_theta}).inv_freq(pair);
  const double ramp = std::clamp((static_cast<double>(pair) - m.low) / (m.high - m.low), 0.0, 1.0);
  return plain * (1 - ramp) + plain / m.params.factor * ramp;
}

yarn_frequencies_params stretched(double factor) {
  return {.head_dim = 64, .rope_theta = 10000, .factor = factor, .original_max_position_embeddings = 4096};
}

}  // namespace

TEST_CASE("yarn_frequencies: the ramps of public models", "[scaling]") {
  const model models[] = {
      {"gpt-oss",
       {.head_dim = 64,
        .rope_theta = 150000,
        .factor = 32,
        .original_max_position_embeddings = 4096,
        .truncate = false},
       8.092779,
       17.398025},
      {"DeepSeek-V3",
       {.head_dim = 64, .rope_theta = 1e4, .factor = 40, .original_max_position_embeddings = 4096},
       10,
       23},
      {"Qwen2.5", {.head_dim = 128, .rope_theta = 1e6, .factor = 4, .original_max_position_embeddings = 32768}, 23, 40},
      {"Llama-2", {.head_dim = 128, .rope_theta = 1e4, .factor = 16, .original_max_position_embeddings = 4096}, 20, 46},
  };
  for (const model& m : models) {
    const frequencies f = yarn_frequencies(m.params);
    REQUIRE(f.size() == m.params.head_dim / 2);
    for (index_t pair = 0; pair < f.size(); ++pair) {
      CAPTURE(m.name, pair);
      CHECK_THAT(f.inv_freq(pair), WithinRel(expected(m, pair), epsilon));
    }
  }
}

TEST_CASE("yarn_frequencies: pairs off the ramp are exactly as they were, or exactly divided", "[scaling]") {
  const frequencies plain = default_frequencies({.head_dim = 64});
  const frequencies f = yarn_frequencies(stretched(32));
  for (index_t pair = 0; pair <= 10; ++pair) CHECK(f.inv_freq(pair) == plain.inv_freq(pair));
  for (index_t pair = 23; pair < 32; ++pair) CHECK(f.inv_freq(pair) == plain.inv_freq(pair) / 32);
  CHECK(yarn_frequencies(stretched(1)) == plain);
}

TEST_CASE("yarn_frequencies: whole ends of the ramp change gpt-oss by 76 % at pair 17", "[scaling]") {
  yarn_frequencies_params gpt_oss{
      .head_dim = 64, .rope_theta = 150000, .factor = 32, .original_max_position_embeddings = 4096, .truncate = false};
  const frequencies as_trained = yarn_frequencies(gpt_oss);
  gpt_oss.truncate = true;
  const frequencies truncated = yarn_frequencies(gpt_oss);
  CHECK(truncated.inv_freq(8) == as_trained.inv_freq(8));
  CHECK(truncated.inv_freq(18) == as_trained.inv_freq(18));
  CHECK_THAT(std::abs(truncated.inv_freq(17) / as_trained.inv_freq(17) - 1), WithinAbs(0.76, 0.01));
}

TEST_CASE("yarn_frequencies: betas move the ends, and a partial rotation counts its own columns", "[scaling]") {
  yarn_frequencies_params p{.head_dim = 32, .factor = 8, .original_max_position_embeddings = 4096};
  p.beta_fast = 64;
  p.beta_slow = 2;
  const model betas{"betas", p, 4, 11};  // g(64) = 4.03, g(2) = 10.05
  const frequencies f = yarn_frequencies(p);
  for (index_t pair = 0; pair < 16; ++pair) CHECK_THAT(f.inv_freq(pair), WithinRel(expected(betas, pair), 1e-12));
  p.head_dim = 64;
  p.partial_rotary_factor = 0.5;
  CHECK(yarn_frequencies(p) == f);
}

TEST_CASE("yarn_frequencies: a window so short that both ends of the ramp fall on pair 0", "[scaling]") {
  const frequencies f = yarn_frequencies({.head_dim = 16, .factor = 4, .original_max_position_embeddings = 4});
  CHECK(f.inv_freq(0) == 1);
  CHECK_THAT(f.inv_freq(1), WithinRel(std::pow(10000, -1.0 / 8) / 4, 1e-14));
}

TEST_CASE("yarn_frequencies: attention factor and softmax multiplier are two things", "[scaling]") {
  yarn_frequencies_params p = stretched(40);
  CHECK_THAT(yarn_frequencies(p).attention_factor(), WithinRel(1.368888, epsilon));  // M(1)
  CHECK(yarn_frequencies(p).softmax_multiplier() == 1);

  p.mscale = 0.707;  // alone, it does not count
  CHECK_THAT(yarn_frequencies(p).attention_factor(), WithinRel(1.368888, epsilon));
  CHECK(yarn_frequencies(p).softmax_multiplier() == 1);

  p.mscale = p.mscale_all_dim = 1;  // DeepSeek-V3
  CHECK(yarn_frequencies(p).attention_factor() == 1);
  CHECK_THAT(yarn_frequencies(p).softmax_multiplier(), WithinRel(1.873854, epsilon));

  p.mscale_all_dim = 0.707;
  CHECK_THAT(yarn_frequencies(p).attention_factor(), WithinRel(1.368888 / 1.260804, epsilon));
  CHECK_THAT(yarn_frequencies(p).softmax_multiplier(), WithinRel(1.589626, epsilon));

  p.attention_factor = 1.25;
  CHECK(yarn_frequencies(p).attention_factor() == 1.25);

  CHECK_THAT(yarn_frequencies(stretched(32)).attention_factor(), WithinRel(1.346574, epsilon));
  CHECK(yarn_frequencies(stretched(1)).attention_factor() == 1);
  CHECK(yarn_frequencies(stretched(0.5)).attention_factor() == 1);
}

TEST_CASE("yarn_frequencies: errors name argument, value and rule", "[scaling]") {
  CHECK_THROWS_WITH(yarn_frequencies({.head_dim = 64, .factor = 4}),
                    "yarn_frequencies: original_max_position_embeddings is 0, expected at least 1");
  CHECK_THROWS_WITH(yarn_frequencies(stretched(0)), "yarn_frequencies: factor is 0, expected above 0 and finite");
  yarn_frequencies_params p = stretched(4);
  p.beta_slow = 33;
  CHECK_THROWS_WITH(yarn_frequencies(p), "yarn_frequencies: beta_fast is 32, expected at least beta_slow");
  p.beta_slow = 0;
  CHECK_THROWS_WITH(yarn_frequencies(p), "yarn_frequencies: beta_slow is 0, expected above 0 and finite");
  p = stretched(4);
  p.rope_theta = 1;
  CHECK_THROWS_AS(yarn_frequencies(p), std::invalid_argument);
  p = stretched(4);
  p.attention_factor = 0;
  CHECK_THROWS_AS(yarn_frequencies(p), std::invalid_argument);
  p = stretched(4);
  p.mscale = std::nan("");
  CHECK_THROWS_WITH(yarn_frequencies(p), "yarn_frequencies: mscale is nan, expected finite");
  p = stretched(4);
  p.mscale_all_dim = -std::numeric_limits<double>::infinity();
  CHECK_THROWS_WITH(yarn_frequencies(p), "yarn_frequencies: mscale_all_dim is -inf, expected finite");
}
