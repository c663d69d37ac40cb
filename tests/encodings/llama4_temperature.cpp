#include <posenc/encodings/llama4_temperature.hpp>

#include <posenc/encode.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace posenc;

TEST_CASE("llama4_temperature: steps of the logarithm, from position 8191 on", "[llama4_temperature]") {
  const llama4_temperature encoding;
  for (const position_t p : {std::numeric_limits<position_t>::min(), -8193, -2, -1, 0, 8190})
    CHECK(encoding.factor(p) == 1);
  CHECK(encoding.factor(8191) == 1 + 0.1 * std::log1p(1.0));
  CHECK(encoding.factor(16382) == 1 + 0.1 * std::log1p(1.0));
  CHECK(encoding.factor(16383) == 1 + 0.1 * std::log1p(2.0));
  CHECK(encoding.factor(131071) == 1 + 0.1 * std::log1p(16.0));
  CHECK(std::abs(encoding.factor(8191) - 1.06931) < 1e-5);
  CHECK(std::abs(encoding.factor(131071) - 1.28332) < 1e-5);
  CHECK(std::isfinite(encoding.factor(std::numeric_limits<position_t>::max())));
}

TEMPLATE_TEST_CASE("llama4_temperature: multiplies queries and leaves keys alone", "[llama4_temperature]", float,
                   double, bf16, f16) {
  using T = compute_t<TestType>;
  const llama4_temperature encoding({.attn_scale = 0.5, .floor_scale = 4});
  random_values random(2);
  const owned_heads<TestType> x(random, 3, 2, 37);
  owned_heads<TestType> q = x, k = x;
  const std::vector<position_t> ids{2, 3, 100};
  apply_to_queries(encoding, q.view(), ids);
  apply_to_keys(encoding, k.view(), ids);
  for (index_t t = 0; t < 3; ++t) {
    const T factor = static_cast<T>(encoding.factor(ids[static_cast<std::size_t>(t)]));
    for (index_t h = 0; h < 2; ++h) {
      for (index_t d = 0; d < 37; ++d) {
        const T before = widen<T>(x.view().row(t, h)[d]);
        CHECK(widen<T>(q.view().row(t, h)[d]) == widen<T>(narrow<TestType>(before * factor)));
        CHECK(widen<T>(k.view().row(t, h)[d]) == before);
      }
    }
  }
}

TEST_CASE("llama4_temperature: the error names argument, value and rule", "[llama4_temperature]") {
  CHECK_THROWS_WITH(llama4_temperature({.attn_scale = -1}),
                    "llama4_temperature: attn_scale is -1, expected at least 0 and finite");
  CHECK_THROWS_WITH(llama4_temperature({.floor_scale = 0}),
                    "llama4_temperature: floor_scale is 0, expected above 0 and finite");
}
