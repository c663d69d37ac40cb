// Rotation options that few models need: a different output pairing, and the negative sign.
#include <posenc/encodings/rope.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

using namespace posenc;

namespace {

const std::vector<double> frequency_list{1.0, 0.25, 0.0, -0.5, 0.01};
const std::vector<position_t> ids{0, 7, -3, 7, 100000, 1};

pairing other(pairing pairs) { return pairs == pairing::half ? pairing::interleaved : pairing::half; }

template <class S>
std::vector<double> widened(const owned_heads<S>& x) {
  std::vector<double> values;
  for (const S value : x.values) values.push_back(widen<double>(value));
  return values;
}

double product(const owned_heads<double>& q, index_t i, const owned_heads<double>& k, index_t j) {
  double sum = 0;
  for (index_t d = 0; d < q.head_dim; ++d) sum += q.view().row(i, 0)[d] * k.view().row(j, 0)[d];
  return sum;
}

}  // namespace

TEST_CASE("rope: without options, and with none chosen, a rotation is the plain one", "[rope]") {
  const frequencies list(frequency_list);
  const rope plain(pairing::interleaved, list, 3), chosen(pairing::interleaved, list, {.first_column = 3});
  CHECK(plain.first_column() == 3);
  CHECK(chosen.first_column() == 3);
  CHECK(plain.output_layout() == pairing::interleaved);
  CHECK(plain.sign() == rotation_sign::positive);
  random_values random(1);
  CAPTURE(random.seed());
  owned_heads<float> a(random, 6, 2, 14), b = a;
  rotate(plain, a.view(), ids);
  rotate(chosen, b.view(), ids);
  CHECK(a.values == b.values);
}

TEMPLATE_TEST_CASE("rope: one pairing read and another written is a rotation, then a change of columns", "[rope]",
                   float, double, bf16, f16) {
  random_values random(2);
  CAPTURE(random.seed());
  const pairing read = GENERATE(pairing::half, pairing::interleaved);
  const frequencies list = frequencies(frequency_list).with_attention_factor(1.5);
  const rope plain(read, list, 2);
  const rope mixed(read, list, {.first_column = 2, .output = other(read)});
  owned_heads<TestType> x(random, 6, 3, 13), expected = x;
  rotate(mixed, x.view(), ids);
  rotate(plain, expected.view(), ids);
  for (index_t t = 0; t < 6; ++t) kernels::change_pairing(expected.view().row(t, 0) + 2, 3, 13, read, 5);
  CHECK(widened(x) == widened(expected));
}

TEMPLATE_TEST_CASE(
    "rope: with another pairing for output, unrotate and the adjoint go back to what was read, shift stays", "[rope]",
    float, double) {
  random_values random(3);
  CAPTURE(random.seed());
  const pairing read = GENERATE(pairing::half, pairing::interleaved);
  const double near = sizeof(TestType) == 8 ? 0x1p-48 : 0x1p-19;
  const rope mixed(read, frequencies(frequency_list).with_attention_factor(1.5), {.output = other(read)});
  const owned_heads<TestType> before(random, 6, 2, 10);

  owned_heads<TestType> x = before;
  rotate(mixed, x.view(), ids);
  unrotate(mixed, x.view(), ids);
  for (std::size_t i = 0; i < x.values.size(); ++i) CHECK(std::abs(x.values[i] - before.values[i]) < near);

  rotate(mixed, x.view(), ids);
  shift(mixed, x.view(), std::vector<position_t>(6, -5));
  owned_heads<TestType> there = before;
  std::vector<position_t> moved = ids;
  for (position_t& id : moved) id -= 5;
  rotate(mixed, there.view(), moved);
  for (std::size_t i = 0; i < x.values.size(); ++i) CHECK(std::abs(x.values[i] - there.values[i]) < near);

  // <R x, y> = <x, R' y>
  owned_heads<TestType> y(random, 6, 2, 10), back = y;
  hooks::apply_to_keys_backward<rope, TestType>(mixed, before.view(), back.view(), ids, {});
  x = before;
  rotate(mixed, x.view(), ids);
  double forward = 0, backward = 0;
  for (std::size_t i = 0; i < x.values.size(); ++i) {
    forward += double{x.values[i]} * double{y.values[i]};
    backward += double{before.values[i]} * double{back.values[i]};
  }
  CHECK(std::abs(forward - backward) < 100 * near);
}

TEST_CASE("rope: scores do not depend on the pairing of the output, but on the sign they do", "[rope]") {
  random_values random(4);
  CAPTURE(random.seed());
  const pairing read = GENERATE(pairing::half, pairing::interleaved);
  const frequencies list(frequency_list);
  const owned_heads<double> q(random, 6, 1, 10), k(random, 6, 1, 10);
  const auto scores = [&](const rope_options& options) {
    owned_heads<double> turned_q = q, turned_k = k;
    rotate(rope(read, list, options), turned_q.view(), turned_k.view(), ids);
    std::vector<double> products;
    for (index_t i = 0; i < 6; ++i) {
      for (index_t j = 0; j < 6; ++j) products.push_back(product(turned_q, i, turned_k, j));
    }
    return products;
  };
  const auto furthest = [](const std::vector<double>& a, const std::vector<double>& b) {
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
    return largest;
  };
  CHECK(furthest(scores({.output = other(read)}), scores({})) < 1e-14);
  CHECK(furthest(scores({.sign = rotation_sign::negative}), scores({})) > 0.01);
}

TEMPLATE_TEST_CASE("rope: the negative sign turns as the negated position does", "[rope]", float, double, bf16, f16) {
  random_values random(5);
  CAPTURE(random.seed());
  const pairing pairs = GENERATE(pairing::half, pairing::interleaved);
  const frequencies list = frequencies(frequency_list).with_attention_factor(0.75);
  const rope plain(pairs, list), negative(pairs, list, {.sign = rotation_sign::negative});
  std::vector<position_t> negated = ids;
  for (position_t& id : negated) id = -id;
  owned_heads<TestType> x(random, 6, 2, 10), expected = x;
  rotate(negative, x.view(), ids);
  rotate(plain, expected.view(), negated);
  CHECK(widened(x) == widened(expected));
  shift(negative, x.view(), ids);
  shift(plain, expected.view(), negated);
  CHECK(widened(x) == widened(expected));
}

TEST_CASE("rope: rows hold the negative sign in their sines", "[rope]") {
  const frequencies list(frequency_list);
  const rope plain(pairing::half, list), negative(pairing::half, list, {.sign = rotation_sign::negative});
  float cos[10], sin[10], negative_cos[10], negative_sin[10];
  fill_cos_sin(plain, positions(5, 2), cos_sin_rows<float>(cos, sin, 2, 5));
  fill_cos_sin(negative, positions(5, 2), cos_sin_rows<float>(negative_cos, negative_sin, 2, 5));
  for (int i = 0; i < 10; ++i) {
    CHECK(negative_cos[i] == cos[i]);
    CHECK(negative_sin[i] == -sin[i]);
  }
}

TEST_CASE("rope: a slice too wide for another pairing of its output is refused", "[rope]") {
  const frequencies wide(std::vector<double>(1025, 0.5));
  CHECK(rope(pairing::half, wide).num_pairs() == 1025);
  CHECK(rope(pairing::half, wide, {.output = pairing::half}).num_pairs() == 1025);
  CHECK_THROWS_WITH(rope(pairing::half, wide, {.output = pairing::interleaved}),
                    "rope: number of frequencies with another pairing for output is 1025, expected at most 1024");
  CHECK_THROWS_WITH(rope(pairing::half, wide, {.first_column = -2}), "rope: first_column is -2, expected at least 0");
}
