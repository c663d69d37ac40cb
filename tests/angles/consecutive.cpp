#include <posenc/angles/consecutive.hpp>

#include "catch.hpp"
#include "ulp.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using namespace posenc;

namespace {

constexpr std::int64_t first_position = std::numeric_limits<position_t>::min();
constexpr std::int64_t last_position = std::numeric_limits<position_t>::max();

struct rows {
  std::vector<float> cos, sin;  // [num_positions, num_pairs]
};

rows rows_of(const frequencies& f, std::int64_t first, std::int64_t num_positions) {
  const index_t num_pairs = f.size();
  const auto size = static_cast<std::size_t>(num_positions * num_pairs);
  rows out{std::vector<float>(size), std::vector<float>(size)};
  detail::consecutive_angles angles(f, 0, num_pairs);
  for (std::int64_t i = 0; i < num_positions; ++i)
    angles.row(static_cast<position_t>(first + i), out.cos.data() + i * num_pairs, out.sin.data() + i * num_pairs);
  return out;
}

/// The largest error of so many positions, against `cos_sin` in double.
double worst_error(const frequencies& f, std::int64_t first, std::int64_t num_positions) {
  const rows got = rows_of(f, first, num_positions);
  std::vector<double> cos(static_cast<std::size_t>(f.size())), sin(cos);
  double worst = 0;
  for (std::size_t i = 0; i < got.cos.size(); ++i) {
    const std::size_t pair = i % cos.size();
    const auto position = static_cast<position_t>(first + static_cast<std::int64_t>(i / cos.size()));
    if (pair == 0) cos_sin(f, &position, 0, f.size(), cos.data(), sin.data());
    worst = std::max({worst, ulp_error(got.cos[i], cos[pair]), ulp_error(got.sin[i], sin[pair])});
  }
  return worst;
}

}  // namespace

TEST_CASE("consecutive_angles: within 0.5001 ulp at every pair, from any start", "[consecutive]") {
  double worst = 0;
  for (const double theta : {100.0, 10000.0, 1e7}) {
    for (const index_t num_pairs : {1, 5, 48, 64}) {
      const frequencies f = geometric_frequencies(theta, num_pairs, static_cast<double>(num_pairs));
      for (const std::int64_t first : {first_position, std::int64_t{-100003}, std::int64_t{-40}, std::int64_t{0},
                                       std::int64_t{131072 - 70}, last_position - 399}) {
        CAPTURE(theta, num_pairs, first);
        const double error = worst_error(f, first, 400);
        CHECK(error <= 0.5001);
        worst = std::max(worst, error);
      }
    }
  }
  WARN("worst error: " << worst << " ulp");
}

// The multiples of a quarter turn that frequency 1 comes nearest to: what is left is far below the error of a sum.
TEST_CASE("consecutive_angles: as precise where a sine or a cosine almost vanishes", "[consecutive]") {
  const frequencies f(std::vector<double>{1.0, 0.25});
  for (const std::int64_t near : {22, 333, 355, 710, 103993, 104348, 208341, 312689, 1068966896}) {
    for (const std::int64_t sign : {1, -1}) {
      CAPTURE(near, sign);
      CHECK(worst_error(f, sign * near - 20, 41) <= 0.5001);
    }
  }
  const rows exact = rows_of(f, 1068966896, 1);
  CHECK(ulp_distance(exact.sin[0], 0x1.1f25882f7d09cp-30F) <= 1);  // by mpmath
}

TEST_CASE("consecutive_angles: what does not turn, hardly turns, or turns backwards", "[consecutive]") {
  const double slowest = detail::reduces_real_positions ? 0x1p-80 : 0x1p-40;  // that cos_sin promises with FMA, without
  const frequencies f(std::vector<double>{0.0, slowest, -1.0, 1e-9, -slowest, 1e18});
  CHECK(worst_error(f, -50, 100) <= 0.5001);
  CHECK(worst_error(f, 1 << 30, 40) <= 0.5001);
  const rows at_zero = rows_of(f, 0, 1);
  CHECK(std::all_of(at_zero.cos.begin(), at_zero.cos.end(), [](float x) { return x == 1; }));
  CHECK(std::all_of(at_zero.sin.begin(), at_zero.sin.end(), [](float x) { return x == 0; }));
}

TEST_CASE("consecutive_angles: a row has the same bits in every range", "[consecutive]") {
  const frequencies f = geometric_frequencies(10000, 64, 64);
  const rows all = rows_of(f, -70, 300);
  for (const std::int64_t first : {-70, -33, -1, 0, 1, 15, 16, 100, 190}) {
    for (const std::int64_t count : {1, 7, 40}) {
      CAPTURE(first, count);
      const rows part = rows_of(f, first, count);
      const auto at = (first + 70) * 64;
      CHECK(std::equal(part.cos.begin(), part.cos.end(), all.cos.begin() + at));
      CHECK(std::equal(part.sin.begin(), part.sin.end(), all.sin.begin() + at));
    }
  }
}

TEST_CASE("consecutive_angles: pairs from any one on, and nothing behind them", "[consecutive]") {
  const frequencies f = geometric_frequencies(500000, 150, 150);
  const rows all = [&] {
    detail::consecutive_angles angles(f, 64, 64);
    rows out{std::vector<float>(64), std::vector<float>(64)};
    angles.row(4321, out.cos.data(), out.sin.data());
    return out;
  }();
  for (const index_t first : {0, 1, 17, 63}) {
    for (const index_t count : {0, 1, 31, 33}) {
      const index_t within = std::min(count, 64 - first);
      CAPTURE(first, within);
      std::vector<float> cos(65, 5.0F), sin(65, 5.0F);
      detail::consecutive_angles angles(f, 64 + first, within);
      angles.row(4321, cos.data(), sin.data());
      CHECK(std::equal(cos.begin(), cos.begin() + within, all.cos.begin() + first));
      CHECK(std::equal(sin.begin(), sin.begin() + within, all.sin.begin() + first));
      CHECK(std::all_of(cos.begin() + within, cos.end(), [](float x) { return x == 5; }));
      CHECK(std::all_of(sin.begin() + within, sin.end(), [](float x) { return x == 5; }));
    }
  }
}

TEST_CASE("consecutive_angles: one position stands for every axis", "[consecutive]") {
  const frequencies f(std::vector<double>{1.0, 0.25, 0.01});
  const frequencies of_three_axes = f.with_axes(std::vector<index_t>{0, 1, 2});
  for (const std::int64_t near : {0, 355, 1068966896}) {
    const rows expected = rows_of(f, near - 20, 41), got = rows_of(of_three_axes, near - 20, 41);
    CAPTURE(near);
    CHECK(got.cos == expected.cos);
    CHECK(got.sin == expected.sin);
  }
}
