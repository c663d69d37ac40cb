#include <posenc/kernels/convert.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <bit>
#include <cstring>
#include <limits>
#include <vector>

using namespace posenc;

namespace {

template <class S>
bool same_bits(const std::vector<S>& a, const std::vector<S>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(S)) == 0);
}

/// Floats of every exponent, halfway between halves of 16 bits, infinities and all sorts of NaN.
std::vector<float> bit_patterns(random_values& random, index_t count) {
  std::vector<float> values;
  for (index_t i = 0; i < count; ++i) {
    std::uint32_t bits = random.bits();
    const std::uint32_t ending = random.bits() % 6;
    if (ending == 0) bits = (bits & 0xffff'0000U) | 0x8000U;  // a tie in bf16
    if (ending == 1) bits = (bits & 0xffff'e000U) | 0x1000U;  // a tie in f16
    if (ending == 2) bits |= 0x7f80'0000U;
    if (ending == 3) bits = (bits & 0x87ff'ffffU) | 0x3800'0000U;  // where f16 is normal
    values.push_back(std::bit_cast<float>(bits));
  }
  return values;
}

}  // namespace

TEMPLATE_TEST_CASE("convert: a row is narrowed as its elements are, NaN included", "[convert]", float, double, bf16,
                   f16) {
  random_values random(1);
  CAPTURE(random.seed());
  for (const index_t count : {0, 1, 7, 16, 33, 10000}) {
    const std::vector<float> wide = bit_patterns(random, count);
    std::vector<TestType> narrowed(wide.size()), expected;
    for (const float value : wide) expected.push_back(narrow<TestType>(value));
    kernels::convert<float>(wide.data(), narrowed.data(), count);
    if constexpr (std::is_same_v<TestType, f16>) {
      // The instruction keeps more of a NaN's payload than the integers do.
      for (std::size_t i = 0; i < wide.size(); ++i) {
        const bool both_nan = (narrowed[i].bits & 0x7fffU) > 0x7c00U && (expected[i].bits & 0x7fffU) > 0x7c00U;
        CHECK((both_nan || narrowed[i].bits == expected[i].bits));
      }
    } else {
      CHECK(same_bits(narrowed, expected));
    }
  }
}

TEMPLATE_TEST_CASE("convert: every 16-bit number is widened exactly, and comes back", "[convert]", bf16, f16) {
  std::vector<TestType> all(1U << 16U), back(all.size());
  for (std::uint32_t bits = 0; bits < all.size(); ++bits) all[bits].bits = static_cast<std::uint16_t>(bits);
  std::vector<float> wide(all.size());
  kernels::convert<float>(all.data(), wide.data(), std::ssize(all));
  kernels::convert<float>(wide.data(), back.data(), std::ssize(all));
  std::size_t differing = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const float expected = widen<float>(all[i]);
    const bool is_nan = expected != expected;
    differing += is_nan ? wide[i] == wide[i] : wide[i] != expected || back[i].bits != all[i].bits;
  }
  CHECK(differing == 0);
}

TEMPLATE_TEST_CASE("convert: a factor is applied before the one rounding, also in place", "[convert]", float, double,
                   bf16, f16) {
  random_values random(2);
  CAPTURE(random.seed());
  auto row = random.list<TestType>(53);
  using T = compute_t<TestType>;
  std::vector<TestType> expected;
  for (const TestType value : row) expected.push_back(narrow<TestType>(widen<T>(value) * T(0.3)));
  kernels::convert(row.data(), row.data(), 53, T(0.3));
  CHECK(same_bits(row, expected));
}

TEST_CASE("convert: one type stays bit for bit what it is", "[convert]") {
  std::vector<bf16> row(37), copy(37);
  for (std::size_t i = 0; i < row.size(); ++i)
    row[i].bits = static_cast<std::uint16_t>(0x7f81U + i);  // signalling NaNs
  kernels::convert<float>(row.data(), copy.data(), 37);
  CHECK(same_bits(copy, row));
  kernels::convert<float, bf16, bf16>(nullptr, nullptr, 0);
}
