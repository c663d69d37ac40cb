#include <posenc/encodings/llama4_temperature.hpp>

#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: llama4_temperature", "[laws]", float, double, bf16, f16) {
  const law_report report = laws_hold<TestType>(llama4_temperature({.attn_scale = 0.5, .floor_scale = 4}));
  CHECK(ran(report, "apply_to_queries: its adjoint matches finite differences"));
  CHECK(lacks(report, "an effect of apply_to_keys: it is there, and changes nothing"));
}
