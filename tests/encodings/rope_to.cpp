#include <posenc/encodings/rope_to.hpp>

#include <posenc/scaling/default.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

using namespace posenc;

namespace {

const std::vector<double> frequency_list{1.0, 0.25, 0.0, -0.5, 0.01};
const std::vector<position_t> ids{0, 7, -3, 7, 100000, 1};

const frequencies& with_factor() {
  static const frequencies list = frequencies(frequency_list).with_attention_factor(1.5);
  return list;
}

/// Two steps of the compute type and one of storage, for numbers of size about 2.
template <class S>
constexpr double tolerance = std::is_same_v<S, double>  ? 0x1p-49
                             : std::is_same_v<S, float> ? 0x1p-21
                             : std::is_same_v<S, bf16>  ? 0x1p-7
                                                        : 0x1p-10;

template <class S>
bool same_bits(const std::vector<S>& a, const std::vector<S>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(S)) == 0;
}

template <class A, class B>
double furthest(head_view<A> a, head_view<B> b) {
  double largest = 0;
  for (index_t t = 0; t < a.num_tokens; ++t) {
    for (index_t h = 0; h < a.num_heads; ++h) {
      for (index_t d = 0; d < a.head_dim; ++d)
        largest = std::max(largest, std::abs(widen<double>(a.row(t, h)[d]) - widen<double>(b.row(t, h)[d])));
    }
  }
  return largest;
}

/// `x`, in double and by the rotation in place, which its own test holds to the formula.
template <class S>
owned_heads<double> turned(const owned_heads<S>& x, const rope& rotary, double scale = 1) {
  owned_heads<double> wide(x.num_tokens, x.num_heads, x.head_dim);
  for (std::size_t i = 0; i < x.values.size(); ++i) wide.values[i] = widen<double>(x.values[i]);
  rotate(rotary, wide.view(), ids);
  for (double& value : wide.values) value *= scale;
  return wide;
}

template <class S, class D>
void check_into(pairing read, pairing written) {
  random_values random(1);
  CAPTURE(random.seed());
  const rope rotary(read, with_factor(), {.first_column = 2, .output = written});
  const owned_heads<S> x(random, 6, 3, 13);
  const auto source = x.values;
  // Into a stretch of a cache that lies head by head, with columns to spare.
  const auto before = random.list<D>(3 * 9 * 16);
  auto memory = before;
  const auto cache = [&memory] { return head_view<D>(memory.data() + 2 * 16, 6, 3, 13, 16, 9 * 16); };

  rotate_to(rotary, x.view(), cache(), ids);
  CHECK(furthest(cache(), turned(x, rotary).view()) <= 2 * std::max(tolerance<S>, tolerance<D>));
  for (index_t t = 0; t < 6; ++t) {
    for (index_t h = 0; h < 3; ++h) {
      for (const index_t d : {0, 1, 12}) {
        CHECK(widen<double>(cache().row(t, h)[d]) ==
              widen<double>(narrow<D>(widen<compute_t<S>>(x.view().row(t, h)[d]))));
      }
    }
  }
  for (std::size_t i = 0; i < memory.size(); ++i) {
    const std::size_t place = i % (9 * 16) / 16, column = i % 16;
    if (place >= 2 && place < 8 && column < 13) continue;
    CHECK(widen<double>(memory[i]) == widen<double>(before[i]));
  }
  CHECK(same_bits(x.values, source));

  rotate_to(rotary, x.view(), cache(), ids, 0.25);
  CHECK(furthest(cache(), turned(x, rotary, 0.25).view()) <= std::max(tolerance<S>, tolerance<D>));
  unrotate_to(rotary, head_view<const D>(cache()), cache(), ids, 4.0);
  CHECK(furthest(cache(), x.view()) <= 4 * std::max(tolerance<S>, tolerance<D>));
}

}  // namespace

TEMPLATE_TEST_CASE("rope_to: rotates into any element type, any strides and any pairing", "[rope_to]", float, double,
                   bf16, f16) {
  const pairing read = GENERATE(pairing::half, pairing::interleaved);
  const pairing written = GENERATE(pairing::half, pairing::interleaved);
  check_into<TestType, float>(read, written);
  check_into<TestType, double>(read, written);
  check_into<TestType, bf16>(read, written);
  check_into<TestType, f16>(read, written);
}

TEMPLATE_TEST_CASE("rope_to: what is read may be what is written, columns that move included", "[rope_to]", float,
                   double, bf16, f16) {
  random_values random(2);
  CAPTURE(random.seed());
  const pairing read = GENERATE(pairing::half, pairing::interleaved);
  const pairing written = GENERATE(pairing::half, pairing::interleaved);
  const rope rotary(read, with_factor(), {.first_column = 1, .output = written});
  owned_heads<TestType> x(random, 6, 2, 12), apart(6, 2, 12), back(6, 2, 12);
  rotate_to(rotary, x.view(), apart.view(), ids, 0.5);
  rotate_to(rotary, x.view(), x.view(), ids, 0.5);
  CHECK(same_bits(x.values, apart.values));
  unrotate_to(rotary, x.view(), back.view(), ids, 2);
  unrotate_to(rotary, x.view(), x.view(), ids, 2);
  CHECK(same_bits(x.values, back.values));
}

TEST_CASE("rope_to: a slice of more pairs than a block of angles holds", "[rope_to]") {
  random_values random(3);
  CAPTURE(random.seed());
  std::vector<double> inv_freq;
  for (int i = 0; i < 150; ++i) inv_freq.push_back(std::exp2(-i / 16.0));
  const pairing read = GENERATE(pairing::half, pairing::interleaved);
  const pairing written = GENERATE(pairing::half, pairing::interleaved);
  const rope rotary(read, frequencies(inv_freq), {.output = written});
  const owned_heads<float> x(random, 6, 2, 303);
  owned_heads<float> to(6, 2, 303);
  rotate_to(rotary, x.view(), to.view(), ids);
  CHECK(furthest(to.view(), turned(x, rotary).view()) <= tolerance<float>);
}

TEMPLATE_TEST_CASE("rope_to: one pass, chunks and one by one give the same bits", "[rope_to]", float, double, bf16,
                   f16) {
  random_values random(4);
  CAPTURE(random.seed());
  const rope rotary(GENERATE(pairing::half, pairing::interleaved), with_factor(), 1);
  owned_heads<TestType> x(random, 7, 2, 12);
  owned_heads<TestType> whole(7, 2, 12), chunks(7, 2, 12), one_by_one(7, 2, 12);
  rotate_to(rotary, x.view(), whole.view(), positions(1000, 7));
  rotate_to(rotary, x.view().tokens(3, 4), chunks.view().tokens(3, 4), positions(1003, 4));
  rotate_to(rotary, x.view().tokens(0, 3), chunks.view().tokens(0, 3), positions(1000, 3));
  for (index_t t = 0; t < 7; ++t)
    rotate_to(rotary, x.view().tokens(t, 1), one_by_one.view().tokens(t, 1),
              std::vector<position_t>{static_cast<position_t>(1000 + t)});
  CHECK(same_bits(chunks.values, whole.values));
  CHECK(same_bits(one_by_one.values, whole.values));
}

TEMPLATE_TEST_CASE("rope_to: rows filled once give what positions give", "[rope_to]", float, double) {
  random_values random(5);
  CAPTURE(random.seed());
  const pairing read = GENERATE(pairing::half, pairing::interleaved);
  const pairing written = GENERATE(pairing::half, pairing::interleaved);
  const rotation_sign sign = GENERATE(rotation_sign::positive, rotation_sign::negative);
  const rope rotary(read, with_factor(), {.first_column = 1, .output = written, .sign = sign});
  std::vector<TestType> memory(6 * 11);
  const cos_sin_rows<TestType> rows(memory.data(), memory.data() + 5, 6, 5, 11);
  fill_cos_sin(rotary, ids, rows);
  const owned_heads<TestType> x(random, 6, 2, 12);
  owned_heads<TestType> by_rows(6, 2, 12), by_positions(6, 2, 12);
  rotate_to(rotary, x.view(), by_positions.view(), ids);
  rotate_to(rows, read, x.view(), by_rows.view(), {.first_column = 1, .output = written});
  CHECK(by_rows.values == by_positions.values);

  rotate_to(rotary, x.view(), by_positions.view(), ids, 0.5);
  rotate_to(rows, read, x.view(), by_rows.view(), {.first_column = 1, .output = written, .scale = 0.5});
  CHECK(by_rows.values == by_positions.values);

  // Back by the same rows is the adjoint: the factor comes in once more.
  owned_heads<TestType> back(6, 2, 12);
  rotate_to(rows, read, by_rows.view(), back.view(),
            {.first_column = 1, .output = written, .way = direction::inverse, .scale = 2});
  for (std::size_t i = 0; i < back.values.size(); ++i) {
    const std::size_t column = i % 12;
    const double factor = column >= 1 && column < 11 ? 1.5 * 1.5 : 1;
    CHECK(std::abs(back.values[i] - factor * x.values[i]) <= 4 * tolerance<TestType>);
  }
}

TEMPLATE_TEST_CASE("rope_to: queries are rotated and scaled in one pass, columns that pass as well", "[rope_to]", float,
                   double, bf16, f16) {
  random_values random(6);
  CAPTURE(random.seed());
  const index_t head_dim = GENERATE(10, 13);  // all of it turns, or not
  const rope rotary(GENERATE(pairing::half, pairing::interleaved), with_factor());
  owned_heads<TestType> q(random, 6, 3, head_dim);
  const auto expected = turned(q, rotary, 0.125);
  rotate_scaled(rotary, q.view(), 0.125, ids);
  CHECK(furthest(q.view(), expected.view()) <= tolerance<TestType> / 4);
}

TEMPLATE_TEST_CASE("rope_to: a scale of minus one turns the signs of all columns, whichever way positions turn",
                   "[rope_to]", float, double) {
  random_values random(9);
  CAPTURE(random.seed());
  const rotation_sign sign = GENERATE(rotation_sign::positive, rotation_sign::negative);
  const pairing read = GENERATE(pairing::half, pairing::interleaved);
  const rope rotary(read, frequencies(frequency_list), {.sign = sign});
  const owned_heads<TestType> x(random, 6, 2, 10);
  owned_heads<TestType> plain(6, 2, 10), to(6, 2, 10), by_rows(6, 2, 10), back(6, 2, 10), in_place = x;
  rotate_to(rotary, x.view(), plain.view(), ids);
  rotate_to(rotary, x.view(), to.view(), ids, -1);
  rotate_scaled(rotary, in_place.view(), -1, ids);
  unrotate_to(rotary, to.view(), back.view(), ids, -1);
  std::vector<TestType> memory(6 * 10);
  const cos_sin_rows<TestType> rows(memory.data(), memory.data() + 5, 6, 5, 10);
  fill_cos_sin(rotary, ids, rows);
  rotate_to(rows, read, x.view(), by_rows.view(), {.scale = -1});
  CHECK(furthest(in_place.view(), to.view()) <= tolerance<TestType> / 4);
  CHECK(to.values == by_rows.values);
  for (TestType& value : plain.values) value = -value;
  CHECK(to.values == plain.values);
  CHECK(furthest(back.view(), x.view()) <= tolerance<TestType>);
}

TEST_CASE("rope_to: real positions, several axes, and a magnitude that is not a power of two", "[rope_to]") {
  random_values random(7);
  CAPTURE(random.seed());
  const owned_heads<double> x(random, 2, 1, 10);
  owned_heads<double> to(2, 1, 10), in_place = x;
  const rope rotary(pairing::half, with_factor());
  rotate_to(rotary, x.view(), to.view(), std::vector<double>{0.5, -1e3});
  rotate(rotary, in_place.view(), std::vector<double>{0.5, -1e3});
  CHECK(furthest(to.view(), in_place.view()) <= tolerance<double>);

  const rope axial(pairing::half, with_factor().with_axes(std::vector<index_t>{0, 1, 0, 1, 1}));
  const std::vector<position_t> by_axis{4, 5, -60, 7};
  in_place = x;
  rotate_to(axial, x.view(), to.view(), positions(by_axis, 2));
  rotate(axial, in_place.view(), positions(by_axis, 2));
  CHECK(furthest(to.view(), in_place.view()) <= tolerance<double>);
}

TEST_CASE("rope_to: whatever the payload of a NaN, both columns of its pair become NaN in bf16", "[rope_to]") {
  const rope rotary(GENERATE(pairing::half, pairing::interleaved),
                    default_frequencies({.head_dim = 64}).with_attention_factor(1.5));
  const auto only_nan_in = [&](const auto& x) {
    owned_heads<bf16> to(6, 1, 64);
    rotate_to(rotary, x.view(), to.view(), ids);
    return std::ranges::all_of(to.values, [](bf16 value) { return std::isnan(widen<float>(value)); });
  };
  for (const std::uint32_t bits : {0x7fff'ffffU, 0xffff'ffffU, 0x7fff'e000U})
    CHECK(only_nan_in(owned_heads<float>(6, 1, 64, std::bit_cast<float>(bits))));
  f16 half_nan;
  half_nan.bits = 0x7fff;
  CHECK(only_nan_in(owned_heads<f16>(6, 1, 64, half_nan)));
}

TEST_CASE("rope_to: no tokens and no heads are nothing to do", "[rope_to]") {
  const rope rotary(pairing::half, with_factor());
  std::vector<bf16> memory(20, bf16(7.0F));
  const std::vector<float> x(20, 1.0F);
  rotate_to(rotary, head_view<const float>(x.data(), 0, 2, 10), head_view<bf16>(memory.data(), 0, 2, 10),
            positions(0, 0));
  rotate_to(rotary, head_view<const float>(x.data(), 2, 0, 10), head_view<bf16>(memory.data(), 2, 0, 10),
            positions(0, 2));
  for (const bf16 value : memory) CHECK(value.bits == bf16(7.0F).bits);
}

TEST_CASE("rope_to: errors name argument, value and rule, and nothing is written", "[rope_to]") {
  random_values random(8);
  CAPTURE(random.seed());
  const rope rotary(pairing::half, with_factor(), 2);
  const owned_heads<float> from(random, 3, 2, 12);
  std::vector<bf16> memory(200, bf16(7.0F));
  const auto refuses = [&](auto source, auto to, const auto& p, double scale, const std::string& message) {
    CHECK(check_rotate_to(rotary, source, to, p, scale).message() == message);
    CHECK_THROWS_WITH(rotate_to(rotary, source, to, p, scale), message);
    for (const bf16 value : memory) CHECK(value.bits == bf16(7.0F).bits);
  };
  const auto cache = [&](index_t tokens, index_t heads, index_t columns) {
    return head_view<bf16>(memory.data(), tokens, heads, columns);
  };
  const positions at(0, 3);
  refuses(from.view(), cache(2, 2, 12), at, 1, "rotate_to: num_tokens of to is 2, expected 3, that of from");
  refuses(from.view(), cache(3, 1, 12), at, 1, "rotate_to: num_heads of to is 1, expected 2, that of from");
  refuses(from.view(), cache(3, 2, 16), at, 1, "rotate_to: head_dim of to is 16, expected 12, that of from");
  refuses(from.view(), cache(3, 2, 12), positions(0, 4), 1,
          "rotate_to: number of positions is 4, expected 3, one for each token");
  refuses(from.view(), cache(3, 2, 12), at, std::numeric_limits<double>::infinity(),
          "rotate_to: scale is inf, expected finite");
  const owned_heads<float> narrow_heads(random, 3, 2, 11);
  refuses(narrow_heads.view(), cache(3, 2, 11), at, 1,
          "rotate_to: head_dim is 11, expected at least 12, the end of the rotary slice");
  refuses(cache(3, 2, 12), head_view<bf16>(memory.data(), 3, 2, 12, 30, 12), at, 1,
          "rotate_to: token_stride of to is 30, expected 24, because to is from");

  std::vector<float> angles(40, 0.5F);
  const cos_sin_rows<const float> rows(angles.data(), angles.data(), 2, 5);
  CHECK_THROWS_WITH(rotate_to(rows, pairing::half, from.view(), cache(3, 2, 12)),
                    "rotate_to: number of cos and sin rows is 2, expected at least 3, one for each token");
  const cos_sin_rows<const float> enough(angles.data(), angles.data(), 3, 5);
  CHECK_THROWS_WITH(rotate_to(enough, pairing::half, from.view(), cache(3, 2, 12), {.first_column = 3}),
                    "rotate_to: head_dim is 12, expected at least 13, the end of the rotary slice");
  CHECK_THROWS_WITH(rotate_to(enough, pairing::half, from.view(), cache(3, 2, 12), {.first_column = -1}),
                    "rotate_to: first_column is -1, expected at least 0");
  for (const bf16 value : memory) CHECK(value.bits == bf16(7.0F).bits);

  owned_heads<float> q(random, 3, 2, 12);
  const auto before = q.values;
  CHECK_THROWS_WITH(rotate_scaled(rotary, q.view(), std::numeric_limits<double>::quiet_NaN(), at),
                    "rotate_scaled: scale is nan, expected finite");
  CHECK_THROWS_WITH(unrotate_to(rotary, q.view(), q.view().tokens(0, 2), at),
                    "unrotate_to: num_tokens of to is 2, expected 3, that of from");
  CHECK(q.values == before);
}
