// A softmax that sees its scores tile by tile: running maxima, sums and weighted values of a block of queries.
#pragma once

#include <posenc/score_tile.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace posenc::inline POSENC_ISA::detail {

/// Visits every score in the order of memory.
template <real T, class Visit>
void for_each_score(const score_tile<T>& tile, Visit visit) noexcept {
  if (tile.query_stride == 1) {
    for (index_t k = 0; k < tile.num_keys; ++k) {
      for (index_t q = 0; q < tile.num_queries; ++q) visit(q, k, tile.scores[k * tile.key_stride + q]);
    }
  } else {
    for (index_t q = 0; q < tile.num_queries; ++q) {
      for (index_t k = 0; k < tile.num_keys; ++k) visit(q, k, tile.scores[q * tile.query_stride + k]);
    }
  }
}

/// Maxima start at the lowest number, not at minus infinity: a row that only meets minus infinities then has
/// differences that are minus infinite rather than undefined, and its sum stays zero without a test.
template <real T>
struct softmax_rows {
  T* largest;  // [num_queries]
  T* sum;      // [num_queries]: of exp(score - largest)
  T* output;   // [num_queries, value_dim]: of exp(score - largest) * value
  index_t num_queries;
  index_t value_dim;

  void clear() const noexcept {
    std::fill_n(largest, num_queries, std::numeric_limits<T>::lowest());
    std::fill_n(sum, num_queries, T(0));
    std::fill_n(output, num_queries * value_dim, T(0));
  }

  T* row(index_t q) const noexcept { return output + q * value_dim; }

  /// Takes a tile in: its scores become weights relative to the new maxima, and what was summed before is scaled to
  /// them.
  void absorb(const score_tile<T>& tile) const noexcept {
    for (index_t q = 0; q < num_queries; ++q) rescale(q, largest_in(tile, q));
    for_each_score(tile, [&](index_t q, index_t, T& score) {
      score = std::exp(score - largest[q]);
      sum[q] += score;
    });
  }

  /// A score that joins the softmax and has no value.
  void add_sink(index_t q, T sink) const noexcept {
    rescale(q, std::max(largest[q], sink));
    sum[q] += std::exp(sink - largest[q]);
  }

  /// log of the sum of exp of all scores: minus infinity without any.
  T log_sum_exp(index_t q) const noexcept {
    return sum[q] == T(0) ? -std::numeric_limits<T>::infinity() : largest[q] + std::log(sum[q]);
  }

 private:
  // A NaN never wins the comparison; it reaches the sum, and so its row, as exp(NaN).
  T largest_in(const score_tile<T>& tile, index_t q) const noexcept {
    T m = largest[q];
    for (index_t k = 0; k < tile.num_keys; ++k) m = tile.score(q, k) > m ? tile.score(q, k) : m;
    return m;
  }

  void rescale(index_t q, T new_largest) const noexcept {
    if (new_largest == largest[q]) return;
    const T factor = std::exp(largest[q] - new_largest);
    largest[q] = new_largest;
    sum[q] *= factor;
    for (index_t d = 0; d < value_dim; ++d) row(q)[d] *= factor;
  }
};

}  // namespace posenc::inline POSENC_ISA::detail
