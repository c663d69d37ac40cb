#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/cope.hpp>
#include <posenc/encodings/learned.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/scaling/default.hpp>

#include "hold.hpp"

#include <string>
#include <vector>

using namespace posenc;

namespace {

constexpr law_options relative{.claims = {.distance_only = true, .norm_factor = 1}};

rope small_rope() { return {pairing::half, default_frequencies({.head_dim = 8})}; }

}  // namespace

TEMPLATE_TEST_CASE("laws: rope and alibi as one", "[laws]", float, double, bf16, f16) {
  using T = compute_t<TestType>;
  const law_report report = laws_hold<TestType>(combine(small_rope(), alibi<T>(4)), relative);
  CHECK(ran(report, "fill_bias: is the bias of a tile"));
  CHECK(ran(report, "queries and keys: their product depends on distance alone"));
}

TEMPLATE_TEST_CASE("laws: rope, alibi and cope as one", "[laws]", float, double, bf16, f16) {
  using T = compute_t<TestType>;
  const auto encoding = combine(small_rope(), alibi<T>(4), cope<T>(random_table<T>(6 * 9), 9));
  laws_hold<TestType>(encoding, {.claims = {.norm_factor = 1}});
}

TEMPLATE_TEST_CASE("laws: a table, rope and a bias as one act at all places", "[laws]", float, bf16) {
  using T = compute_t<TestType>;
  const auto encoding = combine(learned<T>(random_table<T>(80 * 12), 12), small_rope(), alibi<T>(4));
  const law_report report = laws_hold<TestType>(encoding, relative);
  CHECK(report.lacks == std::vector<std::string>{"parameters(): gradients of its parameters went unchecked"});
}

TEMPLATE_TEST_CASE("laws: two rotations as one", "[laws]", float, double) {
  const rope other(pairing::interleaved, default_frequencies({.head_dim = 6}), 2);
  laws_hold<TestType>(
      combine(small_rope(), rope(pairing::half, default_frequencies({.head_dim = 8, .rope_theta = 50}))), relative);
  laws_hold<TestType>(combine(small_rope(), other), {.claims = {.norm_factor = 1}});
}

TEST_CASE("laws: cope on both sides of a bias", "[laws]") {
  const cope<double> first(random_table<double>(6 * 4), 4);
  laws_hold<double>(combine(first, alibi<double>(2)));
  laws_hold<double>(combine(alibi<double>(2), first));
}

TEST_CASE("laws: of two encodings that read content no gradient is formed, and the report says so", "[laws]") {
  const cope<double> first(random_table<double>(6 * 4), 4);
  const law_report report = laws_hold<double>(combine(first, first));
  CHECK(lacks(report, "bias_backward or add_to_scores_backward"));
}
