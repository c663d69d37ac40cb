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
#include <type_traits>
#include <utility>
#include <vector>

using namespace posenc;

namespace {

template <real T>
struct pair_of {
  T cos, sin;
};

template <real T, class Position>
pair_of<T> at(const frequencies& f, Position position, index_t pair = 0) {
  pair_of<T> result;
  cos_sin(f, &position, pair, 1, &result.cos, &result.sin);
  return result;
}

template <real T>
constexpr double promised_ulp = sizeof(T) == 4 ? 0.5001 : 0.51;

// The positions below 2^31 that take this frequency nearest to a multiple of a quarter turn: the denominators of the
// continued fraction of quarter turns per position.
std::vector<position_t> hardest_positions(const wide& inv_freq) {
  std::vector<position_t> positions;
  wide x = 2 * inv_freq / wide::pi();
  std::int64_t before = 0, denominator = 1;
  x = x - floor(x);
  while (positions.size() < 60 && x != 0) {
    x = 1 / x;
    const wide next = floor(x) * denominator + before;
    if (next > std::numeric_limits<position_t>::max()) break;
    before = denominator;
    denominator = static_cast<std::int64_t>(static_cast<double>(next));
    positions.push_back(static_cast<position_t>(denominator));
    x = x - floor(x);
  }
  return positions;
}

constexpr position_t first_position = std::numeric_limits<position_t>::min();
constexpr position_t last_position = std::numeric_limits<position_t>::max();

}  // namespace

static_assert(noexcept(cos_sin<float>(std::declval<const frequencies&>(), std::declval<const position_t*>(), 0, 0,
                                      nullptr, nullptr)));
static_assert(noexcept(cos_sin<double>(std::declval<const frequencies&>(), std::declval<const double*>(), 0, 0, nullptr,
                                       nullptr)));

TEMPLATE_TEST_CASE("cos_sin: fifty-digit values, the hardest positions among them", "[cos_sin]", float, double) {
  struct known {
    double rope_theta;
    index_t rotary_dim, pair;
    position_t position;
    double cos, sin;  // by mpmath at 400 bits, rounded to nearest
  };
  const std::array<known, 14> table{{
      {10000, 128, 0, 1, 0x1.14a280fb5068cp-1, 0x1.aed548f090ceep-1},
      {10000, 128, 0, 1068966896, -0x1p+0, 0x1.1f25882f7d09cp-30},
      {10000, 128, 0, -1068966896, -0x1p+0, -0x1.1f25882f7d09cp-30},
      {10000, 128, 0, 710, 0x1.fffffff06393p-1, 0x1.f9bd0303f6fafp-15},
      {10000, 128, 63, last_position, -0x1.dfcec0f0fc1e9p-1, 0x1.655f2917fca95p-2},
      {10000, 128, 5, first_position, -0x1.d82e745103aacp-4, -0x1.fc962afb03f07p-1},
      {500000, 128, 41, 131071, -0x1.113add29f760ep-1, -0x1.b1001e60d18p-1},
      {1000000, 128, 41, -1063591510, -0x1.dddc12304751ap-1, -0x1.6fa9e974e9df7p-2},
      {10000, 64, 2, 959193579, -0x1.26a41373d1659p-1, 0x1.a2b9a18c4cb17p-1},
      {12345.678, 80, 25, 311072891, -0x1p+0, 0x1.190c5f000425p-30},
      {1000000000, 256, 111, 1738021780, -0x1.0a1a6cfffb062p-1, 0x1.b56a96aa0ff17p-1},
      {150000, 64, 12, 131071, 0x1.de64dc29f3128p-1, -0x1.6cdfa7b88995cp-2},
      {10000000, 64, 31, 1, 0x1.fffffffffff85p-1, 0x1.635e883bbc7fap-23},
      {10000000, 64, 31, last_position, -0x1.dd7b561e7d4abp-1, -0x1.719f4a0e36305p-2},
  }};
  for (const known& k : table) {
    CAPTURE(k.rope_theta, k.pair, k.position);
    const index_t num_pairs = k.rotary_dim / 2;
    const frequencies f = geometric_frequencies(k.rope_theta, num_pairs, static_cast<double>(num_pairs));
    const auto got = at<TestType>(f, k.position, k.pair);
    CHECK(ulp_distance(got.cos, static_cast<TestType>(k.cos)) <= 1);
    CHECK(ulp_distance(got.sin, static_cast<TestType>(k.sin)) <= 1);
  }
}

TEMPLATE_TEST_CASE("cos_sin: within the promised ulp at the hardest, the outermost and at random positions",
                   "[cos_sin]", float, double) {
  random_values random(1);
  double worst = 0;
  for (const double theta : {100.0, 10000.0, 500000.0, 1e6, 1e7, 1e9}) {
    const index_t num_pairs = 32;
    const frequencies f = geometric_frequencies(theta, num_pairs, num_pairs);
    for (index_t pair = 0; pair < num_pairs; pair += 3) {
      const wide inv_freq = pow(wide(theta), wide(-pair) / num_pairs);
      std::vector<position_t> positions = hardest_positions(inv_freq);
      positions.insert(positions.end(), {0, 1, -1, first_position, last_position});
      for (int i = 0; i < 4; ++i) positions.push_back(static_cast<position_t>(random.bits()));
      for (const position_t position : positions) {
        CAPTURE(theta, pair, position);
        const long_cos_sin exact = long_cos_sin_of(position * inv_freq);
        const auto got = at<TestType>(f, position, pair);
        const double error = std::max(ulp_error(got.cos, exact.cos), ulp_error(got.sin, exact.sin));
        worst = std::max(worst, error);
        CHECK(error <= promised_ulp<TestType>);
      }
    }
  }
  WARN("worst error: " << worst << " ulp");
}

TEMPLATE_TEST_CASE("cos_sin: within the promised ulp for any frequency and real position", "[cos_sin]", float, double) {
  random_values random(2);
  for (int i = 0; i < 2000; ++i) {
    const double frequency = random.real() * std::exp2(random.real(-60, 40));
    const double position = random.real() * std::exp2(random.real(-30, 60));
    CAPTURE(frequency, position);
    const long_cos_sin exact = long_cos_sin_of(wide(position) * frequency);
    const auto got = at<TestType>(frequencies(std::vector<double>{frequency}), position);
    CHECK(ulp_error(got.cos, exact.cos) <= promised_ulp<TestType>);
    CHECK(ulp_error(got.sin, exact.sin) <= promised_ulp<TestType>);
  }
}

// A position that takes a frequency within 2^-67 of a quarter turn: found by continued fractions over 20000 positions.
TEMPLATE_TEST_CASE("cos_sin: even a list made to miss does not", "[cos_sin]", float, double) {
  struct trap {
    double frequency;
    position_t position;
    double cos, sin;  // by mpmath at 600 bits, rounded to nearest
  };
  const std::array<trap, 3> traps{{
      {0x1.f1bef0e494739p-1, 1932562158, -1, -0x1.a1fdcb4343327p-68},
      {0x1.708da759b9992p-1, 2070965656, -0x1.c98a392af4eefp-67, -1},
      {0x1.bae3884868a88p-2, 1938191370, 0x1.0974639e98032p-65, 1},
  }};
  if (std::is_same_v<TestType, float> && !detail::reduces_real_positions) return;  // promised with FMA only
  for (const trap& t : traps) {
    CAPTURE(t.frequency, t.position);
    const auto got = at<TestType>(frequencies(std::vector<double>{t.frequency}), t.position);
    CHECK(ulp_distance(got.cos, static_cast<TestType>(t.cos)) <= 1);
    CHECK(ulp_distance(got.sin, static_cast<TestType>(t.sin)) <= 1);
  }
}

TEMPLATE_TEST_CASE("cos_sin: a pair has the same bits whatever block it came in", "[cos_sin]", float, double) {
  const index_t num_pairs = 150;
  const frequencies f = geometric_frequencies(10000, num_pairs, num_pairs);
  const auto size = static_cast<std::size_t>(num_pairs);
  for (const position_t position : {7, -131071, last_position}) {
    std::vector<TestType> all_cos(size), all_sin(size);
    cos_sin(f, &position, 0, num_pairs, all_cos.data(), all_sin.data());
    for (index_t first = 0; first < num_pairs; first += 13) {
      for (index_t count = 0; count <= num_pairs - first; count += 1 + count / 9) {
        CAPTURE(first, count);
        std::vector<TestType> cos(size, TestType(5)), sin(size, TestType(5));
        cos_sin(f, &position, first, count, cos.data(), sin.data());
        CHECK(std::equal(cos.begin(), cos.begin() + count, all_cos.begin() + first));
        CHECK(std::equal(sin.begin(), sin.begin() + count, all_sin.begin() + first));
        CHECK(std::all_of(cos.begin() + count, cos.end(), [](TestType x) { return x == 5; }));
        CHECK(std::all_of(sin.begin() + count, sin.end(), [](TestType x) { return x == 5; }));
      }
    }
  }
}

// Under fast math a compiler that knows the position could take the rounding to whole quarter turns apart. Asked of what
// it would inline: cos_sin itself may be called as a function.
TEST_CASE("cos_sin: a position that the compiler knows leaves the same of a quarter turn", "[cos_sin]") {
  const frequencies f = geometric_frequencies(10000, 32, 32);
  volatile position_t hidden = 1;
  detail::remainders<32> known, unknown;
  detail::reduce(f.table(), 0, detail::one_position<position_t>{1}, known);
  detail::reduce(f.table(), 0, detail::one_position<position_t>{hidden}, unknown);
  CHECK(std::equal(known.t, known.t + 32, unknown.t));
  CHECK(std::equal(known.quadrant, known.quadrant + 32, unknown.quadrant));
}

TEMPLATE_TEST_CASE("cos_sin: position zero and frequency zero do not turn", "[cos_sin]", float, double) {
  const frequencies f(std::vector<double>{1.0, 0.0, -3.0, 1e18});
  for (index_t pair = 0; pair < f.size(); ++pair) {
    CHECK(at<TestType>(f, position_t{0}, pair).cos == 1);
    CHECK(at<TestType>(f, position_t{0}, pair).sin == 0);
    CHECK(at<TestType>(f, 0.0, pair).cos == 1);
    CHECK(at<TestType>(f, -0.0, pair).sin == 0);
  }
  for (const position_t position : {1, -5, first_position, last_position}) {
    CHECK(at<TestType>(f, position, 1).cos == 1);
    CHECK(at<TestType>(f, position, 1).sin == 0);
  }
}

TEMPLATE_TEST_CASE("cos_sin: turning backwards mirrors the sine, to the bit", "[cos_sin]", float, double) {
  const frequencies f = geometric_frequencies(10000, 64, 64);
  const frequencies backwards = f.scaled(-1);
  random_values random(3);
  for (int i = 0; i < 1000; ++i) {
    const auto position = static_cast<position_t>(random.whole(1, last_position));
    const index_t pair = random.whole(0, 63);
    const auto forth = at<TestType>(f, position, pair);
    for (const auto& back : {at<TestType>(f, -position, pair), at<TestType>(backwards, position, pair)}) {
      CHECK(back.cos == forth.cos);
      CHECK(back.sin == -forth.sin);
    }
  }
}

TEMPLATE_TEST_CASE("cos_sin: whole real positions are integer positions", "[cos_sin]", float, double) {
  const frequencies f = geometric_frequencies(10000, 64, 64);
  random_values random(4);
  for (int i = 0; i < 1000; ++i) {
    const auto position = static_cast<position_t>(random.bits());
    const index_t pair = random.whole(0, 63);
    const auto whole = at<TestType>(f, position, pair);
    const auto real = at<TestType>(f, static_cast<double>(position), pair);
    CHECK(ulp_distance(real.cos, whole.cos) <= 1);
    CHECK(ulp_distance(real.sin, whole.sin) <= 1);
  }
}

TEMPLATE_TEST_CASE("cos_sin: whole turns a position count at fractions of one", "[cos_sin]", float, double) {
  const double two_pi = 0x1.921fb54442d18p2;
  const frequencies f(std::vector<double>{two_pi, 3 * two_pi});
  const auto half_turn = at<TestType>(f, 0.5, 0);
  const auto three_quarters = at<TestType>(f, 0.25, 1);
  CHECK(half_turn.cos == -1);
  CHECK(std::abs(half_turn.sin) < 1e-15);
  CHECK(three_quarters.sin == -1);
  CHECK(std::abs(three_quarters.cos) < 1e-15);
}

TEMPLATE_TEST_CASE("cos_sin: each pair reads its axis", "[cos_sin]", float, double) {
  const index_t num_pairs = 70;
  std::vector<index_t> axis_of_pair;
  for (index_t pair = 0; pair < num_pairs; ++pair) axis_of_pair.push_back(pair % 3);
  const frequencies one_axis = geometric_frequencies(10000, num_pairs, num_pairs);
  const frequencies f = one_axis.with_axes(axis_of_pair);
  const std::array<position_t, 3> positions{100003, -7, 42};
  const std::array<double, 3> real_positions{0.25, -7.5, 1e6};
  std::vector<TestType> cos(static_cast<std::size_t>(num_pairs)), sin(cos);
  const auto check = [&](const auto& by_axis) {
    cos_sin(f, by_axis.data(), 0, num_pairs, cos.data(), sin.data());
    for (index_t pair = 0; pair < num_pairs; ++pair) {
      const auto i = static_cast<std::size_t>(pair);
      const auto alone = at<TestType>(one_axis, by_axis[i % 3], pair);
      CHECK(cos[i] == alone.cos);
      CHECK(sin[i] == alone.sin);
    }
  };
  check(positions);
  check(real_positions);
}

TEMPLATE_TEST_CASE("cos_sin: what is no position gives NaN, on its own axis only", "[cos_sin]", float, double) {
  const auto is_nan = [](TestType x) {  // by the bits: fast math knows no NaN
    return ulp_distance(x, std::numeric_limits<TestType>::quiet_NaN()) == 0;
  };
  const frequencies f = frequencies(std::vector<double>{1.0, 0.5}).with_axes(std::array<index_t, 2>{0, 1});
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double wrong : {infinity, -infinity, std::numeric_limits<double>::quiet_NaN(), 0x1p63, -0x1p63, 1e300}) {
    const std::array<double, 2> positions{wrong, 2.0};
    std::array<TestType, 2> cos, sin;
    cos_sin(f, positions.data(), 0, 2, cos.data(), sin.data());
    CHECK(is_nan(cos[0]));
    CHECK(is_nan(sin[0]));
    CHECK(cos[1] == static_cast<TestType>(0x1.14a280fb5068cp-1));  // of 2 * 0.5
  }
  CHECK(!is_nan(at<TestType>(f, std::nextafter(0x1p63, 0.0)).cos));
}

TEMPLATE_TEST_CASE("cos_sin: float32 angles are those of float products, cosine and sine of which are exact",
                   "[cos_sin]", float, double) {
  const frequencies exact = geometric_frequencies(10000, 64, 64);
  const frequencies f = exact.with_float32_angles();
  REQUIRE(f.float32_angles());
  CHECK(!exact.float32_angles());
  random_values random(11);
  CAPTURE(random.seed());
  for (int trial = 0; trial < 2000; ++trial) {
    const auto position = static_cast<position_t>(random.whole(-(1 << 24), 1 << 24));
    const index_t pair = random.whole(0, 63);
    const auto inv_freq = static_cast<float>(exact.inv_freq(pair));
    const float angle = static_cast<float>(position) * inv_freq;
    const frequencies radian(std::vector<double>{1.0});
    const auto expected = at<TestType>(radian, static_cast<double>(angle));
    for (const auto& got : {at<TestType>(f, position, pair), at<TestType>(f, static_cast<double>(position), pair)}) {
      CHECK(got.cos == expected.cos);
      CHECK(got.sin == expected.sin);
    }
    CHECK(std::abs(static_cast<double>(expected.cos) - std::cos(static_cast<double>(angle))) < 1e-7);
  }
}

TEST_CASE("cos_sin: float32 angles are as far off as float32 is", "[cos_sin]") {
  const frequencies exact = geometric_frequencies(10000, 64, 64);
  const frequencies rounded = exact.with_float32_angles();
  double largest = 0;
  for (index_t pair = 0; pair < 64; ++pair) {
    const double error =
        at<double>(rounded, position_t{131071}, pair).sin - at<double>(exact, position_t{131071}, pair).sin;
    largest = std::max(largest, std::abs(error));
  }
  CHECK(largest > 1e-3);
  CHECK(largest < 2e-2);
}
