#include <posenc/encodings/deberta.hpp>

#include "catch.hpp"
#include "content_tile.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using namespace posenc;

namespace {

deberta_params<float> params_with(std::span<const float> vectors, index_t buckets, index_t most) {
  deberta_params<float> params{.num_heads = 1, .head_dim = 1, .max_relative_positions = most};
  params.position_buckets = buckets;
  params.pos_keys = vectors;
  return params;
}

}  // namespace

TEST_CASE("deberta: buckets are those of the logarithm, and exact on their edges", "[deberta]") {
  // Steps of a factor of 2: mid 4, ratio 2 ^ 3 over 3 steps. A distance of 4 * 2^n is the last of its bucket.
  for (position_t n = 0; n < 25; ++n) {
    const position_t edge = position_t{4} << n;
    CHECK(deberta_bucket(edge, 8, 33) == 4 + n);
    CHECK(deberta_bucket(edge + 1, 8, 33) == (n == 0 ? 5 : 4 + n + 1));
    CHECK(deberta_bucket(-edge, 8, 33) == -(4 + n));
  }
  for (const auto& [buckets, most] : {std::pair{256, 512}, std::pair{9, 40}, std::pair{32, 100}}) {
    CAPTURE(buckets, most);
    const double mid = buckets / 2;
    for (position_t r = 1; r < 2000; ++r) {
      const double steps = (mid - 1) * std::log(r / mid) / std::log((most - 1) / mid);
      if (std::abs(steps - std::nearbyint(steps)) < 1e-9) continue;
      const auto expected = r <= mid ? r : static_cast<position_t>(std::ceil(steps) + mid);
      CHECK(deberta_bucket(r, buckets, most) == expected);
      CHECK(deberta_bucket(-r, buckets, most) == -expected);
    }
  }
}

TEST_CASE("deberta: rows are buckets, and the last ones hold all that lies beyond", "[deberta]") {
  for (const auto& sizes : {std::pair{256, 512}, std::pair{8, 33}, std::pair{7, 20}, std::pair{2, 9}}) {
    const auto buckets = sizes.first, most = sizes.second;
    CAPTURE(buckets, most);
    const std::vector<float> vectors(static_cast<std::size_t>(2 * buckets));
    const deberta<float> encoding(params_with(vectors, buckets, most));
    CHECK(encoding.span() == buckets);
    const auto expect = [&](position_t r) {
      return std::clamp<std::int64_t>(deberta_bucket(r, buckets, most) + buckets, 0, 2 * buckets - 1);
    };
    for (position_t r = -3 * most; r <= 3 * most; ++r) CHECK(encoding.row(r) == expect(r));
    constexpr position_t last = std::numeric_limits<position_t>::max();
    CHECK(encoding.row(last) == expect(last));
    CHECK(encoding.row(-last) == expect(-last));
  }
}

TEST_CASE("deberta: the authors' code clamps distances first, which spares row 0", "[deberta]") {
  const std::vector<float> vectors(16);
  deberta_params<float> params = params_with(vectors, 8, 32);
  CHECK(deberta<float>(params).row(-40) == 0);
  params.clamp_distances = true;
  CHECK(deberta<float>(params).row(-40) == 1);
  CHECK(deberta<float>(params).row(40) == 15);
}

TEST_CASE("deberta: without buckets distances are rows", "[deberta]") {
  const std::vector<float> vectors(12);
  const deberta<float> encoding(params_with(vectors, 0, 6));
  std::vector<index_t> rows;
  for (const position_t r : {-9, -6, -5, 0, 1, 5, 6, 9}) rows.push_back(encoding.row(r));
  CHECK(rows == std::vector<index_t>{0, 0, 1, 6, 7, 11, 11, 11});
}

TEMPLATE_TEST_CASE("deberta: adds products of queries and of keys, in every form of a tile", "[deberta]", float,
                   double) {
  constexpr index_t head_dim = 13, size = 2 * 16 * head_dim;
  const auto pos_keys = random_values(1).list<TestType>(size), pos_queries = random_values(2).list<TestType>(size);
  for (const int terms : {1, 2, 3}) {
    CAPTURE(terms);
    deberta_params<TestType> params{.num_heads = 2, .head_dim = head_dim, .max_relative_positions = 30};
    params.position_buckets = 8;
    if ((terms & 1) != 0) params.pos_keys = pos_keys;
    if ((terms & 2) != 0) params.pos_queries = pos_queries;
    const deberta<TestType> encoding(params);
    CHECK(adds_to_every_tile<TestType>(encoding, head_dim, [&](const auto& block, index_t q, index_t k) {
      const index_t begin = (16 + encoding.row(block.tile.distance(q, k))) * head_dim;  // of head 1
      double sum = 0;
      if ((terms & 1) != 0) sum += block.product_of_query(q, pos_keys.data() + begin);
      if ((terms & 2) != 0)
        sum += static_cast<double>(block.tile.scale) * block.product_of_key(k, pos_queries.data() + begin);
      return sum;
    }));
  }
}

TEST_CASE("deberta: another width and heads without vectors are found before attention starts", "[deberta]") {
  const std::vector<float> vectors(16);
  const deberta<float> encoding(params_with(vectors, 8, 32));
  CHECK_FALSE(encoding.check_scores({.num_heads = 1, .head_dim = 1}, {}, {}));
  CHECK(encoding.check_scores({.num_heads = 1, .head_dim = 2}, {}, {}).message() ==
        "attend: head_dim is 2, expected 1, the width of the vectors");
  CHECK(encoding.check_scores({.num_heads = 2, .head_dim = 1}, {}, {}).message() ==
        "attend: num_heads is 2, expected at most 1, the heads of the encoding");
}

TEST_CASE("deberta: the error names argument, value and rule", "[deberta]") {
  const std::vector<float> vectors(16);
  const auto made_with = [&](index_t buckets, index_t most) {
    return deberta<float>(params_with(vectors, buckets, most));
  };
  CHECK_THROWS_WITH(made_with(1, 32), "deberta: position_buckets is 1, expected at least 2, or 0 for none");
  CHECK_THROWS_WITH(made_with(8, 5), "deberta: max_relative_positions is 5, expected above 5");
  CHECK_THROWS_WITH(made_with(0, 0), "deberta: max_relative_positions is 0, expected at least 1 and below 2^31");
  CHECK_THROWS_WITH(made_with(9, 32), "deberta: size of pos_keys is 16, expected 18");
  CHECK_THROWS_WITH(deberta<float>(params_with({}, 8, 32)),
                    "deberta: size of pos_keys and pos_queries is 0, expected 16 of one or both");
  deberta_params<float> params = params_with(vectors, 8, 32);
  params.num_heads = 0;
  CHECK_THROWS_WITH(deberta<float>(params), "deberta: num_heads is 0, expected at least 1");
}
