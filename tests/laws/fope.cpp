#include <posenc/encodings/fope.hpp>
#include <posenc/scaling/default.hpp>

#include "hold.hpp"
#include "random_values.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: fope", "[laws]", float, double, bf16, f16) {
  using T = compute_t<TestType>;
  random_values random(7);
  CAPTURE(random.seed());
  const frequencies list = faster_than(default_frequencies({.head_dim = 8}), 100);
  for (const pairing pairs : {pairing::half, pairing::interleaved}) {
    const fope<T> encoding(list, random.list<T>(2 * 2 * 4), {.num_heads = 2, .rotary_dim = 8, .layout = pairs});
    law_options options{.claims = {.turns_by_head = true}};
    options.num_heads = 4;
    options.head_dim = 9;
    const law_report report = laws_hold<TestType>(encoding, options);
    CHECK(ran(report, "apply_to_queries: its adjoint matches finite differences"));
  }
}
