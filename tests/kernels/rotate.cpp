#include <posenc/kernels/rotate.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using namespace posenc;

namespace {

constexpr index_t head_stride_gap = 3;

/// One token's slice of two heads, with columns around it that must not change.
template <class S>
struct token {
  index_t num_pairs;
  index_t head_stride = 2 * num_pairs + head_stride_gap;
  std::vector<S> values;
  std::vector<compute_t<S>> cos, sin;

  token(random_values& random, index_t pairs) : num_pairs(pairs) {
    values = random.list<S>(2 * head_stride);
    for (index_t i = 0; i < pairs; ++i) {
      const double angle = random.real(-4, 4);
      cos.push_back(static_cast<compute_t<S>>(std::cos(angle)));
      sin.push_back(static_cast<compute_t<S>>(std::sin(angle)));
    }
  }
  void rotate(pairing pairs, direction way, index_t first = 0) { rotate_part(pairs, way, first, num_pairs - first); }
  void rotate_part(pairing pairs, direction way, index_t first, index_t count) {
    kernels::rotate_heads(values.data(), 2, head_stride, pairs, num_pairs, first, count, cos.data() + first,
                          sin.data() + first, way);
  }
};

/// Whether x[column] is a c + b s within what two products, a sum and the storage may round away.
template <class S>
bool is_turned(S stored, double a, double c, double b, double s) {
  const double epsilon = std::numeric_limits<compute_t<S>>::epsilon();
  const double unit = std::is_same_v<S, bf16> ? 0x1p-8 : std::is_same_v<S, f16> ? 0x1p-11 : 0;
  const double least = std::is_same_v<S, f16> ? 0x1p-25 : 0;  // half of the last place of subnormals
  const double exact = a * c + b * s;
  return std::abs(widen<double>(stored) - exact) <=
         epsilon * (std::abs(a * c) + std::abs(b * s)) + unit * std::abs(exact) + least;
}

}  // namespace

TEMPLATE_TEST_CASE("rotate: both pairings turn what they say they turn, whatever the width", "[rotate]", float, double,
                   bf16, f16) {
  random_values random(GENERATE(1U, 2U));
  CAPTURE(random.seed());
  for (const pairing pairs : {pairing::half, pairing::interleaved}) {
    for (const direction way : {direction::forward, direction::inverse}) {
      for (const index_t num_pairs : {1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 20, 31, 32, 33, 40, 48, 64, 65, 100, 128}) {
        CAPTURE(num_pairs, static_cast<int>(pairs), static_cast<int>(way));
        token<TestType> x(random, num_pairs);
        const auto before = x.values;
        x.rotate(pairs, way);
        bool right = true;
        const double sign = way == direction::forward ? 1 : -1;
        for (index_t h = 0; h < 2; ++h) {
          for (index_t i = 0; i < num_pairs; ++i) {
            const index_t a = h * x.head_stride + (pairs == pairing::half ? i : 2 * i);
            const index_t b = pairs == pairing::half ? a + num_pairs : a + 1;
            const double xa = widen<double>(before.data()[a]);
            const double xb = widen<double>(before.data()[b]);
            const double c = x.cos.data()[i];
            const double s = sign * x.sin.data()[i];
            right =
                right && is_turned(x.values.data()[a], xa, c, xb, -s) && is_turned(x.values.data()[b], xa, s, xb, c);
          }
          for (index_t i = 2 * num_pairs; i < x.head_stride; ++i) {
            const index_t gap = h * x.head_stride + i;
            right = right && widen<double>(x.values.data()[gap]) == widen<double>(before.data()[gap]);
          }
        }
        CHECK(right);
      }
    }
  }
}

TEMPLATE_TEST_CASE("rotate: a slice in parts gives what the whole slice gives", "[rotate]", float, double, bf16, f16) {
  random_values random(3);
  CAPTURE(random.seed());
  for (const pairing pairs : {pairing::half, pairing::interleaved}) {
    for (const index_t split : {1, 7, 16, 30, 33}) {
      CAPTURE(split, static_cast<int>(pairs));
      token<TestType> whole(random, 49);
      token<TestType> parts = whole;
      whole.rotate(pairs, direction::forward);
      parts.rotate_part(pairs, direction::forward, split, 49 - split);
      parts.rotate_part(pairs, direction::forward, 0, split);
      for (std::size_t i = 0; i < whole.values.size(); ++i) {
        // Which product is fused may differ: one rounding in the compute type, one step in storage.
        const double difference = widen<double>(whole.values[i]) - widen<double>(parts.values[i]);
        CHECK(std::abs(difference) <= (sizeof(TestType) == 8 ? 0x1p-51 : sizeof(TestType) == 4 ? 0x1p-22 : 0x1p-7));
      }
    }
  }
}

TEMPLATE_TEST_CASE("rotate: 16 bits are rounded once, from the float result", "[rotate]", bf16, f16) {
  random_values random(4);
  CAPTURE(random.seed());
  for (const pairing pairs : {pairing::half, pairing::interleaved}) {
    token<TestType> x(random, 61);
    // Turned by multiples of a quarter, and by cos = sin = 1/2, sums are exact in float: then there is one right answer.
    for (index_t i = 0; i < 61; ++i) {
      x.cos.data()[i] = i % 3 == 0 ? 0.5F : i % 3 == 1 ? 0.0F : 1.0F;
      x.sin.data()[i] = i % 3 == 0 ? 0.5F : i % 3 == 1 ? -1.0F : 0.0F;
    }
    const auto before = x.values;
    x.rotate(pairs, direction::forward);
    for (index_t i = 0; i < 61; ++i) {
      const index_t a = pairs == pairing::half ? i : 2 * i;
      const index_t b = pairs == pairing::half ? i + 61 : 2 * i + 1;
      const double xa = widen<double>(before.data()[a]);
      const double xb = widen<double>(before.data()[b]);
      const double c = double{x.cos.data()[i]};
      const double s = double{x.sin.data()[i]};
      CHECK(x.values.data()[a].bits == TestType(static_cast<float>(xa * c - xb * s)).bits);
      CHECK(x.values.data()[b].bits == TestType(static_cast<float>(xa * s + xb * c)).bits);
    }
  }
}

TEST_CASE("rotate: bf16 in vectors of words are rounded as single ones are", "[rotate]") {
  using vector = kernels::vector<float>;
  constexpr std::uint32_t lanes = kernels::lanes<float>;
  random_values random(6);
  CAPTURE(random.seed());
  std::size_t differing = 0;
  for (std::uint32_t upper = 0; upper < 0x1'0000U; upper += lanes) {
    for (const std::uint32_t lower : {0U, 1U, 0x7fffU, 0x8000U, 0x8001U, 0xffffU, random.bits() & 0xffffU}) {
      float even[lanes], odd[lanes];
      for (std::uint32_t l = 0; l < lanes; ++l) {
        // Of infinities and NaN what arithmetic on widened bf16 leaves: nothing below.
        const bool finite = ((upper + l) & 0x7fffU) < 0x7f80U;
        even[l] = std::bit_cast<float>((upper + l) << 16 | (finite ? lower : 0));
        odd[l] = std::bit_cast<float>((upper + l) << 16 | (finite ? 0xffffU - lower : 0));
      }
      bf16 stored[2 * lanes];
      kernels::detail::store_bf16_pair(stored, {kernels::load<vector>(even), kernels::load<vector>(odd)});
      for (std::uint32_t l = 0; l < lanes; ++l) {
        const bool finite = ((upper + l) & 0x7fffU) < 0x7f80U;
        const auto expected = [&](float x) {
          return finite ? bf16(x).bits : static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16);
        };
        differing += stored[2 * l].bits != expected(even[l]);
        differing += stored[2 * l + 1].bits != expected(odd[l]);
      }
    }
  }
  CHECK(differing == 0);
}

TEMPLATE_TEST_CASE("rotate: a quarter turn is exact, and NaN stays in its pair", "[rotate]", float, double, bf16, f16) {
  random_values random(5);
  CAPTURE(random.seed());
  const index_t pair = GENERATE(0, 5, 18);
  for (const pairing pairs : {pairing::half, pairing::interleaved}) {
    token<TestType> x(random, 19);
    for (auto& c : x.cos) c = 0;
    for (auto& s : x.sin) s = 1;
    const index_t bad = pairs == pairing::half ? pair : 2 * pair;
    const index_t partner = pairs == pairing::half ? bad + 19 : bad + 1;
    x.values.data()[bad] = narrow<TestType>(std::numeric_limits<compute_t<TestType>>::quiet_NaN());
    const auto before = x.values;
    x.rotate(pairs, direction::forward);
    for (index_t h = 0; h < 2; ++h) {
      for (index_t i = 0; i < 19; ++i) {
        const index_t a = h * x.head_stride + (pairs == pairing::half ? i : 2 * i);
        const index_t b = pairs == pairing::half ? a + 19 : a + 1;
        CAPTURE(h, i);
        if (a == bad) {
          CHECK(std::isnan(widen<double>(x.values.data()[a])));
          CHECK(std::isnan(widen<double>(x.values.data()[partner])));
        } else {
          CHECK(widen<double>(x.values.data()[a]) == -widen<double>(before.data()[b]));
          CHECK(widen<double>(x.values.data()[b]) == widen<double>(before.data()[a]));
        }
      }
    }
  }
}

TEST_CASE("rotate: no heads and no pairs are nothing to do", "[rotate]") {
  std::vector<float> x(8, 1.0F);
  const std::vector<float> zero(4);
  for (const pairing pairs : {pairing::half, pairing::interleaved}) {
    kernels::rotate_heads(x.data(), 0, 4, pairs, 4, 0, 4, zero.data(), zero.data(), direction::forward);
    kernels::rotate_heads(x.data(), 2, 4, pairs, 4, 0, 0, zero.data(), zero.data(), direction::inverse);
  }
  CHECK(x == std::vector<float>(8, 1.0F));
}
