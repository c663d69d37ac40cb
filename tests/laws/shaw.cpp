#include <posenc/encodings/shaw.hpp>

#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: shaw", "[laws]", float, double) {
  using T = compute_t<TestType>;
  for (const index_t num_tables : {1, 3}) {
    CAPTURE(num_tables);
    const shaw<T> encoding(random_table<T>(num_tables * 8 * 9),
                           {.left_max = 5, .right_max = 2, .head_dim = 9, .num_tables = num_tables});
    const law_report report = laws_hold<TestType>(encoding, {.claims = {.distance_only = true}});
    CHECK(ran(report, "scores: the bias depends on distance alone"));
    CHECK(ran(report, "scores: their adjoint matches finite differences"));
  }
}
