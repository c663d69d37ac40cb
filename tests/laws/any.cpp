#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/cope.hpp>
#include <posenc/encodings/dense_bias.hpp>
#include <posenc/encodings/learned.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/encodings/sinusoidal.hpp>
#include <posenc/encodings/t5_bias.hpp>
#include <posenc/scaling/default.hpp>

#include "hold.hpp"

#include <vector>

using namespace posenc;

TEMPLATE_TEST_CASE("laws: any_encoding of each", "[laws]", float, double, bf16, f16) {
  using T = compute_t<TestType>;
  using any = any_encoding<TestType>;
  const rope rotary(pairing::half, default_frequencies({.head_dim = 8}));
  const std::vector<TestType> matrix = random_table<TestType>(20 * 22);
  const law_options relative{.claims = {.distance_only = true, .norm_factor = 1}};
  laws_hold<TestType>(any(sinusoidal({.dim = 17})));
  laws_hold<TestType>(any(learned<TestType>(random_table<TestType>(100 * 17), 17)));
  laws_hold<TestType>(any(rotary), relative);
  laws_hold<TestType>(any(alibi<T>(4)), relative);
  laws_hold<TestType>(any(t5_bias<T>(random_table<T>(32 * 3))), relative);
  laws_hold<TestType>(any(dense_bias<TestType>(matrix.data(), {.num_queries = 20, .num_keys = 22})),
                      {.claims = {.by_index = true}});
  laws_hold<TestType>(any(cope<T>(random_table<T>(6 * 8), 8)));
  laws_hold<TestType>(any(combine(rotary, alibi<T>(4))), relative);
  laws_hold<TestType>(any(combine(rotary, alibi<T>(4), cope<T>(random_table<T>(6 * 9), 9))));
}

TEST_CASE("laws: any_encoding of none acts nowhere, and is found out", "[laws]") {
  const law_report report = check_encoding_laws(any_encoding<float>());
  REQUIRE(report.violations.size() == 1);
  CHECK(report.violations[0] == "it acts somewhere: no hook changes anything (seed 1)");
}
