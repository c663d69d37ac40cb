// Every 16-bit number widened, every float narrowed, and doubles at and around every tie, against arithmetic in double.
#include <posenc/scalar.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <thread>
#include <type_traits>
#include <vector>

using namespace posenc;

namespace {

template <class S>
constexpr int fraction_bits = std::is_same_v<S, bf16> ? 7 : 10;
template <class S>
constexpr int least_exponent = std::is_same_v<S, bf16> ? -126 : -14;  // of normal numbers
template <class S>
constexpr double largest = std::is_same_v<S, bf16> ? 0x1.fep127 : 65504;

/// The value that 16 bits stand for, from the definition of the format.
template <class S>
double defined_value(std::uint32_t bits) {
  const int exponent_bits = 15 - fraction_bits<S>;
  const auto fraction = static_cast<double>(bits & ((1U << fraction_bits<S>)-1U));
  const auto exponent = static_cast<int>(bits >> fraction_bits<S> & ((1U << exponent_bits) - 1U));
  const double one = std::exp2(fraction_bits<S>);
  double magnitude = std::ldexp(fraction, least_exponent<S> - fraction_bits<S>);
  if (exponent > 0) magnitude = std::ldexp(one + fraction, least_exponent<S> - fraction_bits<S> + exponent - 1);
  if (exponent == (1 << exponent_bits) - 1) {
    magnitude = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  }
  return (bits & 0x8000U) != 0 ? -magnitude : magnitude;
}

/// The nearest number of the format: adding 1.5 * 2^52 times its last place lets the hardware round there, once.
template <class S>
double nearest(double x) {
  const int exponent =
      std::max(static_cast<int>(std::bit_cast<std::uint64_t>(x) >> 52 & 0x7ffU) - 1023, least_exponent<S>);
  if (exponent > 200) return x;  // infinities and NaN
  const auto last_place = static_cast<std::uint64_t>(1023 + exponent - fraction_bits<S>) << 52;
  const double above = 0x1.8p52 * std::bit_cast<double>(last_place);
  const double sum = x + above;
  const double rounded = std::copysign(sum - above, x);
  return std::abs(rounded) > largest<S> ? std::copysign(std::numeric_limits<double>::infinity(), x) : rounded;
}

bool same(double a, double b) {  // NaNs by sign, all else by bits
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b) && std::signbit(a) == std::signbit(b);
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

template <class S>
bool rounds_right(double x) {
  // Far beyond the format the last place would leave the range of double.
  const double expected =
      std::abs(x) > 0x1p200 ? std::copysign(std::numeric_limits<double>::infinity(), x) : nearest<S>(x);
  return same(static_cast<double>(S(x)), std::isnan(x) ? x : expected);
}

/// How many floats with bits in [first, end) are narrowed to something else than `nearest`.
template <class S>
std::uint64_t wrong_floats(std::uint64_t first, std::uint64_t end) {
  std::uint64_t wrong = 0;
  for (std::uint64_t bits = first; bits < end; ++bits) {
    const auto x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    wrong += same(static_cast<double>(S(x)), nearest<S>(double{x})) ? 0 : 1;
  }
  return wrong;
}

}  // namespace

TEMPLATE_TEST_CASE("scalar: each of the 2^16 numbers is widened to what its bits stand for", "[scalar]", bf16, f16) {
  std::vector<std::uint32_t> wrong;
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const auto stored = std::bit_cast<TestType>(static_cast<std::uint16_t>(bits));
    const double value = defined_value<TestType>(bits);
    if (!same(static_cast<double>(stored), value) || !same(double{static_cast<float>(stored)}, value))
      wrong.push_back(bits);
  }
  CHECK(wrong == std::vector<std::uint32_t>{});
}

TEMPLATE_TEST_CASE("scalar: each of the 2^32 floats is narrowed to the nearest number", "[scalar]", bf16, f16) {
  const std::uint64_t num_threads = std::max(1U, std::thread::hardware_concurrency());
  std::vector<std::uint64_t> wrong(num_threads);
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < num_threads; ++i) {
    threads.emplace_back([&wrong, i, num_threads] {
      wrong[i] = wrong_floats<TestType>((i << 32) / num_threads, ((i + 1) << 32) / num_threads);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<std::uint64_t>(num_threads, 0));
}

TEMPLATE_TEST_CASE("scalar: doubles at every tie, and a last place beside it, go to the right side", "[scalar]", bf16,
                   f16) {
  const std::uint32_t infinity = std::is_same_v<TestType, bf16> ? 0x7f80 : 0x7c00;
  std::vector<double> wrong;
  for (std::uint32_t bits = 0; bits < infinity; ++bits) {
    const double value = defined_value<TestType>(bits);
    const double step =
        bits + 1 < infinity ? defined_value<TestType>(bits + 1) - value : value - defined_value<TestType>(bits - 1);
    const double tie = value + step / 2;
    for (const double x : {tie, std::nextafter(tie, 0.0), std::nextafter(tie, 1e300)}) {
      if (!rounds_right<TestType>(x) || !rounds_right<TestType>(-x)) wrong.push_back(x);
    }
  }
  CHECK(wrong == std::vector<double>{});
}

TEMPLATE_TEST_CASE("scalar: doubles of any bits are rounded once", "[scalar]", bf16, f16) {
  random_values random(7);
  CAPTURE(random.seed());
  std::vector<double> wrong;
  for (int i = 0; i < (1 << 24); ++i) {
    std::uint64_t bits = std::uint64_t{random.bits()} << 32 | random.bits();
    // Half of them where floats live, and half with a long run of equal bits, where double rounding would show.
    if (random.coin()) bits = (bits & 0x800f'ffff'ffff'ffffU) | (0x360U + (bits >> 52 & 0xffU)) << 52;
    if (random.coin()) bits = random.coin() ? bits | 0xff'ffff'ff00U : bits & ~0xff'ffff'ff00U;
    const auto x = std::bit_cast<double>(bits);
    if (!rounds_right<TestType>(x)) wrong.push_back(x);
  }
  CHECK(wrong == std::vector<double>{});
}
