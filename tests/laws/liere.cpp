#include <posenc/encodings/liere.hpp>

#include "hold.hpp"
#include "random_values.hpp"

#include <type_traits>

using namespace posenc;

TEMPLATE_TEST_CASE("laws: liere", "[laws]", float, double, bf16, f16) {
  using T = compute_t<TestType>;
  random_values random(3);
  CAPTURE(random.seed());
  // The exponential is within 2^-50 times its argument's norm, which far from 0 is more than lengths in double allow.
  law_options options{.claims = {.norm_factor = std::is_same_v<T, float> ? 1.0 : 0.0, .learned_angles = true}};
  options.head_dim = 9;
  const liere<T> encoding(random.list<T>(2 * 2 * 6, -0.01, 0.01), {.num_blocks = 2, .block_dim = 4});
  const law_report report = laws_hold<TestType>(encoding, options);
  CHECK(ran(report, "apply_to_queries: its adjoint matches finite differences"));
}
