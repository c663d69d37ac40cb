#include <posenc/encodings/scaled_sinusoidal.hpp>

#include "catch.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace posenc;

TEMPLATE_TEST_CASE("scaled_sinusoidal: sines, then cosines, times the scale", "[scaled_sinusoidal]", float, double) {
  constexpr index_t dim = 134;  // more than a block of pairs
  const scaled_sinusoidal<TestType> encoding({.dim = dim, .base = 500, .scale = 0.375});
  const std::vector<double> at{0, 3, -2.5, 1000};
  std::vector<TestType> x(at.size() * dim, TestType(1));
  add_to(encoding, token_view<TestType>(x.data(), 4, dim), at);
  for (std::size_t t = 0; t < at.size(); ++t) {
    for (index_t i = 0; i < dim / 2; ++i) {
      const double angle = at[t] * std::pow(500.0, -static_cast<double>(i) / (dim / 2));
      // Three roundings of numbers below 1.375; the angle above is good to 2^-41.
      const double allowed = 3 * static_cast<double>(std::numeric_limits<TestType>::epsilon()) + 0x1p-40;
      const auto* row = x.data() + t * dim;
      CHECK(std::abs(static_cast<double>(row[i]) - (1 + 0.375 * std::sin(angle))) < allowed);
      CHECK(std::abs(static_cast<double>(row[dim / 2 + i]) - (1 + 0.375 * std::cos(angle))) < allowed);
    }
  }
}

TEST_CASE("scaled_sinusoidal: the scale starts at dim^-1/2", "[scaled_sinusoidal]") {
  CHECK(scaled_sinusoidal<double>({.dim = 64}).parameters()[0] == 0.125);
}

TEST_CASE("scaled_sinusoidal: the gradient of the scale is what it multiplies, weighted", "[scaled_sinusoidal]") {
  const scaled_sinusoidal<double> encoding({.dim = 2, .scale = 3});
  const std::vector<double> upstream{1, 2, 5, 7}, at{0.5, 2};
  std::vector<double> gradient{10};
  encoding.add_to_backward(token_view<const double>(upstream.data(), 2, 2), real_positions(at), std::span(gradient));
  const double expected = 10 + 1 * std::sin(0.5) + 2 * std::cos(0.5) + 5 * std::sin(2.0) + 7 * std::cos(2.0);
  CHECK(std::abs(gradient[0] - expected) < 1e-14);
}

TEST_CASE("scaled_sinusoidal: the error names argument, value and rule", "[scaled_sinusoidal]") {
  using encoding = scaled_sinusoidal<float>;
  CHECK_THROWS_WITH(encoding({.dim = 5}), "scaled_sinusoidal: dim is 5, expected even and at least 2");
  CHECK_THROWS_WITH(encoding({.dim = 0}), "scaled_sinusoidal: dim is 0, expected even and at least 2");
  CHECK_THROWS_WITH(encoding({.dim = 4, .base = -1}), "geometric_frequencies: base is -1, expected above 0 and finite");
  CHECK_THROWS_WITH(encoding({.dim = 4, .scale = std::numeric_limits<double>::infinity()}),
                    "scaled_sinusoidal: scale is inf, expected a finite number");
  std::vector<float> x(6, 1.0F);
  CHECK_THROWS_WITH(add_to(encoding({.dim = 4}), token_view<float>(x.data(), 1, 6), positions(0, 1)),
                    "add_to: dim is 6, expected 4, the width of the encoding");
  CHECK(x == std::vector<float>(6, 1.0F));
}
