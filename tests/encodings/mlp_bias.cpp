#include <posenc/encodings/mlp_bias.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using namespace posenc;

namespace {

double silu(double x) { return x / (1 + std::exp(-x)); }

// Layer by layer, in double.
template <class T>
double output(const std::vector<T>& weights, index_t head, index_t num_heads, index_t width, index_t depth, double x) {
  std::vector<double> values{x};
  const T* w = weights.data();
  for (index_t layer = 0; layer <= depth; ++layer) {
    const index_t num_outputs = layer == depth ? num_heads : width;
    const index_t num_inputs = std::ssize(values);
    std::vector<double> next;
    for (index_t m = 0; m < num_outputs; ++m) {
      double sum = static_cast<double>(w[num_outputs * num_inputs + m]);
      for (index_t i = 0; i < num_inputs; ++i)
        sum += static_cast<double>(w[m * num_inputs + i]) * values[static_cast<std::size_t>(i)];
      next.push_back(layer == depth ? sum : silu(sum));
    }
    w += num_outputs * (num_inputs + 1);
    values = next;
  }
  return values[static_cast<std::size_t>(head)];
}

index_t num_weights(const mlp_bias_params& p) {
  return 2 * p.mlp_width + (p.depth - 1) * p.mlp_width * (p.mlp_width + 1) + p.num_heads * (p.mlp_width + 1);
}

}  // namespace

TEMPLATE_TEST_CASE("mlp_bias: is the network's output for the distance", "[mlp_bias]", float, double) {
  for (const index_t depth : {1, 2, 4}) {
    for (const mlp_input input : {mlp_input::distance, mlp_input::log_distance, mlp_input::absolute}) {
      CAPTURE(depth, static_cast<int>(input));
      const mlp_bias_params params{.num_heads = 3, .mlp_width = 9, .depth = depth, .input = input};
      const auto weights = random_values(6).list<TestType>(num_weights(params), -0.5, 0.5);
      const mlp_bias<TestType> encoding(weights, params);
      std::vector<TestType> filled(30);
      encoding.fill_bias(2, -11, 30, filled.data());
      for (position_t r = -11; r < 19; ++r) {
        const double x = input == mlp_input::distance   ? r
                         : input == mlp_input::absolute ? std::abs(r)
                                                        : std::copysign(std::log1p(std::abs(r)), r);
        const double want = output(weights, 2, 3, 9, depth, x);
        const double allowed = 64 * std::numeric_limits<TestType>::epsilon() * std::max(1.0, std::abs(want));
        CHECK(std::abs(static_cast<double>(encoding.bias(2, r)) - want) <= allowed);
        CHECK(std::abs(static_cast<double>(filled[static_cast<std::size_t>(r + 11)]) - want) <= allowed);
      }
    }
  }
}

TEST_CASE("mlp_bias: the widest and deepest network fits", "[mlp_bias]") {
  const mlp_bias_params params{.num_heads = 1, .mlp_width = 1024, .depth = 4};
  const auto weights = random_values(6).list<float>(num_weights(params), -0.03, 0.03);
  const mlp_bias<float> encoding(weights, params);
  CHECK(std::abs(static_cast<double>(encoding.bias(0, 5)) - output(weights, 0, 1, 1024, 4, 5)) < 1e-5);
}

TEST_CASE("mlp_bias: heads without an output are found before attention starts", "[mlp_bias]") {
  CHECK(mlp_bias<float>(std::vector<float>(7), {.num_heads = 1, .mlp_width = 2, .depth = 1})
            .check_scores({.num_heads = 3}, {}, {})
            .message() == "attend: num_heads is 3, expected at most 1, the heads of the encoding");
}

TEST_CASE("mlp_bias: the error names argument, value and rule", "[mlp_bias]") {
  CHECK_THROWS_WITH(mlp_bias<float>({}, {}), "mlp_bias: num_heads is 0, expected at least 1");
  CHECK_THROWS_WITH(mlp_bias<float>({}, {.num_heads = 1}), "mlp_bias: mlp_width is 0, expected from 1 to 1024");
  CHECK_THROWS_WITH(mlp_bias<float>({}, {.num_heads = 1, .mlp_width = 1025}),
                    "mlp_bias: mlp_width is 1025, expected from 1 to 1024");
  CHECK_THROWS_WITH(mlp_bias<float>({}, {.num_heads = 1, .mlp_width = 1, .depth = 0}),
                    "mlp_bias: depth is 0, expected from 1 to 4");
  CHECK_THROWS_WITH(mlp_bias<float>({}, {.num_heads = 1, .mlp_width = 1, .depth = 5}),
                    "mlp_bias: depth is 5, expected from 1 to 4");
  CHECK_THROWS_WITH(mlp_bias<float>({1}, {.num_heads = 2, .mlp_width = 3}),
                    "mlp_bias: number of weights is 1, expected 26");
}
