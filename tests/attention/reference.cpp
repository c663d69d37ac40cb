#include <posenc/attention/reference.hpp>

#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/cope.hpp>

#include "../catch.hpp"
#include "random_attention.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

using namespace posenc;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// Inputs of a call, with the loss sum(upstream * out) and what it depends on.
template <class E>
struct problem_of {
  const random_attention& call;
  E encoding;
  owned_heads<double> q, k, v, upstream;
  std::vector<double> sinks = call.sinks;

  problem_of(random_values& random, const random_attention& sizes, const E& e)
      : call(sizes),
        encoding(e),
        q(random, sizes.num_queries, sizes.num_heads, sizes.head_dim),
        k(random, sizes.num_keys, sizes.num_kv_heads, sizes.head_dim),
        v(random, sizes.num_keys, sizes.num_kv_heads, sizes.value_dim),
        upstream(random, sizes.num_queries, sizes.num_heads, sizes.value_dim) {}

  attend_options<double> options() const {
    auto o = call.options<double>();
    o.sinks = sinks;
    return o;
  }
  std::vector<reference_head> forward() const {
    return attend_reference(q.view(), k.view(), v.view(), encoding, options());
  }
  reference_gradients backward() const {
    return attend_reference_backward(q.view(), k.view(), v.view(), encoding, upstream.view(), options());
  }
  double loss() const {
    double sum = 0;
    const auto heads = forward();
    for (index_t h = 0; h < q.num_heads; ++h) {
      for (index_t t = 0; t < q.num_tokens; ++t) {
        for (index_t d = 0; d < v.head_dim; ++d)
          sum += upstream.view().row(t, h)[d] * heads[static_cast<std::size_t>(h)].out(t, d);
      }
    }
    return sum;
  }
  /// The largest distance of `gradients` from central differences by `values`, which are a part of this problem.
  template <class Values>
  double distance_from_differences(Values& values, const std::vector<double>& gradients) const {
    REQUIRE(values.size() == gradients.size());
    double largest = 0;
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      const double value = values[i];
      const double step = 0x1p-17;
      values[i] = value + step;
      const double above = loss();
      values[i] = value - step;
      const double below = loss();
      values[i] = value;
      largest = std::max(largest, std::abs((above - below) / (2 * step) - gradients[i]));
    }
    return largest;
  }
};

// Differences by 2^-17 are off by 2^-35 of the third derivative, and by 2^17 of a last place of the loss.
constexpr double close = 1e-7;

template <class E>
void expect_differences(problem_of<E>& x) {
  const reference_gradients gradients = x.backward();
  CHECK(x.distance_from_differences(x.q.values, gradients.queries) < close);
  CHECK(x.distance_from_differences(x.k.values, gradients.keys) < close);
  CHECK(x.distance_from_differences(x.v.values, gradients.values) < close);
  CHECK(x.distance_from_differences(x.sinks, gradients.sinks) < close);
  if constexpr (requires { x.encoding.parameters(); }) {
    auto parameters = x.encoding.parameters();
    CHECK(x.distance_from_differences(parameters, gradients.parameters) < close);
  }
}

/// Small, because each entry costs two passes.
template <class E>
void expect_differences_in_random_calls(unsigned seed, const E& encoding, index_t head_dim = 0) {
  random_values random(seed);
  CAPTURE(random.seed());
  for (int i = 0; i < 12; ++i) {
    random_attention call(random, 6);
    call.head_dim = head_dim > 0 ? head_dim : 3;
    call.value_dim = 2;
    call.first_head = 0;
    CAPTURE(i, call.sizes());
    problem_of<E> x(random, call, encoding);
    expect_differences(x);
  }
}

struct by_pair {
  double rate = 0.125;
  double bias(index_t head, position_t query, position_t key) const noexcept {
    return rate * static_cast<double>(head + 1) * std::sin(static_cast<double>(query + 2 * key));
  }
  void bias_backward(index_t head, position_t query, position_t key, double gradient,
                     std::span<double> sums) const noexcept {
    sums[0] += gradient * bias(head, query, key) / rate;
  }
  std::span<double> parameters() noexcept { return {&rate, 1}; }
  std::span<const double> parameters() const noexcept { return {&rate, 1}; }
};

const alibi<double> slopes(std::vector<double>{0.5, 0.25, 0.125, 1, 0.3, 0.7});

}  // namespace

TEST_CASE("reference: one head, written out by hand", "[reference]") {
  const std::vector<double> q{1, 2}, k{3, 4, 5}, v{10, 20, 30};
  const head_view queries(q.data(), 2, 1, 1), keys(k.data(), 3, 1, 1), values(v.data(), 3, 1, 1);
  const std::vector<double> sinks{-1.0};
  const auto head = attend_reference(queries, keys, values, alibi<double>(std::vector<double>{0.5}),
                                     {.band = causal(), .scale = 0.5, .softcap = 4, .sinks = sinks})[0];
  for (index_t i = 0; i < 2; ++i) {
    double sum = std::exp(-1.0), weighted = 0;
    for (index_t j = 0; j < 3; ++j) {
      const double scaled = 0.5 * q.data()[i] * k.data()[j];
      const double capped = 4 * std::tanh(scaled / 4);
      const double biased = j <= i + 1 ? capped - 0.5 * std::abs(static_cast<double>(i + 1 - j)) : -infinity;
      CHECK(head.scaled(i, j) == scaled);
      CHECK(std::abs(head.capped(i, j) - capped) < 1e-15);
      CHECK((head.biased(i, j) == biased || std::abs(head.biased(i, j) - biased) < 1e-15));
      sum += std::exp(biased);
      weighted += std::exp(biased) * v.data()[j];
    }
    CHECK(std::abs(head.lse[i] - std::log(sum)) < 1e-15);
    CHECK(std::abs(head.out(i, 0) - weighted / sum) < 1e-14);
    CHECK(std::abs(head.weights.row(i).sum() + std::exp(-1 - head.lse[i]) - 1) < 1e-15);
  }
}

TEST_CASE("reference: gradients are those of finite differences, without an encoding", "[reference]") {
  expect_differences_in_random_calls(1, no_encoding{});
}
TEST_CASE("reference: gradients are those of finite differences, with slopes", "[reference]") {
  expect_differences_in_random_calls(2, slopes);
}
TEST_CASE("reference: gradients are those of finite differences, with a bias of pairs", "[reference]") {
  expect_differences_in_random_calls(3, by_pair{});
}
TEST_CASE("reference: gradients are those of finite differences, with an encoding that reads content", "[reference]") {
  random_values random(4);
  const cope<double> gates(random.list<double>(4 * 3), 3);
  expect_differences_in_random_calls(5, gates, 3);
  expect_differences_in_random_calls(6, combine(slopes, gates), 3);
}

TEST_CASE("reference: a row without keys and a sink that weighs nothing have gradients of zero", "[reference]") {
  random_values random(7);
  random_attention call(random, 4);
  call.num_queries = call.num_keys = 2;
  call.query_offset = 0;
  call.band = {1, 2};  // the first query sees nothing
  call.key_ranges.clear();
  call.mask = {};
  call.query_ids.clear();
  call.key_ids.clear();
  call.sinks.assign(static_cast<std::size_t>(call.num_heads), -infinity);
  const problem_of<no_encoding> x(random, call, {});
  CHECK(x.forward()[0].lse[0] == -infinity);
  CHECK(x.forward()[0].out.row(0).isZero(0));
  const reference_gradients gradients = x.backward();
  for (const double gradient : gradients.sinks) CHECK(gradient == 0);
  for (index_t i = 0; i < call.num_heads * call.head_dim; ++i)
    CHECK(gradients.queries[static_cast<std::size_t>(i)] == 0);
}

TEST_CASE("reference: whatever stands behind a mask stays out of gradients too", "[reference]") {
  random_values random(8);
  CAPTURE(random.seed());
  random_attention call(random, 6);
  call.num_queries = call.num_keys = 5;
  call.query_ids.clear();
  call.key_ids.clear();
  call.key_ranges.assign(5, {1, 4});  // keys 0 and 4 are hidden from all
  call.softcap = GENERATE(0.0, 2.0);
  call.mask = {};
  problem_of<alibi<double>> x(random, call, slopes);
  for (double* const column : {x.k.view().row(0, 0), x.k.view().row(4, 0), x.v.view().row(0, 0), x.v.view().row(4, 0)})
    *column = 0;
  const reference_gradients clean = x.backward();
  for (double* const column : {x.k.view().row(0, 0), x.k.view().row(4, 0), x.v.view().row(0, 0), x.v.view().row(4, 0)})
    *column = not_a_number;
  const reference_gradients hidden = x.backward();
  CHECK(hidden.queries == clean.queries);
  CHECK(hidden.keys == clean.keys);
  CHECK(hidden.values == clean.values);
  CHECK(hidden.sinks == clean.sinks);
  CHECK(hidden.parameters == clean.parameters);
}

TEST_CASE("reference: it refuses what attend refuses, in the same words", "[reference]") {
  const std::vector<double> memory(100);
  const head_view<const double> q(memory.data(), 2, 4, 3), k(memory.data(), 3, 2, 3), v(memory.data(), 4, 2, 5);
  CHECK_THROWS_WITH(attend_reference(q, k, v, no_encoding{}),
                    "attend: num_tokens of values is 4, expected 3, that of the keys");
  CHECK_THROWS_WITH(attend_reference(q, k.tokens(0, -1), v.tokens(0, -1), no_encoding{}),
                    "attend: num_tokens of keys is -1, expected at least 0");
  CHECK_THROWS_WITH(attend_reference(q, k, v.tokens(0, 3), alibi<double>(2)),
                    "attend: num_heads is 4, expected at most 2, the heads of the encoding");
}
