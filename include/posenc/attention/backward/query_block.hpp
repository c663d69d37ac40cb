// Loads a block of queries for the products of the backward pass.
#pragma once

#include <posenc/attention/backward/memory.hpp>
#include <posenc/attention/tile/transposed_queries.hpp>
#include <posenc/attention/tile/widened_rows.hpp>
#include <posenc/kernels/vectors.hpp>
#include <posenc/view.hpp>

#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>

namespace posenc::inline POSENC_ISA::detail {

/// Records whether all values seen are finite.
template <class T>
class finite_so_far {
  using bits_t = typename exponent_of<T>::bits_t;
  using bits = kernels::vector<bits_t>;

 public:
  using vector = kernels::vector<T>;

  void see(vector values) noexcept {
    kernels::hide_origin(values);  // fast math takes products for finite
    const bits exponents = std::bit_cast<bits>(values) & exponent_of<T>::mask;
    largest_ = exponents > largest_ ? exponents : largest_;
  }
  void see(T value) noexcept { see(value - vector{}); }
  explicit operator bool() const noexcept { return kernels::all_of(largest_ < exponent_of<T>::mask); }

 private:
  bits largest_{};
};

/// to[i][c] = factor * x[first + i][c] for one head, zero-padded to whole vectors.
template <class T, class S>
void copy_rows(head_view<S> x, index_t head, index_t first, index_t count, T factor, T* to,
               finite_so_far<T>& finite) noexcept {
  using vector = kernels::vector<T>;
  constexpr index_t lanes = kernels::lanes<T>;
  const index_t padded = padded_columns<T>(x.head_dim);
  for (index_t i = 0; i < count; ++i, to += padded + lanes) {
    const S* from = x.row(first + i, head);
    index_t c = 0;
    if constexpr (std::is_same_v<std::remove_const_t<S>, T>) {
      for (; c + lanes <= x.head_dim; c += lanes) {
        const vector values = kernels::load<vector>(from + c) * factor;
        kernels::store(to + c, values);
        finite.see(values);
      }
    }
    const index_t rest = c;
    for (; c < x.head_dim; ++c) to[c] = factor * widen<T>(from[c]);
    std::fill(to + c, to + padded, T(0));
    for (c = rest; c < padded; c += lanes) finite.see(kernels::load<vector>(to + c));
  }
}

/// Loads the rows of a block of queries, with zeros after the last one, and their transpose.
template <class T, class S>
void load_block(head_view<S> x, index_t head, index_t first, index_t count, T factor, T* rows, T* transposed,
                finite_so_far<T>& finite) noexcept {
  const index_t columns = padded_columns<T>(x.head_dim);
  copy_rows(x, head, first, count, factor, rows, finite);
  for (index_t q = count; q < block_queries; ++q) std::fill_n(rows + q * row_stride<T>(columns), columns, T(0));
  transpose_rows(rows, row_stride<T>(columns), block_queries, columns, T(1), transposed, tile_stride<T>);
}

/// The dot product <a, b> of two rows.
template <class T, class S>
T dot_of_rows(const S* a, const T* b, index_t columns) noexcept {
  constexpr index_t lanes = 16;
  T sums[lanes] = {};
  index_t c = 0;
  for (; c + lanes <= columns; c += lanes) {
    for (index_t l = 0; l < lanes; ++l) sums[l] += widen<T>(a[c + l]) * b[c + l];
  }
  for (; c < columns; ++c) sums[c % lanes] += widen<T>(a[c]) * b[c];
  for (index_t half = lanes / 2; half > 0; half /= 2) {
    for (index_t l = 0; l < half; ++l) sums[l] += sums[l + half];
  }
  return sums[0];
}

/// minus_lse[q], and delta[q] = <out[q], d_out[q]>, the sum of weight times gradient over the row. For a query without
/// keys minus_lse is half the lowest number, so that exp(score + minus_lse) is zero for any score.
template <class T, class O>
void load_sums(head_view<O> out, const lse_view<T>& lse, index_t head, index_t first, index_t count,
               const query_memory<T>& memory, finite_so_far<T>& finite) noexcept {
  constexpr T nothing = std::numeric_limits<T>::lowest() / 2;
  const index_t stride = row_stride<T>(padded_columns<T>(out.head_dim));
  for (index_t q = 0; q < count; ++q) {
    const T sum = lse.at(first + q, head);
    memory.minus_lse[q] = sum == -std::numeric_limits<T>::infinity() ? nothing : -sum;
    memory.delta[q] = dot_of_rows(out.row(first + q, head), memory.d_out + q * stride, out.head_dim);
    finite.see(memory.minus_lse[q]);
    finite.see(memory.delta[q]);
  }
  std::fill(memory.minus_lse + count, memory.minus_lse + block_queries, nothing);
  std::fill(memory.delta + count, memory.delta + block_queries, T(0));
}

}  // namespace posenc::inline POSENC_ISA::detail
