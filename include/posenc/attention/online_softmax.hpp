// A softmax that sees its scores tile by tile: running maxima and sums of a block of queries.
#pragma once

#include <posenc/attention/tile/exponential.hpp>
#include <posenc/attention/tile/power_of_two.hpp>
#include <posenc/attention/tile/visible_keys.hpp>
#include <posenc/kernels/larger.hpp>
#include <posenc/kernels/vectors.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numbers>

namespace posenc::inline POSENC_ISA::detail {

// How the softmax reads a tile [key][query] of scores, lanes [q, q + lanes) of it: twice, first for the largest. All are
// handed on by value, or the compiler reads strides again after each store.

/// As they lie.
template <real T>
struct scores_in {
  using vector = kernels::vector<T>;
  const T* tile;
  index_t stride;

  scores_in from(index_t q) const noexcept { return {tile + q, stride}; }
  [[gnu::always_inline]] vector first(index_t k) const noexcept { return again(k); }
  [[gnu::always_inline]] vector again(index_t k) const noexcept { return kernels::load<vector>(tile + k * stride); }
};

/// scale * score + bias[q - k], computed twice, which takes no longer than to store it and read it back.
template <real T>
struct biased_scores_in {
  using vector = kernels::vector<T>;
  const T* tile;
  index_t stride;
  T scale;
  const T* bias;

  biased_scores_in from(index_t q) const noexcept { return {tile + q, stride, scale, bias + q}; }
  [[gnu::always_inline]] vector first(index_t k) const noexcept { return again(k); }
  [[gnu::always_inline]] vector again(index_t k) const noexcept {
    return kernels::load<vector>(tile + k * stride) * scale + kernels::load<vector>(bias - k);
  }
};

/// Weights that take the place of the scores, zeros that of those not seen.
template <real T>
auto weights_in(T* tile, index_t stride, index_t num_keys) noexcept {
  using vector = kernels::vector<T>;
  return [=](index_t q, tile_edges::range keys, auto weight) __attribute__((always_inline)) {
    T* const column = tile + q;
    for (index_t k = 0; k < keys.first; ++k) kernels::store(column + k * stride, vector{});
    for (index_t k = keys.end; k < num_keys; ++k) kernels::store(column + k * stride, vector{});
    vector added[2] = {};
    const auto put = [=](index_t k) __attribute__((always_inline)) {
      const vector w = weight(k);
      kernels::store(column + k * stride, w);
      return w;
    };
    index_t k = keys.first;
    for (; k + 2 <= keys.end; k += 2) {
      added[0] += put(k);
      added[1] += put(k + 1);
    }
    if (k < keys.end) added[0] += put(k);
    return added[0] + added[1];
  };
}

/// exp(scale * score - top), for lanes of queries.
template <real T>
struct scores_to_weights {
  using vector = kernels::vector<T>;
  vector top;
  vector shift;  // top in units of log(2)
  T scale, units;
  bool ordinary;  // all of the tops

  scores_to_weights(vector tops, T scale_of_scores) noexcept
      : top(tops),
        shift(tops * std::numbers::log2e_v<T>),
        scale(scale_of_scores),
        units(scale_of_scores * std::numbers::log2e_v<T>),
        ordinary(kernels::all_of(is_ordinary())) {}

  // log2(e) is multiplied in where the maximum is subtracted, except near the ends of the range, where the product would not
  // be finite. Lane by lane, so that a row's bits do not depend on its neighbours.
  [[gnu::always_inline]] vector of_ordinary(vector score) const noexcept {
    if constexpr (std::same_as<T, float>)
      return power_of_two(score * units - shift);
    else
      return exponential(score * scale - top);
  }
  [[gnu::always_inline]] vector of_any(vector score) const noexcept {
    if constexpr (std::same_as<T, float>)
      return power_of_two(is_ordinary() ? score * units - shift : (score * scale - top) * std::numbers::log2e_v<T>);
    else
      return exponential(score * scale - top);
  }

 private:
  auto is_ordinary() const noexcept { return top > vector{} - T(1e30); }
};

/// Maxima start at the lowest number, not at minus infinity: a row that only meets minus infinities then has
/// differences that are minus infinite rather than undefined, and its sum stays zero without a test.
template <real T>
struct softmax_rows {
  T* largest;  // [num_queries, padded to whole vectors]
  T* sum;      // [as many]: of exp(score - largest)
  T* factor;   // [as many]: by which the last tile scaled what was summed before

  using vector = kernels::vector<T>;
  static constexpr index_t lanes = kernels::lanes<T>;

  /// By how much a score has to pass the maximum before the maximum follows. Weights then reach e^8 rather than one, to
  /// the same relative precision, and what was summed before is rarely scaled.
  static constexpr T patience = 8;

  void clear(index_t padded_queries) const noexcept {
    std::fill_n(largest, padded_queries, std::numeric_limits<T>::lowest());
    std::fill_n(sum, padded_queries, T(0));
  }

  /// Takes a tile in: `scale` times its scores become weights relative to the new maxima, which `weigh` puts where they
  /// belong: lanes [q, q + lanes) of keys by a function of the key, zero where nobody looks. It returns their sum. True if
  /// what was summed before has to be scaled by `factor`.
  template <class Scores, class Weigh>
  bool absorb(Scores scores, index_t padded_queries, const tile_edges& edges, T scale,
              const Weigh& weigh) const noexcept {
    bool scaled = false;
    for (index_t q = 0; q < padded_queries; q += lanes) {
      const auto keys = edges.keys_of(q, q + lanes);
      const Scores of_lanes = scores.from(q);
      scaled |= follow(of_lanes, q, keys, scale);
      const scores_to_weights<T> to_weights(kernels::load<vector>(largest + q), scale);
      const vector added =
          to_weights.ordinary
              ? weigh(
                    q, keys,
                    [&](index_t k) __attribute__((always_inline)) { return to_weights.of_ordinary(of_lanes.again(k)); })
              : weigh(
                    q, keys, [&](index_t k) __attribute__((always_inline)) {
                      return to_weights.of_any(of_lanes.again(k));
                    });
      add(q, added);
    }
    return scaled;
  }

  /// The maxima of lanes [q, q + lanes) follow the scores of a tile, times `scale`, and the sums are scaled. True if what
  /// else was summed before has to be.
  template <class Scores>
  bool follow(Scores scores, index_t q, tile_edges::range keys, T scale) const noexcept {
    const vector before = kernels::load<vector>(largest + q);
    const vector in_tile = largest_of(scores, keys) * scale;
    const vector top = in_tile > before + patience ? in_tile : before;
    const vector rescaled = exponential(before - top), sum_before = kernels::load<vector>(sum + q);
    kernels::store(largest + q, top);
    kernels::store(factor + q, rescaled);
    kernels::store(sum + q, sum_before * rescaled);
    return !kernels::all_of((top == before) | (sum_before == vector{}));
  }

  /// Weights that were put join the sums of lanes [q, q + lanes).
  void add(index_t q, vector weights) const noexcept {
    kernels::store(sum + q, kernels::load<vector>(sum + q) + weights);
  }

  /// A score that joins the softmax of query q and has no value. What was summed before has to be scaled by what is
  /// returned.
  T add_sink(index_t q, T sink) const noexcept {
    const T before = largest[q];
    largest[q] = std::max(before, sink);
    const T scale = largest[q] == before ? T(1) : std::exp(before - largest[q]);
    sum[q] = sum[q] * scale + std::exp(sink - largest[q]);
    return scale;
  }

  /// log of the sum of exp of all scores: minus infinity without any.
  T log_sum_exp(index_t q) const noexcept {
    return sum[q] == T(0) ? -std::numeric_limits<T>::infinity() : largest[q] + std::log(sum[q]);
  }

 private:
  // A NaN never wins the comparison; it reaches the sum, and so its row, as exp(NaN).
  template <class Scores>
  static vector largest_of(Scores scores, tile_edges::range keys) noexcept {
    const vector least = vector{} + std::numeric_limits<T>::lowest();
    vector top[4] = {least, least, least, least};
    index_t k = keys.first;
    for (; k + 4 <= keys.end; k += 4) {
#pragma GCC unroll 4
      for (index_t i = 0; i < 4; ++i) top[i] = kernels::larger(scores.first(k + i), top[i]);
    }
    for (; k < keys.end; ++k) top[0] = kernels::larger(scores.first(k), top[0]);
    return kernels::larger(kernels::larger(top[0], top[1]), kernels::larger(top[2], top[3]));
  }
};

}  // namespace posenc::inline POSENC_ISA::detail
