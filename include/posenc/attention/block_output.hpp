// The running output of a block of queries.
#pragma once

#include <posenc/attention/tile/transposed_queries.hpp>  // transpose_square
#include <posenc/attention/tile/widened_rows.hpp>        // all_are_finite
#include <posenc/kernels/vectors.hpp>
#include <posenc/scalar.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>

namespace posenc::inline POSENC_ISA::detail {

/// Sums of weights times values, not yet divided by the sums of weights: one row per query, or one column, depending on
/// the unit that multiplies.
template <real T>
struct block_output {
  T* data;
  index_t stride;
  index_t num_queries;  // padded if `in_columns`
  index_t num_columns;  // of values, padded
  bool in_columns;

  static constexpr index_t lanes = kernels::lanes<T>;
  using vector = kernels::vector<T>;

  index_t size() const noexcept { return (in_columns ? num_columns : num_queries) * stride; }
  void clear() const noexcept { std::fill_n(data, size(), T(0)); }

  /// A bit for each of the first `count` queries whose output is not finite.
  std::uint64_t queries_not_finite(index_t count) const noexcept {
    std::uint64_t found = 0;
    if (in_columns) {
      for (index_t first = 0; first < count; first += lanes) found |= columns_not_finite(first) << first;
      return count < 64 ? found & ((std::uint64_t{1} << count) - 1) : found;
    }
    if (all_are_finite(data, size())) return found;
    for (index_t q = 0; q < count; ++q) {
      if (!all_are_finite(data + q * stride, num_columns)) found |= std::uint64_t{1} << q;
    }
    return found;
  }

  T& at(index_t query, index_t column) const noexcept {
    return in_columns ? data[column * stride + query] : data[query * stride + column];
  }

  /// Multiplies the output of each query by its factor.
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

  /// Transposes columns: to[i] = factors[first + i] * output of query first + i, for a vector of queries.
  void turn(index_t first, const T* factors, T* to, index_t to_stride) const noexcept {
#if defined(__AVX512F__)
    if constexpr (std::same_as<T, float>) {
      const vector factor = kernels::load<vector>(factors + first);
      for (index_t c = 0; c < num_columns; c += lanes)
        transpose_square(data + c * stride + first, stride, factor, to + c, to_stride);
      return;
    }
#endif
    for (index_t i = 0; i < lanes; ++i) {
      for (index_t c = 0; c < num_columns; ++c)
        to[i * to_stride + c] = data[c * stride + first + i] * factors[first + i];
    }
  }

  /// Calls f(query, row, factor) for queries [first, count), whose output is factor * row. If `in_columns`, `first` is
  /// a multiple of `lanes`, and `some_rows` has room for `lanes` rows.
  template <class F>
  void for_each_row(index_t first, index_t count, const T* factors, T* some_rows, F f) const noexcept {
    if (!in_columns) {
      for (index_t q = first; q < count; ++q) f(q, data + q * stride, factors[q]);
      return;
    }
    for (; first < count; first += lanes) {
      turn(first, factors, some_rows, num_columns);
      for (index_t q = first; q < std::min(count, first + lanes); ++q)
        f(q, some_rows + (q - first) * num_columns, T(1));
    }
  }

 private:
  /// A bit for each query of a vector.
  std::uint64_t columns_not_finite(index_t first) const noexcept {
    using words = kernels::vector<typename exponent_of<T>::bits_t>;
    constexpr auto exponent = exponent_of<T>::mask;
    words largest{};
    for (index_t c = 0; c < num_columns; ++c) {
      const words bits = kernels::load<words>(data + c * stride + first) & exponent;
      largest = bits > largest ? bits : largest;
    }
    std::uint64_t found = 0;
    for (index_t i = 0; i < lanes; ++i) found |= std::uint64_t{largest[i] == exponent} << i;
    return found;
  }
  template <class Factors>
  static void scale_row(T* row, index_t size, Factors factors) noexcept {
    for (index_t i = 0; i < size; i += lanes) kernels::store(row + i, kernels::load<vector>(row + i) * factors(i));
  }
};

}  // namespace posenc::inline POSENC_ISA::detail
