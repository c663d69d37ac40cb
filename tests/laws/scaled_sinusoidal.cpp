#include <posenc/encodings/scaled_sinusoidal.hpp>

#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: scaled_sinusoidal", "[laws]", float, double, bf16, f16) {
  for (const index_t dim : {2, 18, 130}) {
    CAPTURE(dim);
    const law_report report =
        laws_hold<TestType>(scaled_sinusoidal<compute_t<TestType>>({.dim = dim, .scale = dim == 18 ? -0.75 : 0.5}));
    CHECK(ran(report, "add_to: its adjoint matches finite differences"));
    CHECK(ran(report, "add_to: whole real positions agree with integers"));
  }
}
