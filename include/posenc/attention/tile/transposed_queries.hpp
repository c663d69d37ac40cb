// Loads a block of queries, scaled and transposed, as the vectors of a product.
#pragma once

#include <posenc/kernels/convert.hpp>
#include <posenc/kernels/transpose_square.hpp>
#include <posenc/kernels/vectors.hpp>
#include <posenc/view.hpp>

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace posenc::inline POSENC_ISA::detail {

/// Rows that are transposed at once.
inline constexpr index_t turned_rows = 4;

/// to[d][i] = scale * rows[i][d] for four rows, in 4 x 4 blocks, for which every instruction set has shuffles.
template <class T>
void transpose_four_rows(const T* rows, index_t rows_stride, index_t head_dim, T scale, T* to,
                         index_t to_stride) noexcept {
  using quad = typename kernels::detail::vector_of<T, 4>::type;
  const index_t whole = head_dim - head_dim % 4;
  for (index_t d = 0; d < whole; d += 4) {
    quad row[4];
    for (index_t i = 0; i < 4; ++i) {
      std::memcpy(&row[i], rows + i * rows_stride + d, sizeof row[i]);
      row[i] *= scale;
    }
    const quad low_a = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);
    const quad low_b = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
    const quad high_a = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
    const quad high_b = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
    const quad column[4] = {
        __builtin_shufflevector(low_a, low_b, 0, 1, 4, 5), __builtin_shufflevector(low_a, low_b, 2, 3, 6, 7),
        __builtin_shufflevector(high_a, high_b, 0, 1, 4, 5), __builtin_shufflevector(high_a, high_b, 2, 3, 6, 7)};
    for (index_t j = 0; j < 4; ++j) std::memcpy(to + (d + j) * to_stride, &column[j], sizeof column[j]);
  }
  for (index_t d = whole; d < head_dim; ++d) {
    for (index_t i = 0; i < 4; ++i) to[d * to_stride + i] = scale * rows[i * rows_stride + d];
  }
}

#if defined(__AVX512F__)
/// to[j][i] = scale * rows[i][j] for as many rows and columns as a vector has lanes; `scale` is a number or a vector
/// with one per column.
template <class Scale>
void transpose_square(const float* rows, index_t rows_stride, Scale scale, float* to, index_t to_stride) noexcept {
  using vector = kernels::vector<float>;
  constexpr int n = int{kernels::lanes<float>};
  vector block[n];
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i) block[i] = kernels::load<vector>(rows + i * rows_stride) * scale;
  kernels::transpose_square(block);
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i) kernels::store(to + i * to_stride, block[i]);
}

/// The same for any number of columns.
inline void transpose_vectors(const float* rows, index_t rows_stride, index_t head_dim, float scale, float* to,
                              index_t to_stride) noexcept {
  constexpr index_t n = kernels::lanes<float>;
  index_t d = 0;
  for (; d + n <= head_dim; d += n) transpose_square(rows + d, rows_stride, scale, to + d * to_stride, to_stride);
  for (index_t i = 0; d < head_dim && i < n; i += turned_rows)
    transpose_four_rows(rows + i * rows_stride + d, rows_stride, head_dim - d, scale, to + d * to_stride + i,
                        to_stride);
}
#endif

/// to[d][i] = scale * rows[i][d] for a multiple of `turned_rows` rows.
template <class T>
void transpose_rows(const T* rows, index_t rows_stride, index_t num_rows, index_t head_dim, T scale, T* to,
                    index_t to_stride) noexcept {
  index_t i = 0;
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) {
    for (; i + kernels::lanes<T> <= num_rows; i += kernels::lanes<T>)
      transpose_vectors(rows + i * rows_stride, rows_stride, head_dim, scale, to + i, to_stride);
  }
#endif
  for (; i < num_rows; i += turned_rows)
    transpose_four_rows(rows + i * rows_stride, rows_stride, head_dim, scale, to + i, to_stride);
}

/// to[d][i] = scale * x[first + i][d], with zeros from `count` on; `some_rows` has room for `turned_rows` rows.
template <class T, class S>
void load_queries(head_view<S> x, index_t head, index_t first, index_t count, T scale, T* some_rows, T* to,
                  index_t stride, index_t padded_queries) noexcept {
  index_t whole = 0;
  if constexpr (std::is_same_v<std::remove_const_t<S>, T>) {
    whole = count - count % turned_rows;
    transpose_rows<T>(x.row(first, head), x.token_stride, whole, x.head_dim, scale, to, stride);
  }
  for (index_t i = whole; i < padded_queries; i += turned_rows) {
    for (index_t r = 0; r < turned_rows; ++r) {
      T* row = some_rows + r * x.head_dim;
      if (i + r < count)
        kernels::convert<T>(x.row(first + i + r, head), row, x.head_dim);
      else
        std::fill_n(row, x.head_dim, T(0));
    }
    transpose_four_rows<T>(some_rows, x.head_dim, x.head_dim, scale, to + i, stride);
  }
}

}  // namespace posenc::inline POSENC_ISA::detail
