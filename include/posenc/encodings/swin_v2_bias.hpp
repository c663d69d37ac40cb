// Swin v2's continuous position bias: a small network of log-spaced offsets within a window of patches.
#pragma once

#include <posenc/concepts.hpp>  // tile_bias, real, index_t, position_t
#include <posenc/error.hpp>     // require
#include <posenc/window.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// The network's weights, row-major as in torch.nn.Linear, and the window.
template <real T>
struct swin_v2_params {
  patch_window window{};
  index_t num_heads = 0;
  index_t mlp_width = 512;
  std::span<const T> w1{};  // [mlp_width, 2]: for the row coordinate, for the column coordinate
  std::span<const T> b1{};  // [mlp_width]
  std::span<const T> w2{};  // [num_heads, mlp_width]
  // Sides of the window that the network was trained on, if this one is larger; 0: the same.
  index_t pretrained_height = 0;
  index_t pretrained_width = 0;
};

/// Adds a bias that a two-layer network computes from the offset between two patches of a window.
///
///     score[h, i, j] += 16 sigmoid(sum over m of w2[h, m] relu(w1[m, 0] y + w1[m, 1] x + b1[m]))
///     y = sign(z) log2(1 + |z|) / 3,  z = 8 (rows from key to query) / (height - 1);  x likewise by columns and width
///
/// Acts on    scores before the softmax; queries and keys are unchanged. For the cosine attention around it, the caller
///            normalizes queries and keys and passes the learned scale as `scale`.
/// Positions  one axis, the token's number in its window: row * width + column.
/// Storage    the weights; scratch of one value per offset. The network runs once per offset, head and block of
///            queries: if the weights are fixed, `window_bias(encoding.table(), window)` does the same and runs none.
/// Errors     a window without patches or with a class token, no heads, weights of other sizes, a pretrained side of 1
///            throw invalid_argument; check_scores reports heads without weights and positions outside the window.
/// Accuracy   coordinates within 2 ulp of double; sums in the type of the scores.
/// Gradient   of w1, then of b1, then of w2.
/// Source     Liu et al. 2022, arXiv:2111.09883; transformers' swinv2.
template <real T>
class swin_v2_bias {
 public:
  using scalar_type = T;

  explicit swin_v2_bias(const swin_v2_params<T>& params)
      : offsets_(params.window), num_heads_(params.num_heads), mlp_width_(params.mlp_width) {
    require(!params.window.class_token, "swin_v2_bias", "class_token", 1, "0: its windows have none");
    require(num_heads_ >= 1, "swin_v2_bias", "num_heads", num_heads_, "at least 1");
    require(mlp_width_ >= 1, "swin_v2_bias", "mlp_width", mlp_width_, "at least 1");
    append("size of w1", params.w1, 2 * mlp_width_);
    append("size of b1", params.b1, mlp_width_);
    append("size of w2", params.w2, num_heads_ * mlp_width_);
    const std::vector<double> rows = log_spaced("pretrained_height", params.window.height, params.pretrained_height);
    const std::vector<double> columns = log_spaced("pretrained_width", params.window.width, params.pretrained_width);
    for (const double y : rows) {
      rows_.insert(rows_.end(), columns.size(), y);
      columns_.insert(columns_.end(), columns.begin(), columns.end());
    }
  }

  const patch_window& window() const noexcept { return offsets_.window(); }
  index_t num_heads() const noexcept { return num_heads_; }
  index_t offset(position_t query, position_t key) const noexcept { return offsets_(query, key); }
  index_t num_offsets() const noexcept { return std::ssize(rows_); }
  /// The network's inputs for an offset: row and column coordinates.
  std::array<double, 2> coordinates(index_t offset) const noexcept {
    return {rows_[static_cast<std::size_t>(offset)], columns_[static_cast<std::size_t>(offset)]};
  }

  /// The biases of all offsets, as `window_bias` takes them: [num_offsets, num_heads].
  std::vector<T> table() const {
    std::vector<T> all(static_cast<std::size_t>(num_offsets() * num_heads_));
    std::vector<T> of_head(static_cast<std::size_t>(num_offsets()));
    for (index_t h = 0; h < num_heads_; ++h) {
      run_network(h, of_head.data());
      for (index_t o = 0; o < num_offsets(); ++o) all.data()[o * num_heads_ + h] = of_head.data()[o];
    }
    return all;
  }

  index_t scratch_size(index_t) const noexcept { return num_offsets(); }

  template <real U>
  void begin(const score_tile<U>& tile) const noexcept {
    run_network(tile.head, tile.scratch);
  }

  template <real U>
  void add_to_scores(const score_tile<U>& tile) const noexcept {
    const auto add = [&](index_t q, index_t k) {
      tile.score(q, k) += tile.scratch[offsets_(tile.query_positions[q], tile.key_positions[k])];
    };
    if (tile.query_stride == 1) {
      for (index_t k = 0; k < tile.num_keys; ++k) {
        for (index_t q = 0; q < tile.num_queries; ++q) add(q, k);
      }
    } else {
      for (index_t q = 0; q < tile.num_queries; ++q) {
        for (index_t k = 0; k < tile.num_keys; ++k) add(q, k);
      }
    }
  }

  problem check_scores(const score_shape& shape, const positions& queries, const positions& keys) const noexcept {
    if (const problem wrong = check_heads(shape, num_heads_)) return wrong;
    return offsets_.check(queries, keys);
  }

  std::span<T> parameters() noexcept { return parameters_; }  // [w1 | b1 | w2]
  std::span<const T> parameters() const noexcept { return parameters_; }

  /// `before` needs no scratch.
  template <real U>
  void add_to_scores_backward(const score_tile<U>& before, const score_gradients<U>& gradients) const noexcept {
    // A few offsets at a time: their sums fit the stack, and the network runs backward once for each.
    constexpr index_t block = 64;
    for (index_t first = 0; first < num_offsets(); first += block) {
      double sums[block] = {};
      for (index_t q = 0; q < before.num_queries; ++q) {
        for (index_t k = 0; k < before.num_keys; ++k) {
          const index_t o = offsets_(before.query_positions[q], before.key_positions[k]) - first;
          if (o < 0 || o >= block) continue;
          sums[o] += static_cast<double>(gradients.scores[q * before.query_stride + k * before.key_stride]);
        }
      }
      const index_t count = std::min(block, num_offsets() - first);
      for (index_t o = 0; o < count; ++o) {
        if (sums[o] != 0) add_gradients(before.head, first + o, sums[o], gradients.parameters);
      }
    }
  }

 private:
  // Offsets of the lists in `parameters_`.
  index_t b1() const noexcept { return 2 * mlp_width_; }
  index_t w2(index_t head) const noexcept { return (3 + head) * mlp_width_; }
  double parameter(index_t i) const noexcept { return static_cast<double>(parameters_[static_cast<std::size_t>(i)]); }

  void append(const char* name, std::span<const T> values, index_t size) {
    require(std::ssize(values) == size, "swin_v2_bias", name, std::ssize(values), "#", size);
    parameters_.insert(parameters_.end(), values.begin(), values.end());
  }

  /// Coordinates for the differences from 1 - side to side - 1.
  static std::vector<double> log_spaced(const char* name, index_t side, index_t pretrained) {
    require(pretrained == 0 || pretrained >= 2, "swin_v2_bias", name, pretrained, "0 or at least 2");
    const index_t furthest = (pretrained > 0 ? pretrained : side) - 1;
    std::vector<double> all;
    for (index_t difference = 1 - side; difference < side; ++difference) {
      // A side of one patch has only the difference 0.
      const double z = difference == 0 ? 0 : 8.0 * static_cast<double>(difference) / static_cast<double>(furthest);
      all.push_back(std::copysign(std::log2(1 + std::abs(z)) / 3, z));
    }
    return all;
  }

  /// out[o] = the bias for offset o
  template <real U>
  void run_network(index_t head, U* out) const noexcept {
    constexpr index_t block = 64;  // offsets at a time
    for (index_t first = 0; first < num_offsets(); first += block) {
      const index_t count = std::min(block, num_offsets() - first);
      const double* __restrict y = rows_.data() + first;
      const double* __restrict x = columns_.data() + first;
      U sums[block] = {};
      for (index_t m = 0; m < mlp_width_; ++m) {
        const T* weights = parameters_.data();
        const U of_y = static_cast<U>(weights[2 * m]), of_x = static_cast<U>(weights[2 * m + 1]);
        const U offset = static_cast<U>(weights[b1() + m]), weight = static_cast<U>(weights[w2(head) + m]);
        for (index_t o = 0; o < count; ++o)
          sums[o] += weight * std::max(of_y * static_cast<U>(y[o]) + of_x * static_cast<U>(x[o]) + offset, U(0));
      }
      for (index_t o = 0; o < count; ++o) out[first + o] = U(16) / (U(1) + std::exp(-sums[o]));
    }
  }

  template <real U>
  void add_gradients(index_t head, index_t offset, double gradient, std::span<U> parameter_gradients) const noexcept {
    const auto [y, x] = coordinates(offset);
    double sum = 0;
    for (index_t m = 0; m < mlp_width_; ++m)
      sum += parameter(w2(head) + m) *
             std::max(parameter(2 * m) * y + parameter(2 * m + 1) * x + parameter(b1() + m), 0.0);
    const double sigmoid = 1 / (1 + std::exp(-sum));
    const double of_sum = gradient * 16 * sigmoid * (1 - sigmoid);
    const auto add = [&](index_t i, double g) {
      parameter_gradients[static_cast<std::size_t>(i)] += static_cast<U>(g);
    };
    for (index_t m = 0; m < mlp_width_; ++m) {
      const double hidden = parameter(2 * m) * y + parameter(2 * m + 1) * x + parameter(b1() + m);
      if (hidden <= 0) continue;  // NaN goes on
      const double of_hidden = of_sum * parameter(w2(head) + m);
      add(2 * m, of_hidden * y);
      add(2 * m + 1, of_hidden * x);
      add(b1() + m, of_hidden);
      add(w2(head) + m, of_sum * hidden);
    }
  }

  window_offsets offsets_;
  std::vector<double> rows_;     // [num_offsets]: coordinates
  std::vector<double> columns_;  // [num_offsets]
  std::vector<T> parameters_;
  index_t num_heads_;
  index_t mlp_width_;
};

static_assert(tile_bias<swin_v2_bias<float>, float>);

}  // namespace posenc::inline POSENC_ISA
