#include <posenc/encodings/combine.hpp>

#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/learned.hpp>
#include <posenc/encodings/rope.hpp>

#include "catch.hpp"
#include "owned_tile.hpp"
#include "random_values.hpp"

#include <cmath>
#include <span>
#include <tuple>
#include <type_traits>
#include <vector>

using namespace posenc;

namespace {

/// Doubles what it finds, so that order shows, and keeps a count a query in scratch.
struct doubles_scores {
  index_t first_mark = 0;
  bool reads_content() const noexcept { return true; }
  index_t scratch_size(index_t num_queries) const noexcept { return num_queries; }
  template <real T>
  void begin(const score_tile<T>& tile) const noexcept {
    for (index_t q = 0; q < tile.num_queries; ++q) tile.scratch[q] = static_cast<T>(first_mark);
  }
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    for (index_t q = 0; q < tile.num_queries; ++q) {
      tile.scratch[q] += T(1);
      for (index_t k = 0; k < tile.num_keys; ++k) tile.score(q, k) += tile.score(q, k);
    }
  }
};

struct constant {
  double value = 0;
  double bias(index_t, position_t) const noexcept { return value; }
};

struct not_of_distance {
  double bias(index_t, position_t query, position_t) const noexcept { return query; }
};

rope small_rope(float rate) { return rope(pairing::half, frequencies(std::vector<float>{rate, 0.5F})); }

template <class E>
double score_after(const E& e, double before, index_t num_queries = 2) {
  owned_tile<double> x(contiguous::queries, num_queries, 3);
  std::vector<double> scratch(static_cast<std::size_t>(hooks::scratch_size(e, num_queries)), -1000);
  for (double& score : x.scores) score = before;
  x.tile.scratch = scratch.data();
  hooks::begin(e, x.tile);
  hooks::add_to_scores(e, x.tile);
  return x.tile.score(1, 2);
}

}  // namespace

static_assert(std::is_same_v<decltype(combine(no_encoding{}, no_encoding{})), no_encoding>);
static_assert(std::is_same_v<decltype(combine(no_encoding{}, constant{}, no_encoding{})), constant>);
static_assert(
    std::is_same_v<decltype(combine(constant{}, no_encoding{}, small_rope(1)))::parts, std::tuple<constant, rope>>);
static_assert(positional_encoding<combined<constant, rope>> && score_encoding<combined<constant, rope>, float> &&
              query_key_encoding<combined<constant, rope>, bf16> &&
              !embedding_encoding<combined<constant, rope>, float>);
static_assert(!score_encoding<combined<rope, rope>, float>);

TEST_CASE("combine: parts act one after the other on embeddings, queries and keys", "[combine]") {
  random_values random(1);
  CAPTURE(random.seed());
  const learned<float> table(random.list<float>(5 * 4), 4), other(random.list<float>(5 * 4), 4);
  const auto both = combine(table, small_rope(1), other, small_rope(0.25F));
  auto x = random.list<float>(3 * 4), expected_x = x;
  add_to(both, token_view(x.data(), 3, 4), positions(1, 3));
  add_to(table, token_view(expected_x.data(), 3, 4), positions(1, 3));
  add_to(other, token_view(expected_x.data(), 3, 4), positions(1, 3));
  CHECK(x == expected_x);

  owned_heads<float> q(random, 3, 2, 4), expected_q = q, k = q, expected_k = q;
  apply_to_queries(both, q.view(), positions(1, 3));
  apply_to_keys(both, k.view(), std::vector<double>{0.5, 1, 2});  // real positions, as both ropes take them
  rotate(small_rope(1), expected_q.view(), positions(1, 3));
  rotate(small_rope(0.25F), expected_q.view(), positions(1, 3));
  rotate(small_rope(1), expected_k.view(), std::vector<double>{0.5, 1, 2});
  rotate(small_rope(0.25F), expected_k.view(), std::vector<double>{0.5, 1, 2});
  CHECK(q.values == expected_q.values);
  CHECK(k.values == expected_k.values);
}

TEST_CASE("combine: on scores, what reads content goes first and the rest in order", "[combine]") {
  CHECK(score_after(combine(constant{3}, constant{4}), 1) == 8);
  CHECK(score_after(combine(doubles_scores{}, constant{3}), 1) == 5);
  CHECK(score_after(combine(constant{3}, doubles_scores{}), 1) == 5);
  CHECK(score_after(combine(constant{3}, constant{4}, doubles_scores{}), 1) == 9);
  CHECK(score_after(combine(constant{3}, doubles_scores{}, small_rope(1), constant{4}), 1) == 9);
  CHECK(score_after(combine(constant{3}, combine(constant{4}, doubles_scores{})), 1) == 9);
}

TEST_CASE("combine: scratch is divided, each part having its own from the first tile to the last", "[combine]") {
  const auto both = combine(doubles_scores{10}, constant{1}, doubles_scores{20});
  CHECK(both.reads_content());
  CHECK(both.scratch_size(3) == 6);
  owned_tile<float> x(contiguous::queries, 3, 2);
  std::vector<float> scratch(6);
  x.tile.scratch = scratch.data();
  hooks::begin(both, x.tile);
  hooks::add_to_scores(both, x.tile);
  hooks::add_to_scores(both, x.tile);
  CHECK(scratch == std::vector<float>{12, 12, 12, 22, 22, 22});
}

TEST_CASE("combine: it has a bias of distance if all parts that act on scores have one", "[combine]") {
  CHECK(hooks::has_distance_bias<float>(combine(alibi<float>(2), small_rope(1), constant{1})));
  CHECK_FALSE(hooks::has_distance_bias<float>(combine(alibi<float>(2), not_of_distance{})));
  CHECK_FALSE(hooks::has_distance_bias<float>(combine(constant{}, doubles_scores{})));
  CHECK_FALSE(hooks::has_distance_bias<float>(combine(small_rope(1), small_rope(2))));
  std::vector<double> by_distance(150);
  hooks::fill_bias(combine(alibi<double>(2), constant{0.5}, small_rope(1)), 1, -70, 150, by_distance.data());
  for (index_t i = 0; i < 150; ++i) {
    const auto distance = static_cast<position_t>(i - 70);
    CHECK(by_distance[static_cast<std::size_t>(i)] == alibi<double>(2).bias(1, distance) + 0.5);
  }
}

TEST_CASE("combine: checks give the first finding of the parts that act there", "[combine]") {
  random_values random(2);
  CAPTURE(random.seed());
  const learned<float> short_table(random.list<float>(5 * 4), 4), long_table(random.list<float>(9 * 4), 4);
  const auto all = combine(long_table, alibi<float>(2), short_table, small_rope(1));
  std::vector<float> x(3 * 4, 1.0F);
  const token_view<float> embeddings(x.data(), 3, 4);
  CHECK_THROWS_WITH(add_to(all, embeddings, positions(3, 3)), "add_to: positions[2] is 5, expected at most 4");
  CHECK_THROWS_WITH(add_to(all, embeddings, positions(8, 3)), "add_to: positions[1] is 9, expected at most 8");
  CHECK_THROWS_WITH(add_to(all, embeddings, positions(0, 2)),
                    "add_to: number of positions is 2, expected 3, one for each token");
  CHECK(x == std::vector<float>(3 * 4, 1.0F));
  CHECK(check_rotate(all, head_view(x.data(), 3, 2, 2), positions(0, 3)).message() ==
        "rotate: head_dim is 2, expected at least 4, the end of the rotary slice");
  CHECK(hooks::check_scores<float>(all, {3, 3, 4, 4, 0}, positions(0, 3), positions(0, 3)).message() ==
        "attend: num_heads is 4, expected at most 2, the heads of the encoding");
}

TEST_CASE("combine: parts read the axes that each of them knows", "[combine]") {
  const std::vector<index_t> axes{0, 1};
  const rope on_two(pairing::half, frequencies(std::vector<float>{1, 0.5}).with_axes(axes));
  const std::vector<position_t> ids{1, 2, 3, 4};
  std::vector<float> x(2 * 4, 1.0F);
  const head_view<float> q(x.data(), 2, 1, 4);
  CHECK_FALSE(check_rotate(combine(on_two, on_two), q, positions(ids, 2)));
  CHECK(check_rotate(combine(on_two, small_rope(1)), q, positions(ids, 2)).message() ==
        "rotate: number of axes of the positions is 2, expected 1");
}

TEST_CASE("combine: gradients of parameters lie one after the other", "[combine]") {
  random_values random(3);
  CAPTURE(random.seed());
  const auto all = combine(alibi<double>(2), learned<double>(random.list<double>(3 * 4), 4), alibi<double>(3));
  CHECK(hooks::num_parameters(all) == 2 + 12 + 3);
  std::vector<double> gradients(17);
  owned_tile<double> x(contiguous::keys, 2, 2), upstream(contiguous::keys, 2, 2);
  x.tile.head = 1;
  upstream.tile.score(1, 0) = 4;  // distance 1
  hooks::add_to_scores_backward(all, x.tile,
                                score_gradients<double>{upstream.scores.data(), nullptr, nullptr, gradients});
  const std::vector<double> ones(4, 1.0);
  hooks::add_to_backward(all, token_view<const double>(ones.data(), 1, 4), positions(2, 1),
                         std::span<double>(gradients));
  CHECK(gradients == std::vector<double>{0, -4, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, -4, 0});
}

TEST_CASE("combine: the gradient passes two rotations in turn", "[combine]") {
  random_values random(4);
  CAPTURE(random.seed());
  const auto both = combine(small_rope(1), small_rope(0.25F));
  owned_heads<double> x(random, 3, 2, 4), gradients(random, 3, 2, 4), expected = gradients;
  hooks::apply_to_queries_backward(both, head_view<const double>(x.view()), gradients.view(), positions(2, 3), {});
  unrotate(small_rope(0.25F), expected.view(), positions(2, 3));
  unrotate(small_rope(1), expected.view(), positions(2, 3));
  for (std::size_t i = 0; i < gradients.values.size(); ++i)
    CHECK(std::abs(gradients.values[i] - expected.values[i]) < 1e-14);
}
