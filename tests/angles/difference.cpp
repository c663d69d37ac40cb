#include <posenc/angles/difference.hpp>

#include <posenc/angles/cos_sin.hpp>
#include <posenc/scaling/default.hpp>
#include <posenc/scaling/yarn.hpp>

#include "catch.hpp"

#include <cmath>
#include <utility>
#include <vector>

using namespace posenc;

TEST_CASE("difference: turning by one list and by the difference is turning by the other", "[difference]") {
  const frequencies from = default_frequencies({.head_dim = 64});
  const frequencies to = default_frequencies({.head_dim = 64, .rope_theta = 31234.5});
  const frequencies change = difference(to, from);
  REQUIRE(change.size() == 32);
  for (const position_t position : {0, 1, 4097, -131071, 1068966896}) {
    double a_cos[32], a_sin[32], b_cos[32], b_sin[32], cos[32], sin[32];
    cos_sin(from, &position, 0, 32, a_cos, a_sin);
    cos_sin(change, &position, 0, 32, b_cos, b_sin);
    cos_sin(to, &position, 0, 32, cos, sin);
    for (int i = 0; i < 32; ++i) {
      // Even at 2^30, where a difference taken in double would be off by 1e-7.
      CHECK(std::abs(a_cos[i] * b_cos[i] - a_sin[i] * b_sin[i] - cos[i]) < 1e-15);
      CHECK(std::abs(a_cos[i] * b_sin[i] + a_sin[i] * b_cos[i] - sin[i]) < 1e-15);
    }
  }
}

TEST_CASE("difference: equal lists differ by nothing, and the pair of frequency 1 is in every list", "[difference]") {
  const frequencies list = default_frequencies({.head_dim = 64});
  for (index_t i = 0; i < 32; ++i) CHECK(difference(list, list).inv_freq(i) == 0);
  CHECK(difference(default_frequencies({.head_dim = 64, .rope_theta = 5e5}), list).inv_freq(0) == 0);
}

TEST_CASE("difference: attention factors divide, axes stay, the softmax multiplier is nobody's", "[difference]") {
  const std::vector<index_t> axes{0, 1, 2, 1};
  const frequencies plain = frequencies(std::vector<double>{1, 0.5, 0.25, 0.125}).with_axes(axes);
  const frequencies from = plain.with_attention_factor(1.25).with_softmax_multiplier(3);
  const frequencies to = plain.scaled(0.5).with_attention_factor(1.5).with_softmax_multiplier(2);
  const frequencies change = difference(to, from);
  CHECK(change.attention_factor() == 1.5 / 1.25);
  CHECK(change.softmax_multiplier() == 1);
  CHECK(change.num_axes() == 3);
  for (index_t i = 0; i < 4; ++i) {
    CHECK(change.axis(i) == plain.axis(i));
    CHECK(change.inv_freq(i) == -0.5 * plain.inv_freq(i));
  }
}

TEST_CASE("difference: lists that do not match are refused", "[difference]") {
  const frequencies three(std::vector<double>{1, 2, 3}), two(std::vector<double>{1, 2});
  CHECK_THROWS_WITH(difference(three, two),
                    "difference: number of frequencies is 3, expected 2, as many as in the other list");
  const frequencies turned = three.with_axes(std::vector<index_t>{0, 1, 0});
  CHECK_THROWS_WITH(difference(three, turned), "difference: axis_of_pair[1] is 0, expected 1, as in the other list");
}

TEST_CASE("difference: no list turns by the difference of rounded angles", "[difference]") {
  const frequencies exact(std::vector<double>{1, 0.5}), rounded = exact.with_float32_angles();
  for (const auto& [to, from] : {std::pair{exact, rounded}, std::pair{rounded, exact}, std::pair{rounded, rounded}}) {
    CHECK_THROWS_WITH(difference(to, from),
                      "difference: float32_angles is 1, expected 0: a difference of rounded angles is not linear");
  }
}
