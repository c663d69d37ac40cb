// The power of two that softmax weights are made of.
#include "../catch.hpp"

#include <posenc/attention/tile/exponential.hpp>
#include <posenc/attention/tile/power_of_two.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace {

using namespace posenc;
using vector = kernels::vector<float>;

float power_of_two(float x) { return detail::power_of_two(x - vector{})[0]; }

std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }

TEST_CASE("power_of_two: within 2.2 ulp, and zero or far from subnormal", "[power_of_two]") {
  double worst = 0;
  bool never_small = true, zero_far_below = true;
  for (double at = -150; at <= 127; at += 0x1.1p-10) {
    const auto x = static_cast<float>(at);
    const float y = power_of_two(x);
    never_small = never_small && (bits_of(y) == 0 || y >= 0x1p-102F);
    if (x < -101.5F) {
      zero_far_below = zero_far_below && bits_of(y) == 0;
      continue;
    }
    const double truth = std::exp2(static_cast<double>(x));
    worst = std::max(worst, std::abs(static_cast<double>(y) - truth) / std::ldexp(1.0, std::ilogb(truth) - 23));
  }
  INFO("worst error: " << worst << " ulp");
  CHECK(worst < 2.2);
  CHECK(never_small);
  CHECK(zero_far_below);
}

TEST_CASE("power_of_two: what lies far below gives zero, and NaN stays NaN", "[power_of_two]") {
  const float infinity = std::numeric_limits<float>::infinity(), not_a_number = std::numeric_limits<float>::quiet_NaN();
  CHECK(bits_of(power_of_two(-infinity)) == 0);
  CHECK(bits_of(power_of_two(std::numeric_limits<float>::lowest())) == 0);
  CHECK((bits_of(power_of_two(not_a_number)) & 0x7fff'ffffU) > 0x7f80'0000U);
  CHECK(power_of_two(0.0F) == 1);
  CHECK(detail::exponential(vector{} - infinity)[0] == 0);
}

}  // namespace
