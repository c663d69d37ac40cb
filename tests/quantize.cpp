#include <posenc/quantize.hpp>

#include <posenc/quantized_view.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <cmath>
#include <cstdint>
#include <vector>

using namespace posenc;

TEMPLATE_TEST_CASE("quantize: heads become int8 rows with a scale each, and come back within half of it", "[quantize]",
                   float, double, bf16, f16) {
  random_values random(1);
  CAPTURE(random.seed());
  const owned_heads<TestType> x(random, 3, 2, 21);
  std::vector<std::int8_t> memory(2 * 3 * 21 + 5, std::int8_t{99});
  std::vector<float> scales(3 * 2 + 1, -1.0F);
  // Head by head, as a cache may have it, and the scales token by token.
  const quantized_view<std::int8_t> q(memory.data(), scales.data(), 3, 2, 21, 21, 3 * 21, 2, 1);
  quantize(x.view(), q);
  owned_heads<TestType> back(3, 2, 21);
  dequantize(quantized_view<const std::int8_t>(q), back.view());
  for (index_t t = 0; t < 3; ++t) {
    for (index_t h = 0; h < 2; ++h) {
      const double scale = q.scale(t, h);
      CHECK(&q.scale(t, h) == scales.data() + 2 * t + h);
      CHECK(&q.row(t, h)[0] == memory.data() + (h * 3 + t) * 21);
      for (index_t d = 0; d < 21; ++d) {
        const double value = widen<double>(x.view().row(t, h)[d]);
        CHECK(std::abs(q.row(t, h)[d] * scale - value) <= 0.5000001 * scale);
        const double exact = q.row(t, h)[d] * scale;
        CHECK(std::abs(widen<double>(back.view().row(t, h)[d]) - exact) <= 0x1p-8 * std::abs(exact));
      }
    }
  }
  CHECK(memory.back() == 99);
  CHECK(scales.back() == -1);
}

TEST_CASE("quantize: parts of a view are views of the parts, scales included", "[quantize]") {
  std::vector<std::int8_t> memory(4 * 3 * 5);
  std::vector<float> scales(4 * 3);
  const quantized_view<std::int8_t> q(memory.data(), scales.data(), 4, 3, 5);
  const auto part = q.tokens(1, 2).heads(1, 2);
  CHECK(part.num_tokens == 2);
  CHECK(part.num_heads == 2);
  CHECK(part.row(1, 1) == q.row(2, 2));
  CHECK(&part.scale(1, 1) == &q.scale(2, 2));
  CHECK(q.block(3, 1).row(0, 0) == q.row(3, 0));
  CHECK(q.block(3, 1).num_tokens == 1);
}

TEST_CASE("quantize: another shape is refused, and nothing is written", "[quantize]") {
  owned_heads<float> x(2, 3, 4, 1.0F);
  std::vector<std::int8_t> memory(64, std::int8_t{99});
  std::vector<float> scales(16, -1.0F);
  const auto view = [&](index_t tokens, index_t heads, index_t columns) {
    return quantized_view<std::int8_t>(memory.data(), scales.data(), tokens, heads, columns);
  };
  CHECK_THROWS_WITH(quantize(x.view(), view(3, 3, 4)), "quantize: num_tokens of to is 3, expected 2, that of from");
  CHECK_THROWS_WITH(quantize(x.view(), view(2, 2, 4)), "quantize: num_heads of to is 2, expected 3, that of from");
  CHECK_THROWS_WITH(quantize(x.view(), view(2, 3, 5)), "quantize: head_dim of to is 5, expected 4, that of from");
  CHECK_THROWS_WITH(dequantize(view(2, 3, 5), x.view()), "dequantize: head_dim of to is 4, expected 5, that of from");
  CHECK(memory == std::vector<std::int8_t>(64, std::int8_t{99}));
  CHECK(scales == std::vector<float>(16, -1.0F));
  CHECK(x.values == std::vector<float>(24, 1.0F));
  quantize(owned_heads<float>(0, 3, 4).view(), view(0, 3, 4));
  CHECK(scales == std::vector<float>(16, -1.0F));
}
