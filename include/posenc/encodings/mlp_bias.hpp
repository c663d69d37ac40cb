// A continuous bias of distance: one small network for all heads.
#pragma once

#include <posenc/concepts.hpp>  // relative_bias, real, index_t, position_t
#include <posenc/error.hpp>     // require

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// The network's input for the distance r, query minus key.
enum class mlp_input {
  distance,      // r: x-transformers
  log_distance,  // sign(r) ln(1 + |r|): x-transformers, log_distance
  absolute       // |r|: local-attention, and earlier versions of x-transformers
};

struct mlp_bias_params {
  index_t num_heads = 0;
  index_t mlp_width = 0;  // of each hidden layer, at most 1024
  index_t depth = 2;      // hidden layers, 1 to 4
  mlp_input input = mlp_input::distance;
};

/// Adds the output of a network with `depth` hidden layers for the distance.
///
///     score[h, i, j] += output[h],   output = W x + b of the last layer,   x = silu(W x + b) of each before it
///
/// Acts on    scores before the softmax; queries and keys are unchanged.
/// Positions  any 32-bit; only differences count, which must fit 32 bits too.
/// Storage    the weights, layer by layer, W row-major and then b, as in torch.nn.Linear. The network runs once per
///            head and distance: if the weights are fixed, `tabulate` keeps the results.
/// Errors     sizes below 1 or above their bounds, or a wrong number of weights, throw invalid_argument; check_scores
///            reports heads without an output.
/// Accuracy   sums of mlp_width products in the type of the scores, layer by layer.
/// Gradient   of all weights, in their order.
/// Source     DynamicPositionBias of lucidrains' x-transformers, without its optional layer norm; |r| in
///            local-attention.
template <real T>
class mlp_bias {
 public:
  using scalar_type = T;

  mlp_bias(std::vector<T> weights, const mlp_bias_params& params)  // W1, b1, W2, b2, ..., W, b
      : params_(checked(params)), weights_(std::move(weights)) {
    const index_t size = last_layer() + params.num_heads * (params.mlp_width + 1);
    require(std::ssize(weights_) == size, "mlp_bias", "number of weights", std::ssize(weights_), "#", size);
  }

  const mlp_bias_params& params() const noexcept { return params_; }

  /// The bias of `head` for a query `distance` after a key.
  T bias(index_t head, position_t distance) const noexcept {
    T result;
    fill_bias(head, distance, 1, &result);
    return result;
  }

  /// out[i] = bias(head, first_distance + i)
  template <real U>
  void fill_bias(index_t head, position_t first_distance, index_t count, U* out) const noexcept {
    constexpr index_t lanes = lanes_of<U>;
    for (index_t i = 0; i < count; i += lanes) {
      U x[lanes], result[lanes];
      for (index_t l = 0; l < lanes; ++l) x[l] = input<U>(first_distance + std::min(i + l, count - 1));
      run_network(head, x, result);
      std::copy_n(result, std::min(lanes, count - i), out + i);
    }
  }

  problem check_scores(const score_shape& shape, const positions&, const positions&) const noexcept {
    return check_heads(shape, params_.num_heads);
  }

  std::span<T> parameters() noexcept { return weights_; }
  std::span<const T> parameters() const noexcept { return weights_; }

  template <real U>
  void bias_backward(index_t head, position_t first_distance, std::span<const U> sums,
                     std::span<U> parameter_gradients) const noexcept {
    index_t distance = first_distance;
    for (const U sum : sums) {
      if (sum != U(0)) add_gradients(head, input<double>(distance), static_cast<double>(sum), parameter_gradients);
      ++distance;
    }
  }

 private:
  static constexpr index_t most_wide = 1024;
  static constexpr index_t most_deep = 4;
  template <class U>
  static constexpr index_t lanes_of = 32 / static_cast<index_t>(sizeof(U));  // distances at a time

  static const mlp_bias_params& checked(const mlp_bias_params& params) {
    require(params.num_heads >= 1, "mlp_bias", "num_heads", params.num_heads, "at least 1");
    require(params.mlp_width >= 1 && params.mlp_width <= most_wide, "mlp_bias", "mlp_width", params.mlp_width,
            "from 1 to #", most_wide);
    require(params.depth >= 1 && params.depth <= most_deep, "mlp_bias", "depth", params.depth, "from 1 to #",
            most_deep);
    return params;
  }

  // Where layers begin in `weights_`. The first one has one input, the ones after it mlp_width.
  index_t hidden_layer(index_t layer) const noexcept {
    const index_t n = params_.mlp_width;
    return layer == 0 ? 0 : 2 * n + (layer - 1) * n * (n + 1);
  }
  index_t last_layer() const noexcept { return hidden_layer(params_.depth); }
  template <real U>
  U weight(index_t i) const noexcept {
    return static_cast<U>(weights_[static_cast<std::size_t>(i)]);
  }

  template <real U>
  U input(index_t distance) const noexcept {
    const U r = static_cast<U>(distance);
    if (params_.input == mlp_input::distance) return r;
    if (params_.input == mlp_input::absolute) return std::abs(r);
    return std::copysign(std::log1p(std::abs(r)), r);
  }

  template <real U>
  static U sigmoid(U x) noexcept {
    return U(1) / (U(1) + std::exp(-x));
  }

  /// Runs the network for several inputs at once.
  template <real U>
  void run_network(index_t head, const U* x, U* out) const noexcept {
    constexpr index_t lanes = lanes_of<U>;
    const index_t n = params_.mlp_width;
    U layers[2][most_wide][lanes];
    const U* from = x;
    index_t num_inputs = 1;
    for (index_t layer = 0; layer < params_.depth; ++layer) {
      U(*to)[lanes] = layers[layer % 2];
      const index_t begin = hidden_layer(layer);
      for (index_t m = 0; m < n; ++m) {
        sum_up<U>(begin + m * num_inputs, begin + n * num_inputs + m, from, num_inputs, to[m]);
        for (index_t l = 0; l < lanes; ++l) to[m][l] *= sigmoid(to[m][l]);
      }
      from = to[0];
      num_inputs = n;
    }
    sum_up<U>(last_layer() + head * n, last_layer() + params_.num_heads * n + head, from, n, out);
  }

  /// out = b + sum of w[i] * x[i], x [count, lanes]
  template <real U>
  void sum_up(index_t w, index_t b, const U* __restrict x, index_t count, U* __restrict out) const noexcept {
    constexpr index_t lanes = lanes_of<U>;
    std::fill_n(out, lanes, weight<U>(b));
    for (index_t i = 0; i < count; ++i) {
      for (index_t l = 0; l < lanes; ++l) out[l] += weight<U>(w + i) * x[i * lanes + l];
    }
  }

  template <real U>
  void add_gradients(index_t head, double x, double gradient, std::span<U> parameter_gradients) const noexcept {
    const auto add = [&](index_t i, double g) {
      parameter_gradients[static_cast<std::size_t>(i)] += static_cast<U>(g);
    };
    const index_t n = params_.mlp_width;
    // Sums before the activation of each layer.
    double sums[most_deep][most_wide];
    for (index_t layer = 0; layer < params_.depth; ++layer) {
      const index_t begin = hidden_layer(layer), num_inputs = layer == 0 ? 1 : n;
      for (index_t m = 0; m < n; ++m) {
        double sum = weight<double>(begin + n * num_inputs + m);
        for (index_t i = 0; i < num_inputs; ++i)
          sum += weight<double>(begin + m * num_inputs + i) * (layer == 0 ? x : silu(sums[layer - 1][i]));
        sums[layer][m] = sum;
      }
    }
    double of_outputs[most_wide];  // gradients of the current layer's outputs
    add(last_layer() + params_.num_heads * n + head, gradient);
    for (index_t m = 0; m < n; ++m) {
      add(last_layer() + head * n + m, gradient * silu(sums[params_.depth - 1][m]));
      of_outputs[m] = gradient * weight<double>(last_layer() + head * n + m);
    }
    for (index_t layer = params_.depth; layer-- > 0;) {
      const index_t begin = hidden_layer(layer), num_inputs = layer == 0 ? 1 : n;
      double of_inputs[most_wide] = {};
      for (index_t m = 0; m < n; ++m) {
        const double of_sum = of_outputs[m] * silu_slope(sums[layer][m]);
        add(begin + n * num_inputs + m, of_sum);
        for (index_t i = 0; i < num_inputs; ++i) {
          add(begin + m * num_inputs + i, of_sum * (layer == 0 ? x : silu(sums[layer - 1][i])));
          of_inputs[i] += of_sum * weight<double>(begin + m * num_inputs + i);
        }
      }
      std::copy_n(of_inputs, num_inputs, of_outputs);
    }
  }
  static double silu(double x) noexcept { return x * sigmoid(x); }
  static double silu_slope(double x) noexcept { return sigmoid(x) * (1 + x * (1 - sigmoid(x))); }

  mlp_bias_params params_;
  std::vector<T> weights_;
};

static_assert(relative_bias<mlp_bias<float>, float>);

}  // namespace posenc::inline POSENC_ISA
