// The same products for tiles with values that are not finite.
#pragma once

#include <posenc/attention/backward/products.hpp>

#include <cmath>
#include <limits>

namespace posenc::inline POSENC_ISA::detail {

/// In a matrix product, a weight of zero times infinity or NaN is NaN. In attention, keys that a query may not attend
/// to must not affect its gradients, whatever they hold. Tiles with an operand that is not finite, which need not be
/// fast, therefore skip zeros.
template <class T>
struct seen_products {
  static constexpr index_t stride = tile_stride<T>;

  static void weights(T* scores, const T* bias, const T* minus_lse, const tile_edges& edges) noexcept {
    for_pairs(edges, [&](index_t k, index_t q) {
      T& score = scores[k * stride + q];
      if (bias != nullptr) score += bias[q - k];
      score = score == -std::numeric_limits<T>::infinity() ? T(0) : std::exp(score + minus_lse[q]);
    });
  }

  static void gradients(index_t columns, const T* values, const T* transposed, const T* weights, const T* delta,
                        T* gradients, const tile_edges& edges) noexcept {
    for_pairs(edges, [&](index_t k, index_t q) {
      const T weight = weights[k * stride + q];
      T sum = 0;
      for (index_t c = 0; c < columns; ++c) sum += values[k * row_stride<T>(columns) + c] * transposed[c * stride + q];
      gradients[k * stride + q] = weight == T(0) ? T(0) : weight * (sum - delta[q]);
    });
  }

  static void add_to_keys(index_t columns, const T* tile, const T* rows, T* sums, const tile_edges& edges) noexcept {
    for_pairs(edges, [&](index_t k, index_t q) {
      add(tile[k * stride + q], rows + q * row_stride<T>(columns), sums + k * row_stride<T>(columns), columns);
    });
  }

  static void add_to_queries(index_t columns, const T* tile, const T* rows, T* sums, const tile_edges& edges) noexcept {
    for_pairs(edges, [&](index_t k, index_t q) {
      add(tile[k * stride + q], rows + k * row_stride<T>(columns), sums + q * row_stride<T>(columns), columns);
    });
  }

 private:
  template <class Visit>
  static void for_pairs(const tile_edges& edges, Visit visit) noexcept {
    for (index_t k = 0; k < edges.num_keys; ++k) {
      for (index_t q = 0; q < edges.num_queries; ++q) visit(k, q);
    }
  }
  static void add(T factor, const T* row, T* sum, index_t columns) noexcept {
    if (factor == T(0)) return;
    for (index_t c = 0; c < columns; ++c) sum[c] += factor * row[c];
  }
};

}  // namespace posenc::inline POSENC_ISA::detail
