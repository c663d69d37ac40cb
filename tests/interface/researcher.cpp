// A researcher's program: a new encoding is one struct, and everything in the library takes it.
#include <posenc/attention/attention.hpp>
#include <posenc/attention/self_attention.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/scaling/default.hpp>
#include <posenc/testing/laws.hpp>

#include "../catch.hpp"
#include "../random_values.hpp"

#include <cmath>
#include <cstdlib>

using namespace posenc;

// distance = query position - key position.
struct my_decay {
  float rate;
  float bias(index_t, position_t distance) const noexcept { return -rate * std::log1p(float(std::abs(distance))); }
};
static_assert(positional_encoding<my_decay>);

TEST_CASE("interface: attention under an encoding of one's own", "[interface]") {
  random_values random(1);
  owned_heads<float> queries(random, 9, 2, 8), keys(random, 9, 2, 8), values(random, 9, 2, 8), output(9, 2, 8);
  const auto q = queries.view(), k = keys.view(), v = values.view(), out = output.view();

  attention(q, k, v, out, my_decay{0.5f}, {.band = causal()});

  // By hand, for the second token of the first head.
  const auto weight = [&](index_t key) {
    double product = 0;
    for (index_t d = 0; d < 8; ++d) product += double(q.row(1, 0)[d]) * double(k.row(key, 0)[d]);
    return std::exp(product / std::sqrt(8.0) - 0.5 * std::log1p(double(1 - key)));
  };
  for (index_t d = 0; d < 8; ++d) {
    const double expected = (weight(0) * v.row(0, 0)[d] + weight(1) * v.row(1, 0)[d]) / (weight(0) + weight(1));
    CHECK(std::abs(out.row(1, 0)[d] - expected) < 1e-6);
  }
}

TEST_CASE("interface: a whole layer under a combination", "[interface]") {
  const rope rotary(pairing::half, default_frequencies({.head_dim = 4}));
  const row_matrix<float> x = row_matrix<float>::Random(7, 8);
  const auto square = [] { return row_matrix<float>(row_matrix<float>::Random(8, 8)); };
  const attention_weights<float> weights{
      .query = square(), .key = square(), .value = square(), .output = square(), .num_heads = 2, .num_kv_heads = 2};

  const auto y = self_attention(x, weights, combine(rotary, my_decay{0.5f}), {.band = causal()});

  // The first token sees itself alone: its value, projected.
  const row_matrix<float> first = x.row(0) * weights.value * weights.output;
  CHECK((y.row(0) - first).cwiseAbs().maxCoeff() < 1e-5F);
  const auto without_positions = self_attention(x, weights, no_encoding{}, {.band = causal()});
  CHECK((y - without_positions).cwiseAbs().maxCoeff() > 1e-3F);
}

TEST_CASE("interface: the library's own laws, from an installed header", "[interface]") {
  const auto report = check_encoding_laws(my_decay{0.5f});
  CHECK(report.violations.empty());
  CHECK(report.checked.size() > 20);
}
