#include <posenc/encodings/fire.hpp>

#include <posenc/hooks.hpp>

#include "catch.hpp"
#include "owned_tile.hpp"
#include "random_values.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

using namespace posenc;

namespace {

template <class T>
struct network {
  std::vector<T> w1 = random_values(1).list<T>(7), b1 = random_values(2).list<T>(7),
                 w2 = random_values(3).list<T>(2 * 7), b2 = random_values(4).list<T>(2);

  fire_params<T> params() const {
    fire_params<T> p{.num_heads = 2, .mlp_width = 7, .w1 = w1, .b1 = b1, .w2 = w2, .b2 = b2};
    p.c = T(-0.5);
    p.threshold_factor = T(1.5);
    p.threshold = 10;
    return p;
  }
  /// Of head 1, for a distance and the furthest distance.
  double bias(double distance, double furthest) const {
    const double x = std::log1p(0.5 * distance) / (std::log1p(0.5 * std::max(furthest, 15.0)) + 1e-6);
    double sum = static_cast<double>(b2[1]);
    for (std::size_t m = 0; m < 7; ++m)
      sum +=
          static_cast<double>(w2[7 + m]) * std::max(static_cast<double>(w1[m]) * x + static_cast<double>(b1[m]), 0.0);
    return sum;
  }
};

/// Whether tiles of both forms, consecutive or not, get what `expected(query, key)` says.
template <class T, class E, class Expected>
bool adds(const E& encoding, Expected expected) {
  for (const auto along : {contiguous::queries, contiguous::keys}) {
    for (const bool consecutive : {true, false}) {
      for (const auto& [num_queries, num_keys] : {std::pair{70, 133}, std::pair{1, 5}}) {
        owned_tile<T> block(along, num_queries, num_keys);
        block.tile.head = 1;
        block.tile.consecutive = consecutive;
        for (position_t& p : block.query_positions) p = consecutive ? p + 30 : 5 * (p % 17);
        hooks::add_to_scores(encoding, block.tile);
        for (index_t q = 0; q < num_queries; ++q) {
          for (index_t k = 0; k < num_keys; ++k) {
            const double want = expected(block.tile.query_positions[q], block.tile.key_positions[k]);
            const double error = static_cast<double>(block.tile.score(q, k)) - want;
            if (!(std::abs(error) <= 32 * std::numeric_limits<T>::epsilon())) return false;
          }
        }
      }
    }
  }
  return true;
}

}  // namespace

TEMPLATE_TEST_CASE("fire: distances relative to the query's position, below the threshold to that", "[fire]", float,
                   double) {
  const network<TestType> net;
  CHECK(adds<TestType>(fire<TestType>(net.params()),
                       [&](position_t q, position_t k) { return net.bias(std::max(q - k, 0), q); }));
  fire_params<TestType> params = net.params();
  params.symmetric = true;
  CHECK(
      adds<TestType>(fire<TestType>(params), [&](position_t q, position_t k) { return net.bias(std::abs(q - k), q); }));
}

TEMPLATE_TEST_CASE("fire: relative to what the query can see, where that is told", "[fire]", float, double) {
  const network<TestType> net;
  const auto window = [](position_t m) noexcept { return std::min(m, position_t{40}); };
  CHECK(adds<TestType>(fire(net.params(), window),
                       [&](position_t q, position_t k) { return net.bias(std::max(q - k, 0), std::min(q, 40)); }));
  const auto shifted = [](position_t m) noexcept { return m + 100; };
  CHECK(adds<TestType>(fire(net.params(), shifted),
                       [&](position_t q, position_t k) { return net.bias(std::max(q - k, 0), q + 100); }));
}

TEMPLATE_TEST_CASE("fire: a NaN in what a head reads is a NaN in each of its scores", "[fire]", float, double) {
  const network<TestType> net;
  fire<TestType> encoding(net.params());
  constexpr index_t w1 = 2, w2 = w1 + 2 * 7, b2 = w2 + 2 * 7;  // of `parameters()`
  const auto num_nan = [&](bool consecutive) {
    owned_tile<TestType> block(contiguous::queries, 20, 20);
    block.tile.head = 1;
    block.tile.consecutive = consecutive;
    for (position_t& p : block.query_positions) p += 20;
    hooks::add_to_scores(encoding, block.tile);
    index_t count = 0;
    for (index_t q = 0; q < 20; ++q) {
      for (index_t k = 0; k < 20; ++k) count += std::isnan(block.tile.score(q, k)) ? 1 : 0;
    }
    return count;
  };
  for (index_t i = 0; i < std::ssize(encoding.parameters()); ++i) {
    TestType& parameter = encoding.parameters()[static_cast<std::size_t>(i)];
    const TestType before = std::exchange(parameter, std::numeric_limits<TestType>::quiet_NaN());
    const bool of_other_head = (i >= w2 && i < w2 + 7) || i == b2;
    CAPTURE(i);
    CHECK(num_nan(true) == (of_other_head ? 0 : 400));
    CHECK(num_nan(false) == (of_other_head ? 0 : 400));
    parameter = before;
  }
}

TEST_CASE("fire: a unit that is NaN has gradients", "[fire]") {
  const network<double> net;
  fire<double> encoding(net.params());
  const auto gradients_with_nan_at = [&](std::size_t i) {
    const double before = std::exchange(encoding.parameters()[i], std::nan(""));
    owned_tile<double> block(contiguous::queries, 1, 1);
    block.tile.head = 1;
    std::vector<double> upstream(block.scores.size(), 1.0);
    std::vector<double> all(encoding.parameters().size(), 0.0);
    score_gradients<double> into;
    into.scores = upstream.data();
    into.parameters = all;
    hooks::add_to_scores_backward(encoding, block.tile, into);
    encoding.parameters()[i] = before;
    return all;
  };
  constexpr std::size_t threshold_factor = 1, w1 = 2, b1 = w1 + 7, w2 = b1 + 7;
  for (std::size_t m = 0; m < 7; ++m) {
    CAPTURE(m);
    for (const std::size_t of_unit : {w1 + m, b1 + m}) {
      const std::vector<double> all = gradients_with_nan_at(of_unit);
      CHECK(std::isnan(all[w2 + 7 + m]));
      CHECK(all[b1 + m] == net.w2[7 + m]);  // as of a unit that is on
    }
  }
  CHECK(std::isnan(gradients_with_nan_at(threshold_factor)[threshold_factor]));
}

TEST_CASE("fire: heads without weights are found before attention starts", "[fire]") {
  const network<float> net;
  CHECK(fire<float>(net.params()).check_scores({.num_heads = 3}, {}, {}).message() ==
        "attend: num_heads is 3, expected at most 2, the heads of the encoding");
}

TEST_CASE("fire: the error names argument, value and rule", "[fire]") {
  const network<float> net;
  const auto refused = [&](auto change, const char* message) {
    fire_params<float> params = net.params();
    change(params);
    CHECK_THROWS_WITH(fire<float>(params), message);
  };
  refused([](auto& p) { p.num_heads = 0; }, "fire: num_heads is 0, expected at least 1");
  refused([](auto& p) { p.mlp_width = 0; }, "fire: mlp_width is 0, expected from 1 to 1024");
  refused([](auto& p) { p.mlp_width = 8; }, "fire: size of w1 is 7, expected 8");
  refused([](auto& p) { p.b1 = p.b2; }, "fire: size of b1 is 2, expected 7");
  refused([](auto& p) { p.w2 = p.b1; }, "fire: size of w2 is 7, expected 14");
  refused([](auto& p) { p.b2 = p.b1; }, "fire: size of b2 is 7, expected 2");
  refused([](auto& p) { p.threshold = -1; }, "fire: threshold is -1, expected at least 0 and finite");
  refused([](auto& p) { p.eps = -1; }, "fire: eps is -1, expected at least 0 and finite");
  for (const int which : {0, 1, 2}) {
    refused(
        [which](auto& p) {
          p.eps = 0;
          if (which == 0) p.c = 0;
          if (which == 1) p.threshold_factor = 0;
          if (which == 2) p.threshold = 0;
        },
        "fire: eps is 0, expected above 0 where c, threshold_factor or threshold is 0");
  }
}
