// Rotation by rows of cosines and sines: rope's own, or another library's cache.
#include <posenc/encodings/rope.hpp>

#include <posenc/encodings/mrope.hpp>
#include <posenc/scaling/default.hpp>

#include "catch.hpp"
#include "random_values.hpp"
#include "ulp.hpp"

#include <cmath>
#include <cstdint>
#include <numbers>
#include <stdexcept>
#include <vector>

using namespace posenc;

namespace {

/// Memory for rows, cosines and sines side by side as vLLM keeps them, with a gap behind.
template <class C>
struct owned_rows {
  index_t num_rows, num_pairs;
  std::vector<C> memory = std::vector<C>(static_cast<std::size_t>(num_rows * (2 * num_pairs + 1)), C(7.0F));

  cos_sin_rows<C> view() {
    C* const sines = memory.empty() ? nullptr : memory.data() + num_pairs;
    return {memory.data(), sines, num_rows, num_pairs, 2 * num_pairs + 1};
  }
};

rope seventy_pairs(pairing pairs, index_t first_column = 0) {  // more than a block of angles
  std::vector<float> inv_freq;
  for (int i = 0; i < 70; ++i) inv_freq.push_back(std::exp2(static_cast<float>(-i) / 8.0F));
  return rope(pairs, frequencies(inv_freq).with_attention_factor(1.25), first_column);
}

}  // namespace

TEMPLATE_TEST_CASE("rope: rows filled once rotate every layer as positions would", "[rope]", float, double) {
  random_values random(1);
  CAPTURE(random.seed());
  const rope rotary = seventy_pairs(GENERATE(pairing::half, pairing::interleaved), 3);
  const std::vector<position_t> ids{5, -1, 100000, 5};
  owned_rows<TestType> rows{4, 70};
  fill_cos_sin(rotary, ids, rows.view());
  const owned_heads<TestType> before(random, 4, 3, 145);
  owned_heads<TestType> by_rows = before, by_positions = before;
  rotate(rows.view(), rotary.layout(), by_rows.view(), rotary.first_column());
  rotate(rotary, by_positions.view(), ids);
  CHECK(by_rows.values == by_positions.values);
  rotate(rows.view(), rotary.layout(), by_rows.view(), 3, direction::inverse);
  for (std::size_t i = 0; i < before.values.size(); ++i) {
    const auto column = static_cast<index_t>(i) % 145;
    const double squared_factor = column >= 3 && column < 143 ? 1.25 * 1.25 : 1;  // the inverse is the adjoint
    CHECK(std::abs(by_rows.values[i] - squared_factor * before.values[i]) < (sizeof(TestType) == 8 ? 1e-14 : 1e-5));
  }
  for (index_t row = 0; row < 4; ++row) CHECK(rows.memory[static_cast<std::size_t>(row * 141 + 140)] == 7);
}

TEST_CASE("rope: more tokens than caches hold turn as each by itself", "[rope]") {
  random_values random(3);
  CAPTURE(random.seed());
  const rope rotary = seventy_pairs(pairing::half, 3);
  constexpr index_t num_heads = 5, head_dim = 145, num_tokens = (index_t{32} << 20) / (4 * num_heads * head_dim);
  const positions ids(100, num_tokens);
  owned_rows<float> rows{num_tokens, 70};
  fill_cos_sin(rotary, ids, rows.view());
  const owned_heads<float> before(random, num_tokens, num_heads, head_dim);
  owned_heads<float> at_once = before;
  const auto token = [](auto view, index_t t) { return view.tokens(t, 1); };
  const auto row = [](cos_sin_rows<float> all, index_t t) {
    return cos_sin_rows<float>(all.cos + t * all.row_stride, all.sin + t * all.row_stride, 1, 70);
  };
  SECTION("by rows, keys not right behind the queries") {
    const auto way = GENERATE(direction::forward, direction::inverse);
    owned_heads<float> one_by_one = before;
    rotate(rows.view(), pairing::half, at_once.view().heads(1, 4), at_once.view().heads(0, 1), 3, way);
    for (index_t t = 0; t < num_tokens; ++t)
      rotate(row(rows.view(), t), pairing::half, token(one_by_one.view(), t), 3, way);
    CHECK((at_once.values == one_by_one.values));  // parentheses: millions of values are not printed
  }
  SECTION("by positions") {
    owned_heads<float> one_by_one = before;
    rotate(rotary, at_once.view(), ids);
    for (index_t t = 0; t < num_tokens; ++t) rotate(rotary, token(one_by_one.view(), t), positions(ids[t], 1));
    CHECK((at_once.values == one_by_one.values));
  }
}

TEMPLATE_TEST_CASE("rope: keys right behind the queries turn as keys elsewhere do, and what lies behind them does not",
                   "[rope]", float, bf16) {
  random_values random(2);
  CAPTURE(random.seed());
  const index_t num_kv_heads = GENERATE(0, 1, 2);
  const rope rotary = seventy_pairs(pairing::half);
  const std::vector<position_t> ids{5, -1, 100000};
  owned_rows<float> rows{3, 70};
  fill_cos_sin(rotary, ids, rows.view());
  const owned_heads<TestType> packed(random, 3, 6, 140);  // [queries | keys | values]
  const auto values_of = [&](bool by_rows, bool at_once) {
    owned_heads<TestType> x = packed;
    const auto q = x.view().heads(0, 3), k = x.view().heads(3, num_kv_heads);
    if (at_once) {
      if (by_rows)
        rotate(rows.view(), rotary.layout(), q, k);
      else
        rotate(rotary, q, k, ids);
    } else {
      rotate(rotary, q, ids);
      rotate(rotary, k, ids);
    }
    std::vector<float> values;
    for (const TestType value : x.values) values.push_back(widen<float>(value));
    return values;
  };
  CHECK(values_of(false, true) == values_of(false, false));
  CHECK(values_of(true, true) == values_of(false, false));
}

TEST_CASE("rope: rows hold cos and sin times the factor, rounded to the type of the rows", "[rope]") {
  const rope rotary(pairing::half, frequencies(std::vector<double>{1, 0.5}).with_attention_factor(2));
  owned_rows<f16> rows{2, 2};
  fill_cos_sin(rotary, std::vector<double>{0.0, std::numbers::pi / 3}, rows.view());
  CHECK(rows.memory[0].bits == f16(2.0F).bits);
  CHECK(rows.memory[2].bits == 0);
  CHECK(rows.memory[5].bits == f16(1.0F).bits);
  CHECK(rows.memory[8].bits == f16(1.0F).bits);  // 2 sin(pi / 6)
}

TEST_CASE("rope: a cache has a row for each position, in its own element type", "[rope]") {
  random_values random(2);
  CAPTURE(random.seed());
  const pairing pairs = GENERATE(pairing::half, pairing::interleaved);
  const auto cos = random.list<f16>(10 * 4);
  const auto sin = random.list<f16>(10 * 4);
  const cos_sin_rows cache(cos.data(), sin.data(), 10, 4);
  const owned_heads<bf16> before(random, 3, 2, 9);
  owned_heads<bf16> x = before;
  const std::vector<position_t> ids{9, 0, 4};
  rotate(cache, pairs, x.view(), ids, 1);
  for (index_t t = 0; t < 3; ++t) {
    for (index_t h = 0; h < 2; ++h) {
      CHECK(x.view().row(t, h)[0].bits == before.view().row(t, h)[0].bits);
      for (index_t i = 0; i < 4; ++i) {
        const auto row = static_cast<std::size_t>(ids[static_cast<std::size_t>(t)] * 4 + i);
        const double c = widen<double>(cos[row]);
        const double s = widen<double>(sin[row]);
        const index_t a = 1 + (pairs == pairing::half ? i : 2 * i);
        const index_t b = 1 + (pairs == pairing::half ? i + 4 : 2 * i + 1);
        const double xa = widen<double>(before.view().row(t, h)[a]);
        const double xb = widen<double>(before.view().row(t, h)[b]);
        CHECK(std::abs(widen<double>(x.view().row(t, h)[a]) - (xa * c - xb * s)) < 0x1p-8);
        CHECK(std::abs(widen<double>(x.view().row(t, h)[b]) - (xa * s + xb * c)) < 0x1p-8);
      }
    }
  }
  owned_heads<bf16> by_range = before, in_order = before;
  rotate(cache, pairs, by_range.view(), positions(0, 3));
  rotate(cache, pairs, in_order.view());  // without positions, row t is that of token t
  for (std::size_t i = 0; i < before.values.size(); ++i) CHECK(by_range.values[i].bits == in_order.values[i].bits);
}

TEST_CASE("rope: rows that do not fit are refused, and nothing is written", "[rope]") {
  owned_rows<float> rows{3, 70};
  const rope rotary = seventy_pairs(pairing::half);
  CHECK_THROWS_WITH(fill_cos_sin(rotary, positions(0, 4), rows.view()),
                    "fill_cos_sin: number of cos and sin rows is 3, expected at least 4, one for each token");
  CHECK_THROWS_WITH(fill_cos_sin(rotary, positions(2147483647, 2), rows.view()),
                    "fill_cos_sin: last position is 2147483648, expected below 2^31");
  CHECK_THROWS_WITH(fill_cos_sin(rotary, positions(std::vector<position_t>(2), 2), rows.view()),
                    "fill_cos_sin: number of axes of the positions is 2, expected 1");
  owned_rows<float> narrow_rows{3, 69};
  CHECK_THROWS_WITH(fill_cos_sin(rotary, positions(0, 3), narrow_rows.view()),
                    "fill_cos_sin: pairs of the cos and sin rows is 69, expected 70, those of the rotary slice");
  CHECK(rows.memory == owned_rows<float>{3, 70}.memory);
  CHECK(narrow_rows.memory == owned_rows<float>{3, 69}.memory);

  owned_heads<float> x(4, 1, 140, 1.0F);
  const auto x_of = [&](index_t tokens) { return x.view().tokens(0, tokens); };
  const std::vector<position_t> beyond{0, 3, 2}, negative{0, -1, 2};
  CHECK_THROWS_WITH(rotate(rows.view(), pairing::half, x_of(4)),
                    "rotate: number of cos and sin rows is 3, expected at least 4, one for each token");
  CHECK_THROWS_WITH(rotate(rows.view(), pairing::half, x_of(3), 1),
                    "rotate: head_dim is 140, expected at least 141, the end of the rotary slice");
  CHECK_THROWS_WITH(rotate(rows.view(), pairing::half, x_of(3), -1), "rotate: first_column is -1, expected at least 0");
  CHECK_THROWS_WITH(rotate(rows.view(), pairing::half, x_of(3), beyond),
                    "rotate: positions[1] is 3, expected from 0 to 2, the rows of the cos and sin cache");
  CHECK_THROWS_AS(rotate(rows.view(), pairing::half, x_of(3), negative), std::out_of_range);
  CHECK_THROWS_WITH(rotate(rows.view(), pairing::half, x_of(3), positions(0, 2)),
                    "rotate: number of positions is 2, expected 3, one for each token");
  CHECK(x.values == std::vector<float>(560, 1.0F));
}

TEST_CASE("rope: no tokens need no rows", "[rope]") {
  owned_rows<float> rows{0, 70};
  fill_cos_sin(seventy_pairs(pairing::half), positions(0, 0), rows.view());
  rotate(rows.view(), pairing::interleaved, head_view<float>(nullptr, 0, 2, 140));
  rotate(rows.view(), pairing::interleaved, head_view<float>(nullptr, 0, 2, 140), positions(0, 0));
  SUCCEED("nothing was read");
}

TEST_CASE("rope: the rows of a range are those of its positions listed, to a last place", "[rope]") {
  const rope rotary(pairing::half, seventy_pairs(pairing::half).inv_freq(), {.sign = rotation_sign::negative});
  const positions range(-7, 300);
  std::vector<position_t> ids;
  for (index_t t = 0; t < range.size(); ++t) ids.push_back(range[t]);
  owned_rows<float> of_range{300, 70}, of_list{300, 70};
  fill_cos_sin(rotary, range, of_range.view());
  fill_cos_sin(rotary, ids, of_list.view());
  index_t num_different = 0;
  for (std::size_t i = 0; i < of_list.memory.size(); ++i) {
    CHECK(ulp_distance(of_range.memory[i], of_list.memory[i]) <= 1);
    num_different += of_range.memory[i] != of_list.memory[i];
  }
  CHECK(num_different < 20);         // of 42000
  CHECK(of_range.memory[140] == 7);  // the gap

  const rope compatible(pairing::half, rotary.inv_freq().with_float32_angles());
  fill_cos_sin(compatible, range, of_range.view());
  fill_cos_sin(compatible, ids, of_list.view());
  CHECK(of_range.memory == of_list.memory);
}

TEST_CASE("rope: a range of positions is the same on every axis", "[rope]") {
  const rope one_axis(pairing::half, default_frequencies({.head_dim = 128, .rope_theta = 1e6}));
  const rope three_axes(pairing::half, one_axis.inv_freq().with_axes(sectioned_axes({16, 24, 24})));
  // 22 and 355 are nearly multiples of pi: rows that `cos_sin` makes.
  for (const std::int64_t start : {0, 5, 22, 350, -40, 1 << 20}) {
    CAPTURE(start);
    const positions range(start, 40);
    std::vector<position_t> ids;
    for (index_t axis = 0; axis < 3; ++axis) {
      for (index_t t = 0; t < range.size(); ++t) ids.push_back(range[t]);
    }
    owned_rows<float> of_range{40, 64}, of_list{40, 64}, of_one_axis{40, 64};
    fill_cos_sin(three_axes, range, of_range.view());
    fill_cos_sin(three_axes, positions(ids, 3), of_list.view());
    fill_cos_sin(one_axis, range, of_one_axis.view());
    CHECK(of_range.memory == of_one_axis.memory);
    for (std::size_t i = 0; i < of_list.memory.size(); ++i)
      CHECK(ulp_distance(of_range.memory[i], of_list.memory[i]) <= 1);
  }
}
