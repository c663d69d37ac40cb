#include <posenc/encodings/tabulated.hpp>

#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: tabulated_bias", "[laws]", float, double) {
  using T = compute_t<TestType>;
  const law_report report = laws_hold<TestType>(tabulated_bias<T>(random_table<T>(3 * 401), 3, 200));
  CHECK(ran(report, "scores: the bias depends on distance alone"));
  CHECK(ran(report, "scores: their adjoint matches finite differences"));
}
