#include <posenc/encodings/t5_bias.hpp>

#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: t5_bias", "[laws]", float, double, bf16, f16) {
  using T = compute_t<TestType>;
  for (const bool bidirectional : {true, false}) {
    CAPTURE(bidirectional);
    const t5_bias<T> encoding(random_table<T>(32 * 3), {.bidirectional = bidirectional});
    const law_report report = laws_hold<TestType>(encoding);
    CHECK(ran(report, "scores: the bias depends on distance alone"));
    CHECK(ran(report, "fill_bias: is the bias of a tile"));
  }
  laws_hold<TestType>(t5_bias<T>(random_table<T>(8 * 2), {.num_buckets = 8, .max_distance = 20}));
}
