#include <posenc/encodings/fire.hpp>

#include "hold.hpp"

#include <algorithm>
#include <vector>

using namespace posenc;

namespace {

template <class T>
struct weights {
  std::vector<T> w1 = random_table<T>(5), b1 = random_table<T>(5), w2 = random_table<T>(3 * 5), b2 = random_table<T>(3);

  fire_params<T> params(double threshold, bool symmetric) const {
    fire_params<T> p{.num_heads = 3, .mlp_width = 5, .w1 = w1, .b1 = b1, .w2 = w2, .b2 = b2};
    p.c = T(0.5);
    p.threshold_factor = T(-1.5);
    p.threshold = threshold;
    p.symmetric = symmetric;
    return p;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("laws: fire", "[laws]", float, double) {
  using T = compute_t<TestType>;
  const weights<T> network;
  // A threshold of 2.25 positions is within the tile of the finite differences, one of 300 is beyond it.
  for (const double threshold : {1.5, 200.0}) {
    CAPTURE(threshold);
    const law_report report = laws_hold<TestType>(fire<T>(network.params(threshold, threshold < 2)));
    CHECK(ran(report, "scores: their adjoint matches finite differences"));
    CHECK(!ran(report, "scores: the bias depends on distance alone"));
  }
}

TEST_CASE("laws: fire in a window", "[laws]") {
  const weights<double> network;
  const auto r_max = [](position_t m) noexcept { return std::min(m, position_t{3}); };
  laws_hold<double>(fire<double, decltype(r_max)>(network.params(1.5, false), r_max));
}
