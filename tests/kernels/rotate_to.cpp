#include <posenc/kernels/rotate_to.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using namespace posenc;

namespace {

constexpr pairing both[]{pairing::half, pairing::interleaved};

index_t low_column(pairing pairs, index_t pair) { return pairs == pairing::half ? pair : 2 * pair; }
index_t high_column(pairing pairs, index_t pair, index_t num_pairs) {
  return pairs == pairing::half ? pair + num_pairs : 2 * pair + 1;
}

template <class T>
struct angles {
  std::vector<T> cos, sin;

  angles(random_values& random, index_t num_pairs) {
    for (index_t i = 0; i < num_pairs; ++i) {
      const double angle = random.real(-4, 4);
      cos.push_back(static_cast<T>(std::cos(angle)));
      sin.push_back(static_cast<T>(std::sin(angle)));
    }
  }
};

/// Whether `stored` is a c + b s within what two products, a sum and the storage may round away.
template <class S, class T>
bool is_turned(S stored, double a, double c, double b, double s) {
  const double epsilon = std::numeric_limits<T>::epsilon();
  const double unit = std::is_same_v<S, bf16>    ? 0x1p-8
                      : std::is_same_v<S, f16>   ? 0x1p-11
                      : std::is_same_v<S, float> ? 0x1p-23
                                                 : 0;
  const double least = std::is_same_v<S, f16> ? 0x1p-25 : 0;
  const double exact = a * c + b * s;
  return std::abs(widen<double>(stored) - exact) <=
         epsilon * (std::abs(a * c) + std::abs(b * s)) + unit * std::abs(exact) + least;
}

template <class S, class D>
void check_all_widths() {
  using T = std::common_type_t<compute_t<S>, compute_t<D>>;
  random_values random(1);
  CAPTURE(random.seed());
  for (const pairing read : both) {
    for (const pairing written : both) {
      for (const index_t num_pairs : {0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100, 128}) {
        CAPTURE(static_cast<int>(read), static_cast<int>(written), num_pairs);
        const angles<T> by(random, num_pairs);
        const index_t from_stride = 2 * num_pairs + 3;
        const index_t to_stride = 2 * num_pairs + 5;
        const auto from = random.list<S>(3 * from_stride);
        const auto before = random.list<D>(3 * to_stride);
        auto to = before;
        kernels::rotate_heads_to(from.data(), from_stride, read, to.data(), to_stride, written, 3, num_pairs,
                                 index_t{0}, num_pairs, by.cos.data(), by.sin.data());
        bool right = true;
        for (index_t h = 0; h < 3; ++h) {
          const S* x = from.data() + h * from_stride;
          const D* y = to.data() + h * to_stride;
          for (index_t i = 0; i < num_pairs; ++i) {
            const double a = widen<double>(x[low_column(read, i)]);
            const double b = widen<double>(x[high_column(read, i, num_pairs)]);
            const auto c = double{by.cos.data()[i]};
            const auto s = double{by.sin.data()[i]};
            right = right && is_turned<D, T>(y[low_column(written, i)], a, c, b, -s) &&
                    is_turned<D, T>(y[high_column(written, i, num_pairs)], a, s, b, c);
          }
          for (index_t gap = 2 * num_pairs; gap < to_stride; ++gap) {
            right = right && widen<double>(y[gap]) == widen<double>(before.data()[h * to_stride + gap]);
          }
        }
        CHECK(right);
      }
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("rotate_to: any type into any, any pairing into any, whatever the width", "[rotate_to]", float,
                   double, bf16, f16) {
  check_all_widths<TestType, float>();
  check_all_widths<TestType, double>();
  check_all_widths<TestType, bf16>();
  check_all_widths<TestType, f16>();
}

TEMPLATE_TEST_CASE("rotate_to: a slice in parts gives what the whole slice gives", "[rotate_to]", float, double, bf16,
                   f16) {
  using T = compute_t<TestType>;
  random_values random(2);
  CAPTURE(random.seed());
  const angles<T> by(random, 49);
  const auto from = random.list<TestType>(2 * 98);
  for (const pairing read : both) {
    for (const pairing written : both) {
      std::vector<TestType> whole(from.size()), parts(from.size());
      const auto turn = [&](std::vector<TestType>& to, index_t first, index_t count) {
        kernels::rotate_heads_to(from.data(), 98, read, to.data(), 98, written, 2, index_t{49}, first, count,
                                 by.cos.data() + first, by.sin.data() + first);
      };
      turn(whole, 0, 49);
      turn(parts, 30, 19);
      turn(parts, 0, 30);
      for (std::size_t i = 0; i < whole.size(); ++i) {
        // Which product is fused may differ: one rounding in the compute type, one step in storage.
        const double difference = widen<double>(whole[i]) - widen<double>(parts[i]);
        CHECK(std::abs(difference) <= (sizeof(TestType) == 8 ? 0x1p-51 : sizeof(TestType) == 4 ? 0x1p-22 : 0x1p-7));
      }
    }
  }
}

TEMPLATE_TEST_CASE("rotate_to: the same memory may be read and written, if pairs stay where they are", "[rotate_to]",
                   float, double, bf16, f16) {
  using T = compute_t<TestType>;
  random_values random(3);
  CAPTURE(random.seed());
  for (const index_t num_pairs : {5, 16, 64, 67}) {
    const angles<T> by(random, num_pairs);
    for (const pairing pairs : both) {
      auto in_place = random.list<TestType>(2 * num_pairs);
      auto apart = in_place;
      const auto turn = [&](const TestType* from, TestType* to) {
        kernels::rotate_heads_to(from, 0, pairs, to, 0, pairs, 1, num_pairs, index_t{0}, num_pairs, by.cos.data(),
                                 by.sin.data());
      };
      turn(std::vector<TestType>(in_place).data(), apart.data());
      turn(in_place.data(), in_place.data());
      for (std::size_t i = 0; i < apart.size(); ++i) CHECK(widen<double>(in_place[i]) == widen<double>(apart[i]));
    }
  }
}

TEMPLATE_TEST_CASE("rotate_to: floats are rounded once to sixteen bits, and NaN stays in its pair", "[rotate_to]", bf16,
                   f16) {
  random_values random(4);
  CAPTURE(random.seed());
  const auto from = random.list<float>(2 * 37);
  // A quarter turn is exact in float, so what is left is the rounding of storage.
  const std::vector<float> cos(37, 0.0F), sin(37, 1.0F);
  for (const pairing pairs : both) {
    for (const index_t bad : {2, 20, 36}) {
      auto x = from;
      x.data()[low_column(pairs, bad)] = -std::numeric_limits<float>::quiet_NaN();
      std::vector<TestType> to(x.size());
      kernels::rotate_heads_to(x.data(), 0, pairs, to.data(), 0, pairs, 1, index_t{37}, index_t{0}, index_t{37},
                               cos.data(), sin.data());
      for (index_t i = 0; i < 37; ++i) {
        const TestType low = to.data()[low_column(pairs, i)];
        const TestType high = to.data()[high_column(pairs, i, 37)];
        if (i == bad) {
          CHECK(std::isnan(widen<float>(low)));
          CHECK(std::isnan(widen<float>(high)));
        } else {
          CHECK(low.bits == TestType(-x.data()[high_column(pairs, i, 37)]).bits);
          CHECK(high.bits == TestType(x.data()[low_column(pairs, i)]).bits);
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("rotate_to: a NaN with its last bits set is a NaN in sixteen bits too", "[rotate_to]", bf16, f16) {
  const auto turned = [](pairing pairs, const auto& from, index_t num_pairs) {
    const auto size = static_cast<std::size_t>(num_pairs);
    const std::vector<float> cos(size, 1.0F), sin(size, 0.0F);
    std::vector<TestType> to(from.size());
    kernels::rotate_heads_to(from.data(), 0, pairs, to.data(), 0, pairs, 1, num_pairs, index_t{0}, num_pairs,
                             cos.data(), sin.data());
    return to;
  };
  for (const pairing pairs : both) {
    for (const index_t num_pairs : {37, 16, 1}) {
      CAPTURE(static_cast<int>(pairs), num_pairs);
      const auto size = static_cast<std::size_t>(2 * num_pairs);
      for (const std::uint32_t bits : {0x7fff'ffffU, 0xffff'ffffU, 0x7fff'e000U, 0xffff'8000U, 0x7f80'0001U}) {
        CAPTURE(bits);
        for (const TestType y : turned(pairs, std::vector<float>(size, std::bit_cast<float>(bits)), num_pairs))
          CHECK(std::isnan(widen<float>(y)));
      }
      f16 half_nan;
      half_nan.bits = 0x7fff;
      for (const TestType y : turned(pairs, std::vector<f16>(size, half_nan), num_pairs))
        CHECK(std::isnan(widen<float>(y)));
    }
  }
}
