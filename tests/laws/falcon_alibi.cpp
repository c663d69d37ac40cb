#include <posenc/encodings/falcon_alibi.hpp>

#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: falcon_alibi", "[laws]", float, double) {
  const falcon_alibi<compute_t<TestType>> encoding({.num_heads = 7, .scale = 0.125});
  const law_report report = laws_hold<TestType>(encoding);
  CHECK(ran(report, "scores: the bias depends on distance alone"));
  CHECK(ran(report, "fill_bias: is the bias of a tile"));
  CHECK(ran(report, "scores: their adjoint matches finite differences"));
}
