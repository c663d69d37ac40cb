#include <posenc/encodings/forgetting.hpp>

#include <posenc/attention/reference.hpp>
#include <posenc/hooks.hpp>

#include "catch.hpp"
#include "owned_tile.hpp"
#include "random_values.hpp"

#include <cmath>
#include <limits>
#include <span>
#include <vector>

using namespace posenc;

namespace {

constexpr index_t num_tokens = 9, num_heads = 2;

double log_sigmoid(double x) { return -std::log(1 + std::exp(-x)); }

}  // namespace

TEMPLATE_TEST_CASE("forgetting: a bias is the sum of the log gates after the key", "[forgetting]", float, double) {
  const auto logits = random_values(3).list<TestType>(num_tokens * num_heads, -3, 3);
  const auto sums = sum_log_gates(token_view<const TestType>(logits.data(), num_tokens, num_heads));
  const forgetting<TestType> encoding(sums.data(), {.num_heads = num_heads, .num_tokens = num_tokens});
  for (index_t h = 0; h < num_heads; ++h) {
    for (position_t q = 0; q < num_tokens; ++q) {
      double sum = 0;
      for (position_t k = q; k >= 0; --k) {
        CHECK(std::abs(static_cast<double>(encoding.between(h, q, k)) - sum) <
              32 * std::numeric_limits<TestType>::epsilon());
        sum += log_sigmoid(static_cast<double>(logits[static_cast<std::size_t>(k * num_heads + h)]));
      }
    }
  }
}

TEMPLATE_TEST_CASE("forgetting: a tile gets the difference of each pair, consecutive or not", "[forgetting]", float,
                   double) {
  const auto sums = random_values(3).list<double>(2 * 90);
  const forgetting<double> encoding(sums.data(), {.num_heads = 2, .num_tokens = 90, .first_position = 5});
  for (const auto along : {contiguous::queries, contiguous::keys}) {
    for (const bool consecutive : {true, false}) {
      owned_tile<TestType> block(along, 33, 40);
      block.tile.head = 1;
      block.tile.consecutive = consecutive;
      for (position_t& p : block.query_positions) p = consecutive ? p + 15 : 5 + 3 * (p % 7);
      for (position_t& p : block.key_positions) p += 5;
      hooks::add_to_scores(encoding, block.tile);
      bool right = true;
      for (index_t q = 0; q < 33; ++q) {
        for (index_t k = 0; k < 40; ++k) {
          const double between = encoding.between(1, block.query_positions[static_cast<std::size_t>(q)],
                                                  block.key_positions[static_cast<std::size_t>(k)]);
          right = right && block.tile.score(q, k) == static_cast<TestType>(between);
        }
      }
      CHECK(right);
    }
  }
}

TEST_CASE("forgetting: gates wide open or shut do not overflow", "[forgetting]") {
  const std::vector<double> logits{800, -800, 0};
  const auto sums = sum_log_gates(token_view<const double>(logits.data(), 3, 1));
  CHECK(sums[0] == 0);
  CHECK(sums[1] == -800);
  CHECK(std::abs(sums[2] - (-800 - std::log(2.0))) < 1e-12);
}

TEST_CASE("forgetting: gates that are all alike are ALiBi", "[forgetting]") {
  const std::vector<double> logits(num_tokens, 0.0);
  const auto sums = sum_log_gates(token_view<const double>(logits.data(), num_tokens, 1));
  const forgetting<double> encoding(sums.data(), {.num_heads = 1, .num_tokens = num_tokens});
  for (position_t q = 0; q < num_tokens; ++q) CHECK(std::abs(encoding.between(0, q, 0) + q * std::log(2.0)) < 1e-14);
}

TEST_CASE("forgetting: rows of a cache that is longer, and positions that begin elsewhere", "[forgetting]") {
  const std::vector<float> cache{1, 2, 4, -1, 10, 20, 40, -1};
  const forgetting<float> encoding(cache.data(),
                                   {.num_heads = 2, .num_tokens = 3, .head_stride = 4, .first_position = 100});
  CHECK(encoding.between(0, 102, 100) == 3);
  CHECK(encoding.between(1, 102, 101) == 20);
}

TEST_CASE("forgetting: gradients of attention reach the gates' logits", "[forgetting]") {
  constexpr index_t head_dim = 3;
  random_values random(5);
  const owned_heads<double> q(random, num_tokens, num_heads, head_dim), k(random, num_tokens, num_heads, head_dim),
      v(random, num_tokens, num_heads, head_dim), upstream(random, num_tokens, num_heads, head_dim);
  auto logits = random.list<double>(num_tokens * num_heads);
  const auto view = [&] { return token_view<const double>(logits.data(), num_tokens, num_heads); };
  const forgetting_params params{.num_heads = num_heads, .num_tokens = num_tokens};
  const auto loss = [&] {
    const auto sums = sum_log_gates(view());
    const auto heads =
        attend_reference(q.view(), k.view(), v.view(), forgetting<double>(sums.data(), params), {.band = causal()});
    double total = 0;
    for (index_t h = 0; h < num_heads; ++h) {
      for (index_t t = 0; t < num_tokens; ++t) {
        for (index_t d = 0; d < head_dim; ++d)
          total += heads[static_cast<std::size_t>(h)].out(t, d) * upstream.view().row(t, h)[d];
      }
    }
    return total;
  };

  const auto sums = sum_log_gates(view());
  const auto of_sums = attend_reference_backward(q.view(), k.view(), v.view(), forgetting<double>(sums.data(), params),
                                                 upstream.view(), {.band = causal()})
                           .parameters;
  std::vector<double> gradients(logits.size(), 1.0);
  sum_log_gates_backward<double>(view(), of_sums, token_view<double>(gradients.data(), num_tokens, num_heads));
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double before = logits[i];
    logits[i] = before + 0x1p-17;
    const double up = loss();
    logits[i] = before - 0x1p-17;
    const double down = loss();
    logits[i] = before;
    CHECK(std::abs(gradients[i] - 1 - (up - down) * 0x1p16) < 1e-8);
  }
}

TEST_CASE("forgetting: positions without a sum are found before attention starts", "[forgetting]") {
  const std::vector<float> sums(6);
  const forgetting<float> encoding(sums.data(), {.num_heads = 2, .num_tokens = 3, .first_position = 10});
  CHECK_FALSE(encoding.check_scores({.num_heads = 2}, positions(10, 3), positions(10, 3)));
  CHECK(encoding.check_scores({.num_heads = 2}, positions(10, 4), positions(10, 3)).message() ==
        "attend: queries: positions[3] is 13, expected at most 12, the last with a sum");
  CHECK(encoding.check_scores({.num_heads = 2}, positions(10, 3), positions(9, 3)).message() ==
        "attend: keys: positions[0] is 9, expected at least 10");
  CHECK(encoding.check_scores({.num_heads = 3}, positions(10, 3), positions(10, 3)).message() ==
        "attend: num_heads is 3, expected at most 2, the heads of the encoding");
}

TEST_CASE("forgetting: the error names argument, value and rule", "[forgetting]") {
  const std::vector<float> some(4);
  CHECK_THROWS_WITH(forgetting<float>(some.data(), {.num_tokens = 4}),
                    "forgetting: num_heads is 0, expected at least 1");
  CHECK_THROWS_WITH(forgetting<float>(some.data(), {.num_heads = 1}),
                    "forgetting: num_tokens is 0, expected at least 1");
  std::vector<float> out(4);
  const token_view<const float> logits(some.data(), 2, 2);
  const std::span<const float> two(some.data(), 2), four(some);
  CHECK_THROWS_WITH(sum_log_gates_backward<float>(logits, two, token_view<float>(out.data(), 2, 2)),
                    "sum_log_gates_backward: size of sum_gradients is 2, expected 4");
  CHECK_THROWS_WITH(sum_log_gates_backward<float>(logits, four, token_view<float>(out.data(), 2, 1)),
                    "sum_log_gates_backward: dim of logit_gradients is 1, expected 2, that of logits");
  CHECK_THROWS_WITH(sum_log_gates_backward<float>(logits, four, token_view<float>(out.data(), 1, 2)),
                    "sum_log_gates_backward: num_tokens of logit_gradients is 1, expected 2, that of logits");
}
