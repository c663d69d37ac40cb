#include <posenc/encodings/swin_v2_bias.hpp>

#include "hold.hpp"

#include <vector>

using namespace posenc;

namespace {

// Wide steps, as finite differences in float need them, must not cross the edge of a rectifier: half of the hidden
// units are always on, the others always off.
template <class T>
std::vector<T> far_from_edges() {
  return {T(4), T(-4), T(5), T(-5), T(6), T(-6)};
}

template <class S, class T>
void check(const std::vector<T>& b1) {
  const std::vector<T> w1 = random_table<T>(2 * 6), w2 = random_table<T>(3 * 6);
  const swin_v2_bias<T> encoding({.window = {.height = 8, .width = 9},
                                  .num_heads = 3,
                                  .mlp_width = 6,
                                  .w1 = w1,
                                  .b1 = b1,
                                  .w2 = w2,
                                  .pretrained_height = 4});
  const law_report report = laws_hold<S>(encoding);
  CHECK(ran(report, "scores: their adjoint matches finite differences"));
}

}  // namespace

TEMPLATE_TEST_CASE("laws: swin_v2_bias", "[laws]", float, double) {
  check<TestType>(far_from_edges<compute_t<TestType>>());
}

TEST_CASE("laws: swin_v2_bias with hidden units on and off", "[laws]") { check<double>(random_table<double>(6)); }
