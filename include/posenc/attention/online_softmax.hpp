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

/// Maxima start at the lowest number, not at minus infinity: a row that only meets minus infinities then has
/// differences that are minus infinite rather than undefined, and its sum stays zero without a test.
template <real T>
struct softmax_rows {
  T* largest;  // [num_queries, padded to whole vectors]
  T* sum;      // [as many]: of exp(score - largest)
  T* factor;   // [as many]: by which the last tile scaled what was summed before

  using vector = kernels::vector<T>;
  static constexpr index_t lanes = kernels::lanes<T>;

  void clear(index_t padded_queries) const noexcept {
    std::fill_n(largest, padded_queries, std::numeric_limits<T>::lowest());
    std::fill_n(sum, padded_queries, T(0));
  }

  /// Takes a tile in: its scores [key][query] become weights relative to the new maxima, zero where nobody looks.
  void absorb(T* scores, index_t stride, index_t padded_queries, const tile_edges& edges) const noexcept {
    for (index_t q = 0; q < padded_queries; q += lanes) {
      const auto keys = edges.keys_of(q, q + lanes);
      absorb_lanes(scores + q, stride, q, keys);
      for (index_t k = 0; k < keys.first; ++k) kernels::store(scores + k * stride + q, vector{});
      for (index_t k = keys.end; k < edges.num_keys; ++k) kernels::store(scores + k * stride + q, vector{});
    }
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
  static vector largest_of(const T* scores, index_t stride, tile_edges::range keys, vector before) noexcept {
    vector top[4] = {before, before, before, before};
    index_t k = keys.first;
    for (; k + 4 <= keys.end; k += 4) {
#pragma GCC unroll 4
      for (index_t i = 0; i < 4; ++i)
        top[i] = kernels::larger(kernels::load<vector>(scores + (k + i) * stride), top[i]);
    }
    for (; k < keys.end; ++k) top[0] = kernels::larger(kernels::load<vector>(scores + k * stride), top[0]);
    return kernels::larger(kernels::larger(top[0], top[1]), kernels::larger(top[2], top[3]));
  }

  /// Weights of the scores by a function of them; returns their sum.
  template <class Weight>
  [[gnu::always_inline]] static vector weigh(T* scores, index_t stride, tile_edges::range keys,
                                             Weight weight) noexcept {
    vector sum[2] = {};
    index_t k = keys.first;
    const auto add = [&](index_t key, vector & to) __attribute__((always_inline)) {
      const vector w = weight(kernels::load<vector>(scores + key * stride));
      kernels::store(scores + key * stride, w);
      to += w;
    };
    for (; k + 2 <= keys.end; k += 2) {
      add(k, sum[0]);
      add(k + 1, sum[1]);
    }
    if (k < keys.end) add(k, sum[0]);
    return sum[0] + sum[1];
  }

  void absorb_lanes(T* scores, index_t stride, index_t q, tile_edges::range keys) const noexcept {
    const vector before = kernels::load<vector>(largest + q);
    const vector top = largest_of(scores, stride, keys, before);
    vector added;
    if constexpr (std::same_as<T, float>) {
      // log2(e) is multiplied in where the maximum is subtracted, except near the ends of the range, where the product
      // would not be finite. Lane by lane, so that a row's bits do not depend on its neighbours.
      constexpr T log2_e = std::numbers::log2e_v<T>;
      const vector shift = top * log2_e;
      const auto ordinary = top > vector{} - 1e30F;
      added =
          all_of(ordinary)
              ? weigh(
                    scores, stride, keys,
                    [&](vector score) __attribute__((always_inline)) { return power_of_two(score * log2_e - shift); })
              : weigh(
                    scores, stride, keys, [&](vector score) __attribute__((always_inline)) {
                      return power_of_two(ordinary ? score * log2_e - shift : (score - top) * log2_e);
                    });
    } else {
      added = weigh(
          scores, stride, keys, [&](vector score) __attribute__((always_inline)) { return exponential(score - top); });
    }
    const vector scale = exponential(before - top);
    kernels::store(largest + q, top);
    kernels::store(factor + q, scale);
    kernels::store(sum + q, kernels::load<vector>(sum + q) * scale + added);
  }

  template <class Mask>
  static bool all_of(const Mask& mask) noexcept {
    std::int32_t each[lanes];
    std::memcpy(each, &mask, sizeof mask);
    return std::all_of(each, each + lanes, [](std::int32_t lane) { return lane != 0; });
  }
};

}  // namespace posenc::inline POSENC_ISA::detail
