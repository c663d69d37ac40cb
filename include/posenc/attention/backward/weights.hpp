// Weights of a tile from its scores, and gradients through softmax and soft-cap.
#pragma once

#include <posenc/attention/backward/products.hpp>
#include <posenc/attention/tile/exponential.hpp>
#include <posenc/attention/tile/hyperbolic_tangent.hpp>

namespace posenc::inline POSENC_ISA::detail {

/// scores[k][q] = exp(scores[k][q] + bias[q - k] + minus_lse[q]). `bias` may be null; `minus_lse` is half the lowest
/// number for queries without keys.
template <class T>
void to_weights(T* scores, const T* bias, const T* minus_lse, const tile_edges& edges) noexcept {
  using vector = kernels::vector<T>;
  constexpr index_t lanes = kernels::lanes<T>;
  for (index_t k = 0; k < edges.num_keys; ++k) {
    T* row = scores + k * tile_stride<T>;
    const index_t first = edges.whole ? 0 : edges.first_query[k] / lanes * lanes;
    const index_t end = edges.whole ? block_queries : edges.end_query[k];
    index_t q = 0;
    for (; q < first && q < block_queries; q += lanes) kernels::store(row + q, vector{});
    for (; q < end; q += lanes) {
      vector score = kernels::load<vector>(row + q);
      if (bias != nullptr) score += kernels::load<vector>(bias + q - k);
      kernels::store(row + q, exponential(score + kernels::load<vector>(minus_lse + q)));
    }
    for (; q < block_queries; q += lanes) kernels::store(row + q, vector{});
  }
}

/// gradients[k][q] = weights[k][q] * (gradients[k][q] - delta[q])
template <class T>
void through_softmax(T* gradients, const T* weights, const T* delta, index_t num_keys) noexcept {
  using vector = kernels::vector<T>;
  constexpr index_t lanes = kernels::lanes<T>;
  for (index_t k = 0; k < num_keys; ++k) {
    for (index_t q = 0; q < block_queries; q += lanes) {
      T* to = gradients + k * tile_stride<T> + q;
      const vector less = kernels::load<vector>(to) - kernels::load<vector>(delta + q);
      kernels::store(to, weighted<T>(kernels::load<vector>(weights + k * tile_stride<T> + q), less));
    }
  }
}

/// The soft-cap: s becomes cap * tanh(s / cap).
template <class T>
void cap_scores(T* scores, T cap, index_t num_keys) noexcept {
  using vector = kernels::vector<T>;
  for (index_t k = 0; k < num_keys; ++k) {
    T* row = scores + k * tile_stride<T>;
    for (index_t q = 0; q < block_queries; q += kernels::lanes<T>)
      kernels::store(row + q, hyperbolic_tangent(kernels::load<vector>(row + q) / cap) * cap);
  }
}

/// gradients[k][q] *= 1 - (capped[k][q] / cap)^2. The gradient of a masked pair stays zero, whatever its score.
template <class T>
void through_cap(T* gradients, const T* capped, T cap, index_t num_keys) noexcept {
  using vector = kernels::vector<T>;
  for (index_t k = 0; k < num_keys; ++k) {
    T* row = gradients + k * tile_stride<T>;
    const T* of = capped + k * tile_stride<T>;
    for (index_t q = 0; q < block_queries; q += kernels::lanes<T>) {
      const vector gradient = kernels::load<vector>(row + q);
      const vector tanh = kernels::load<vector>(of + q) / cap;
      kernels::store(row + q, gradient == T(0) ? vector{} : gradient * (T(1) - tanh * tanh));
    }
  }
}

}  // namespace posenc::inline POSENC_ISA::detail
