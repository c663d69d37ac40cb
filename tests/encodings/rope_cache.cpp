#include <posenc/encodings/rope_cache.hpp>

#include <posenc/scaling/default.hpp>
#include <posenc/scaling/dynamic_ntk.hpp>
#include <posenc/scaling/longrope.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

using namespace posenc;

namespace {

/// A cache of keys, by its element type: what a test does to all of them.
template <class S>
struct key_cache {
  key_cache(index_t tokens, index_t heads, index_t columns) : heads_(tokens, heads, columns) {}
  head_view<S> view() { return heads_.view(); }
  std::vector<double> values() const {
    std::vector<double> wide;
    for (const S value : heads_.values) wide.push_back(widen<double>(value));
    return wide;
  }

 private:
  owned_heads<S> heads_;
};

template <>
struct key_cache<std::int8_t> {
  key_cache(index_t tokens, index_t heads, index_t columns)
      : memory_(static_cast<std::size_t>(tokens * heads * columns)),
        scales_(static_cast<std::size_t>(tokens * heads)),
        view_(memory_.data(), scales_.data(), tokens, heads, columns) {}
  quantized_view<std::int8_t> view() { return view_; }
  std::vector<double> values() const {
    owned_heads<double> wide(view_.num_tokens, view_.num_heads, view_.head_dim);
    dequantize(view_, wide.view());
    return wide.values;
  }

 private:
  std::vector<std::int8_t> memory_;
  std::vector<float> scales_;
  quantized_view<std::int8_t> view_;
};

/// What one more pass may be off, for rows whose values reach `size`.
template <class S>
double step(double size) {
  if (std::is_same_v<S, double>) return size * 0x1p-50;
  if (std::is_same_v<S, float>) return size * 0x1p-22;
  if (std::is_same_v<S, f16>) return size * 0x1p-10;
  if (std::is_same_v<S, bf16>) return size * 0x1p-7;
  return size / 127 * 0.501;
}

double furthest(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

/// Rotated in double, at the positions given.
std::vector<double> turned(owned_heads<double> x, const rope& rotary, const std::vector<position_t>& ids) {
  rotate(rotary, x.view(), ids);
  return x.values;
}

owned_heads<double> wide_copy(const owned_heads<float>& x) {
  owned_heads<double> wide(x.num_tokens, x.num_heads, x.head_dim);
  std::copy(x.values.begin(), x.values.end(), wide.values.begin());
  return wide;
}

const std::vector<position_t> ids{0, 7, -3, 4096, 100000, 1};

using cache_types = std::tuple<float, double, bf16, f16, std::int8_t>;

}  // namespace

TEMPLATE_TEST_CASE("rope_cache: int8 rows are the rotated rows, quantised", "[rope_cache]", float, double, bf16, f16) {
  random_values random(1);
  CAPTURE(random.seed());
  const pairing read = GENERATE(pairing::half, pairing::interleaved);
  const pairing written = GENERATE(pairing::half, pairing::interleaved);
  const frequencies list = default_frequencies({.head_dim = 20}).with_attention_factor(1.25);
  const rope rotary(read, list, {.first_column = 3, .output = written});
  const owned_heads<TestType> k(random, 6, 2, 25);

  std::vector<std::int8_t> q(6 * 2 * 25), expected = q;
  std::vector<float> scales(6 * 2 + 3, -1.0F), expected_scales(6 * 2);
  const quantized_view<std::int8_t> to(q.data(), scales.data(), 6, 2, 25, 25, 6 * 25, 1, 6);
  rotate_to(rotary, k.view(), to, ids, 0.5);

  owned_heads<float> rotated(6, 2, 25);
  rotate_to(rotary, k.view(), rotated.view(), ids, 0.5);
  quantize(rotated.view(),
           quantized_view<std::int8_t>(expected.data(), expected_scales.data(), 6, 2, 25, 25, 6 * 25, 2, 1));
  CHECK(q == expected);
  for (index_t t = 0; t < 6; ++t) {
    for (index_t h = 0; h < 2; ++h) CHECK(to.scale(t, h) == expected_scales[static_cast<std::size_t>(2 * t + h)]);
  }
  CHECK(std::vector<float>(scales.end() - 3, scales.end()) == std::vector<float>(3, -1.0F));

  std::vector<float> angles(6 * 20);
  const cos_sin_rows<float> rows(angles.data(), angles.data() + 10, 6, 10, 20);
  fill_cos_sin(rotary, ids, rows);
  std::ranges::fill(q, std::int8_t{0});
  rotate_to(rows, read, k.view(), to, {.first_column = 3, .output = written, .scale = 0.5});
  CHECK(furthest({q.begin(), q.end()}, {expected.begin(), expected.end()}) <=
        (std::is_same_v<TestType, double> ? 1 : 0));
}

TEMPLATE_LIST_TEST_CASE("rope_cache: stored and shifted is as good as rotated there, the factor in it once",
                        "[rope_cache]", cache_types) {
  random_values random(2);
  CAPTURE(random.seed());
  const pairing read = GENERATE(pairing::half, pairing::interleaved);
  const pairing written = GENERATE(pairing::half, pairing::interleaved);
  const frequencies list = default_frequencies({.head_dim = 20}).with_attention_factor(1.25);
  const rope rotary(read, list, {.first_column = 3, .output = written});
  const owned_heads<float> k(random, 6, 2, 25);
  const std::vector<position_t> by{-5, 3, 0, -4096, 70000, 2};
  std::vector<position_t> moved;
  for (std::size_t i = 0; i < ids.size(); ++i) moved.push_back(ids[i] + by[i]);

  key_cache<TestType> cache(6, 2, 25);
  rotate_to(rotary, k.view(), cache.view(), ids);
  const double size = 1.25 * std::sqrt(2.0);
  CHECK(furthest(cache.values(), turned(wide_copy(k), rotary, ids)) <= step<TestType>(size));
  shift(rotary, cache.view(), by);
  // The first error is turned with the rest: its two columns may add up to a factor of the square root of two.
  CHECK(furthest(cache.values(), turned(wide_copy(k), rotary, moved)) <= (1 + std::sqrt(2.0)) * step<TestType>(size));
}

TEMPLATE_LIST_TEST_CASE("rope_cache: keys of one list of frequencies become keys of another, factors included",
                        "[rope_cache]", cache_types) {
  random_values random(3);
  CAPTURE(random.seed());
  const pairing read = GENERATE(pairing::half, pairing::interleaved);
  const pairing written = GENERATE(pairing::half, pairing::interleaved);
  const rotation_sign sign = GENERATE(rotation_sign::positive, rotation_sign::negative);
  const rope_options options{.first_column = 1, .output = written, .sign = sign};
  const owned_heads<float> k(random, 6, 2, 23);

  const auto carries = [&](const frequencies& from, const frequencies& to) {
    const rope before(read, from, options), after(read, to, options);
    key_cache<TestType> cache(6, 2, 23);
    rotate_to(before, k.view(), cache.view(), ids);
    rotate(rerotation(before, after), cache.view(), ids);
    const double ratio = to.attention_factor() / from.attention_factor();
    const double size = std::max(1.0, to.attention_factor()) * std::sqrt(2.0);
    const double first =
        std::sqrt(2.0) * ratio * step<TestType>(std::max(1.0, from.attention_factor()) * std::sqrt(2.0));
    CHECK(furthest(cache.values(), turned(wide_copy(k), after, ids)) <= first + step<TestType>(size));
  };

  SECTION("dynamic NTK grows") {
    const auto at_length = [](index_t seq_len) {
      return dynamic_ntk_frequencies(
          {.head_dim = 22, .factor = 2, .max_position_embeddings = 4096, .seq_len = seq_len});
    };
    carries(at_length(4096), at_length(4097));
    carries(at_length(5000), at_length(100001));
  }
  SECTION("LongRoPE crosses its original length, with another magnitude beyond") {
    std::vector<double> short_factor, long_factor;
    for (int i = 0; i < 11; ++i) {
      short_factor.push_back(1 + 0.05 * i);
      long_factor.push_back(1 + 4.0 * i);
    }
    const auto at_length = [&](index_t seq_len, double attention_factor) {
      return longrope_frequencies({.head_dim = 22,
                                   .short_factor = short_factor,
                                   .long_factor = long_factor,
                                   .original_max_position_embeddings = 4096,
                                   .seq_len = seq_len,
                                   .attention_factor = attention_factor});
    };
    carries(at_length(4096, 1.0), at_length(4097, 1.25));
    carries(at_length(4097, 1.25), at_length(4096, 1.0));  // a cache cut back
  }
}

TEST_CASE("rope_cache: a rerotation to the same list changes no float, at any position", "[rope_cache]") {
  random_values random(4);
  CAPTURE(random.seed());
  const frequencies list = default_frequencies({.head_dim = 20}).with_attention_factor(1.19);
  const rope rotary(pairing::half, list);
  owned_heads<float> k(random, 6, 2, 20);
  const auto before = k.values;
  rotate(rerotation(rotary, rotary), k.view(), ids);
  CHECK(k.values == before);
}

TEST_CASE("rope_cache: a NaN key spoils its own int8 row and no other", "[rope_cache]") {
  random_values random(5);
  CAPTURE(random.seed());
  const rope rotary(pairing::half, default_frequencies({.head_dim = 20}));
  owned_heads<float> k(random, 3, 2, 20);
  k.view().row(1, 1)[7] = std::numeric_limits<float>::quiet_NaN();
  key_cache<std::int8_t> cache(3, 2, 20);
  rotate_to(rotary, k.view(), cache.view(), positions(10, 3));
  shift(rotary, cache.view(), std::vector<position_t>(3, -4));
  const auto values = cache.values();
  for (std::size_t i = 0; i < values.size(); ++i) CHECK(std::isnan(values[i]) == (i / 20 == 3));
}

namespace {

struct drift {
  double largest = 0, root_mean_square = 0;
};

/// How far keys of size 1 are from where they belong after they have moved on by `by` positions a thousand times.
template <class S>
drift after_shifts(index_t num_shifts, position_t by) {
  constexpr index_t num_tokens = 16, head_dim = 64;
  random_values random(6);
  const rope rotary(pairing::half, default_frequencies({.head_dim = head_dim}));
  const owned_heads<float> k(random, num_tokens, 1, head_dim);
  key_cache<S> cache(num_tokens, 1, head_dim);
  rotate_to(rotary, k.view(), cache.view(), positions(1'000'000, num_tokens));
  for (index_t i = 0; i < num_shifts; ++i) shift(rotary, cache.view(), std::vector<position_t>(num_tokens, by));

  std::vector<position_t> there;
  for (index_t t = 0; t < num_tokens; ++t) there.push_back(static_cast<position_t>(1'000'000 + num_shifts * by + t));
  const auto expected = turned(wide_copy(k), rotary, there);
  const auto values = cache.values();
  drift found;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double error = std::abs(values[i] - expected[i]);
    found.largest = std::max(found.largest, error);
    found.root_mean_square += error * error;
  }
  found.root_mean_square = std::sqrt(found.root_mean_square / static_cast<double>(values.size()));
  return found;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("rope_cache: a thousand shifts drift, one by their sum does not", "[rope_cache]", cache_types) {
  using S = TestType;
  // What rope_cache.hpp states, with half as much again for other keys.
  const double root_mean_square = std::is_same_v<S, double>  ? 4e-14
                                  : std::is_same_v<S, float> ? 2e-5
                                  : std::is_same_v<S, f16>   ? 0.0075
                                                             : 0.15;
  const drift thousand = after_shifts<S>(1000, -512), one = after_shifts<S>(1, -512'000);
  CAPTURE(thousand.largest, thousand.root_mean_square, one.largest, one.root_mean_square);
  CHECK(thousand.root_mean_square < root_mean_square);
  CHECK(thousand.largest < 10 * root_mean_square);
  CHECK(one.largest <= (1 + std::sqrt(2.0)) * step<S>(std::sqrt(2.0)));
}

TEMPLATE_TEST_CASE("rope_cache: steps too short for the storage leave slow pairs behind", "[rope_cache]", bf16, f16,
                   std::int8_t) {
  const drift short_steps = after_shifts<TestType>(1000, -1), long_steps = after_shifts<TestType>(1000, -512);
  CAPTURE(short_steps.root_mean_square, long_steps.root_mean_square);
  CHECK(short_steps.root_mean_square > 2 * long_steps.root_mean_square);
  CHECK(short_steps.root_mean_square <
        0.8);  // less than the keys themselves: what has not moved is at least still there
}

TEST_CASE("rope_cache: zero sizes are nothing to do", "[rope_cache]") {
  const rope rotary(pairing::half, default_frequencies({.head_dim = 20}));
  std::vector<std::int8_t> memory(40, std::int8_t{99});
  std::vector<float> scales(2, -1.0F), x(40, 1.0F);
  const quantized_view<std::int8_t> none(memory.data(), scales.data(), 0, 2, 20),
      headless(memory.data(), scales.data(), 2, 0, 20);
  rotate_to(rotary, head_view<float>(x.data(), 0, 2, 20), none, positions(0, 0));
  rotate_to(rotary, head_view<float>(x.data(), 2, 0, 20), headless, positions(0, 2));
  rotate(rotary, none, positions(0, 0));
  shift(rotary, headless, positions(0, 2));
  CHECK(memory == std::vector<std::int8_t>(40, std::int8_t{99}));
  CHECK(scales == std::vector<float>(2, -1.0F));
}

TEST_CASE("rope_cache: errors name argument, value and rule, and nothing is written", "[rope_cache]") {
  random_values random(7);
  CAPTURE(random.seed());
  const rope rotary(pairing::half, default_frequencies({.head_dim = 20}), 2);
  const owned_heads<float> k(random, 3, 2, 22);
  std::vector<std::int8_t> memory(3 * 2 * 3000, std::int8_t{99});
  std::vector<float> scales(6, -1.0F);
  const auto cache = [&](index_t tokens, index_t columns) {
    return quantized_view<std::int8_t>(memory.data(), scales.data(), tokens, 2, columns);
  };
  const auto refuses = [&](auto act, const std::string& message) {
    CHECK_THROWS_WITH(act(), message);
    CHECK(memory == std::vector<std::int8_t>(memory.size(), std::int8_t{99}));
    CHECK(scales == std::vector<float>(6, -1.0F));
  };
  const positions at(0, 3);
  refuses([&] { rotate_to(rotary, k.view(), cache(2, 22), at); },
          "rotate_to: num_tokens of to is 2, expected 3, that of from");
  refuses([&] { rotate_to(rotary, k.view(), cache(3, 22), positions(0, 2)); },
          "rotate_to: number of positions is 2, expected 3, one for each token");
  refuses([&] { rotate_to(rotary, k.view(), cache(3, 22), at, std::numeric_limits<double>::infinity()); },
          "rotate_to: scale is inf, expected finite");
  const owned_heads<float> wide(random, 3, 2, 2049);
  refuses([&] { rotate_to(rotary, wide.view(), cache(3, 2049), at); },
          "rotate_to: head_dim is 2049, expected at most 2048 in int8");
  refuses([&] { shift(rotary, cache(3, 2049), at); }, "rotate: head_dim is 2049, expected at most 2048 in int8");
  refuses([&] { shift(rotary, cache(3, 21), at); },
          "rotate: head_dim is 21, expected at least 22, the end of the rotary slice");
  refuses([&] { rotate(rotary, cache(3, 22), positions(2147483647, 3)); },
          "rotate: last position is 2147483649, expected below 2^31");
  std::vector<float> angles(20);
  const cos_sin_rows<const float> rows(angles.data(), angles.data(), 2, 10);
  refuses([&] { rotate_to(rows, pairing::half, k.view(), cache(3, 22)); },
          "rotate_to: number of cos and sin rows is 2, expected at least 3, one for each token");
}

TEST_CASE("rope_cache: only rotations of the same columns lead from one to the other", "[rope_cache]") {
  const frequencies five(std::vector<double>{1, 2, 3, 4, 5}), four(std::vector<double>{1, 2, 3, 4});
  const rope plain(pairing::half, five);
  CHECK_THROWS_WITH(rerotation(plain, rope(pairing::half, four)),
                    "rerotation: num_pairs of to is 4, expected 5, that of from");
  CHECK_THROWS_WITH(rerotation(plain, rope(pairing::half, five, 1)),
                    "rerotation: first_column of to is 1, expected 0, that of from");
  CHECK_THROWS_WITH(rerotation(plain, rope(pairing::half, five.with_float32_angles())),
                    "difference: float32_angles is 1, expected 0: a difference of rounded angles is not linear");
  CHECK_THROWS_WITH(rerotation(plain, rope(pairing::interleaved, five)),
                    "rerotation: output_layout of to is 1, expected 0, that of from");
  CHECK_THROWS_WITH(rerotation(plain, rope(pairing::half, five, {.sign = rotation_sign::negative})),
                    "rerotation: sign of to is 1, expected 0, that of from");
  CHECK(rerotation(plain, rope(pairing::interleaved, five, {.output = pairing::half})).layout() == pairing::half);
}
