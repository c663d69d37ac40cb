#include <posenc/encodings/mixed_rope.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace posenc;

namespace {

template <class T>
const T& at(const std::vector<T>& list, index_t i) {
  return list[static_cast<std::size_t>(i)];
}

}  // namespace

TEMPLATE_TEST_CASE("mixed_rope: each head turns each pair by its own sum over the axes", "[mixed_rope]", float,
                   double) {
  constexpr index_t num_axes = 3, num_heads = 2, num_pairs = 5, num_tokens = 4;
  random_values random(3);
  CAPTURE(random.seed());
  const std::vector<TestType> inv_freq = random.list<TestType>(num_axes * num_heads * num_pairs);
  const std::vector<double> values = random.list<double>(num_axes * num_tokens, -20, 20);
  const real_positions p(values, num_axes);
  for (const pairing pairs : {pairing::half, pairing::interleaved}) {
    CAPTURE(pairs == pairing::half);
    const mixed_rope<TestType> encoding(pairs, inv_freq, {.num_axes = num_axes, .num_heads = num_heads});
    const owned_heads<TestType> x(random, num_tokens, num_heads, 2 * num_pairs + 1);
    owned_heads<TestType> y = x;
    apply_to_keys(encoding, y.view(), p);
    for (index_t t = 0; t < num_tokens; ++t) {
      for (index_t h = 0; h < num_heads; ++h) {
        const TestType* in = x.view().row(t, h);
        const TestType* out = y.view().row(t, h);
        for (index_t i = 0; i < num_pairs; ++i) {
          double angle = 0;
          for (index_t a = 0; a < num_axes; ++a)
            angle += p.at(a, t) * static_cast<double>(at(inv_freq, (a * num_heads + h) * num_pairs + i));
          const index_t first = pairs == pairing::half ? i : 2 * i;
          const index_t second = pairs == pairing::half ? i + num_pairs : 2 * i + 1;
          const double x0 = static_cast<double>(in[first]), x1 = static_cast<double>(in[second]);
          // Two products and a sum in the element type, two numbers of size 1; the angle above is good to 2^-47.
          const double allowed = 4 * static_cast<double>(std::numeric_limits<TestType>::epsilon()) + 0x1p-46;
          CHECK(std::abs(static_cast<double>(out[first]) - (x0 * std::cos(angle) - x1 * std::sin(angle))) < allowed);
          CHECK(std::abs(static_cast<double>(out[second]) - (x0 * std::sin(angle) + x1 * std::cos(angle))) < allowed);
        }
        CHECK(out[2 * num_pairs] == in[2 * num_pairs]);
      }
    }
  }
}

TEMPLATE_TEST_CASE("mixed_rope: the sum is exact at the ends of 32 bits", "[mixed_rope]", float, double) {
  // 2^31 - 1 times 1 - 2^-20, and back by -2^31 times 2^-21 and more: what is left is small, and known.
  const std::vector<TestType> inv_freq{TestType(1) - TestType(0x1p-20), TestType(1)};
  const mixed_rope<TestType> encoding(pairing::half, inv_freq, {.num_heads = 1});
  constexpr position_t last = std::numeric_limits<position_t>::max();
  const std::vector<position_t> ids{last, -last};
  std::vector<TestType> x{1, 0};
  apply_to_queries(encoding, head_view<TestType>(x.data(), 1, 1, 2), positions(ids, 2));
  const double angle = -0x1p-20 * static_cast<double>(last);  // exact: 31 bits
  CHECK(std::abs(static_cast<double>(x[0]) - std::cos(angle)) <= 0.51 * std::numeric_limits<TestType>::epsilon());
  CHECK(std::abs(static_cast<double>(x[1]) - std::sin(angle)) <= 0.51 * std::numeric_limits<TestType>::epsilon());
}

TEST_CASE("mixed_rope: float agrees whether its sums are short or not", "[mixed_rope]") {
  // The second frequency sends both pairs the exact way, and leaves the first pair's angle as it was.
  for (const double coordinate : {0.25, -3.0, 1000.0, 65535.5}) {
    const std::vector<double> values{coordinate};
    std::vector<float> near{1, 0}, far{1, 1, 0, 0};
    apply_to_keys(mixed_rope<float>(pairing::half, {0.9F}, {.num_axes = 1, .num_heads = 1}),
                  head_view<float>(near.data(), 1, 1, 2), real_positions(values));
    apply_to_keys(mixed_rope<float>(pairing::half, {0.9F, 1e9F}, {.num_axes = 1, .num_heads = 1}),
                  head_view<float>(far.data(), 1, 1, 4), real_positions(values));
    CHECK(std::abs(near[0] - far[0]) <= 0x1p-24F);
    CHECK(std::abs(near[1] - far[2]) <= 0x1p-24F);
  }
}

TEST_CASE("mixed_rope: one frequency on one axis each is axial", "[mixed_rope]") {
  const std::vector<double> inv_freq{0.5, 0, 0, 0.25};  // pair 0 by the first axis, pair 1 by the second
  const mixed_rope<double> encoding(pairing::interleaved, inv_freq, {.num_heads = 1});
  const std::vector<position_t> ids{3, 5};
  std::vector<double> x{1, 0, 1, 0};
  apply_to_queries(encoding, head_view<double>(x.data(), 1, 1, 4), positions(ids, 2));
  CHECK(std::abs(x[0] - std::cos(1.5)) < 1e-15);
  CHECK(std::abs(x[1] - std::sin(1.5)) < 1e-15);
  CHECK(std::abs(x[2] - std::cos(1.25)) < 1e-15);
  CHECK(std::abs(x[3] - std::sin(1.25)) < 1e-15);
}

TEST_CASE("mixed_rope: training starts from pairs along and across a direction of each head", "[mixed_rope]") {
  const std::vector<double> directions{0.0, 0.75};
  const std::vector<double> f = mixed_rope_frequencies<double>(8, directions);
  REQUIRE(f.size() == 2 * 2 * 4);
  for (index_t h = 0; h < 2; ++h) {
    for (index_t k = 0; k < 2; ++k) {
      const double size = std::pow(10.0, -static_cast<double>(4 * k) / 8);
      const double a = at(directions, h);
      CHECK(std::abs(at(f, h * 4 + k) - size * std::cos(a)) < 1e-15);
      CHECK(std::abs(at(f, 8 + h * 4 + k) - size * std::sin(a)) < 1e-15);
      CHECK(std::abs(at(f, h * 4 + 2 + k) + size * std::sin(a)) < 1e-15);
      CHECK(std::abs(at(f, 8 + h * 4 + 2 + k) - size * std::cos(a)) < 1e-15);
    }
  }
}

TEST_CASE("mixed_rope: a frequency that is no number turns its pair into NaN, and no other", "[mixed_rope]") {
  const std::vector<float> inv_freq{std::numeric_limits<float>::infinity(), 1.0F};
  std::vector<float> x{1, 1, 1, 1};
  apply_to_keys(mixed_rope<float>(pairing::interleaved, inv_freq, {.num_axes = 1, .num_heads = 1}),
                head_view<float>(x.data(), 1, 1, 4), positions(1, 1));
  CHECK(x[0] != x[0]);
  CHECK(std::abs(x[2] - static_cast<float>(std::cos(1.0) - std::sin(1.0))) < 1e-6F);
}

TEST_CASE("mixed_rope: the error names argument, value and rule", "[mixed_rope]") {
  const auto made = [](index_t size, const mixed_rope_params& params) {
    return mixed_rope<float>(pairing::half, std::vector<float>(static_cast<std::size_t>(size)), params);
  };
  CHECK_THROWS_WITH(made(4, {.num_axes = 9, .num_heads = 1}), "mixed_rope: num_axes is 9, expected from 1 to 8");
  CHECK_THROWS_WITH(made(4, {}), "mixed_rope: num_heads is 0, expected at least 1");
  CHECK_THROWS_WITH(made(4, {.num_heads = 1, .first_column = -1}),
                    "mixed_rope: first_column is -1, expected at least 0");
  CHECK_THROWS_WITH(made(5, {.num_heads = 2}),
                    "mixed_rope: number of frequencies is 5, expected a multiple of 4, num_axes times num_heads");
  CHECK_THROWS_WITH(made(0, {.num_heads = 2}),
                    "mixed_rope: number of frequencies is 0, expected a multiple of 4, num_axes times num_heads");
  CHECK_THROWS_WITH(made(258, {.num_heads = 1}), "mixed_rope: number of pairs is 129, expected at most 128");
  CHECK_THROWS_WITH(mixed_rope_frequencies<float>(6, {}),
                    "mixed_rope_frequencies: head_dim is 6, expected a multiple of 4");
  CHECK_THROWS_WITH(mixed_rope_frequencies<float>(8, {}, 0),
                    "mixed_rope_frequencies: rope_theta is 0, expected above 0 and finite");

  std::vector<float> x(12, 1.0F);
  const auto encoding = made(8, {.num_heads = 2});
  CHECK_THROWS_WITH(apply_to_keys(encoding, head_view<float>(x.data(), 1, 3, 4), positions(0, 1)),
                    "rotate: num_heads is 3, expected 2, those with frequencies");
  CHECK_THROWS_WITH(apply_to_keys(encoding, head_view<float>(x.data(), 1, 2, 3), positions(0, 1)),
                    "rotate: head_dim is 3, expected at least 4, the end of the rotary slice");
  CHECK(x == std::vector<float>(12, 1.0F));
}
