#include <posenc/encodings/log_n_scaling.hpp>

#include <posenc/encode.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace posenc;

TEST_CASE("log_n_scaling: nothing up to the training length, the ratio of logarithms beyond", "[log_n_scaling]") {
  const log_n_scaling encoding(512);
  for (const position_t p : {std::numeric_limits<position_t>::min(), -1, 0, 510, 511}) CHECK(encoding.factor(p) == 1);
  CHECK(encoding.factor(512) == std::log(513.0) / std::log(512.0));
  CHECK(std::abs(encoding.factor(512 * 512 - 1) - 2) < 1e-15);
  CHECK(encoding.factor(std::numeric_limits<position_t>::max()) == std::log(0x1p31) / std::log(512.0));
}

TEMPLATE_TEST_CASE("log_n_scaling: multiplies queries and leaves keys alone", "[log_n_scaling]", float, double, bf16,
                   f16) {
  using T = compute_t<TestType>;
  const log_n_scaling encoding(3);
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

TEST_CASE("log_n_scaling: the error names argument, value and rule", "[log_n_scaling]") {
  CHECK_THROWS_WITH(log_n_scaling(1), "log_n_scaling: training_length is 1, expected at least 2");
}
