#include <posenc/encodings/two_sided_alibi.hpp>

#include "hold.hpp"

#include <vector>

using namespace posenc;

TEMPLATE_TEST_CASE("laws: two_sided_alibi", "[laws]", float, double) {
  using T = compute_t<TestType>;
  const std::vector<T> left{T(0.5), T(0.25), T(0.125)}, right{T(0.75), T(0), T(-0.5)};
  const law_report report = laws_hold<TestType>(two_sided_alibi<T>(left, right));
  CHECK(ran(report, "scores: the bias depends on distance alone"));
  CHECK(ran(report, "fill_bias: is the bias of a tile"));
  CHECK(ran(report, "scores: their adjoint matches finite differences"));
}
