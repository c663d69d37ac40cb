#include <posenc/encodings/xpos.hpp>
#include <posenc/scaling/default.hpp>

#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: xpos", "[laws]", float, double, bf16, f16) {
  for (const pairing pairs : {pairing::half, pairing::interleaved}) {
    CAPTURE(pairs == pairing::half);
    const law_report report =
        laws_hold<TestType>(xpos(rope(pairs, default_frequencies({.head_dim = 8})), {.scale_base = 4096}),
                            {.claims = {.distance_only = true}});
    CHECK(ran(report, "apply_to_keys: its adjoint matches finite differences"));
    CHECK(ran(report, "apply_to_keys: refuses wherever the fault stands, and before anything is written"));
  }
}

TEMPLATE_TEST_CASE("laws: xpos as it is by default, on a slice, amid its positions", "[laws]", float, double, f16) {
  const xpos encoding(rope(pairing::half, default_frequencies({.head_dim = 6}), 1), {.centre = 30});
  laws_hold<TestType>(encoding, {.claims = {.distance_only = true}});
}
