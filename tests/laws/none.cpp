#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: none", "[laws]", float, double, bf16, f16) {
  const law_report report = laws_hold<TestType>(no_encoding{});
  CHECK(ran(report, "attention: without positions, order means nothing"));
}

TEST_CASE("laws: none keeps them with any heads and any number of tokens", "[laws]") {
  for (const index_t num_tokens : {3, 8, 64, 130}) {
    for (const index_t head_dim : {1, 16, 40}) {
      CAPTURE(num_tokens, head_dim);
      laws_hold<float>(no_encoding{}, {.num_tokens = num_tokens, .num_heads = 4, .head_dim = head_dim});
    }
  }
}
