#include <posenc/kernels/quantize.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using namespace posenc;

namespace {

/// The definition. A quotient of two floats is exact in double where it is a half, and else no nearer to one than 2^-25.
std::int8_t nearest(double x, float scale) {
  return static_cast<std::int8_t>(std::clamp(std::nearbyint(x / static_cast<double>(scale)), -127.0, 127.0));
}

template <class S>
std::vector<std::int8_t> quantized(const std::vector<S>& x, float scale) {
  std::vector<std::int8_t> q(x.size(), std::int8_t{99});
  kernels::quantize(x.data(), std::ssize(x), scale, q.data());
  return q;
}

template <class S>
std::vector<std::int8_t> by_definition(const std::vector<S>& x, float scale) {
  std::vector<std::int8_t> q;
  for (const S value : x) q.push_back(nearest(widen<double>(value), scale));
  return q;
}

template <class S>
float scale_of(const std::vector<S>& x) {
  return kernels::quantization_scale(x.data(), std::ssize(x));
}

}  // namespace

TEMPLATE_TEST_CASE("quantize: the scale is the largest size over 127, rounded to float", "[quantize]", float, double,
                   bf16, f16) {
  random_values random(1);
  CAPTURE(random.seed());
  for (const index_t count : {1, 2, 15, 16, 17, 31, 64, 127, 128, 129, 500}) {
    for (const double size : {1e-3, 1.0, 5e4}) {
      const auto x = random.list<TestType>(count, -size, size);
      double largest = 0;
      for (const TestType value : x) largest = std::max(largest, std::abs(widen<double>(value)));
      CHECK(scale_of(x) == static_cast<float>(largest / 127));
    }
  }
}

TEMPLATE_TEST_CASE("quantize: each element becomes the nearest integer, and comes back within half a scale",
                   "[quantize]", float, double, bf16, f16) {
  random_values random(2);
  CAPTURE(random.seed());
  for (const index_t count : {1, 3, 16, 31, 100, 128, 129, 400}) {
    const auto x = random.list<TestType>(count, -3, 3);
    const float scale = scale_of(x);
    const auto q = quantized(x, scale);
    CHECK(q == by_definition(x, scale));
    std::vector<double> back(x.size());
    kernels::dequantize(q.data(), count, scale, back.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      CHECK(std::abs(back[i] - widen<double>(x[i])) <= 0.5000001 * static_cast<double>(scale));
    }
  }
}

TEST_CASE("quantize: halves go to the even neighbour, and their neighbours to the nearer one", "[quantize]") {
  std::vector<float> x;
  for (const float scale : {1.0F, 0.0078125F, 0.75F, 1.9999999F, 3e-30F, 2.5e30F}) {
    x.clear();
    for (int k = -128; k < 128; ++k) {
      const float half = (static_cast<float>(k) + 0.5F) * scale;
      for (const float value : {half, std::nextafter(half, 1e38F), std::nextafter(half, -1e38F)}) x.push_back(value);
    }
    CAPTURE(scale);
    CHECK(quantized(x, scale) == by_definition(x, scale));
  }
  const std::vector<float> halves{0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -2.5F, 126.5F, -126.5F};
  CHECK(quantized(halves, 1.0F) == std::vector<std::int8_t>{0, 2, 2, 0, -2, -2, 126, -126});
}

TEST_CASE("quantize: of random floats and scales not one is rounded otherwise than defined", "[quantize]") {
  random_values random(3);
  CAPTURE(random.seed());
  std::size_t differing = 0;
  for (int round = 0; round < 2000; ++round) {
    const auto scale = static_cast<float>(std::exp2(random.real(-60, 60)));
    std::vector<float> x;
    for (int i = 0; i < 128; ++i) {
      // Near a half, a few units in the last place away.
      const double near = (std::floor(random.real(-128, 128)) + 0.5) * static_cast<double>(scale);
      const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(near)) + random.bits() % 5 - 2;
      x.push_back(std::bit_cast<float>(bits));
    }
    differing += quantized(x, scale) != by_definition(x, scale);
  }
  CHECK(differing == 0);
}

TEST_CASE("quantize: a quotient about as near to a half as float can tell is rounded as defined", "[quantize]") {
  random_values random(4);
  CAPTURE(random.seed());
  std::size_t differing = 0;
  for (int round = 0; round < 5000; ++round) {
    const auto scale = static_cast<float>(std::exp2(random.real(-60, 60)));
    auto x = random.list<float>(64, -126.0 * static_cast<double>(scale), 126.0 * static_cast<double>(scale));
    const double off = std::exp2(random.real(-20, -11)) * (round % 2 == 0 ? 1 : -1);
    const double quotient = std::floor(random.real(-127, 127)) + 0.5 + off;
    x[static_cast<std::size_t>(round) % 64] = static_cast<float>(quotient * static_cast<double>(scale));
    x[63 - static_cast<std::size_t>(round) % 64] = scale * static_cast<float>(random.real(126.9, 127.6));
    differing += quantized(x, scale) != by_definition(x, scale);
  }
  CHECK(differing == 0);
}

TEMPLATE_TEST_CASE("quantize: what does not fit saturates, in rows of one length or another", "[quantize]", float,
                   double, bf16, f16) {
  const std::vector<double> sizes{126.4, 127.4, 128, 1e3, 6e4};
  std::vector<TestType> x;
  for (int i = 0; i < 40; ++i)
    x.push_back(narrow<TestType>(sizes[static_cast<std::size_t>(i) % 5] * (i % 2 == 0 ? 1 : -1)));
  const auto q = quantized(x, 1.0F);
  CHECK(q == by_definition(x, 1.0F));
  CHECK(std::ranges::count(q, -128) == 0);
  CHECK(std::ranges::count(q, 127) == 16);
}

TEMPLATE_TEST_CASE("quantize: a row of zeros has scale 1 and stays zero", "[quantize]", float, double, bf16, f16) {
  const std::vector<TestType> x{narrow<TestType>(0.0F), narrow<TestType>(-0.0F), narrow<TestType>(0.0F)};
  CHECK(scale_of(x) == 1);
  CHECK(quantized(x, 1.0F) == std::vector<std::int8_t>(3));
  CHECK(scale_of(std::vector<TestType>{}) == 1);
  CHECK(quantized(std::vector<TestType>{}, 1.0F).empty());
}

TEST_CASE("quantize: rows of the smallest and of the largest numbers", "[quantize]") {
  const float least = std::numeric_limits<float>::denorm_min();
  CHECK(scale_of(std::vector<float>{least}) == 1);  // least / 127 rounds to zero
  CHECK(quantized(std::vector<float>{least}, 1.0F) == std::vector<std::int8_t>{0});
  const std::vector<float> subnormal{1000 * least, -400 * least};
  CHECK(scale_of(subnormal) == 8 * least);
  CHECK(quantized(subnormal, 8 * least) == std::vector<std::int8_t>{125, -50});
  const float most = std::numeric_limits<float>::max();
  const std::vector<float> huge{most, -most, most / 4, 1};
  CHECK(quantized(huge, scale_of(huge)) == std::vector<std::int8_t>{127, -127, 32, 0});
}

TEMPLATE_TEST_CASE("quantize: a NaN or an infinity makes its whole row NaN, and no other", "[quantize]", float, double,
                   bf16, f16) {
  using T = compute_t<TestType>;
  for (const T bad :
       {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity(), -std::numeric_limits<T>::infinity()}) {
    for (const index_t place : {0, 5, 18}) {
      std::vector<TestType> x(2 * 20, narrow<TestType>(0.25F));
      x[static_cast<std::size_t>(place)] = narrow<TestType>(bad);
      std::vector<std::int8_t> q(x.size(), std::int8_t{99});
      float scales[2];
      kernels::quantize_rows(x.data(), 20, 2, 20, q.data(), 20, scales);
      CHECK(std::isnan(scales[0]));
      CHECK(std::all_of(q.begin(), q.begin() + 20, [](std::int8_t value) { return value == 0; }));
      std::vector<TestType> back(x.size());
      kernels::dequantize_rows(q.data(), 20, scales, 1, 2, 20, back.data(), 20);
      for (std::size_t i = 0; i < x.size(); ++i) {
        CHECK(std::isnan(widen<double>(back[i])) == (i < 20));
        if (i >= 20) CHECK(std::abs(widen<double>(back[i]) - 0.25) < 1e-3);
      }
    }
  }
}

TEMPLATE_TEST_CASE("quantize: rows and tensors go by strides and leave what lies between", "[quantize]", float, f16) {
  random_values random(4);
  CAPTURE(random.seed());
  const auto x = random.list<TestType>(4 * 11);  // [4, 9] with gaps of 2
  std::vector<std::int8_t> q(4 * 13, std::int8_t{99}), tensor = q;
  float scales[4];
  kernels::quantize_rows(x.data(), 11, 4, 9, q.data(), 13, scales);
  const float scale = kernels::quantize_tensor(x.data(), 11, 4, 9, tensor.data(), 13);
  CHECK(scale == *std::max_element(scales, scales + 4));
  std::vector<float> back(4 * 9), tensor_back(4 * 9);
  kernels::dequantize_rows(q.data(), 13, scales, 1, 4, 9, back.data(), 9);
  kernels::dequantize_rows(tensor.data(), 13, &scale, 0, 4, 9, tensor_back.data(), 9);
  for (index_t r = 0; r < 4; ++r) {
    const std::vector<TestType> row(x.begin() + r * 11, x.begin() + r * 11 + 9);
    CHECK(scales[r] == scale_of(row));
    CHECK(std::vector<std::int8_t>(q.begin() + r * 13, q.begin() + r * 13 + 9) == by_definition(row, scales[r]));
    CHECK(std::vector<std::int8_t>(tensor.begin() + r * 13, tensor.begin() + r * 13 + 9) == by_definition(row, scale));
    for (index_t i = 9; i < 13; ++i) CHECK((q.data()[r * 13 + i] == 99 && tensor.data()[r * 13 + i] == 99));
    for (index_t i = 0; i < 9; ++i) {
      CHECK(back.data()[r * 9 + i] == static_cast<float>(q.data()[r * 13 + i]) * scales[r]);
      CHECK(tensor_back.data()[r * 9 + i] == static_cast<float>(tensor.data()[r * 13 + i]) * scale);
    }
  }
  CHECK(kernels::quantize_tensor(x.data(), 11, 0, 9, tensor.data(), 13) == 1);
}

TEMPLATE_TEST_CASE("quantize: what was quantised once comes out the same again", "[quantize]", float, double) {
  random_values random(5);
  CAPTURE(random.seed());
  for (int round = 0; round < 200; ++round) {
    const auto x = random.list<TestType>(64);
    const float scale = scale_of(x);
    const auto q = quantized(x, scale);
    std::vector<TestType> back(64);
    kernels::dequantize(q.data(), 64, scale, back.data());
    const float again = scale_of(back);
    CHECK(std::abs(again - scale) <= std::numeric_limits<float>::epsilon() * scale);
    CHECK(quantized(back, again) == q);
  }
}
