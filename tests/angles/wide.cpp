#include <posenc/angles/wide.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <cmath>
#include <cstdint>
#include <limits>

using posenc::wide;

namespace {

// |a - b| as a power of two relative to b: -250 for an error of 2^-250.
double error_exponent(const wide& a, const wide& b) {
  const auto relative = static_cast<double>((a - b) / b);
  return relative == 0 ? -1000 : std::log2(std::abs(relative));
}

// Of either sign, all 256 bits of it at random.
wide random_wide(random_values& random) {
  wide x;
  for (int i = 0; i < 9; ++i) x = x + random.bits() / wide(std::ldexp(1.0, 32 * i));
  return random.coin() ? x : -x;
}

}  // namespace

// Digits by mpmath 1.3 at 700 bits.
TEST_CASE("wide: known constants to the last of 192 bits", "[wide]") {
  using digits = wide::fixed_point;
  const auto is_within_2_to_minus_190 = [](const wide& got, const digits& expected) {
    const wide difference = got - wide::from_fixed_point(expected);
    return (difference < 0 ? -difference : difference) < std::ldexp(1.0, -190);
  };
  CHECK(wide::pi().to_fixed_point() == digits{3, 0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0});
  CHECK(wide::ln2().to_fixed_point() == digits{0, 0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af, 0x40f343267298b62e});
  CHECK((-1 / wide(3)).to_fixed_point() ==
        digits{0xffffffffffffffff, 0xaaaaaaaaaaaaaaaa, 0xaaaaaaaaaaaaaaaa, 0xaaaaaaaaaaaaaaab});
  CHECK(exp(wide(1)).to_fixed_point() == digits{2, 0xb7e151628aed2a6a, 0xbf7158809cf4f3c7, 0x62e7160f38b4da57});
  CHECK(exp(wide(-20.5)).to_fixed_point() == digits{0, 0x000000055e8ebfbb, 0x402ad3f4d19cefc8, 0xaaa11a1ba9245aee});
  CHECK(log(wide(10000)).to_fixed_point() == digits{9, 0x35d8dddaaa8ac16e, 0xa56d62b82d30a28e, 0x28fecf9da5df90e8});
  CHECK(log(wide(1 + 0x1p-40)).to_fixed_point() ==
        digits{0, 0x0000000000ffffff, 0xffff800000000055, 0x5555555515555555});
  CHECK(pow(wide(10000), wide(-2) / 128).to_fixed_point() ==
        digits{0, 0xddafd68055916068, 0x73b3b9f72c926b7b, 0x74911a9d61614c8b});
  CHECK(pow(wide(2), 0.5).to_fixed_point() == digits{1, 0x6a09e667f3bcc908, 0xb2fb1366ea957d3e, 0x3adec1751277509a});
  CHECK(is_within_2_to_minus_190(
      exp(wide(40)), digits{0x034441a72f2e5d51, 0x686c20e8b55b3b8b, 0x620a9f8b68ca318e, 0x0cfebb4dc157def8}));
}

TEST_CASE("wide: sums and products of short numbers are exact", "[wide]") {
  random_values random(1);
  for (int i = 0; i < 2000; ++i) {
    const auto a = static_cast<std::int32_t>(random.bits());
    const auto b = static_cast<std::int32_t>(random.bits());
    CHECK(wide(a) + b == std::int64_t{a} + b);
    CHECK(wide(a) - b == std::int64_t{a} - b);
    CHECK(wide(a) * b == std::int64_t{a} * b);
    CHECK((wide(a) < b) == (a < b));
    CHECK((wide(a) == b) == (a == b));
  }
  CHECK(wide(0x1p100) + 1 - 0x1p100 == 1);
  CHECK(wide(1) - 1 == 0);
  CHECK(-wide(0) == 0);
  CHECK(wide(std::numeric_limits<std::int64_t>::min()) == -0x1p63);
  CHECK(wide(std::numeric_limits<std::uint64_t>::max()) == wide(0x1p64) - 1);
  CHECK(0 * wide(5) == 0);
  CHECK(0 / wide(5) == 0);
}

TEST_CASE("wide: the laws of a field hold to 250 bits", "[wide]") {
  random_values random(2);
  for (int i = 0; i < 300; ++i) {
    const wide a = random_wide(random), b = random_wide(random), c = random_wide(random);
    CHECK(error_exponent(a * (b * c), a * b * c) < -250);
    CHECK(error_exponent(a / b * b, a) < -250);
    CHECK(a + b == b + a);
    CHECK(a * b == b * a);
    const wide sum_of_sizes = (a < 0 ? -a : a) + (b < 0 ? -b : b);
    CHECK(error_exponent(sum_of_sizes + (a + b - b - a), sum_of_sizes) < -250);
    CHECK(error_exponent(sum_of_sizes * c + (c * (a + b) - c * a - c * b), sum_of_sizes * c) < -250);
  }
}

TEST_CASE("wide: exp and log undo each other to 240 bits", "[wide]") {
  for (double x = 1e-9; x < 1e9; x *= 2.7) {
    CAPTURE(x);
    CHECK(error_exponent(exp(log(wide(x))), x) < -240);
    CHECK(error_exponent(pow(wide(x), 3), wide(x) * x * x) < -240);
    CHECK(error_exponent(pow(wide(x), -1), 1 / wide(x)) < -240);
  }
  for (double x = -50; x < 50; x += 1.25) {
    CAPTURE(x);
    if (x != 0) CHECK(error_exponent(log(exp(wide(x))), x) < -240);
    CHECK(error_exponent(exp(wide(x)) * exp(wide(-x)), 1) < -240);
  }
  CHECK(log(wide(1)) == 0);
  CHECK(exp(wide(0)) == 1);
}

TEST_CASE("wide: floor and ceil", "[wide]") {
  for (const double x :
       {-3.0, -2.5, -1.0, -0.5, -0x1p-60, 0.0, 0x1p-60, 0.5, 1.0, 2.5, 3.0, 0x1p52 + 0.5, -0x1p80, 0x1p300}) {
    CAPTURE(x);
    CHECK(floor(wide(x)) == std::floor(x));
    CHECK(ceil(wide(x)) == std::ceil(x));
  }
  const wide almost_three = 3 - wide(std::ldexp(1.0, -200));
  CHECK(floor(almost_three) == 2);
  CHECK(ceil(almost_three) == 3);
  CHECK(floor(-almost_three) == -3);
}

TEST_CASE("wide: doubles come in exactly and go out to nearest, ties to even", "[wide]") {
  for (const double x : {0.0, 1.0, -1.0, 0.1, 1e-300, -1e300, 0x1p-1074, 0x1.fffffffffffffp1023}) {
    CHECK(static_cast<double>(wide(x)) == x);
  }
  const wide one = 1;
  CHECK(static_cast<double>(one + 0x1p-53) == 1);
  CHECK(static_cast<double>(one + 0x1p-53 + 0x1p-200) == 1 + 0x1p-52);
  CHECK(static_cast<double>(one + 0x1p-52 + 0x1p-53) == 1 + 0x1p-51);
  CHECK(static_cast<double>(one - 0x1p-54) == 1);
  CHECK(static_cast<double>(one - 0x1p-54 - 0x1p-200) == 1 - 0x1p-53);
  CHECK(static_cast<double>(-one - 0x1p-53) == -1);
}

TEST_CASE("wide: fixed point is two's complement, to nearest", "[wide]") {
  using digits = wide::fixed_point;
  CHECK(wide(2.5).to_fixed_point() == digits{2, 1ULL << 63, 0, 0});
  CHECK(wide(-2.5).to_fixed_point() == digits{~0ULL - 2, 1ULL << 63, 0, 0});
  CHECK(wide(0).to_fixed_point() == digits{});
  CHECK(wide(0x1p-192).to_fixed_point() == digits{0, 0, 0, 1});
  CHECK(wide(0x1p-193).to_fixed_point() == digits{0, 0, 0, 1});
  CHECK(wide(0x1p-194).to_fixed_point() == digits{});
  CHECK(wide(-0x1p62).to_fixed_point() == digits{0xc000000000000000, 0, 0, 0});
  for (const double x : {0.0, 0.1, -0.1, 1e18, -1e18, 0x1p-192, -0x1p-192}) {
    CHECK(wide::from_fixed_point(wide(x).to_fixed_point()) == x);
  }
}
