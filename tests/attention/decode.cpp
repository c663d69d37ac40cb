#include <posenc/attention/decode.hpp>

#include <posenc/attention/attend.hpp>
#include <posenc/attention/reference.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/cope.hpp>
#include <posenc/encodings/scores_of.hpp>
#include <posenc/quantize.hpp>

#include "../catch.hpp"
#include "random_attention.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

using namespace posenc;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

/// Runs the few-queries form itself, so that a test cannot pass by way of another.
template <class Q, class K, class V, class O, class E>
void decode(head_view<Q> q, const K& keys, const V& values, head_view<O> out, const E& encoding,
            const attend_options<compute_t<Q>>& options = {}) {
  REQUIRE_FALSE(check_attend(q, keys, values, out, encoding, options));
  detail::decode_call<Q, K, V, O, E> call(q, keys, values, out, encoding, options);
  REQUIRE(call.fits());
  call.run();
}

using some_encoding = any_encoding<float, double>;

some_encoding draw_encoding(random_values& random, index_t head_dim) {
  const alibi<float> slopes(std::vector<float>{0.5F, 0.125F, 0, -0.01F, 0.3F, 1, 0.7F, 0.1F, 0.25F});
  const cope<float> gates(random.list<float>(5 * head_dim), head_dim);
  const some_encoding all[] = {no_encoding{}, slopes, gates, combine(slopes, gates)};
  return random.one_of(all);
}

/// What a result may differ by: what scores of this size are rounded by, and what its own type and those of the weights are.
struct tolerance {
  double epsilon;       // of the compute type
  double output_unit;   // relative, of each output
  double weights_unit;  // relative to the largest value
  double operator()(double size, double out) const {
    return 4 * epsilon * size + output_unit * std::abs(out) + weights_unit;
  }
};

template <class T, class O>
void expect_reference(const std::vector<reference_head>& heads, head_view<O> out, lse_view<T> lse, index_t head_dim,
                      const tolerance& allowed) {
  double worst = 0;
  for (index_t h = 0; h < out.num_heads; ++h) {
    const reference_head& head = heads[static_cast<std::size_t>(h)];
    for (index_t q = 0; q < out.num_tokens; ++q) {
      double size = 4 + std::sqrt(static_cast<double>(head_dim));
      for (const double score : head.biased.row(q)) size = std::isinf(score) ? size : std::max(size, std::abs(score));
      for (index_t d = 0; d < out.head_dim; ++d) {
        const double error = std::abs(widen<double>(out.row(q, h)[d]) - head.out(q, d));
        worst = std::max(worst, error / allowed(size, head.out(q, d)));
      }
      if (std::isinf(head.lse[q]))
        CHECK(static_cast<double>(lse.at(q, h)) == head.lse[q]);
      else
        worst =
            std::max(worst, std::abs(static_cast<double>(lse.at(q, h)) - head.lse[q]) / (4 * allowed.epsilon * size));
    }
  }
  CHECK(worst <= 1);
}

template <class Q, class K, class V, class O>
void expect_reference_everywhere(unsigned seed, int cases, const tolerance& allowed) {
  using T = compute_t<Q>;
  random_values random(seed);
  CAPTURE(random.seed());
  for (int i = 0; i < cases; ++i) {
    const random_attention call(random, random.coin() ? 70 : 3000, detail::max_decode_queries);
    CAPTURE(i, call.sizes());
    const owned_heads<Q> q(random, call.num_queries, call.num_heads, call.head_dim);
    const owned_heads<K> k(random, call.num_keys, call.num_kv_heads, call.head_dim);
    const owned_heads<V> v(random, call.num_keys, call.num_kv_heads, call.value_dim);
    owned_heads<O> out(call.num_queries, call.num_heads, call.value_dim, O(99.0F));
    std::vector<T> lse(static_cast<std::size_t>(call.num_queries * call.num_heads), T(99));
    const some_encoding encoding = draw_encoding(random, call.head_dim);
    const auto scores = scores_of(encoding);

    auto options = call.options<T>();
    options.lse = lse_view<T>(lse.data(), call.num_queries, call.num_heads, 1, call.num_queries);
    std::vector<T> workspace(
        static_cast<std::size_t>(random.coin() ? 0 : workspace_size(q.view(), k.view(), v.view(), scores)));
    options.run.workspace = workspace;
    decode(q.view(), k.view(), v.view(), out.view(), scores, options);

    const auto wide_q = in_double(q), wide_k = in_double(k), wide_v = in_double(v);
    const auto heads = attend_reference(wide_q.view(), wide_k.view(), wide_v.view(), scores, call.options<double>());
    expect_reference(heads, out.view(), options.lse, call.head_dim, allowed);
  }
}

/// A cache in int8, and the numbers it stands for.
struct quantized_heads {
  std::vector<std::int8_t> memory;
  std::vector<float> scales;
  owned_heads<float> wide;

  quantized_heads(random_values& random, index_t tokens, index_t heads, index_t columns)
      : memory(static_cast<std::size_t>(tokens * heads * columns)),
        scales(random.list<float>(tokens * heads, 0.001, 0.01)),
        wide(tokens, heads, columns) {
    for (std::size_t i = 0; i < memory.size(); ++i) {
      memory[i] = static_cast<std::int8_t>(random.whole(-127, 127));
      wide.values[i] = static_cast<float>(memory[i]) * scales[i / static_cast<std::size_t>(columns)];
    }
  }
  quantized_view<const std::int8_t> view() const {
    return {memory.data(), scales.data(), wide.num_tokens, wide.num_heads, wide.head_dim};
  }
};

template <class S>
head_view<const S> head_major_copy(const owned_heads<S>& x, std::vector<S>& memory) {
  memory.resize(x.values.size());
  const auto to = head_major(memory.data(), x.num_heads, x.num_tokens, x.head_dim);
  for (index_t t = 0; t < x.num_tokens; ++t) {
    for (index_t h = 0; h < x.num_heads; ++h) std::copy_n(x.view().row(t, h), x.head_dim, to.row(t, h));
  }
  return to;
}

/// Runs tasks as three workers would, the last task first.
const auto backwards = [](index_t num_tasks, task_ref task) {
  for (index_t i = num_tasks; i-- > 0;) task(i, i % 3);
};

}  // namespace

TEST_CASE("decode: few queries give what the reference computes, in float", "[decode]") {
  expect_reference_everywhere<float, float, float, float>(1, 100, {0x1p-23, 0, 0});
}
TEST_CASE("decode: few queries give what the reference computes, in double", "[decode]") {
  expect_reference_everywhere<double, double, double, double>(2, 60, {0x1p-52, 0, 0});
}
TEST_CASE("decode: few queries give what the reference computes, in bf16", "[decode]") {
  expect_reference_everywhere<bf16, bf16, bf16, bf16>(3, 100, {0x1p-23, 0x1p-8, 0x1p-9});
}
TEST_CASE("decode: narrow keys lose nothing under float queries", "[decode]") {
  expect_reference_everywhere<float, bf16, bf16, float>(4, 60, {0x1p-23, 0, 0});
  expect_reference_everywhere<float, f16, f16, float>(5, 60, {0x1p-23, 0, 0});
  expect_reference_everywhere<float, f16, bf16, f16>(6, 60, {0x1p-23, 0x1p-11, 0x1p-17});
}

TEST_CASE("decode: a cache in int8 gives what its numbers give, within 15 bits", "[decode]") {
  random_values random(7);
  CAPTURE(random.seed());
  for (const index_t head_dim : {1, 64, 80, 128, 200}) {
    const index_t num_keys = random.whole(1, 1500);
    CAPTURE(head_dim, num_keys);
    const owned_heads<float> q(random, 3, 6, head_dim);
    const quantized_heads k(random, num_keys, 2, head_dim), v(random, num_keys, 2, 40);
    owned_heads<float> out(3, 6, 40, 99.0F);
    std::vector<float> lse(18);
    const alibi<float> slopes(6);
    const attend_options<float> options{.band = causal(), .lse = {lse.data(), 3, 6}};
    decode(q.view(), k.view(), v.view(), out.view(), slopes, options);
    const auto heads = attend_reference(q.view(), head_view<const float>(k.wide.view()),
                                        head_view<const float>(v.wide.view()), slopes, {.band = causal()});
    // A query's step is 2^-15 of its largest element, and scores are sums of head_dim products with keys below 1.27.
    const double score_unit = 0x1p-15 * 1.27 * std::sqrt(static_cast<double>(head_dim));
    expect_reference(heads, out.view(), options.lse, head_dim, {score_unit / 16, 0, 0x1p-13});
  }
}

TEST_CASE("decode: every layout of a cache gives the same bits", "[decode]") {
  random_values random(8);
  CAPTURE(random.seed());
  const index_t num_keys = GENERATE(70, 1700);
  const owned_heads<float> q(random, 2, 8, 80);
  const owned_heads<float> k(random, num_keys, 4, 80), v(random, num_keys, 4, 33);
  owned_heads<float> expected(2, 8, 33), out(2, 8, 33);
  const no_encoding none;
  std::vector<float> workspace(static_cast<std::size_t>(workspace_size(q.view(), k.view(), v.view(), none)));
  const attend_options<float> options{.band = causal(), .run = {.workspace = workspace}};
  std::vector<float> k_memory, v_memory;
  const auto by_head_k = head_major_copy(k, k_memory), by_head_v = head_major_copy(v, v_memory);
  decode(q.view(), by_head_k, by_head_v, expected.view(), none, options);

  SECTION("keys by head and values by token") {
    decode(q.view(), by_head_k, v.view(), out.view(), none, options);
    CHECK(out.values == expected.values);
  }
  SECTION("rows apart") {
    std::vector<float> memory(static_cast<std::size_t>(num_keys * 4 * 100), not_a_number);
    const head_view<float> apart(memory.data(), num_keys, 4, 80, 400, 100);
    for (index_t t = 0; t < num_keys; ++t) {
      for (index_t h = 0; h < 4; ++h) std::copy_n(k.view().row(t, h), 80, apart.row(t, h));
    }
    decode(q.view(), apart, by_head_v, out.view(), none, options);
    CHECK(out.values == expected.values);
  }
  SECTION("pages") {
    const index_t page_size = GENERATE(1, 7, 16, 300);
    const index_t num_pages = (num_keys + page_size - 1) / page_size;
    std::vector<position_t> table(static_cast<std::size_t>(num_pages));
    std::iota(table.rbegin(), table.rend(), 0);
    std::vector<float> memory(static_cast<std::size_t>(num_pages * page_size * 4 * 80), not_a_number);
    const paged_view<float> pages(memory.data(), table, page_size, num_keys, 4, 80);
    for (index_t t = 0; t < num_keys; ++t) {
      for (index_t h = 0; h < 4; ++h) std::copy_n(k.view().row(t, h), 80, pages.block(t, 1).row(0, h));
    }
    decode(q.view(), pages, by_head_v, out.view(), none, options);
    CHECK(out.values == expected.values);
  }
}

TEST_CASE("decode: a cache in int8 is within the bounds that attend states, also of queries with outliers",
          "[decode]") {
  random_values random(14);
  CAPTURE(random.seed());
  const index_t head_dim = GENERATE(16, 512, 1024), num_keys = GENERATE(100, 700);
  owned_heads<float> q(random, 1, 2, head_dim);
  const quantized_heads k(random, num_keys, 1, head_dim), v(random, num_keys, 1, 8);
  for (index_t h = 0; h < 2; ++h) q.view().row(0, h)[0] = 100;
  owned_heads<float> out(1, 2, 8);
  std::vector<float> lse(2);
  const no_encoding none;
  std::vector<float> workspace(static_cast<std::size_t>(workspace_size(q.view(), k.view(), v.view(), none)));
  decode(q.view(), k.view(), v.view(), out.view(), none, {.lse = {lse.data(), 1, 2}, .run = {.workspace = workspace}});
  const auto heads = attend_reference(q.view(), k.wide.view(), v.wide.view(), none);
  const double of_query = 100 * (head_dim > 512 ? 0x1p-25 * static_cast<double>(head_dim) : 0x1p-16);
  double score_error = 0;
  for (index_t t = 0; t < num_keys; ++t) {
    double size = 0;
    for (index_t d = 0; d < head_dim; ++d) size += std::abs(static_cast<double>(k.wide.view().row(t, 0)[d]));
    score_error = std::max(score_error, size * of_query / std::sqrt(static_cast<double>(head_dim)));
  }
  constexpr double of_float = 4 * 64 * 0x1p-23;  // scores are below 64
  for (index_t h = 0; h < 2; ++h) {
    const reference_head& head = heads[static_cast<std::size_t>(h)];
    CHECK(std::abs(static_cast<double>(lse[static_cast<std::size_t>(h)]) - head.lse[0]) <= score_error + of_float);
    double largest = 0;  // weight times scale, wherever blocks begin
    for (index_t t = 0; t < num_keys; ++t) {
      const double scale = static_cast<double>(v.scales[static_cast<std::size_t>(t)]);
      largest = std::max(largest, head.weights(0, t) * scale);
    }
    for (index_t d = 0; d < 8; ++d) {
      double of_weights = 0, spread = 0;
      for (index_t t = 0; t < num_keys; ++t) {
        of_weights += 0x1p-16 * largest * std::abs(static_cast<double>(v.view().row(t, 0)[d]));
        spread += head.weights(0, t) * std::abs(static_cast<double>(v.wide.view().row(t, 0)[d]));
      }
      const double error = std::abs(static_cast<double>(out.view().row(0, h)[d]) - head.out(0, d));
      CHECK(error <= of_weights * (1 + 2 * score_error) + 2 * (score_error + of_float) * spread);
    }
  }
}

TEMPLATE_TEST_CASE("decode: what stood in the workspace does not matter", "[decode]", float, double, bf16, f16) {
  using T = compute_t<TestType>;
  random_values random(13);
  CAPTURE(random.seed());
  const index_t num_keys = GENERATE(1, 21, 64, 300, 1003), page_size = GENERATE(1, 7, 16);
  const index_t num_heads = GENERATE(1, 2, 4);  // rows that are handled together
  CAPTURE(num_keys, page_size, num_heads);
  const owned_heads<TestType> q(random, 1, num_heads, 40), k(random, num_keys, 1, 40);
  const index_t num_pages = (num_keys + page_size - 1) / page_size;
  const owned_heads<TestType> v(random, num_pages * page_size, 1, 33);
  std::vector<position_t> table(static_cast<std::size_t>(num_pages));
  std::iota(table.rbegin(), table.rend(), 0);
  const paged_view<const TestType> values(v.values.data(), table, page_size, num_keys, 1, 33);
  const no_encoding none;
  const auto size = static_cast<std::size_t>(workspace_size(q.view(), k.view(), values, none));
  const auto over = [&](T held) {
    std::vector<T> workspace(size, held);
    owned_heads<TestType> out(1, num_heads, 33);
    decode(q.view(), k.view(), values, out.view(), none, {.run = {.workspace = workspace}});
    return out.values;
  };
  const auto expected = over(0);
  const auto same_bits = [&](const std::vector<TestType>& out) {
    return std::memcmp(out.data(), expected.data(), out.size() * sizeof(TestType)) == 0;
  };
  CHECK(same_bits(over(std::numeric_limits<T>::quiet_NaN())));
  CHECK(same_bits(over(std::numeric_limits<T>::infinity())));
}

TEST_CASE("decode: keys that are split give the same bits whoever runs the tasks", "[decode]") {
  random_values random(9);
  CAPTURE(random.seed());
  const index_t num_keys = GENERATE(600, 5000);
  const bool by_head = GENERATE(true, false);
  const owned_heads<float> q(random, 1, 6, 64);
  const owned_heads<float> k(random, num_keys, 2, 64), v(random, num_keys, 2, 64);
  std::vector<float> k_memory, v_memory;
  const head_view<const float> keys = by_head ? head_major_copy(k, k_memory) : k.view();
  const head_view<const float> values = by_head ? head_major_copy(v, v_memory) : v.view();
  const alibi<float> slopes(6);
  const parallel_for three(backwards, 3);
  std::vector<float> of_one(static_cast<std::size_t>(workspace_size(q.view(), keys, values, slopes)));
  std::vector<float> of_three(static_cast<std::size_t>(workspace_size(q.view(), keys, values, slopes, three)));
  owned_heads<float> one(1, 6, 64), all(1, 6, 64), on_stack(1, 6, 64);
  const std::vector<float> sinks{0, 1, 2, 3, 4, 5};
  decode(q.view(), keys, values, one.view(), slopes, {.sinks = sinks, .run = {.workspace = of_one}});
  decode(q.view(), keys, values, all.view(), slopes,
         {.sinks = sinks, .run = {.workspace = of_three, .threads = three}});
  CHECK(all.values == one.values);
  decode(q.view(), keys, values, one.view(), slopes, {.sinks = sinks});
  decode(q.view(), keys, values, on_stack.view(), slopes, {.sinks = sinks, .run = {.threads = three}});
  CHECK(on_stack.values == one.values);
}

TEST_CASE("decode: workspace_size suffices for fewer keys, and a split needs all of it", "[decode]") {
  const head_view<const float> q(nullptr, 1, 6, 64);
  const no_encoding none;
  for (const index_t num_keys : {1, 1023, 1024, 5000, 16384, 17000, 100000}) {
    const head_view<const float> all(nullptr, num_keys, 2, 64);
    const index_t size = workspace_size(q, all, all, none);
    for (const index_t fewer : {num_keys, num_keys - num_keys / 30, num_keys / 2}) {
      detail::decode_plan<const float, head_view<const float>, head_view<const float>, float, no_encoding> plan(
          q, all, all, none, {num_keys - fewer, num_keys});
      const index_t splits = plan.num_splits;
      CAPTURE(num_keys, fewer, splits);
      CHECK(plan.fit(size, 1));
      CHECK(plan.num_splits == splits);
      CHECK((splits > 1) == (fewer >= 2 * detail::min_keys_a_split));
      if (splits == 1) continue;
      const index_t least = plan.values_of_parts() + plan.values_a_worker();
      CHECK(plan.fit(least - 1, 1));
      CHECK(plan.num_splits == 1);
    }
  }
}

TEST_CASE("decode: an encoding with scratch sees all keys, from the last to the first", "[decode]") {
  struct counts {
    index_t scratch_size(index_t num_queries) const noexcept { return num_queries; }
    void begin(const score_tile<float>& tile) const noexcept { std::fill_n(tile.scratch, tile.num_queries, 0.0F); }
    void add_to_scores(const score_tile<float>& tile) const noexcept {
      for (index_t q = 0; q < tile.num_queries; ++q) {
        for (index_t k = tile.num_keys; k-- > 0;) tile.score(q, k) -= 0.01F * tile.scratch[q]++;
      }
    }
  };
  random_values random(10);
  CAPTURE(random.seed());
  const owned_heads<float> q(random, 2, 4, 16);
  const owned_heads<float> k(random, 3000, 2, 16), v(random, 3000, 2, 16);
  owned_heads<float> counted(2, 4, 16), by_distance(2, 4, 16);
  const alibi<float> slopes(std::vector<float>(4, 0.01F));
  std::vector<float> workspace(static_cast<std::size_t>(workspace_size(q.view(), k.view(), v.view(), counts{})));
  decode(q.view(), k.view(), v.view(), counted.view(), counts{}, {.run = {.workspace = workspace}});
  const std::vector<position_t> last{2999, 2999};
  decode(q.view(), k.view(), v.view(), by_distance.view(), slopes, {.positions = {.queries = last}});
  for (std::size_t i = 0; i < counted.values.size(); ++i)
    CHECK(std::abs(counted.values[i] - by_distance.values[i]) < 1e-5F);
}

TEMPLATE_TEST_CASE("decode: what stands behind a mask need not be a number", "[decode]", float, double, bf16, f16) {
  using T = compute_t<TestType>;
  random_values random(11);
  CAPTURE(random.seed());
  const owned_heads<TestType> q(random, 2, 4, 64);
  owned_heads<TestType> k(random, 1500, 2, 64), v(random, 1500, 2, 48);
  owned_heads<TestType> clean(2, 4, 48), out(2, 4, 48);
  const auto mask = std::make_unique<bool[]>(1500);
  for (std::size_t i = 0; i < 1500; ++i) mask[i] = i % 5 != 1;
  attend_options<T> options{.band = causal(), .query_offset = 1400};
  options.more.allowed = {mask.get(), 1500, 0, 0};
  decode(q.view(), k.view(), v.view(), clean.view(), no_encoding{}, options);
  const auto garbage = narrow<TestType>(GENERATE(not_a_number, std::numeric_limits<float>::infinity()));
  for (index_t t = 0; t < 1500; ++t) {
    if (t <= 1401 && mask[static_cast<std::size_t>(t)]) continue;
    for (index_t h = 0; h < 2; ++h) {
      std::fill_n(k.view().row(t, h), 64, garbage);
      std::fill_n(v.view().row(t, h), 48, garbage);
    }
  }
  decode(q.view(), k.view(), v.view(), out.view(), no_encoding{}, options);
  for (std::size_t i = 0; i < out.values.size(); ++i) {
    // Where values are multiplied in pairs of bf16, one by one rounds less.
    const double unit = std::is_same_v<TestType, bf16> ? 0x1p-8 : std::is_same_v<TestType, f16> ? 0x1p-11 : 1e-6;
    CHECK(std::abs(widen<double>(out.values[i]) - widen<double>(clean.values[i])) <= unit * 0.25);
  }
}

TEST_CASE("decode: NaN in an int8 cache's scales stays where it is seen", "[decode]") {
  random_values random(12);
  CAPTURE(random.seed());
  owned_heads<float> q(random, 2, 4, 64);
  quantized_heads k(random, 100, 2, 64), v(random, 100, 2, 48);
  owned_heads<float> clean(2, 4, 48), out(2, 4, 48);
  decode(q.view(), k.view(), v.view(), clean.view(), no_encoding{}, {.band = causal()});
  k.scales[99 * 2] = v.scales[99 * 2] = not_a_number;  // of the last key's first head: the first query does not see it
  q.view().row(0, 3)[5] = not_a_number;
  decode(q.view(), k.view(), v.view(), out.view(), no_encoding{}, {.band = causal()});
  for (index_t t = 0; t < 2; ++t) {
    for (index_t h = 0; h < 4; ++h) {
      const bool hit = (t == 1 && h < 2) || (t == 0 && h == 3);
      CAPTURE(t, h);
      for (index_t d = 0; d < 48; ++d) {
        CHECK(std::isnan(out.view().row(t, h)[d]) == hit);
        if (!hit) CHECK(out.view().row(t, h)[d] == clean.view().row(t, h)[d]);
      }
    }
  }
}
