#include <posenc/encodings/sandwich.hpp>

#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: sandwich", "[laws]", float, double) {
  for (const index_t dim : {2, 16, 132}) {
    CAPTURE(dim);
    const law_report report = laws_hold<TestType>(sandwich({.num_heads = 4, .dim = dim}));
    CHECK(ran(report, "scores: the bias depends on distance alone"));
    CHECK(ran(report, "fill_bias: is the bias of a tile"));
  }
}
