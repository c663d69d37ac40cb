// A block of queries as the vectors of a product: scaled, and a column for each.
#pragma once

#include <posenc/kernels/convert.hpp>
#include <posenc/kernels/vectors.hpp>
#include <posenc/view.hpp>

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace posenc::inline POSENC_ISA::detail {

/// Rows that are turned at once.
inline constexpr index_t turned_rows = 4;

/// Four rows of a square in each quarter of 16 lanes, each half of 8, or four lanes: they become its columns.
template <class V>
[[gnu::always_inline]] inline void transpose_quads(V (&row)[4]) noexcept {
  constexpr std::size_t n = sizeof(V) / sizeof(row[0][0]);
  using kernels::detail::shuffled;
  const auto zip_low = [](std::size_t i) { return i / 4 * 4 + i % 4 / 2 + i % 2 * n; };
  const auto zip_high = [](std::size_t i) { return i / 4 * 4 + i % 4 / 2 + i % 2 * n + 2; };
  const auto first_pairs = [](std::size_t i) { return i / 4 * 4 + i % 2 + i % 4 / 2 * n; };
  const auto second_pairs = [](std::size_t i) { return i / 4 * 4 + i % 2 + i % 4 / 2 * n + 2; };
  const V low_a = shuffled<n>(row[0], row[1], zip_low), low_b = shuffled<n>(row[2], row[3], zip_low);
  const V high_a = shuffled<n>(row[0], row[1], zip_high), high_b = shuffled<n>(row[2], row[3], zip_high);
  row[0] = shuffled<n>(low_a, low_b, first_pairs);
  row[1] = shuffled<n>(low_a, low_b, second_pairs);
  row[2] = shuffled<n>(high_a, high_b, first_pairs);
  row[3] = shuffled<n>(high_a, high_b, second_pairs);
}

/// to[d][i] = scale * rows[i][d] of four rows, or of eight: four by four, because every instruction set has shuffles for it.
template <int Rows, class T>
void transpose_by_quads(const T* rows, index_t rows_stride, index_t head_dim, T scale, T* to,
                        index_t to_stride) noexcept {
  using quad = typename kernels::detail::vector_of<T, 4>::type;
  const auto columns = [=](index_t row, index_t d) { return kernels::load<quad>(rows + row * rows_stride + d); };
  index_t d = 0;
  for (; d + 4 <= head_dim; d += 4) {
    typename kernels::detail::vector_of<T, Rows>::type square[4];
#pragma GCC unroll 4
    for (index_t i = 0; i < 4; ++i) {
      if constexpr (Rows == 4)
        square[i] = columns(i, d) * scale;
      else
        square[i] = kernels::joined(columns(i, d), columns(i + 4, d)) * scale;
    }
    transpose_quads(square);
#pragma GCC unroll 4
    for (index_t i = 0; i < 4; ++i) kernels::store(to + (d + i) * to_stride, square[i]);
  }
  for (; d < head_dim; ++d) {
    for (index_t i = 0; i < Rows; ++i) to[d * to_stride + i] = scale * rows[i * rows_stride + d];
  }
}

#if defined(__AVX512F__)
/// block[j][i] = block[i][j]: four perfect shuffles of sixteen rows and their lanes are a transposition.
template <class V>
[[gnu::always_inline]] inline void transpose_square(V (&block)[16]) noexcept {
  V zipped[16];
#pragma GCC unroll 4
  for (int stage = 0; stage < 4; ++stage) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      zipped[2 * i] = kernels::zip_low(block[i], block[i + 8]);
      zipped[2 * i + 1] = kernels::zip_high(block[i], block[i + 8]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) block[i] = zipped[i];
  }
}

/// The same of as many rows as a vector has lanes, so that whole vectors are read and written.
inline void transpose_vectors(const float* rows, index_t rows_stride, index_t head_dim, float scale, float* to,
                              index_t to_stride) noexcept {
  using vector = kernels::vector<float>;
  constexpr int n = int{kernels::lanes<float>};
  index_t d = 0;
  for (; d + n <= head_dim; d += n) {
    vector block[n];
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) block[i] = kernels::load<vector>(rows + i * rows_stride + d) * scale;
    transpose_square(block);
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) kernels::store(to + (d + i) * to_stride, block[i]);
  }
  for (index_t i = 0; d < head_dim && i < n; i += turned_rows)
    transpose_by_quads<turned_rows>(rows + i * rows_stride + d, rows_stride, head_dim - d, scale,
                                    to + d * to_stride + i, to_stride);
}
#else
inline void transpose_vectors(const float* rows, index_t rows_stride, index_t head_dim, float scale, float* to,
                              index_t to_stride) noexcept {
  transpose_by_quads<int{kernels::lanes<float>}>(rows, rows_stride, head_dim, scale, to, to_stride);
}
#endif

/// to[d][i] = scale * rows[i][d] of a multiple of `turned_rows` rows.
template <class T>
void transpose_rows(const T* rows, index_t rows_stride, index_t num_rows, index_t head_dim, T scale, T* to,
                    index_t to_stride) noexcept {
  index_t i = 0;
  // Vectors of them, or each line of the result would be written in several walks over it.
  if constexpr (std::is_same_v<T, float> && turned_rows < kernels::lanes<T>) {
    for (; i + kernels::lanes<T> <= num_rows; i += kernels::lanes<T>)
      transpose_vectors(rows + i * rows_stride, rows_stride, head_dim, scale, to + i, to_stride);
  }
  for (; i < num_rows; i += turned_rows)
    transpose_by_quads<turned_rows>(rows + i * rows_stride, rows_stride, head_dim, scale, to + i, to_stride);
}

/// to[d][i] = scale * x[first + i][d], zeros from `count` on; `some_rows` holds `turned_rows` rows.
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
    transpose_by_quads<turned_rows, T>(some_rows, x.head_dim, x.head_dim, scale, to + i, stride);
  }
}

}  // namespace posenc::inline POSENC_ISA::detail
