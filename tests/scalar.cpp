#include <posenc/scalar.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>

using namespace posenc;

namespace {

/// An engine's own type, whose narrowing counts: no rounding may be skipped, none done twice.
struct sixteen_bits {
  std::uint16_t bits;
};
int narrowings = 0;

}  // namespace

template <>
struct posenc::storage<sixteen_bits> {
  static float widen(sixteen_bits x) noexcept { return static_cast<float>(std::bit_cast<bf16>(x)); }
  static sixteen_bits narrow(float x) noexcept {
    ++narrowings;
    return std::bit_cast<sixteen_bits>(bf16(x));
  }
};

static_assert(scalar<float> && scalar<double> && scalar<bf16> && scalar<f16> && scalar<sixteen_bits>);
static_assert(!scalar<int> && !scalar<long double> && !scalar<std::uint16_t>);
static_assert(real<float> && real<double> && !real<bf16> && !real<long double>);
static_assert(std::same_as<compute_t<double>, double> && std::same_as<compute_t<const double>, double>);
static_assert(std::same_as<compute_t<float>, float> && std::same_as<compute_t<f16>, float> &&
              std::same_as<compute_t<const bf16>, float>);
static_assert(!std::is_convertible_v<float, bf16> && !std::is_convertible_v<bf16, float>);  // only when asked for

TEST_CASE("scalar: bf16 rounds to nearest, ties to even", "[scalar]") {
  CHECK(bf16(1.0F).bits == 0x3f80);
  CHECK(bf16(0x1.01p0F).bits == 0x3f80);        // the tie between 1 and 1 + 2^-7 goes to the even one
  CHECK(bf16(0x1.010002p0F).bits == 0x3f81);    // a bit more does not
  CHECK(bf16(0x1.03p0F).bits == 0x3f82);        // the next tie goes up
  CHECK(bf16(0x1.fffffep127F).bits == 0x7f80);  // the largest float is nearer to infinity's place
  CHECK(bf16(0x1.fep127F).bits == 0x7f7f);
  CHECK(bf16(-0.0F).bits == 0x8000);
  CHECK(bf16(0x1p-149F).bits == 0);
  CHECK(bf16(0x1.8p-133F).bits == 2);  // 1.5 of the least subnormal
}

TEST_CASE("scalar: f16 rounds to nearest, ties to even", "[scalar]") {
  CHECK(f16(1.0F).bits == 0x3c00);
  CHECK(f16(65504.0F).bits == 0x7bff);
  CHECK(f16(65519.996F).bits == 0x7bff);
  CHECK(f16(65520.0F).bits == 0x7c00);
  CHECK(f16(0x1p-24F).bits == 1);
  CHECK(f16(0x1p-25F).bits == 0);  // a tie with zero
  CHECK(f16(0x1.000002p-25F).bits == 1);
  CHECK(f16(-0x1.8p-24F).bits == 0x8002);
  CHECK(f16(0x1.ffcp-15F).bits == 0x0400);  // the largest subnormal and a half: up into the normal ones
}

TEMPLATE_TEST_CASE("scalar: infinity and NaN stay what they are", "[scalar]", bf16, f16) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  CHECK(static_cast<float>(TestType(infinity)) == infinity);
  CHECK(static_cast<double>(TestType(-double{infinity})) == -infinity);
  for (const std::uint32_t payload : {1U, 0x1fffU, 0x200000U, 0x400000U, 0x7fffffU}) {
    CAPTURE(payload);
    CHECK(std::isnan(static_cast<float>(TestType(std::bit_cast<float>(0x7f800000U | payload)))));
    CHECK(std::signbit(static_cast<float>(TestType(std::bit_cast<float>(0xff800000U | payload)))));
  }
  for (const std::uint64_t payload : {1ULL, 0xfffffffULL, 0x8000000000000ULL}) {
    CHECK(std::isnan(static_cast<double>(TestType(std::bit_cast<double>(0x7ff0000000000000ULL | payload)))));
  }
}

TEMPLATE_TEST_CASE("scalar: a double is rounded once, not by way of float", "[scalar]", bf16, f16) {
  const double step = std::same_as<TestType, bf16> ? 0x1p-7 : 0x1p-10;
  // By way of float each of these would be a tie first, and then go to even.
  CHECK(static_cast<double>(TestType(1 + step / 2 + 0x1p-40)) == 1 + step);
  CHECK(static_cast<double>(TestType(1 + 3 * step / 2 - 0x1p-40)) == 1 + step);
  CHECK(static_cast<double>(TestType(1 + step / 2)) == 1);
  CHECK(static_cast<double>(narrow<TestType>(1 + step / 2 + 0x1p-40)) == 1 + step);
}

TEST_CASE("scalar: narrow rounds once into every type, an engine's own included", "[scalar]") {
  narrowings = 0;
  CHECK(narrow<sixteen_bits>(0x1.01p0).bits == 0x3f80);
  CHECK(narrow<sixteen_bits>(0x1.01p0 + 0x1p-40).bits == 0x3f81);
  CHECK(narrow<sixteen_bits>(0x1.03p0F).bits == 0x3f82);
  CHECK(narrowings == 3);
  CHECK(narrow<float>(1 + 0x1p-24 + 0x1p-50) == 1 + 0x1p-23F);
  CHECK(narrow<double>(0.1) == 0.1);
  CHECK(narrow<double>(0.1F) == 0.1F);
  CHECK(narrow<float>(std::numeric_limits<double>::max()) == std::numeric_limits<float>::infinity());
}

TEMPLATE_TEST_CASE("scalar: widening is exact and narrowing gives it back", "[scalar]", float, double, bf16, f16) {
  random_values random(20240601);
  CAPTURE(random.seed());
  for (const auto& stored : random.list<TestType>(1000, -100, 100)) {
    CHECK(std::bit_cast<std::array<std::byte, sizeof(TestType)>>(narrow<TestType>(widen<double>(stored))) ==
          std::bit_cast<std::array<std::byte, sizeof(TestType)>>(stored));
  }
}
