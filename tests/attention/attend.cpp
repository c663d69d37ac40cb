#include <posenc/attention/attend.hpp>

#include <posenc/attention/reference.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/scores_of.hpp>

#include "../catch.hpp"
#include "random_attention.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

using namespace posenc;

namespace {

struct by_pair {
  float bias(index_t head, position_t query, position_t key) const noexcept {
    return 0.01F * static_cast<float>(query - 2 * key) + 0.1F * static_cast<float>(head);
  }
};

/// Adds half of the product once more, and lowers a key by the number of allowed ones after it: needs queries, keys,
/// scratch, and tiles from the last key to the first.
struct by_content {
  bool reads_content() const noexcept { return true; }
  index_t scratch_size(index_t num_queries) const noexcept { return num_queries; }
  template <real T>
  void begin(const score_tile<T>& tile) const noexcept {
    std::fill_n(tile.scratch, tile.num_queries, T(0));
  }
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    for (index_t q = 0; q < tile.num_queries; ++q) {
      for (index_t k = tile.num_keys; k-- > 0;) {
        if (tile.score(q, k) == -std::numeric_limits<T>::infinity()) continue;
        T product = 0;
        for (index_t d = 0; d < tile.head_dim; ++d) product += tile.query(q, d) * tile.key(k, d);
        tile.score(q, k) += product / 2 - tile.scratch[q] / 64;
        tile.scratch[q] += 1;
      }
    }
  }
};

using some_encoding = any_encoding<float, double>;

some_encoding draw_encoding(random_values& random) {
  const alibi<float> slopes(std::vector<float>{0.5F, 0.125F, 0, -0.01F, 0.3F, 1, 0.7F, 0.1F, 0.25F});
  const some_encoding all[] = {no_encoding{}, slopes, by_pair{}, by_content{},
                               combine(slopes, by_content{}, by_pair{})};
  return random.one_of(all);
}

template <class T>
std::vector<T> draw_workspace(random_values& random, index_t most, index_t least) {
  const index_t sizes[] = {0, most, most + 5, least, random.whole(least, most)};
  return std::vector<T>(static_cast<std::size_t>(random.one_of(sizes)));
}

/// Half a step of the output's type, beside what the compute type costs.
template <class S>
constexpr double output_unit = std::is_same_v<S, bf16>  ? 0x1p-8
                               : std::is_same_v<S, f16> ? 0x1p-11
                                                        : 0;

/// Where pairs of bf16 are multiplied by instructions, weights are rounded as the output is.
template <class O>
double weight_unit() {
  return std::is_same_v<O, bf16> && detail::bf16_unit::usable() ? 0x1p-9 : 0;
}

/// Whether outputs and log-sum-exps are the reference's, within the rounding of scores as large as they were.
template <class T, class O>
void expect_reference(const std::vector<reference_head>& heads, head_view<O> out, lse_view<T> lse, index_t head_dim,
                      double unit_of_weights) {
  double worst = 0;
  for (index_t h = 0; h < out.num_heads; ++h) {
    const reference_head& head = heads[static_cast<std::size_t>(h)];
    for (index_t q = 0; q < out.num_tokens; ++q) {
      double size = 4 + std::sqrt(static_cast<double>(head_dim));
      for (const double score : head.biased.row(q)) size = std::isinf(score) ? size : std::max(size, std::abs(score));
      const double tolerance = 4 * std::numeric_limits<T>::epsilon() * size;
      for (index_t d = 0; d < out.head_dim; ++d) {
        const double error = std::abs(widen<double>(out.row(q, h)[d]) - head.out(q, d));
        worst = std::max(worst, error / (tolerance + output_unit<O> * std::abs(head.out(q, d)) + output_unit<O> / 64 +
                                         unit_of_weights));
      }
      if (std::isinf(head.lse[q]))
        CHECK(static_cast<double>(lse.at(q, h)) == head.lse[q]);
      else
        worst = std::max(worst, std::abs(static_cast<double>(lse.at(q, h)) - head.lse[q]) / tolerance);
    }
  }
  CHECK(worst <= 1);
}

template <class Q, class K, class V, class O>
void expect_reference_everywhere(unsigned seed, int cases, index_t most_tokens = 150) {
  using T = compute_t<Q>;
  random_values random(seed);
  CAPTURE(random.seed());
  for (int i = 0; i < cases; ++i) {
    const random_attention call(random, most_tokens);
    CAPTURE(i, call.sizes());
    const owned_heads<Q> q(random, call.num_queries, call.num_heads, call.head_dim);
    const owned_heads<K> k(random, call.num_keys, call.num_kv_heads, call.head_dim);
    const owned_heads<V> v(random, call.num_keys, call.num_kv_heads, call.value_dim);
    owned_heads<O> out(call.num_queries, call.num_heads, call.value_dim, O(99.0F));
    std::vector<T> lse(static_cast<std::size_t>(call.num_queries * call.num_heads), T(99));
    const some_encoding encoding = draw_encoding(random);
    const auto scores = scores_of(encoding);

    auto options = call.options<T>();
    options.lse = lse_view<T>(lse.data(), call.num_queries, call.num_heads, 1, call.num_queries);
    const auto sizes = detail::tile_sizes_of<Q, O>(call.num_queries, call.head_dim, k.view(), v.view(), scores);
    auto workspace = draw_workspace<T>(random, workspace_size(q.view(), k.view(), v.view(), scores),
                                       sizes.values_with(sizes.least()));
    options.run.workspace = workspace;
    attend(q.view(), k.view(), v.view(), out.view(), scores, options);

    const auto wide_q = in_double(q), wide_k = in_double(k), wide_v = in_double(v);
    const auto heads = attend_reference(wide_q.view(), wide_k.view(), wide_v.view(), scores, call.options<double>());
    expect_reference(heads, out.view(), options.lse, call.head_dim, weight_unit<O>());
  }
}

}  // namespace

TEST_CASE("attend: whatever it is told, it computes what the reference computes, in float", "[attend]") {
  expect_reference_everywhere<float, float, float, float>(1, 100);
}
TEST_CASE("attend: whatever it is told, it computes what the reference computes, in double", "[attend]") {
  expect_reference_everywhere<double, double, double, double>(2, 60);
}
TEST_CASE("attend: whatever it is told, it computes what the reference computes, in bf16", "[attend]") {
  expect_reference_everywhere<bf16, bf16, bf16, bf16>(3, 60);
}
TEST_CASE("attend: whatever it is told, it computes what the reference computes, in mixed types", "[attend]") {
  expect_reference_everywhere<float, f16, bf16, f16>(4, 60);
}
TEST_CASE("attend: whatever it is told, it computes what the reference computes, over many tiles of bf16", "[attend]") {
  expect_reference_everywhere<bf16, bf16, bf16, bf16>(5, 30, 700);
}

TEST_CASE("attend: whatever it is told, it computes what the reference computes, over many tiles of float",
          "[attend]") {
  expect_reference_everywhere<float, float, float, float>(6, 40, 400);
  expect_reference_everywhere<float, float, bf16, f16>(14, 20, 400);
}

TEST_CASE("attend: whatever it is told, it computes what the reference computes, over a cache of 16 bits", "[attend]") {
  expect_reference_everywhere<float, bf16, bf16, float>(7, 30, 400);
  expect_reference_everywhere<float, f16, f16, float>(8, 30, 400);
  expect_reference_everywhere<float, bf16, f16, bf16>(9, 30, 400);
}
TEST_CASE("attend: whatever it is told, it computes what the reference computes, in 16 bits to float", "[attend]") {
  expect_reference_everywhere<bf16, bf16, bf16, float>(10, 30, 400);
  expect_reference_everywhere<f16, f16, f16, float>(11, 30, 400);
  expect_reference_everywhere<f16, bf16, f16, f16>(12, 30, 400);
}

// As sums of bf16 such queries would have lost their last places.
TEMPLATE_TEST_CASE("attend: queries may be tiny where keys are huge", "[attend]", float, bf16) {
  random_values random(13);
  const index_t num_tokens = 70, head_dim = 8;
  const double size = GENERATE(1e-18, 1e-30, 1e-33, 1e-36);
  owned_heads<float> q(random, num_tokens, 1, head_dim);
  for (float& x : q.values) x *= static_cast<float>(size);
  owned_heads<TestType> k(random, num_tokens, 1, head_dim), v(random, num_tokens, 1, 5);
  for (TestType& x : k.values) x = TestType(widen<float>(x) / static_cast<float>(size));
  owned_heads<float> out(num_tokens, 1, 5, 99.0F);
  std::vector<float> lse(static_cast<std::size_t>(num_tokens));
  const lse_view<float> sums(lse.data(), num_tokens, 1);
  attend(q.view(), k.view(), v.view(), out.view(), no_encoding{}, {.scale = 1, .lse = sums});
  const auto wide_q = in_double(q), wide_k = in_double(k), wide_v = in_double(v);
  expect_reference(
      attend_reference(wide_q.view(), wide_k.view(), wide_v.view(), no_encoding{}, attend_options<double>{.scale = 1}),
      out.view(), sums, head_dim, 0);
}

TEMPLATE_TEST_CASE("attend: values may be tiny or huge", "[attend]", float, bf16) {
  random_values random(15);
  const float size = GENERATE(0x1p-115F, 0x1p-100F, 0x1p100F, 0x1p120F);
  const owned_heads<float> q(random, 70, 2, 8);
  const owned_heads<TestType> k(random, 90, 1, 8);
  owned_heads<TestType> v(random, 90, 1, 5);
  owned_heads<float> expected(70, 2, 5), out(70, 2, 5, 99.0F);
  attend(q.view(), k.view(), v.view(), expected.view(), no_encoding{});
  for (TestType& x : v.values) x = TestType(widen<float>(x) * size);
  attend(q.view(), k.view(), v.view(), out.view(), no_encoding{});
  for (std::size_t i = 0; i < out.values.size(); ++i)
    CHECK(std::abs(out.values[i] / size - expected.values[i]) < 2e-6F);
}

// A maximum that moves has all that was summed before scaled: here it moves by little or by much, in each tile or hardly.
TEMPLATE_TEST_CASE("attend: maxima may rise from tile to tile", "[attend]", float, double, bf16) {
  using T = compute_t<TestType>;
  random_values random(6);
  const index_t num_queries = 70, num_keys = 650, head_dim = 4;
  for (const double step : {0.001, 0.01, 0.1, 1.0, 4.0}) {
    CAPTURE(step);
    const owned_heads<TestType> q(num_queries, 1, head_dim, TestType(1.0F)), v(random, num_keys, 1, 5);
    owned_heads<TestType> k(num_keys, 1, head_dim, TestType(0.0F));
    for (index_t i = 0; i < num_keys; ++i) {
      const double score = step * static_cast<double>(num_keys - i) + random.real(-1, 1);
      k.view().row(i, 0)[i % head_dim] = TestType(static_cast<float>(score));
    }
    owned_heads<TestType> out(num_queries, 1, 5, TestType(99.0F));
    std::vector<T> lse(static_cast<std::size_t>(num_queries), T(99));
    attend_options<T> options{.band = causal(), .scale = 1, .lse = lse_view<T>(lse.data(), num_queries, 1)};
    std::vector<T> workspace(
        static_cast<std::size_t>(workspace_size(q.view(), k.view(), v.view(), no_encoding{}, options.run.threads)));
    options.run.workspace = workspace;
    attend(q.view(), k.view(), v.view(), out.view(), no_encoding{}, options);
    const auto wide_q = in_double(q), wide_k = in_double(k), wide_v = in_double(v);
    expect_reference(attend_reference(wide_q.view(), wide_k.view(), wide_v.view(), no_encoding{},
                                      attend_options<double>{.band = causal(), .scale = 1}),
                     out.view(), options.lse, head_dim, weight_unit<TestType>());
  }
}

// Whole tiles leave the bias to the softmax, others do not, and neither must a mask be forgotten.
TEMPLATE_TEST_CASE("attend: a bias of distance meets masks, edges, a soft-cap and any scale", "[attend]", float, double,
                   bf16) {
  using T = compute_t<TestType>;
  random_values random(16);
  const index_t num_tokens = 200, num_heads = 2, head_dim = 16;
  const alibi<float> slopes(std::vector<float>{0.5F, -0.01F});
  const auto mask = std::make_unique<bool[]>(num_tokens);
  for (std::size_t k = 0; k < 200; ++k) mask[k] = k % 3 != 1;
  const index_band band = GENERATE(index_band{}, causal());
  const bool masked = GENERATE(false, true);
  const double softcap = GENERATE(0.0, 2.0), scale = GENERATE(0.3, -0.7);
  CAPTURE(band.first, masked, softcap, scale);
  const auto options_in = [&]<class U>(U) {
    attend_options<U> options{.band = band, .scale = scale, .softcap = softcap};
    if (masked) options.more.allowed = {mask.get(), num_tokens, 0, 0};
    return options;
  };
  const owned_heads<TestType> q(random, num_tokens, num_heads, head_dim), k(random, num_tokens, 1, head_dim),
      v(random, num_tokens, 1, 5);
  owned_heads<TestType> out(num_tokens, num_heads, 5, TestType(99.0F));
  std::vector<T> lse(static_cast<std::size_t>(num_tokens * num_heads), T(99));
  std::vector<T> workspace(static_cast<std::size_t>(workspace_size(q.view(), k.view(), v.view(), slopes)));
  auto options = options_in(T());
  options.lse = lse_view<T>(lse.data(), num_tokens, num_heads);
  options.run.workspace = workspace;
  attend(q.view(), k.view(), v.view(), out.view(), slopes, options);
  const auto wide_q = in_double(q), wide_k = in_double(k), wide_v = in_double(v);
  expect_reference(attend_reference(wide_q.view(), wide_k.view(), wide_v.view(), slopes, options_in(double())),
                   out.view(), options.lse, head_dim, weight_unit<TestType>());
}

// The block of queries then meets some tiles and not those between them.
TEMPLATE_TEST_CASE("attend: neighbouring queries see keys far apart", "[attend]", float, double, f16, bf16) {
  using T = compute_t<TestType>;
  random_values random(17);
  const index_t num_queries = GENERATE(1, 40), num_keys = 700, head_dim = 16;
  std::vector<key_range> ranges;
  for (index_t q = 0; q < num_queries; ++q) {
    const index_t first = q % 4 * 220;
    ranges.push_back({first, first + 30});
  }
  const owned_heads<TestType> q(random, num_queries, 2, head_dim), k(random, num_keys, 1, head_dim),
      v(random, num_keys, 1, head_dim);
  owned_heads<TestType> out(num_queries, 2, head_dim, TestType(99.0F));
  std::vector<T> lse(static_cast<std::size_t>(num_queries * 2), T(99));
  std::vector<T> workspace(static_cast<std::size_t>(workspace_size(q.view(), k.view(), v.view(), no_encoding())));
  attend_options<T> options{.lse = lse_view<T>(lse.data(), num_queries, 2)};
  options.more.key_ranges = ranges;
  options.run.workspace = workspace;
  attend(q.view(), k.view(), v.view(), out.view(), no_encoding(), options);
  attend_options<double> in_whole;
  in_whole.more.key_ranges = ranges;
  const auto wide_q = in_double(q), wide_k = in_double(k), wide_v = in_double(v);
  expect_reference(attend_reference(wide_q.view(), wide_k.view(), wide_v.view(), no_encoding(), in_whole), out.view(),
                   options.lse, head_dim, weight_unit<TestType>());
}
