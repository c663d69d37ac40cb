#include <posenc/encodings/forgetting.hpp>

#include "hold.hpp"

#include <vector>

using namespace posenc;

TEMPLATE_TEST_CASE("laws: forgetting", "[laws]", float, double) {
  using T = compute_t<TestType>;
  const std::vector<T> logits = random_table<T>(3 * 80);
  const std::vector<T> sums = sum_log_gates(token_view<const T>(logits.data(), 80, 3));
  const law_report report = laws_hold<TestType>(forgetting<T>(sums.data(), {.num_heads = 3, .num_tokens = 80}));
  CHECK(ran(report, "scores: their adjoint matches finite differences"));
  CHECK(lacks(report, "parameters(): gradients of its parameters went unchecked"));  // it does not own the sums
}
