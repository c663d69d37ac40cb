#include <posenc/encodings/rope.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

using namespace posenc;

namespace {

const std::vector<double> frequency_list{1.0, 0.25, 0.0, -0.5, 0.01};

/// The formula of the paper, in double, for one head.
std::vector<double> turned(std::vector<double> x, pairing pairs, const std::vector<double>& inv_freq, double position,
                           double factor, std::size_t first_column = 0) {
  const std::size_t num_pairs = inv_freq.size();
  for (std::size_t i = 0; i < num_pairs; ++i) {
    double& a = x[first_column + (pairs == pairing::half ? i : 2 * i)];
    double& b = x[first_column + (pairs == pairing::half ? i + num_pairs : 2 * i + 1)];
    const double c = factor * std::cos(position * inv_freq[i]);
    const double s = factor * std::sin(position * inv_freq[i]);
    const double turned_a = a * c - b * s;
    b = a * s + b * c;
    a = turned_a;
  }
  return x;
}

template <class S>
std::vector<double> head(head_view<S> x, index_t token, index_t head) {
  std::vector<double> values;
  for (index_t d = 0; d < x.head_dim; ++d) values.push_back(widen<double>(x.row(token, head)[d]));
  return values;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

/// What rounding may cost numbers of size about 1.
template <class S>
constexpr double tolerance = std::is_same_v<S, double>  ? 0x1p-50
                             : std::is_same_v<S, float> ? 0x1p-22
                             : std::is_same_v<S, bf16>  ? 0x1p-7
                                                        : 0x1p-10;

}  // namespace

TEMPLATE_TEST_CASE("rope: each pair turns by position * inv_freq", "[rope]", float, double, bf16, f16) {
  random_values random(1);
  CAPTURE(random.seed());
  const pairing pairs = GENERATE(pairing::half, pairing::interleaved);
  const index_t first_column = GENERATE(0, 3);
  const rope rotary(pairs, frequencies(frequency_list).with_attention_factor(1.5), first_column);
  CHECK(rotary.rotary_dim() == 10);
  const owned_heads<TestType> before(random, 6, 2, 15);  // of odd width
  owned_heads<TestType> x = before;
  const std::vector<position_t> ids{0, 7, -3, 7, 100, 1};
  rotate(rotary, x.view(), ids);
  for (index_t t = 0; t < 6; ++t) {
    for (index_t h = 0; h < 2; ++h) {
      const auto expected = turned(head(before.view(), t, h), pairs, frequency_list, ids[static_cast<std::size_t>(t)],
                                   1.5, static_cast<std::size_t>(first_column));
      CHECK(largest_difference(head(x.view(), t, h), expected) <= 2 * tolerance<TestType>);
      for (index_t d = 0; d < 15; ++d) {
        if (d >= first_column && d < first_column + 10) continue;
        CHECK(widen<double>(x.view().row(t, h)[d]) == widen<double>(before.view().row(t, h)[d]));
      }
    }
  }
}

TEST_CASE("rope: more pairs than one block of angles holds turn all alike", "[rope]") {
  random_values random(2);
  CAPTURE(random.seed());
  std::vector<double> inv_freq;
  for (int i = 0; i < 150; ++i) inv_freq.push_back(std::exp2(-i / 16.0));
  const pairing pairs = GENERATE(pairing::half, pairing::interleaved);
  const owned_heads<double> before(random, 2, 3, 300);
  owned_heads<double> x = before;
  rotate(rope(pairs, frequencies(inv_freq)), x.view(), positions(1000, 2));
  for (index_t h = 0; h < 3; ++h) {
    // At position 1001 the plain formula's own angle is off by 2^-43.
    CHECK(largest_difference(head(x.view(), 1, h), turned(head(before.view(), 1, h), pairs, inv_freq, 1001, 1)) <
          0x1p-41);
  }
}

TEMPLATE_TEST_CASE("rope: unrotate gives back what rotate took, and shift moves it on, with the factor in it once",
                   "[rope]", float, double) {
  random_values random(3);
  CAPTURE(random.seed());
  const pairing pairs = GENERATE(pairing::half, pairing::interleaved);
  const rope rotary(pairs, frequencies(frequency_list).with_attention_factor(1.5));
  const owned_heads<TestType> before(random, 4, 2, 10);
  const std::vector<position_t> ids{5, -9, 1 << 20, 0};
  const std::vector<position_t> by{-5, 3, 1 << 19, 2};
  const std::vector<position_t> moved{0, -6, 3 << 19, 2};

  owned_heads<TestType> x = before;
  rotate(rotary, x.view(), ids);
  unrotate(rotary, x.view(), ids);
  for (std::size_t i = 0; i < x.values.size(); ++i)
    CHECK(std::abs(x.values[i] - before.values[i]) < tolerance<TestType>);

  owned_heads<TestType> there = before;
  rotate(rotary, x.view(), ids);
  shift(rotary, x.view(), by);
  rotate(rotary, there.view(), moved);
  for (std::size_t i = 0; i < x.values.size(); ++i) {
    CHECK(std::abs(x.values[i] - there.values[i]) < 4 * tolerance<TestType>);
  }
}

TEST_CASE("rope: real positions turn as integer ones do, and between them", "[rope]") {
  random_values random(4);
  CAPTURE(random.seed());
  const rope rotary(pairing::half, frequencies(frequency_list));
  const owned_heads<float> before(random, 3, 2, 10);
  owned_heads<float> by_id = before, by_coordinate = before;
  rotate(rotary, by_id.view(), std::vector<position_t>{-7, 0, 1 << 30});
  rotate(rotary, by_coordinate.view(), std::vector<double>{-7, 0, 1 << 30});
  CHECK(by_id.values == by_coordinate.values);
  owned_heads<double> x(random, 1, 1, 10);
  const auto expected = turned(head(x.view(), 0, 0), pairing::half, frequency_list, 2.75, 1);
  rotate(rotary, x.view(), std::vector<double>{2.75});
  CHECK(largest_difference(head(x.view(), 0, 0), expected) < tolerance<double>);
}

TEST_CASE("rope: each pair turns with its own axis, and one axis stands for all", "[rope]") {
  random_values random(5);
  CAPTURE(random.seed());
  const pairing pairs = GENERATE(pairing::half, pairing::interleaved);
  const std::vector<index_t> axes{0, 1, 2, 0, 1};
  const std::vector<double> inv_freq{1.0, 0.25, 0.5, -0.5, 0.01};
  const rope rotary(pairs, frequencies(inv_freq).with_axes(axes));
  CHECK(rotary.num_position_axes() == 3);
  const owned_heads<double> before(random, 2, 1, 10);
  owned_heads<double> x = before;
  const std::vector<position_t> ids{4, 5, 6, 70, 800, -9};  // [axis, token]
  rotate(rotary, x.view(), positions(ids, 3));
  // The same with the axis' position folded into each frequency.
  for (std::size_t t = 0; t < 2; ++t) {
    std::vector<double> angles;
    for (std::size_t i = 0; i < 5; ++i) angles.push_back(inv_freq[i] * ids[2 * static_cast<std::size_t>(axes[i]) + t]);
    const auto token = static_cast<index_t>(t);
    CHECK(largest_difference(head(x.view(), token, 0), turned(head(before.view(), token, 0), pairs, angles, 1, 1)) <
          0x1p-43);
  }
  owned_heads<double> on_one = before, on_three = before;
  rotate(rotary, on_one.view(), std::vector<position_t>{4, 5});
  rotate(rotary, on_three.view(), positions(std::vector<position_t>{4, 5, 4, 5, 4, 5}, 3));
  CHECK(on_one.values == on_three.values);
}

TEST_CASE("rope: q and k of their own types, strides and heads turn in one call as in two", "[rope]") {
  random_values random(6);
  CAPTURE(random.seed());
  const pairing pairs = GENERATE(pairing::half, pairing::interleaved);
  const rope rotary(pairs, frequencies(frequency_list).with_attention_factor(0.75), 1);
  auto packed = random.list<bf16>(5 * (4 + 1) * 12);  // q of four heads and k of one, token by token
  auto apart = packed;
  const head_view<bf16> q(packed.data(), 5, 4, 12, 60, 12);
  owned_heads<float> k(random, 5, 2, 11), k_apart = k;
  rotate(rotary, q, k.view(), positions(9, 5));
  rotate(rotary, head_view<bf16>(apart.data(), 5, 4, 12, 60, 12), positions(9, 5));
  rotate(rotary, k_apart.view(), positions(9, 5));
  CHECK(k.values == k_apart.values);
  for (std::size_t i = 0; i < packed.size(); ++i) CHECK(packed[i].bits == apart[i].bits);
}

TEST_CASE("rope: errors name argument, value and rule, and nothing is written", "[rope]") {
  const frequencies five(frequency_list);
  CHECK_THROWS_WITH(rope(pairing::half, frequencies(std::vector<double>{})),
                    "rope: number of frequencies is 0, expected at least 1");
  CHECK_THROWS_WITH(rope(pairing::half, five, -1), "rope: first_column is -1, expected at least 0");
  CHECK_THROWS_WITH(rope(pairing::half, five.with_axes(std::vector<index_t>{0, 8, 0, 0, 0})),
                    "rope: number of axes is 9, expected at most 8");

  const rope rotary(pairing::half, five, 2);
  random_values random(7);
  CAPTURE(random.seed());
  owned_heads<float> q(random, 3, 2, 12), k(random, 3, 1, 11);
  const auto before = q.values;
  const auto refuses = [&](const auto& p, const std::string& message) {
    CHECK(check_rotate(rotary, k.view(), p).message() == message);
    CHECK_THROWS_WITH(rotate(rotary, q.view(), k.view(), p), message);
    CHECK(q.values == before);
  };
  refuses(positions(0, 3), "rotate: head_dim is 11, expected at least 12, the end of the rotary slice");
  refuses(positions(0, 4), "rotate: number of positions is 4, expected 3, one for each token");
  refuses(positions(std::vector<position_t>(6), 2), "rotate: number of axes of the positions is 2, expected 1");
  refuses(positions(2147483647, 3), "rotate: last position is 2147483649, expected below 2^31");
  refuses(std::vector<double>{0, 1e30, 0}, "rotate: positions[1] is 1e+30, expected finite and less than 2^63 in size");
  const rope on_three(pairing::half, five.with_axes(std::vector<index_t>{0, 1, 2, 0, 1}));
  CHECK(check_rotate(on_three, q.view(), positions(std::vector<position_t>(6), 2)).message() ==
        "rotate: number of axes of the positions is 2, expected 1 or 3");
}
