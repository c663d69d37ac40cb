// Online softmax: sees scores tile by tile, and keeps running maxima and sums for a block of queries.
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

// Readers of a tile [key][query] of scores. The softmax reads lanes [q, q + lanes) twice, first for the maximum.
// Readers are passed by value, or the compiler would reload strides after each store.

/// Scores as they are.
template <real T>
struct scores_in {
  using vector = kernels::vector<T>;
  const T* tile;
  index_t stride;

  scores_in from(index_t q) const noexcept { return {tile + q, stride}; }
  [[gnu::always_inline]] vector first(index_t k) const noexcept { return again(k); }
  [[gnu::always_inline]] vector again(index_t k) const noexcept { return kernels::load<vector>(tile + k * stride); }
};

/// scale * score + bias[q - k], computed twice, which takes no longer than storing and reloading it.
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

/// Stores weights in place of the scores, and zeros for keys that are not seen.
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
  T bound;        // of ordinary tops
  bool ordinary;  // all tops are

  scores_to_weights(vector tops, T scale_of_scores) noexcept
      : top(tops),
        shift(tops * std::numbers::log2e_v<T>),
        scale(scale_of_scores),
        units(scale_of_scores * std::numbers::log2e_v<T>),
        bound(scale_of_scores < T(1e38) ? T(1 << 23) : T(0)),  // or units might not be finite
        ordinary(kernels::all_of(is_ordinary())) {}

  // Multiplying by log2(e) is fused with subtracting the maximum, except for large tops. The product of a top is
  // rounded, by half a unit at 2^23 and by more than an exponent holds at 2^31; all weights of the row are then off by
  // one factor, which their sum cancels as long as it is finite. Decided per lane, so that a row's bits do not depend
  // on its neighbors.
  [[gnu::always_inline]] vector of_ordinary(vector score) const noexcept {
    if constexpr (std::same_as<T, float>)
      return power_of_two(score * units - shift);
    else
      return exponential(score * scale - top);
  }
  [[gnu::always_inline]] vector of_any(vector score) const noexcept {
    if constexpr (std::same_as<T, float>) {
      vector scaled = score * scale;
      kernels::hide_origin(scaled);  // rounded as the top was, not fused with the difference
      return power_of_two(is_ordinary() ? score * units - shift : (scaled - top) * std::numbers::log2e_v<T>);
    } else {
      return exponential(score * scale - top);
    }
  }

 private:
  auto is_ordinary() const noexcept { return (top > vector{} - bound) & (top < vector{} + bound); }
};

/// Running maxima and sums per query. Maxima start at the lowest finite number, not at minus infinity: a row that only
/// meets minus infinities then has differences of minus infinity rather than NaN, and its sum stays zero without a
/// test.
template <real T>
struct softmax_rows {
  T* largest;  // [num_queries, padded to whole vectors]
  T* sum;      // [as many]: of exp(score - largest)
  T* factor;   // [as many]: by which the last tile rescaled earlier sums

  using vector = kernels::vector<T>;
  static constexpr index_t lanes = kernels::lanes<T>;

  /// How far a score has to exceed the maximum before the maximum follows. Weights then reach e^8 rather than 1, with
  /// the same relative precision, and earlier sums are rarely rescaled.
  static constexpr T patience = 8;

  void clear(index_t padded_queries) const noexcept {
    std::fill_n(largest, padded_queries, std::numeric_limits<T>::lowest());
    std::fill_n(sum, padded_queries, T(0));
  }

  /// Absorbs a tile of scores times `scale`: updates maxima and sums, and calls weigh(first_query, keys, weight), which
  /// stores weight(key) for a vector of queries, zero for keys not seen, and returns the sum. Returns true if earlier
  /// output has to be multiplied by `factor`.
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

  /// Updates the maxima of lanes [q, q + lanes) with a tile's scores times `scale`, and rescales the sums. Returns true
  /// if earlier output has to be rescaled.
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

  /// Adds stored weights to the sums of lanes [q, q + lanes).
  void add(index_t q, vector weights) const noexcept {
    kernels::store(sum + q, kernels::load<vector>(sum + q) + weights);
  }

  /// Adds a score without a value to the softmax of query q. Returns what earlier output has to be multiplied by.
  T add_sink(index_t q, T sink) const noexcept {
    const T before = largest[q];
    largest[q] = std::max(before, sink);
    const T scale = largest[q] == before ? T(1) : std::exp(before - largest[q]);
    sum[q] = sum[q] * scale + std::exp(sink - largest[q]);
    return scale;
  }

  /// log of the sum of exp of all scores; minus infinity without any.
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
