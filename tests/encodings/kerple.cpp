#include <posenc/encodings/kerple.hpp>

#include <posenc/testing/laws.hpp>

#include "catch.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace posenc;

TEMPLATE_TEST_CASE("kerple: laws", "[kerple]", float, double) {
  const std::vector<TestType> r1{TestType(0.5), TestType(1.25), TestType(0.25)},
      r2{TestType(0.75), TestType(0.5), TestType(1.5)};
  for (const kerple_kernel kernel : {kerple_kernel::log, kerple_kernel::power}) {
    const law_report report = check_encoding_laws<TestType>(kerple<TestType>(kernel, r1, r2));
    for (const std::string& violation : report.violations) FAIL_CHECK(violation);
    CHECK(!report.checked.empty());
  }
}

TEST_CASE("kerple: the formulas of the paper, on both sides of a query", "[kerple]") {
  const std::vector<double> r1{0.5, 2}, r2{3, 0.5};
  const kerple<double> log(kerple_kernel::log, r1, r2), power(kerple_kernel::power, std::vector{2.0}, std::vector{0.5});
  CHECK(log.bias(0, 0) == 0);
  CHECK(power.bias(0, 0) == 0);
  for (const position_t side : {-1, 1}) {
    CHECK(log.bias(0, 5 * side) == -0.5 * std::log1p(15.0));
    CHECK(log.bias(1, 8 * side) == -2 * std::log1p(4.0));
    CHECK(power.bias(0, 9 * side) == -6);
  }
  CHECK(std::isfinite(log.bias(0, std::numeric_limits<position_t>::max())));
}

TEST_CASE("kerple: the error names argument, value and rule", "[kerple]") {
  const auto log = kerple_kernel::log;
  const std::vector<float> none, one{1.0F}, two{1.0F, 2.0F}, zero{0.0F}, three{3.0F};
  CHECK_THROWS_WITH(kerple<float>(log, none, none), "kerple: number of r1 is 0, expected at least 1");
  CHECK_THROWS_WITH(kerple<float>(log, one, two), "kerple: number of r2 is 2, expected 1, that of r1");
  CHECK_THROWS_WITH(kerple<float>(log, zero, one), "kerple: r1 is 0, expected above 0 and finite");
  CHECK_THROWS_WITH(kerple<float>(kerple_kernel::power, one, three), "kerple: r2 is 3, expected at most 2 for a power");
}
