#include <posenc/encodings/cope.hpp>

#include <posenc/hooks.hpp>

#include "catch.hpp"
#include "owned_tile.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using namespace posenc;

namespace {

constexpr double minus_infinity = -std::numeric_limits<double>::infinity();

// A block that sees all keys of a short sequence: query q stands at key q + num_keys - num_queries, later keys are
// masked.
template <class T>
struct causal_block : owned_tile<T> {
  causal_block(contiguous along, index_t num_queries, index_t num_keys, index_t head_dim)
      : owned_tile<T>(along, num_queries, num_keys, head_dim) {
    for (index_t q = 0; q < num_queries; ++q) {
      for (index_t k = 0; k < num_keys; ++k) {
        if (k > q + num_keys - num_queries) this->tile.score(q, k) = static_cast<T>(minus_infinity);
      }
    }
  }

  bool sees(index_t q, index_t k) const { return k <= q + this->tile.num_keys - this->tile.num_queries; }

  // Runs the hooks as an attention kernel does, in tiles of `block` keys from the last to the first.
  template <class E>
  void add(const E& encoding, index_t block) {
    std::vector<T> scratch(static_cast<std::size_t>(hooks::scratch_size(encoding, this->tile.num_queries)),
                           std::numeric_limits<T>::quiet_NaN());
    score_tile<T> part = this->tile;
    part.scratch = scratch.data();
    part.num_keys = 0;
    hooks::begin(encoding, part);
    for (index_t end = this->tile.num_keys; end > 0; end = part.first_key) {
      part.first_key = std::max<index_t>(0, end - block);
      part.num_keys = end - part.first_key;
      part.scores = &this->tile.score(0, part.first_key);
      hooks::add_to_scores(encoding, part);
    }
  }
};

// Numbers without a pattern that the formulas could share, from -1 to 1.
double some(index_t i) { return std::sin(static_cast<double>(7 * i * i + 3 * i + 1)); }

std::vector<double> some_numbers(index_t count, index_t seed) {
  std::vector<double> values;
  for (index_t i = 0; i < count; ++i) values.push_back(some(seed + i));
  return values;
}

}  // namespace

TEMPLATE_TEST_CASE("cope: half-open gates count every second key", "[cope]", float, double) {
  // One column, so that the bias is query * embedding at the position: rows 0, 10, 20, ...
  const cope<TestType> encoding({0, 10, 20, 30, 40, 50}, 1);
  for (const auto along : {contiguous::queries, contiguous::keys}) {
    causal_block<TestType> block(along, 8, 8, 1);  // scores of 0: gates of 1/2
    for (index_t q = 0; q < 8; ++q) block.query(q, 0) = static_cast<TestType>(q + 1);
    block.add(encoding, 3);
    for (index_t q = 0; q < 8; ++q) {
      for (index_t k = 0; k <= q; ++k) {
        const auto position = static_cast<TestType>(q - k + 1) / 2;
        CHECK(block.tile.score(q, k) == static_cast<TestType>(q + 1) * 10 * position);
      }
    }
  }
}

TEST_CASE("cope: masked keys open no gate, and far ones share the last row", "[cope]") {
  const cope<double> encoding({0, 1, 2}, 1);
  causal_block<double> block(contiguous::queries, 1, 9, 1);
  block.query(0, 0) = 1;
  for (index_t k = 0; k < 9; ++k) block.tile.score(0, k) = k % 2 == 0 ? 1000 : minus_infinity;  // open, shut
  block.add(encoding, 9);
  const double expected[] = {1002, minus_infinity, 1002, minus_infinity, 1002, minus_infinity,
                             1002, minus_infinity, 1001};
  for (index_t k = 0; k < 9; ++k) CHECK(block.tile.score(0, k) == expected[k]);
}

TEMPLATE_TEST_CASE("cope: the size of the tiles does not matter", "[cope]", float, double) {
  const auto numbers = some_numbers(7 * 12, 5);
  const cope<TestType> encoding(std::vector<TestType>(numbers.begin(), numbers.end()), 12);
  for (const auto along : {contiguous::queries, contiguous::keys}) {
    std::vector<std::vector<TestType>> results;
    for (const index_t block_of_keys : {1, 2, 5, 17}) {
      causal_block<TestType> block(along, 6, 17, 12);
      for (index_t q = 0; q < 6; ++q) {
        for (index_t d = 0; d < 12; ++d) block.query(q, d) = static_cast<TestType>(some(q * 12 + d));
        for (index_t k = 0; k < 17; ++k) block.tile.score(q, k) += static_cast<TestType>(some(q * 17 + k));
      }
      block.add(encoding, block_of_keys);
      results.push_back(block.scores);
    }
    for (const auto& result : results) CHECK(result == results[0]);
  }
}

TEMPLATE_TEST_CASE("cope: follows its formula in both orientations", "[cope]", float, double) {
  const index_t head_dim = 11;
  const index_t max_positions = 5;
  const auto embedding = some_numbers(max_positions * head_dim, 3);
  const cope<TestType> encoding(std::vector<TestType>(embedding.begin(), embedding.end()), head_dim);
  const double scale = 0.3;
  for (const auto along : {contiguous::queries, contiguous::keys}) {
    causal_block<TestType> block(along, 9, 13, head_dim);
    block.tile.scale = static_cast<TestType>(scale);
    for (index_t q = 0; q < 9; ++q) {
      for (index_t d = 0; d < head_dim; ++d) block.query(q, d) = static_cast<TestType>(scale * some(q * head_dim + d));
      for (index_t k = 0; k < 13; ++k) block.tile.score(q, k) += static_cast<TestType>(3 * some(q + 100 * k));
    }
    const auto product = [&](index_t q, index_t p) {  // the query without its scale
      double sum = 0;
      for (index_t d = 0; d < head_dim; ++d) sum += some(q * head_dim + d) * embedding.data()[p * head_dim + d];
      return sum;
    };
    const auto before = block.scores;
    block.add(encoding, 4);
    for (index_t q = 0; q < 9; ++q) {
      double position = 0;
      for (index_t k = 13; k-- > 0;) {
        if (!block.sees(q, k)) continue;
        const double score = static_cast<double>(before.data()[&block.tile.score(q, k) - block.scores.data()]);
        position += 1 / (1 + std::exp(-score));
        const double at = std::min(position, 4.0);
        const double weight = at - std::floor(at);
        const double bias = (1 - weight) * product(q, static_cast<index_t>(std::floor(at))) +
                            weight * product(q, static_cast<index_t>(std::ceil(at)));
        const double error = std::abs(static_cast<double>(block.tile.score(q, k)) - (score + bias));
        CHECK(error <= 64 * static_cast<double>(std::numeric_limits<TestType>::epsilon()));
      }
    }
  }
}

TEST_CASE("cope: a scale of zero leaves no bias, and no NaN", "[cope]") {
  causal_block<float> block(contiguous::queries, 8, 8, 2);
  block.tile.scale = 0;
  block.add(cope<float>({1, 2, 3, 4}, 2), 8);
  CHECK(block.tile.score(7, 0) == 0);
}

TEST_CASE("cope: a NaN stays in its row", "[cope]") {
  for (const auto along : {contiguous::queries, contiguous::keys}) {
    causal_block<double> clean(along, 3, 5, 1);
    causal_block<double> block(along, 3, 5, 1);
    for (index_t q = 0; q < 3; ++q) clean.query(q, 0) = block.query(q, 0) = 1;
    block.tile.score(1, 2) = std::nan("");
    const cope<double> encoding({0, 1, 2, 3}, 1);
    clean.add(encoding, 2);
    block.add(encoding, 2);
    for (index_t k = 0; k < 5; ++k) {
      CHECK(block.tile.score(0, k) == clean.tile.score(0, k));
      CHECK(block.tile.score(2, k) == clean.tile.score(2, k));
    }
    CHECK(std::isnan(block.tile.score(1, 2)));
  }
}

namespace {

// What the gradients are checked on: a loss that weighs every visible score, as a function of what they are taken of.
struct weighted_loss {
  contiguous along;
  std::vector<double> embedding = some_numbers(4 * 3, 40);
  std::vector<double> scores = some_numbers(6 * 7, 1000);    // [query, key]
  std::vector<double> queries = some_numbers(6 * 3, 2000);   // [query, dim], scaled
  std::vector<double> upstream = some_numbers(6 * 7, 3000);  // [query, key]

  void load(causal_block<double>& block) const {
    block.tile.scale = 0.7;
    for (index_t q = 0; q < 6; ++q) {
      for (index_t d = 0; d < 3; ++d) block.query(q, d) = queries.data()[q * 3 + d];
      for (index_t k = 0; k < 7; ++k) block.tile.score(q, k) += scores.data()[q * 7 + k];
    }
  }

  double operator()() const {
    causal_block<double> block(along, 6, 7, 3);
    load(block);
    block.add(cope<double>(embedding, 3), 2);
    double sum = 0;
    for (index_t q = 0; q < 6; ++q) {
      for (index_t k = 0; k < 7; ++k) {
        if (block.sees(q, k)) sum += upstream.data()[q * 7 + k] * block.tile.score(q, k);
      }
    }
    return sum;
  }

  double slope(double& of) {
    const double value = of;
    constexpr double step = 0x1p-20;
    of = value + step;
    const double above = (*this)();
    of = value - step;
    const double below = (*this)();
    of = value;
    return (above - below) / (2 * step);
  }
};

}  // namespace

TEST_CASE("cope: gradients of scores, queries and embedding agree with differences", "[cope]") {
  const auto along = GENERATE(contiguous::queries, contiguous::keys);
  weighted_loss loss{along};
  causal_block<double> before(along, 6, 7, 3);
  loss.load(before);
  causal_block<double> gradients(along, 6, 7, 3);  // of scores and queries, laid out alike
  std::fill(gradients.scores.begin(), gradients.scores.end(), 0.0);
  for (index_t q = 0; q < 6; ++q) {
    for (index_t k = 0; k < 7; ++k) {
      if (before.sees(q, k)) gradients.tile.score(q, k) = loss.upstream.data()[q * 7 + k];
    }
  }
  std::vector<double> embedding_gradients(12, 0.0);
  score_gradients<double> into;
  into.scores = gradients.scores.data();
  into.queries = gradients.queries.data();
  into.parameters = embedding_gradients;
  hooks::add_to_scores_backward(cope<double>(loss.embedding, 3), before.tile, into);

  for (index_t q = 0; q < 6; ++q) {
    for (index_t k = 0; k < 7; ++k) {
      if (before.sees(q, k))
        CHECK(std::abs(gradients.tile.score(q, k) - loss.slope(loss.scores.data()[q * 7 + k])) <= 1e-8);
    }
    for (index_t d = 0; d < 3; ++d) {
      CHECK(std::abs(gradients.query(q, d) - loss.slope(loss.queries.data()[q * 3 + d])) <= 1e-8);
    }
  }
  for (std::size_t i = 0; i < 12; ++i) CHECK(std::abs(embedding_gradients[i] - loss.slope(loss.embedding[i])) <= 1e-8);
}

TEST_CASE("cope: gradients accumulate, and masked pairs have none", "[cope]") {
  const cope<double> encoding({0, 1, 2}, 1);
  causal_block<double> before(contiguous::keys, 2, 3, 1);
  before.query(0, 0) = before.query(1, 0) = 1;
  std::vector<double> score_gradient(before.scores.size(), 0.0);
  std::vector<double> query_gradient(before.queries.size(), 5.0);
  std::vector<double> embedding_gradient(3, 7.0);
  score_gradients<double> into;
  into.scores = score_gradient.data();
  into.queries = query_gradient.data();
  into.parameters = embedding_gradient;
  hooks::add_to_scores_backward(encoding, before.tile, into);
  CHECK(score_gradient == std::vector<double>(before.scores.size(), 0.0));
  CHECK(query_gradient == std::vector<double>(before.queries.size(), 5.0));
  CHECK(embedding_gradient == std::vector<double>(3, 7.0));

  score_gradient[0] = 1;  // query 0, key 0: behind a gate of 1/2 at key 0 and one at key 1, so at position 1
  hooks::add_to_scores_backward(encoding, before.tile, into);
  CHECK(embedding_gradient == std::vector<double>{7, 8, 7});
  CHECK(query_gradient[0] == 6);
  CHECK(score_gradient[0] == 1.25);  // sigmoid has slope 1/4, the embedding 1
  CHECK(score_gradient[1] == 0.25);
  CHECK(score_gradient[2] == 0);  // masked for query 0
}

TEST_CASE("cope: asks for queries, and for scratch that depends on the block of queries", "[cope]") {
  const cope<float> encoding(std::vector<float>(64 * 128), 128);
  CHECK(hooks::reads_content(encoding));
  CHECK(hooks::scratch_size(encoding, 32) == 65 * 32);
  CHECK(encoding.max_positions() == 64);
}

TEST_CASE("cope: another head_dim is found before attention starts", "[cope]") {
  const cope<float> encoding({1, 2, 3, 4}, 2);
  const positions none(0, 0);
  CHECK_FALSE(hooks::check_scores<float>(encoding, {.num_heads = 99, .head_dim = 2}, none, none));
  CHECK(hooks::check_scores<float>(encoding, {.num_heads = 1, .head_dim = 64}, none, none).message() ==
        "attend: head_dim is 64, expected 2, the width of the embedding");
}

TEST_CASE("cope: the constructor refuses an embedding that does not fit", "[cope]") {
  CHECK_THROWS_WITH(cope<float>({1, 2, 3}, 2), "cope: size of the embedding is 3, expected a multiple of head_dim, 2");
  CHECK_THROWS_WITH(cope<float>({}, 2), "cope: size of the embedding is 0, expected a multiple of head_dim, 2");
  CHECK_THROWS_WITH(cope<float>({1, 2, 3}, 0), "cope: head_dim is 0, expected at least 1");
}
