#include <posenc/encodings/kerple.hpp>

#include "hold.hpp"

#include <vector>

using namespace posenc;

TEMPLATE_TEST_CASE("laws: kerple", "[laws]", float, double, bf16, f16) {
  using T = compute_t<TestType>;
  const std::vector<T> r1{T(0.5), T(1.25), T(0.25)}, r2{T(0.75), T(0.5), T(1.5)};
  for (const kerple_kernel kernel : {kerple_kernel::log, kerple_kernel::power}) {
    const law_report report = laws_hold<TestType>(kerple<T>(kernel, r1, r2));
    CHECK(ran(report, "scores: the bias depends on distance alone"));
    CHECK(ran(report, "fill_bias: is the bias of a tile"));
    CHECK(ran(report, "scores: their adjoint matches finite differences"));
  }
}
