// cos_sin in float at every position against cos_sin in double, and that against power series with 250 bits.
#include <posenc/angles/consecutive.hpp>
#include <posenc/angles/cos_sin.hpp>

#include "angles/long_cos_sin.hpp"
#include "catch.hpp"
#include "random_values.hpp"
#include "ulp.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

using namespace posenc;

namespace {

/// The worst error over [first, end), of positions each for itself and one after another.
double worst_error(const frequencies& f, std::int64_t first, std::int64_t end) {
  detail::consecutive_angles in_a_row(f, 0, 2);
  double worst = 0;
  for (std::int64_t p = first; p < end; ++p) {
    const auto position = static_cast<position_t>(p);
    std::array<float, 4> cos, sin;
    std::array<double, 2> exact_cos, exact_sin;
    cos_sin(f, &position, 0, 2, cos.data(), sin.data());
    in_a_row.row(position, cos.data() + 2, sin.data() + 2);
    cos_sin(f, &position, 0, 2, exact_cos.data(), exact_sin.data());
    for (std::size_t i = 0; i < 4; ++i) {
      worst = std::max({worst, ulp_error(cos[i], exact_cos[i % 2]), ulp_error(sin[i], exact_sin[i % 2])});
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("cos_sin and consecutive_angles: float is within 0.5001 ulp at every position from 1 on", "[cos_sin]") {
  // Negative positions differ in a sign.
  const frequencies f = geometric_frequencies(10000, 2, 16);
  const std::int64_t end = std::int64_t{1} << 31;
  const std::int64_t num_threads = std::max(1U, std::thread::hardware_concurrency());
  std::vector<double> worst(static_cast<std::size_t>(num_threads));
  std::vector<std::thread> threads;
  for (std::int64_t t = 0; t < num_threads; ++t) {
    threads.emplace_back([&, t] {
      worst[static_cast<std::size_t>(t)] =
          worst_error(f, 1 + (end - 1) * t / num_threads, 1 + (end - 1) * (t + 1) / num_threads);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double largest = *std::max_element(worst.begin(), worst.end());
  WARN("worst error: " << largest << " ulp");
  CHECK(largest <= 0.5001);
}

TEST_CASE("cos_sin: double is within 0.51 ulp at a million positions", "[cos_sin]") {
  random_values random(1);
  double worst = 0;
  for (int i = 0; i < 1000; ++i) {
    const double theta = std::exp2(random.real(4, 40));
    const index_t num_pairs = random.whole(1, 128);
    const frequencies f = geometric_frequencies(theta, num_pairs, static_cast<double>(num_pairs));
    for (int k = 0; k < 1000; ++k) {
      const auto position = static_cast<position_t>(random.bits() >> random.whole(0, 31));
      const index_t pair = random.whole(0, num_pairs - 1);
      double cos, sin;
      cos_sin(f, &position, pair, 1, &cos, &sin);
      const wide inv_freq = wide::from_fixed_point(f.table().turns[static_cast<std::size_t>(pair)]) * 2 * wide::pi();
      const long_cos_sin exact = long_cos_sin_of(position * inv_freq);
      worst = std::max({worst, ulp_error(cos, exact.cos), ulp_error(sin, exact.sin)});
    }
  }
  WARN("worst error: " << worst << " ulp");
  CHECK(worst <= 0.51);
}
