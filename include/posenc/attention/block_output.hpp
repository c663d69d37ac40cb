// What a block of queries has summed up so far.
#pragma once

#include <posenc/attention/tile/transposed_queries.hpp>  // transpose_rows
#include <posenc/attention/tile/widened_rows.hpp>        // all_are_finite
#include <posenc/kernels/vectors.hpp>
#include <posenc/scalar.hpp>

#include <algorithm>
#include <cstdint>

namespace posenc::inline POSENC_ISA::detail {

/// Values times weights, not yet divided by the sums of weights: a row for each query, or a column, as the unit wants it
/// that multiplies.
template <real T>
struct block_output {
  T* data;
  index_t stride;
  index_t num_queries;  // padded, in columns
  index_t num_columns;  // of values, padded
  bool in_columns;

  static constexpr index_t lanes = kernels::lanes<T>;
  using vector = kernels::vector<T>;

  index_t size() const noexcept { return (in_columns ? num_columns : num_queries) * stride; }
  void clear() const noexcept { std::fill_n(data, size(), T(0)); }
  bool all_finite() const noexcept { return all_are_finite(data, size()); }

  /// A bit for each of the first `count` queries that has something which is not finite.
  std::uint64_t queries_not_finite(index_t count) const noexcept {
    std::uint64_t found = 0;
    if (all_finite()) return found;
    for (index_t q = 0; q < count; ++q) {
      for (index_t c = 0; c < num_columns; ++c) {
        if (!is_finite(at(q, c))) found |= std::uint64_t{1} << q;
      }
    }
    return found;
  }

  T& at(index_t query, index_t column) const noexcept {
    return in_columns ? data[column * stride + query] : data[query * stride + column];
  }

  /// Multiplies all of a query by its factor.
  void scale(const T* factors) const noexcept {
    if (in_columns) {
      for (index_t c = 0; c < num_columns; ++c)
        scale_row(data + c * stride, num_queries, [=](index_t q) { return kernels::load<vector>(factors + q); });
    } else {
      for (index_t q = 0; q < num_queries; ++q) {
        if (factors[q] != T(1))
          scale_row(data + q * stride, num_columns, [=](index_t) { return vector{} + factors[q]; });
      }
    }
  }

  /// Calls f(query, row) for each of the first `count` queries. `some_rows` holds as many rows as a vector has lanes.
  template <class F>
  void for_each_row(index_t count, T* some_rows, F f) const noexcept {
    if (!in_columns) {
      for (index_t q = 0; q < count; ++q) f(q, data + q * stride);
      return;
    }
    for (index_t first = 0; first < count; first += lanes) {
      transpose_rows(data + first, stride, num_columns, lanes, T(1), some_rows, num_columns);
      for (index_t q = first; q < std::min(count, first + lanes); ++q) f(q, some_rows + (q - first) * num_columns);
    }
  }

 private:
  static bool is_finite(T x) noexcept {
    const T one[lanes] = {x};
    return all_are_finite(one, lanes);
  }
  template <class Factors>
  static void scale_row(T* row, index_t size, Factors factors) noexcept {
    for (index_t i = 0; i < size; i += lanes) kernels::store(row + i, kernels::load<vector>(row + i) * factors(i));
  }
};

}  // namespace posenc::inline POSENC_ISA::detail
