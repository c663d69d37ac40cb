#include <posenc/encodings/deberta.hpp>

#include "hold.hpp"

#include <vector>

using namespace posenc;

namespace {

template <class T>
void check(index_t position_buckets, bool keys, bool queries) {
  const index_t span = position_buckets > 0 ? position_buckets : 20;
  const std::vector<T> all = random_table<T>(2 * 3 * 2 * span * 9);
  const std::span<const T> numbers = all;
  deberta_params<T> params{.num_heads = 3, .head_dim = 9, .max_relative_positions = 20};
  params.position_buckets = position_buckets;
  if (keys) params.pos_keys = numbers.first(all.size() / 2);
  if (queries) params.pos_queries = numbers.last(all.size() / 2);
  const law_report report = laws_hold<T>(deberta<T>(params), {.claims = {.distance_only = true}});
  CHECK(ran(report, "scores: the bias depends on distance alone"));
  CHECK(ran(report, "scores: their adjoint matches finite differences"));
}

}  // namespace

TEMPLATE_TEST_CASE("laws: deberta", "[laws]", float, double) {
  check<TestType>(8, true, true);
  check<TestType>(8, true, false);
  check<TestType>(8, false, true);
  check<TestType>(0, true, true);
}
