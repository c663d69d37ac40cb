#include <posenc/encodings/cope.hpp>

#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: cope", "[laws]", float, double, bf16, f16) {
  using T = compute_t<TestType>;
  for (const index_t max_positions : {2, 6, 64}) {
    CAPTURE(max_positions);
    const law_report report = laws_hold<TestType>(cope<T>(random_table<T>(max_positions * 8), 8));
    CHECK(ran(report, "scores: their adjoint matches finite differences"));
    CHECK(lacks(report, "an independent bias for each key"));
  }
}

TEST_CASE("laws: cope of a single position carries none, and is found out", "[laws]") {
  const law_report report = check_encoding_laws<double>(cope<double>(random_table<double>(8), 8));
  REQUIRE(report.violations.size() == 1);
  CHECK(report.violations[0].rfind("attention: order means something: ", 0) == 0);
}
