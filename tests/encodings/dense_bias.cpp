#include <posenc/encodings/dense_bias.hpp>

#include <posenc/hooks.hpp>

#include "catch.hpp"
#include "owned_tile.hpp"

#include <limits>
#include <utility>
#include <vector>

using namespace posenc;

namespace {

constexpr double minus_infinity = -std::numeric_limits<double>::infinity();

// Small whole numbers, all different up to 251 of them and exact in every element type.
template <class S>
std::vector<S> numbers(index_t count) {
  std::vector<S> values;
  for (index_t i = 0; i < count; ++i) values.push_back(narrow<S>(static_cast<compute_t<S>>(i % 251)));
  return values;
}

template <class T>
struct expected_at {
  owned_tile<T> block;
  expected_at(contiguous along, index_t num_queries, index_t num_keys, index_t head, index_t first_query,
              index_t first_key)
      : block(along, num_queries, num_keys) {
    block.tile.head = head;
    block.tile.first_query = first_query;
    block.tile.first_key = first_key;
    for (T& score : block.scores) score = T(1000);
  }

  // Whether score (q, k) has grown by matrix(q, k), and the memory between the rows has not.
  template <class Matrix>
  bool grew_by(Matrix matrix) {
    bool right = true;
    for (index_t q = 0; q < block.tile.num_queries; ++q) {
      for (index_t k = 0; k < block.tile.num_keys; ++k) {
        right = right && block.tile.score(q, k) == T(1000) + static_cast<T>(matrix(q, k));
        block.tile.score(q, k) = T(1000);
      }
    }
    for (const T score : block.scores) right = right && score == T(1000);
    return right;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("dense_bias: a tile gets its part of a dense matrix, whichever way it lies", "[dense_bias]", float,
                   double, bf16, f16) {
  using T = compute_t<TestType>;
  const auto matrix = numbers<TestType>(3 * 20 * 30);
  const dense_bias<TestType> bias(matrix.data(), {.num_heads = 3, .num_queries = 20, .num_keys = 30});
  for (const auto along : {contiguous::queries, contiguous::keys}) {
    for (const auto& [num_queries, num_keys] : {std::pair{1, 1}, std::pair{4, 4}, std::pair{9, 14}, std::pair{13, 6}}) {
      expected_at<T> tile(along, num_queries, num_keys, 2, 5, 11);
      hooks::add_to_scores(bias, tile.block.tile);
      CHECK(tile.grew_by([](index_t q, index_t k) { return (2 * 600 + (5 + q) * 30 + 11 + k) % 251; }));
    }
  }
}

TEST_CASE("dense_bias: sizes of 1 serve all heads and all queries", "[dense_bias]") {
  const auto matrix = numbers<float>(6 * 8);
  const auto along = GENERATE(contiguous::queries, contiguous::keys);
  SECTION("one matrix for all heads") {
    expected_at<float> tile(along, 6, 8, 17, 0, 0);
    hooks::add_to_scores(dense_bias<float>(matrix.data(), {.num_queries = 6, .num_keys = 8}), tile.block.tile);
    CHECK(tile.grew_by([](index_t q, index_t k) { return q * 8 + k; }));
  }
  SECTION("one row for all queries of a head") {
    expected_at<float> tile(along, 5, 8, 3, 1000, 0);
    hooks::add_to_scores(dense_bias<float>(matrix.data(), {.num_heads = 6, .num_keys = 8}), tile.block.tile);
    CHECK(tile.grew_by([](index_t, index_t k) { return 3 * 8 + k; }));
  }
  SECTION("one row for everything") {
    expected_at<float> tile(along, 5, 3, 3, 1000, 2);
    hooks::add_to_scores(dense_bias<float>(matrix.data(), {.num_keys = 8}), tile.block.tile);
    CHECK(tile.grew_by([](index_t, index_t k) { return 2 + k; }));
  }
}

TEST_CASE("dense_bias: any strides, zero to share, and a transposed matrix", "[dense_bias]") {
  const auto matrix = numbers<float>(250);
  const auto along = GENERATE(contiguous::queries, contiguous::keys);
  SECTION("padded rows") {
    expected_at<float> tile(along, 6, 5, 1, 0, 0);
    const dense_bias<float> bias(matrix.data(), {.num_heads = 2, .num_queries = 6, .num_keys = 5, .query_stride = 9});
    hooks::add_to_scores(bias, tile.block.tile);
    CHECK(tile.grew_by([](index_t q, index_t k) { return 6 * 9 + q * 9 + k; }));
  }
  SECTION("keys outermost") {
    expected_at<float> tile(along, 6, 5, 0, 0, 1);
    const dense_bias<float> bias(matrix.data(), {.num_queries = 6, .num_keys = 7, .query_stride = 1, .key_stride = 6});
    hooks::add_to_scores(bias, tile.block.tile);
    CHECK(tile.grew_by([](index_t q, index_t k) { return (1 + k) * 6 + q; }));
  }
  SECTION("every second column, and heads that share") {
    expected_at<float> tile(along, 3, 4, 5, 0, 0);
    const dense_bias<float> bias(
        matrix.data(),
        {.num_heads = 8, .num_queries = 3, .num_keys = 4, .head_stride = 0, .query_stride = 10, .key_stride = 2});
    hooks::add_to_scores(bias, tile.block.tile);
    CHECK(tile.grew_by([](index_t q, index_t k) { return q * 10 + 2 * k; }));
  }
}

TEST_CASE("dense_bias: first_query is the row of a chunk's first query", "[dense_bias]") {
  const auto matrix = numbers<float>(10 * 4);
  const dense_bias<float> bias(matrix.data(), {.num_queries = 10, .num_keys = 4, .first_query = 7});
  expected_at<float> tile(contiguous::queries, 2, 4, 0, 1, 0);
  hooks::add_to_scores(bias, tile.block.tile);
  CHECK(tile.grew_by([](index_t q, index_t k) { return (7 + 1 + q) * 4 + k; }));
}

TEST_CASE("dense_bias: minus infinity in the matrix masks", "[dense_bias]") {
  const std::vector<double> matrix{0, minus_infinity, minus_infinity, 2};
  for (const auto along : {contiguous::queries, contiguous::keys}) {
    owned_tile<double> block(along, 2, 2);
    hooks::add_to_scores(dense_bias<double>(matrix.data(), {.num_queries = 2, .num_keys = 2}), block.tile);
    CHECK(block.tile.score(0, 0) == 0);
    CHECK(block.tile.score(0, 1) == minus_infinity);
    CHECK(block.tile.score(1, 0) == minus_infinity);
    CHECK(block.tile.score(1, 1) == 2);
  }
}

TEST_CASE("dense_bias: keys behind the last column are masked where asked for, and refused otherwise", "[dense_bias]") {
  const auto matrix = numbers<float>(2 * 5);
  const positions none(0, 0);
  const score_shape shape{.num_queries = 2, .num_keys = 9};
  CHECK(
      hooks::check_scores<float>(dense_bias<float>(matrix.data(), {.num_queries = 2, .num_keys = 5}), shape, none, none)
          .message() == "attend: num_keys is 9, expected at most 5, the columns of the dense bias");

  const dense_bias<float> masked(matrix.data(), {.num_queries = 2, .num_keys = 5, .beyond = beyond_last_key::mask});
  CHECK_FALSE(hooks::check_scores<float>(masked, shape, none, none));
  for (const auto along : {contiguous::queries, contiguous::keys}) {
    for (const index_t first_key : {3, 5, 8}) {  // partly inside, just outside, far outside
      owned_tile<float> block(along, 2, 4);
      block.tile.first_key = first_key;
      hooks::add_to_scores(masked, block.tile);
      for (index_t q = 0; q < 2; ++q) {
        for (index_t k = 0; k < 4; ++k) {
          const bool inside = first_key + k < 5;
          CHECK(block.tile.score(q, k) ==
                (inside ? static_cast<float>(q * 5 + first_key + k) : -std::numeric_limits<float>::infinity()));
        }
      }
    }
  }
}

TEST_CASE("dense_bias: heads and queries outside the matrix are found before attention starts", "[dense_bias]") {
  const auto matrix = numbers<float>(4 * 6 * 5);
  const positions none(0, 0);
  const dense_bias<float> bias(matrix.data(), {.num_heads = 4, .num_queries = 6, .num_keys = 5, .first_query = 2});
  const auto message = [&](const score_shape& shape) {
    return hooks::check_scores<float>(bias, shape, none, none).message();
  };
  CHECK(message({.num_queries = 4, .num_keys = 5, .num_heads = 4}).empty());
  CHECK(message({.num_queries = 5, .num_keys = 5, .num_heads = 4}) ==
        "attend: first_query + num_queries is 7, expected at most 6, the rows of the dense bias");
  CHECK(message({.num_queries = 4, .num_keys = 5, .num_heads = 8}) ==
        "attend: num_heads is 8, expected at most 4, the heads of the encoding");
  CHECK(message({.num_queries = 4, .num_keys = 5, .num_heads = 2, .first_head = 3}) ==
        "attend: first_head + num_heads is 5, expected at most 4, the heads of the encoding");
  CHECK_FALSE(hooks::check_scores<float>(dense_bias<float>(matrix.data(), {.num_keys = 5}),
                                         {.num_queries = 1000, .num_keys = 5, .num_heads = 99}, none, none));
}

TEST_CASE("dense_bias: a trainable matrix has a gradient, where heads and queries that share add up", "[dense_bias]") {
  const auto matrix = numbers<float>(2 * 3 * 4);
  owned_tile<double> before(contiguous::queries, 2, 3);
  before.tile.head = 1;
  before.tile.first_query = 1;
  before.tile.first_key = 1;
  std::vector<double> upstream(before.scores.size());
  for (index_t q = 0; q < 2; ++q) {
    for (index_t k = 0; k < 3; ++k) {
      upstream.data()[q * before.tile.query_stride + k * before.tile.key_stride] = static_cast<double>(10 * q + k + 1);
    }
  }
  const auto gradient = [&](const dense_bias<float>& bias) {
    std::vector<double> sums(static_cast<std::size_t>(hooks::num_parameters(bias)), 100.0);
    score_gradients<double> into;
    into.scores = upstream.data();
    into.parameters = sums;
    hooks::add_to_scores_backward(bias, before.tile, into);
    return sums;
  };
  SECTION("each entry its own") {
    CHECK(gradient(
              dense_bias<float>(matrix.data(), {.num_heads = 2, .num_queries = 3, .num_keys = 4, .trainable = true})) ==
          std::vector<double>{100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100,    // head 0
                              100, 100, 100, 100, 100, 101, 102, 103, 100, 111, 112, 113});  // head 1
  }
  SECTION("a chunk has the rows of its queries") {
    CHECK(gradient(dense_bias<float>(matrix.data(),
                                     {.num_queries = 4, .num_keys = 4, .first_query = 1, .trainable = true})) ==
          std::vector<double>{100, 100, 100, 100, 100, 100, 100, 100, 100, 101, 102, 103, 100, 111, 112, 113});
  }
  SECTION("one row for everything") {
    CHECK(gradient(dense_bias<float>(matrix.data(), {.num_keys = 4, .trainable = true})) ==
          std::vector<double>{100, 112, 114, 116});
  }
  SECTION("keys behind the last column have none") {
    CHECK(gradient(
              dense_bias<float>(matrix.data(), {.num_keys = 3, .beyond = beyond_last_key::mask, .trainable = true})) ==
          std::vector<double>{100, 112, 114});
  }
  SECTION("others have none at all") {
    CHECK(gradient(dense_bias<float>(matrix.data(), {.num_heads = 2, .num_queries = 3, .num_keys = 4})).empty());
  }
}

TEST_CASE("dense_bias: the constructor refuses sizes that cannot be", "[dense_bias]") {
  const float none = 0;
  CHECK_THROWS_WITH(dense_bias<float>(&none, {.num_heads = 0, .num_keys = 1}),
                    "dense_bias: num_heads is 0, expected at least 1");
  CHECK_THROWS_WITH(dense_bias<float>(&none, {.num_queries = 0, .num_keys = 1}),
                    "dense_bias: num_queries is 0, expected at least 1");
  CHECK_THROWS_WITH(dense_bias<float>(&none, {.num_keys = -1}), "dense_bias: num_keys is -1, expected at least 0");
  CHECK_THROWS_WITH(dense_bias<float>(&none, {.num_keys = 1, .first_query = -2}),
                    "dense_bias: first_query is -2, expected at least 0");
}
