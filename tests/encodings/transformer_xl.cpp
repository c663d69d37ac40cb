#include <posenc/encodings/transformer_xl.hpp>

#include "catch.hpp"
#include "content_tile.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

using namespace posenc;

namespace {

constexpr index_t num_heads = 2, head_dim = 11;

template <class T>
transformer_xl<T> random_encoding(const relative_range& range) {
  random_values random(4);
  const auto u = random.list<T>(num_heads * head_dim), v = random.list<T>(num_heads * head_dim);
  return {u, v, random.list<T>(num_heads * range.size() * head_dim), num_heads, range};
}

}  // namespace

TEMPLATE_TEST_CASE("transformer_xl: adds all but the product of query and key, in every form of a tile",
                   "[transformer_xl]", float, double) {
  const relative_range range{-20, 33, true};
  const auto encoding = random_encoding<TestType>(range);
  const TestType* u = encoding.parameters().data() + head_dim;  // of head 1
  const TestType* v = u + num_heads * head_dim;
  const TestType* keys = encoding.parameters().data() + (2 * num_heads + range.size()) * head_dim;
  CHECK(adds_to_every_tile<TestType>(encoding, head_dim, [&](const auto& block, index_t q, index_t k) {
    const TestType* r =
        keys + (std::clamp(block.tile.distance(q, k), range.first, range.last) - range.first) * head_dim;
    double of_u = block.product_of_key(k, u), of_v = 0;
    for (index_t d = 0; d < head_dim; ++d) of_v += static_cast<double>(v[d]) * static_cast<double>(r[d]);
    return block.product_of_query(q, r) + static_cast<double>(block.tile.scale) * (of_u + of_v);
  }));
}

TEMPLATE_TEST_CASE("transformer_xl: relative keys are projected sines and cosines of distance", "[transformer_xl]",
                   float, double) {
  constexpr index_t dim = 6;
  const relative_range range{-2, 5, false};
  const auto weights = random_values(8).list<TestType>(num_heads * head_dim * dim);
  const auto keys = transformer_xl_keys<TestType>(weights, num_heads, head_dim, dim, range);
  REQUIRE(std::ssize(keys) == num_heads * range.size() * head_dim);
  std::size_t i = 0;
  for (index_t h = 0; h < num_heads; ++h) {
    for (position_t r = range.first; r <= range.last; ++r) {
      for (index_t d = 0; d < head_dim; ++d, ++i) {
        const TestType* row = weights.data() + (h * head_dim + d) * dim;
        double sum = 0;
        for (index_t j = 0; j < 3; ++j) {
          const double angle = r * std::pow(10000.0, -static_cast<double>(j) / 3);
          sum += static_cast<double>(row[j]) * std::sin(angle) + static_cast<double>(row[3 + j]) * std::cos(angle);
        }
        CHECK(std::abs(static_cast<double>(keys[i]) - sum) < 16 * std::numeric_limits<TestType>::epsilon());
      }
    }
  }
}

TEST_CASE("transformer_xl: gradients of relative keys go on to the weights", "[transformer_xl]") {
  constexpr index_t dim = 4;
  const relative_range range{0, 6, false};
  random_values random(9);
  std::vector<double> weights = random.list<double>(num_heads * head_dim * dim);
  const auto upstream = random.list<double>(num_heads * range.size() * head_dim);
  std::vector<double> gradients(weights.size(), 1.0);
  transformer_xl_keys_backward<double>(upstream, num_heads, head_dim, dim, range, gradients);
  // Keys are linear in the weights: <upstream, keys> is <gradients, weights>.
  const auto keys = transformer_xl_keys<double>(weights, num_heads, head_dim, dim, range);
  double forward = 0, backward = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) forward += upstream[i] * keys[i];
  for (std::size_t i = 0; i < weights.size(); ++i) backward += (gradients[i] - 1) * weights[i];
  CHECK(std::abs(forward - backward) < 1e-12);
  CHECK(std::abs(forward) > 0.1);
}

TEST_CASE("transformer_xl: distances outside the table are found before attention starts", "[transformer_xl]") {
  const auto check = [](const relative_range& range, const positions& queries, const positions& keys) {
    return random_encoding<float>(range)
        .check_scores({.num_heads = num_heads, .head_dim = head_dim}, queries, keys)
        .message();
  };
  CHECK(check({-2, 3, false}, positions(2, 2), positions(0, 4)) == "");
  CHECK(check({-2, 3, false}, positions(2, 3), positions(0, 4)) ==
        "attend: distance from query to key is 4, expected at most 3, the last of the relative keys");
  CHECK(check({-2, 3, false}, positions(0, 2), positions(0, 4)) ==
        "attend: distance from query to key is -3, expected at least -2, the first of the relative keys");
  // A causal table ends at the query: what lies behind it is masked.
  CHECK(check({0, 3, false}, positions(0, 4), positions(0, 4)) == "");
  CHECK(check({-2, 3, true}, positions(0, 100), positions(0, 100)) == "");
  CHECK(random_encoding<float>({0, 3, false}).check_scores({.num_heads = 1, .head_dim = 4}, {}, {}).message() ==
        "attend: head_dim is 4, expected 11, the width of the relative keys");
  CHECK(random_encoding<float>({0, 3, false}).check_scores({.num_heads = 3, .head_dim = head_dim}, {}, {}).message() ==
        "attend: num_heads is 3, expected at most 2, the heads of the encoding");
}

TEST_CASE("transformer_xl: the error names argument, value and rule", "[transformer_xl]") {
  const std::vector<float> none, two(2), three(3), four(4);
  CHECK_THROWS_WITH(transformer_xl<float>(two, two, two, 0, {}), "transformer_xl: num_heads is 0, expected at least 1");
  CHECK_THROWS_WITH(transformer_xl<float>(two, two, two, 1, {3, 2, false}),
                    "transformer_xl: range.last is 2, expected at least 3, range.first");
  CHECK_THROWS_WITH(transformer_xl<float>(three, three, two, 2, {}),
                    "transformer_xl: size of u is 3, expected a multiple of num_heads, 2");
  CHECK_THROWS_WITH(transformer_xl<float>(two, three, two, 1, {}),
                    "transformer_xl: size of v is 3, expected 2, that of u");
  CHECK_THROWS_WITH(transformer_xl<float>(two, two, three, 1, {0, 1, false}),
                    "transformer_xl: size of keys is 3, expected 4");
  CHECK_THROWS_WITH(transformer_xl_keys<float>(two, 1, 1, 3, {}),
                    "transformer_xl_keys: dim is 3, expected even and at least 2");
  CHECK_THROWS_WITH(transformer_xl_keys<float>(three, 1, 1, 2, {}),
                    "transformer_xl_keys: size of the weights is 3, expected 2");
}
