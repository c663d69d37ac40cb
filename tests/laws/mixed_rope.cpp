#include <posenc/encodings/mixed_rope.hpp>

#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: mixed_rope", "[laws]", float, double, bf16, f16) {
  using T = compute_t<TestType>;
  for (const pairing pairs : {pairing::half, pairing::interleaved}) {
    for (const index_t first_column : {0, 1}) {
      CAPTURE(pairs == pairing::half, first_column);
      const mixed_rope<T> encoding(pairs, random_table<T>(2 * 3 * 4), {.num_heads = 3, .first_column = first_column});
      const law_report report = laws_hold<TestType>(
          encoding,
          {.claims = {.distance_only = true, .norm_factor = 1, .learned_angles = true, .turns_by_head = true}});
      CHECK(ran(report, "queries and keys: their product depends on distance alone"));
      CHECK(ran(report, "apply_to_keys: its adjoint matches finite differences"));
      CHECK(ran(report, "apply_to_queries: positions of one axis are the same on all"));
    }
  }
}
