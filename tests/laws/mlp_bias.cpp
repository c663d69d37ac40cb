#include <posenc/encodings/mlp_bias.hpp>

#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: mlp_bias", "[laws]", float, double) {
  using T = compute_t<TestType>;
  const law_report report =
      laws_hold<TestType>(mlp_bias<T>(random_table<T>(2 * 7 + 7 * 8 + 3 * 8), {.num_heads = 3, .mlp_width = 7}));
  CHECK(ran(report, "scores: the bias depends on distance alone"));
  CHECK(ran(report, "fill_bias: is the bias of a tile"));
  CHECK(ran(report, "scores: their adjoint matches finite differences"));
}

TEST_CASE("laws: mlp_bias of other depths and inputs", "[laws]") {
  for (const mlp_input input : {mlp_input::log_distance, mlp_input::absolute}) {
    laws_hold<double>(mlp_bias<double>(random_table<double>(2 * 5 + 2 * 6),
                                       {.num_heads = 2, .mlp_width = 5, .depth = 1, .input = input}));
    laws_hold<double>(mlp_bias<double>(random_table<double>(2 * 3 + 3 * 12 + 2 * 4),
                                       {.num_heads = 2, .mlp_width = 3, .depth = 4, .input = input}));
  }
}
