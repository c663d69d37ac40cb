// FIRE: a small network on the distance relative to the query's position.
#pragma once

#include <posenc/concepts.hpp>  // tile_bias, real, index_t, position_t
#include <posenc/error.hpp>     // require

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// The network's weights, row-major as in torch.nn.Linear, and the two learned numbers before it.
template <real T>
struct fire_params {
  index_t num_heads = 0;
  index_t mlp_width = 32;   // at most 1024
  std::span<const T> w1{};  // [mlp_width]
  std::span<const T> b1{};  // [mlp_width]
  std::span<const T> w2{};  // [num_heads, mlp_width]
  std::span<const T> b2{};  // [num_heads]
  T c = T(0.1);             // how fast distances are compressed
  T threshold_factor = 1;   // learned factor of threshold
  double threshold = 512;   // positions below threshold_factor * threshold are normalized as if they were there
  double eps = 1e-6;        // added to the normalizer
  bool symmetric = false;   // keys after the query are at |i - j|; otherwise at 0, to be hidden by a causal mask
};

/// What FIRE divides by, unless told otherwise: the largest distance of a key from the query at position m, which is m
/// if the sequence begins at position 0 and nothing hides its first key.
struct own_position {
  position_t operator()(position_t query) const noexcept { return query; }
};

/// Adds the output of a two-layer network for the distance, relative to the largest that the query can see, so that
/// inputs stay between 0 and 1 at any length.
///
///     score[h, i, j] += sum over m of w2[h, m] relu(w1[m] x + b1[m]) + b2[h]
///     x = psi(distance) / (psi(max(r_max(i), |threshold_factor| threshold)) + eps),  psi(r) = ln(1 + |c| r)
///
/// Acts on    scores before the softmax; queries and keys are unchanged.
/// Positions  any 32-bit, of query and key: r_max is a function of the query's position. The default, the position
///            itself, is right for causal attention from position 0. A window of w: [](position_t m) noexcept { return
///            min(m, w - 1); }; a sequence that begins at position p: m - p; an encoder of n tokens: max(m, n - 1 - m).
/// Storage    2 + 2 mlp_width + num_heads (mlp_width + 1) scalars.
/// Errors     no heads, weights of other sizes, a negative threshold or eps, a normalizer that may be 0 throw
///            invalid_argument; check_scores reports heads without weights.
/// Accuracy   that of log1p in the type of the scores, and its rounding times the network's weights.
/// Gradient   of c, threshold_factor, w1, b1, w2, b2, in this order.
/// Source     Li et al. 2024, arXiv:2310.04418; |i - j| on both sides, and threshold 512, as in DAPE's code.
template <real T, class LargestDistance = own_position>
class fire {
 public:
  using scalar_type = T;
  static_assert(noexcept(position_t(std::declval<const LargestDistance&>()(position_t{}))),
                "posenc: r_max must read position_t operator()(position_t query) const noexcept");

  explicit fire(const fire_params<T>& params, LargestDistance r_max = {})
      : num_heads_(params.num_heads),
        mlp_width_(params.mlp_width),
        threshold_(params.threshold),
        eps_(params.eps),
        symmetric_(params.symmetric),
        r_max_(r_max) {
    require(num_heads_ >= 1, "fire", "num_heads", num_heads_, "at least 1");
    require(mlp_width_ >= 1 && mlp_width_ <= most_wide, "fire", "mlp_width", mlp_width_, "from 1 to #", most_wide);
    require(eps_ >= 0 && std::isfinite(eps_), "fire", "eps", eps_, "at least 0 and finite");
    require(threshold_ >= 0 && std::isfinite(threshold_), "fire", "threshold", threshold_, "at least 0 and finite");
    const bool positive = params.c != 0 && params.threshold_factor != 0 && threshold_ > 0;
    require(eps_ > 0 || positive, "fire", "eps", eps_, "above 0 where c, threshold_factor or threshold is 0");
    parameters_ = {params.c, params.threshold_factor};
    append("size of w1", params.w1, mlp_width_);
    append("size of b1", params.b1, mlp_width_);
    append("size of w2", params.w2, num_heads_ * mlp_width_);
    append("size of b2", params.b2, num_heads_);
  }

  index_t num_heads() const noexcept { return num_heads_; }

  template <real U>
  void add_to_scores(const score_tile<U>& tile) const noexcept {
    for (index_t q = 0; q < tile.num_queries; q += block) {
      const index_t num_queries = std::min(block, tile.num_queries - q);
      U normalisers[block];
      for (index_t i = 0; i < num_queries; ++i)
        normalisers[i] = static_cast<U>(normaliser<U>(tile.query_positions[q + i]));
      for (index_t k = 0; k < tile.num_keys; k += block)
        add_block(tile, q, num_queries, k, std::min(block, tile.num_keys - k), normalisers);
    }
  }

  problem check_scores(const score_shape& shape, const positions&, const positions&) const noexcept {
    return check_heads(shape, num_heads_);
  }

  std::span<T> parameters() noexcept { return parameters_; }  // [c, threshold_factor, w1, b1, w2, b2]
  std::span<const T> parameters() const noexcept { return parameters_; }

  template <real U>
  void add_to_scores_backward(const score_tile<U>& before, const score_gradients<U>& gradients) const noexcept {
    for (index_t q = 0; q < before.num_queries; ++q) {
      for (index_t k = 0; k < before.num_keys; ++k) {
        const U gradient = gradients.scores[q * before.query_stride + k * before.key_stride];
        if (gradient == U(0)) continue;
        add_gradients(before.head, before.query_positions[q], before.distance(q, k), static_cast<double>(gradient),
                      gradients.parameters);
      }
    }
  }

 private:
  static constexpr index_t block = 64;  // queries and keys at a time; the memory of a block fits the stack
  static constexpr index_t most_wide = 1024;

  // Where the lists begin in `parameters_`.
  static constexpr index_t w1 = 2;
  index_t b1() const noexcept { return w1 + mlp_width_; }
  index_t w2(index_t head) const noexcept { return w1 + (2 + head) * mlp_width_; }
  index_t b2(index_t head) const noexcept { return w2(num_heads_) + head; }
  template <real U>
  U parameter(index_t i) const noexcept {
    return static_cast<U>(parameters_[static_cast<std::size_t>(i)]);
  }

  void append(const char* name, std::span<const T> values, index_t size) {
    require(std::ssize(values) == size, "fire", name, std::ssize(values), "#", size);
    parameters_.insert(parameters_.end(), values.begin(), values.end());
  }

  template <real U>
  U psi(U distance) const noexcept {
    return std::log1p(std::abs(parameter<U>(0)) * distance);
  }
  template <real U>
  U distance_of(position_t distance) const noexcept {
    const U size = static_cast<U>(distance);
    return symmetric_ ? std::abs(size) : std::max(size, U(0));
  }
  template <real U>
  U furthest(position_t query) const noexcept {
    // In this order, the larger of a NaN and a number is NaN.
    return std::max(std::abs(parameter<U>(1)) * static_cast<U>(threshold_), static_cast<U>(r_max_(query)));
  }
  template <real U>
  U normaliser(position_t query) const noexcept {
    return psi(furthest<U>(query)) + static_cast<U>(eps_);
  }

  template <real U>
  void add_block(const score_tile<U>& tile, index_t first_query, index_t num_queries, index_t first_key,
                 index_t num_keys, const U* normalisers) const noexcept {
    // If positions are consecutive, a block has few distances.
    U by_distance[2 * block];
    const position_t least = tile.distance(first_query, first_key + num_keys - 1);
    if (tile.consecutive) {
      for (index_t i = 0; i < num_queries + num_keys - 1; ++i)
        by_distance[i] = psi(distance_of<U>(least + static_cast<position_t>(i)));
    }
    const auto psi_of = [&](index_t q, index_t k) {
      if (tile.consecutive) return by_distance[q + num_keys - 1 - k];
      return psi(distance_of<U>(tile.distance(first_query + q, first_key + k)));
    };
    const auto [least_x, largest_x] =
        bounds_of(tile, by_distance, num_queries + num_keys - 1, normalisers, num_queries);
    const network<U> net = simplified(tile.head, least_x, largest_x);
    U x[block];
    U bias[block];
    if (tile.query_stride == 1) {
      for (index_t k = 0; k < num_keys; ++k) {
        for (index_t q = 0; q < num_queries; ++q) x[q] = psi_of(q, k) / normalisers[q];
        run(net, tile.head, x, num_queries, bias);
        U* scores = &tile.score(first_query, first_key + k);
        for (index_t q = 0; q < num_queries; ++q) scores[q] += bias[q];
      }
    } else {
      for (index_t q = 0; q < num_queries; ++q) {
        for (index_t k = 0; k < num_keys; ++k) x[k] = psi_of(q, k) / normalisers[q];
        run(net, tile.head, x, num_keys, bias);
        for (index_t k = 0; k < num_keys; ++k) tile.score(first_query + q, first_key + k) += bias[k];
      }
    }
  }

  /// The least and largest input of the network in a block; those of any block, if positions are not consecutive.
  template <real U>
  static std::pair<U, U> bounds_of(const score_tile<U>& tile, const U* by_distance, index_t num_distances,
                                   const U* normalisers, index_t num_queries) noexcept {
    if (!tile.consecutive) return {U(0), std::numeric_limits<U>::max()};
    const auto [nearest, furthest] = std::minmax_element(by_distance, by_distance + num_distances);
    const auto [smallest, largest] = std::minmax_element(normalisers, normalisers + num_queries);
    return {*nearest / *largest, *furthest / *smallest};
  }

  /// The network between two inputs: hidden units that are on throughout add up to one line, those that are off vanish,
  /// and few others are left, because the inputs of a block are close together.
  template <real U>
  struct network {
    U slope = 0;
    U offset = 0;
    index_t num_bent = 0;
    std::int32_t bent[most_wide];
  };
  template <real U>
  network<U> simplified(index_t head, U least, U largest) const noexcept {
    network<U> net;
    net.offset = parameter<U>(b2(head));
    for (index_t m = 0; m < mlp_width_; ++m) {
      const U slope = parameter<U>(w1 + m), offset = parameter<U>(b1() + m), weight = parameter<U>(w2(head) + m);
      const U at_least = slope * least + offset, at_largest = slope * largest + offset;
      const bool is_off = at_least <= U(0) && at_largest <= U(0) && weight * U(0) == U(0);  // no NaN among them
      if (at_least > U(0) && at_largest > U(0)) {
        net.slope += weight * slope;
        net.offset += weight * offset;
      } else if (!is_off) {
        net.bent[net.num_bent++] = static_cast<std::int32_t>(m);
      }
    }
    return net;
  }

  /// out[i] = the network's output for x[i], i < count <= block
  template <real U>
  void run(const network<U>& net, index_t head, const U* __restrict x, index_t count,
           U* __restrict out) const noexcept {
    for (index_t i = 0; i < count; ++i) out[i] = net.slope * x[i] + net.offset;
    for (index_t b = 0; b < net.num_bent; ++b) {
      const index_t m = net.bent[b];
      const U slope = parameter<U>(w1 + m), offset = parameter<U>(b1() + m), weight = parameter<U>(w2(head) + m);
      for (index_t i = 0; i < count; ++i) out[i] += weight * std::max(slope * x[i] + offset, U(0));
    }
  }

  template <real U>
  void add_gradients(index_t head, position_t query, position_t distance, double gradient,
                     std::span<U> parameter_gradients) const noexcept {
    const auto add = [&](index_t i, double g) {
      parameter_gradients[static_cast<std::size_t>(i)] += static_cast<U>(g);
    };
    const double r = distance_of<double>(distance), far = furthest<double>(query);
    const double below = normaliser<double>(query), x = psi(r) / below;
    double of_x = 0;
    for (index_t m = 0; m < mlp_width_; ++m) {
      const double hidden = parameter<double>(w1 + m) * x + parameter<double>(b1() + m);
      if (hidden <= 0) continue;  // NaN goes on
      const double of_hidden = gradient * parameter<double>(w2(head) + m);
      add(w1 + m, of_hidden * x);
      add(b1() + m, of_hidden);
      add(w2(head) + m, gradient * hidden);
      of_x += of_hidden * parameter<double>(w1 + m);
    }
    add(b2(head), gradient);

    const double c = parameter<double>(0), factor = parameter<double>(1);
    const auto psi_by_c = [c](double size) { return std::copysign(size / (1 + std::abs(c) * size), c); };
    add(0, of_x * (psi_by_c(r) - x * psi_by_c(far)) / below);
    if (!(std::abs(factor) * threshold_ <= static_cast<double>(r_max_(query)))) {
      const double psi_by_far = std::abs(c) / (1 + std::abs(c) * far);
      add(1, -of_x * x / below * psi_by_far * std::copysign(threshold_, factor));
    }
  }

  std::vector<T> parameters_;
  index_t num_heads_;
  index_t mlp_width_;
  double threshold_;
  double eps_;
  bool symmetric_;
  [[no_unique_address]] LargestDistance r_max_;
};

static_assert(tile_bias<fire<float>, float>);

}  // namespace posenc::inline POSENC_ISA
