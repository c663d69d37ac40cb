#include <posenc/encodings/log_n_scaling.hpp>

#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: log_n_scaling", "[laws]", float, double, bf16, f16) {
  const law_report report = laws_hold<TestType>(log_n_scaling(3));
  CHECK(ran(report, "apply_to_queries: its adjoint matches finite differences"));
  CHECK(lacks(report, "an effect of apply_to_keys: it is there, and changes nothing"));
}
