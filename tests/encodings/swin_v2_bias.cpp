#include <posenc/encodings/swin_v2_bias.hpp>

#include <posenc/encodings/window_bias.hpp>
#include <posenc/hooks.hpp>

#include "catch.hpp"
#include "owned_tile.hpp"
#include "random_values.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

using namespace posenc;

namespace {

template <class T>
struct network {
  std::vector<T> w1 = random_values(1).list<T>(2 * 7), b1 = random_values(2).list<T>(7),
                 w2 = random_values(3).list<T>(2 * 7);

  swin_v2_params<T> params(const patch_window& window) const {
    return {.window = window, .num_heads = 2, .mlp_width = 7, .w1 = w1, .b1 = b1, .w2 = w2};
  }
};

double log_spaced(double difference, double furthest) {
  const double z = 8 * difference / furthest;
  return (z < 0 ? -1 : 1) * std::log2(1 + std::abs(z)) / std::log2(8.0);
}

}  // namespace

TEST_CASE("swin_v2_bias: coordinates are log-spaced, 1 at the end of the trained window", "[swin_v2_bias]") {
  const network<double> weights;
  swin_v2_params<double> params = weights.params({.height = 3, .width = 5});
  params.pretrained_width = 3;
  const swin_v2_bias<double> encoding(params);
  REQUIRE(encoding.num_offsets() == 5 * 9);
  index_t o = 0;
  for (int dy = -2; dy <= 2; ++dy) {
    for (int dx = -4; dx <= 4; ++dx, ++o) {
      const auto [y, x] = encoding.coordinates(o);
      CHECK(std::abs(y - log_spaced(dy, 2)) <= 2 * std::numeric_limits<double>::epsilon());
      CHECK(std::abs(x - log_spaced(dx, 2)) <= 2 * std::numeric_limits<double>::epsilon());
    }
  }
}

TEST_CASE("swin_v2_bias: a side of one patch has the coordinate 0", "[swin_v2_bias]") {
  const network<double> weights;
  const swin_v2_bias<double> encoding(weights.params({.height = 1, .width = 2}));
  for (index_t o = 0; o < encoding.num_offsets(); ++o) CHECK(encoding.coordinates(o)[0] == 0);
}

TEMPLATE_TEST_CASE("swin_v2_bias: 16 sigmoid of the network, as its table says too", "[swin_v2_bias]", float, double) {
  const network<TestType> weights;
  const patch_window window{.height = 4, .width = 3};
  const swin_v2_bias<TestType> encoding(weights.params(window));
  const window_bias<TestType> tabulated(encoding.table(), window);
  for (const auto along : {contiguous::queries, contiguous::keys}) {
    owned_tile<TestType> block(along, 12, 12);
    block.tile.head = 1;
    std::vector<TestType> scratch(static_cast<std::size_t>(encoding.scratch_size(12)));
    block.tile.scratch = scratch.data();
    hooks::begin(encoding, block.tile);
    hooks::add_to_scores(encoding, block.tile);
    for (position_t q = 0; q < 12; ++q) {
      for (position_t k = 0; k < 12; ++k) {
        const auto [y, x] = encoding.coordinates(encoding.offset(q, k));
        double sum = 0;
        for (std::size_t m = 0; m < 7; ++m) {
          const double hidden = static_cast<double>(weights.w1[2 * m]) * y +
                                static_cast<double>(weights.w1[2 * m + 1]) * x + static_cast<double>(weights.b1[m]);
          sum += static_cast<double>(weights.w2[7 + m]) * std::max(hidden, 0.0);
        }
        const double bias = static_cast<double>(block.tile.score(q, k));
        CHECK(std::abs(bias - 16 / (1 + std::exp(-sum))) < 256 * std::numeric_limits<TestType>::epsilon());
        CHECK(block.tile.score(q, k) == tabulated.bias(1, q, k));
      }
    }
  }
}

TEST_CASE("swin_v2_bias: a unit that is NaN has gradients", "[swin_v2_bias]") {
  const network<double> weights;
  swin_v2_bias<double> encoding(weights.params({.height = 2, .width = 2}));
  constexpr std::size_t b1 = 2 * 7, w2 = 3 * 7;  // of `parameters()`
  for (std::size_t m = 0; m < 7; ++m) {
    CAPTURE(m);
    const double before = std::exchange(encoding.parameters()[b1 + m], std::nan(""));
    owned_tile<double> block(contiguous::queries, 4, 4);
    std::vector<double> upstream(block.scores.size(), 1.0), all(encoding.parameters().size(), 0.0);
    score_gradients<double> into;
    into.scores = upstream.data();
    into.parameters = all;
    hooks::add_to_scores_backward(encoding, block.tile, into);
    for (const std::size_t i : {2 * m, 2 * m + 1, b1 + m, w2 + m}) CHECK(std::isnan(all[i]));
    encoding.parameters()[b1 + m] = before;
  }
}

TEST_CASE("swin_v2_bias: positions outside the window are found before attention starts", "[swin_v2_bias]") {
  const network<float> weights;
  const swin_v2_bias<float> encoding(weights.params({.height = 2, .width = 2}));
  CHECK_FALSE(encoding.check_scores({.num_heads = 2}, positions(0, 4), positions(0, 4)));
  CHECK(encoding.check_scores({.num_heads = 2}, positions(0, 5), positions(0, 4)).message() ==
        "attend: queries: positions[4] is 4, expected at most 3, the last of the window");
  CHECK(encoding.check_scores({.num_heads = 3}, positions(0, 4), positions(0, 4)).message() ==
        "attend: num_heads is 3, expected at most 2, the heads of the encoding");
}

TEST_CASE("swin_v2_bias: the error names argument, value and rule", "[swin_v2_bias]") {
  const network<float> weights;
  const auto refused = [&](auto change, const char* message) {
    swin_v2_params<float> params = weights.params({.height = 2, .width = 2});
    change(params);
    CHECK_THROWS_WITH(swin_v2_bias<float>(params), message);
  };
  refused([](auto& p) { p.window.class_token = true; },
          "swin_v2_bias: class_token is 1, expected 0: its windows have none");
  refused([](auto& p) { p.num_heads = 0; }, "swin_v2_bias: num_heads is 0, expected at least 1");
  refused([](auto& p) { p.mlp_width = 0; }, "swin_v2_bias: mlp_width is 0, expected at least 1");
  refused([](auto& p) { p.mlp_width = 6; }, "swin_v2_bias: size of w1 is 14, expected 12");
  refused([](auto& p) { p.b1 = p.w1; }, "swin_v2_bias: size of b1 is 14, expected 7");
  refused([](auto& p) { p.w2 = p.b1; }, "swin_v2_bias: size of w2 is 7, expected 14");
  refused([](auto& p) { p.pretrained_height = 1; }, "swin_v2_bias: pretrained_height is 1, expected 0 or at least 2");
}
