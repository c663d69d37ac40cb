#include <posenc/encodings/transformer_xl.hpp>

#include "hold.hpp"

#include <vector>

using namespace posenc;

namespace {

template <class T>
transformer_xl<T> random_encoding(const relative_range& range) {
  const std::vector<T> all = random_table<T>((2 + range.size()) * 3 * 9);
  const std::span<const T> numbers = all;
  return {numbers.first(27), numbers.subspan(27, 27), numbers.subspan(54), 3, range};
}

}  // namespace

TEMPLATE_TEST_CASE("laws: transformer_xl", "[laws]", float, double) {
  using T = compute_t<TestType>;
  for (const relative_range& range :
       {relative_range{-4, 6, true}, relative_range{-200, 201, false}, relative_range{0, 201, false}}) {
    CAPTURE(range.first, range.last);
    const law_report report = laws_hold<TestType>(random_encoding<T>(range), {.claims = {.distance_only = true}});
    CHECK(ran(report, "scores: the bias depends on distance alone"));
    CHECK(ran(report, "scores: their adjoint matches finite differences"));
  }
}
