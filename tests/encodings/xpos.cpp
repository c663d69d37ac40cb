#include <posenc/encodings/xpos.hpp>
#include <posenc/scaling/default.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace posenc;

namespace {

rope eight(pairing pairs = pairing::interleaved) { return rope(pairs, default_frequencies({.head_dim = 8})); }

template <class Act>
std::vector<double> turned(std::vector<double> x, position_t p, Act act) {
  act(head_view<double>(x.data(), 1, 1, std::ssize(x)), positions(p, 1));
  return x;
}

}  // namespace

TEST_CASE("xpos: a rotation times the factor of the pair, inverse for keys", "[xpos]") {
  const xpos encoding(eight(), {.scale_base = 64, .centre = 3});
  const std::vector<double> x{1, 0, 1, 0, 1, 0, 1, 0};
  for (const position_t p : {0, 3, 4, 100, -50}) {
    CAPTURE(p);
    const auto plain = turned(x, p, [](auto view, auto at) { rotate(eight(), view, at); });
    const auto query = turned(x, p, [&](auto view, auto at) { apply_to_queries(encoding, view, at); });
    const auto key = turned(x, p, [&](auto view, auto at) { apply_to_keys(encoding, view, at); });
    for (std::size_t i = 0; i < 8; ++i) {
      const double factor = std::pow((static_cast<double>(i / 2) / 4 + 0.4) / 1.4, (p - 3) / 64.0);
      CHECK(std::abs(query[i] - plain[i] * factor) < 1e-14 * factor);
      CHECK(std::abs(key[i] - plain[i] / factor) < 1e-14 / factor);
    }
  }
}

TEST_CASE("xpos: scores do not depend on the centre", "[xpos]") {
  random_values random(5);
  CAPTURE(random.seed());
  const auto q = random.list<double>(8), k = random.list<double>(8);
  double first = 0;
  for (const position_t centre : {0, 7, -100}) {
    const xpos encoding(eight(pairing::half), {.centre = centre});
    const auto query = turned(q, 40, [&](auto view, auto at) { apply_to_queries(encoding, view, at); });
    const auto key = turned(k, 11, [&](auto view, auto at) { apply_to_keys(encoding, view, at); });
    double score = 0;
    for (std::size_t i = 0; i < 8; ++i) score += query[i] * key[i];
    if (centre == 0) first = score;
    CHECK(std::abs(score - first) < 1e-13);
  }
}

TEST_CASE("xpos: a far key fades", "[xpos]") {
  const xpos encoding(eight());
  const std::vector<double> x{1, 0, 0, 0, 0, 0, 0, 0};
  const auto score = [&](position_t distance) {
    const auto query = turned(x, distance, [&](auto view, auto at) { apply_to_queries(encoding, view, at); });
    const auto key = turned(x, 0, [&](auto view, auto at) { apply_to_keys(encoding, view, at); });
    return std::hypot(query[0], query[1]) * key[0];
  };
  CHECK(score(0) == 1);
  CHECK(std::abs(score(512) - 0.4 / 1.4) < 1e-12);
  CHECK(score(5120) < 1e-5);
}

TEST_CASE("xpos: reaches as far from its centre as the element type does", "[xpos]") {
  const xpos encoding(eight(), {.centre = 1000});
  CHECK(encoding.reach<float>() == 28328);
  CHECK(encoding.reach<bf16>() == 28328);
  CHECK(encoding.reach<f16>() == 1983);
  CHECK(encoding.reach<double>() == 271955);
  std::vector<f16> x(8, f16(1.0F));
  const head_view<f16> view(x.data(), 1, 1, 8);
  for (const position_t p : {1000 - 1984, 1000 + 1984}) {
    CHECK_THROWS_WITH(apply_to_queries(encoding, view, positions(p, 1)),
                      "rotate: positions[0] is " + std::to_string(p) +
                          ", expected at most 1983 from the centre, or the factors leave the element type");
  }
  const std::vector<double> real{3000.5};
  CHECK_THROWS_WITH(apply_to_queries(encoding, view, real_positions(real)),
                    "rotate: positions[0] is 3000.5, expected at most 1983 from the centre, or the factors leave the "
                    "element type");
  for (const f16 value : x) CHECK(static_cast<float>(value) == 1);
  apply_to_keys(encoding, view, positions(1000 + 1983, 1));
  // 2^7 and a little less, times a cosine.
  const float length = std::hypot(static_cast<float>(x[0]), static_cast<float>(x[1]));
  CHECK(length > 120 * std::sqrt(2.0F));
  CHECK(length <= 128 * std::sqrt(2.0F));
}

TEST_CASE("xpos: what does not fit is refused", "[xpos]") {
  CHECK_THROWS_WITH(xpos(eight(), {.scale_base = 0}), "xpos: scale_base is 0, expected above 0 and finite");
  CHECK_THROWS_WITH(xpos(eight(), {.gamma = -1}), "xpos: gamma is -1, expected above 0 and finite");
  CHECK_THROWS_WITH(xpos(eight(), {.gamma = 0}), "xpos: gamma is 0, expected above 0 and finite");
  const std::vector<index_t> axes{0, 1, 0, 1};
  CHECK_THROWS_WITH(xpos(rope(pairing::half, default_frequencies({.head_dim = 8}).with_axes(axes))),
                    "xpos: number of axes is 2, expected 1");
  CHECK_THROWS_WITH(xpos(rope(pairing::half, default_frequencies({.head_dim = 258}))),
                    "xpos: number of frequencies is 129, expected at most 128");
  std::vector<float> x(6, 1.0F);
  CHECK_THROWS_WITH(apply_to_keys(xpos(eight()), head_view<float>(x.data(), 1, 1, 6), positions(0, 1)),
                    "rotate: head_dim is 6, expected at least 8, the end of the rotary slice");
  CHECK(x == std::vector<float>(6, 1.0F));
}
