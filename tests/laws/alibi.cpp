#include <posenc/encodings/alibi.hpp>

#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: alibi", "[laws]", float, double, bf16, f16) {
  for (const index_t num_heads : {1, 4, 7}) {
    CAPTURE(num_heads);
    const law_report report = laws_hold<TestType>(alibi<compute_t<TestType>>(num_heads));
    CHECK(ran(report, "scores: the bias depends on distance alone"));
    CHECK(ran(report, "fill_bias: is the bias of a tile"));
    CHECK(ran(report, "scores: their adjoint matches finite differences"));
  }
}

TEST_CASE("laws: alibi in float biases scores in double", "[laws]") { laws_hold<double>(alibi<float>(12)); }
