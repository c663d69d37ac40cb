// Products of many vectors with a few rows, for encodings with learned vectors per distance that meet queries or keys.
#pragma once

#include <posenc/kernels/vectors.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>

namespace posenc::inline POSENC_ISA::kernels {

/// Vectors of `size` numbers: number d of vector i is at data[i * vector_stride + d * number_stride]. One of the
/// strides is 1.
template <class T>
struct strided_vectors {
  const T* data = nullptr;
  index_t vector_stride = 0;
  index_t number_stride = 0;
  index_t size = 0;
};

namespace detail {

/// Products of `Rows` rows with `Width` registers of adjacent vectors. The sums stay in registers.
template <index_t Rows, index_t Width, class T, class R>
void multiply_side_by_side(const T* first, index_t number_stride, index_t size, const R* const* rows, T* out,
                           index_t out_stride) noexcept {
  vector<T> sums[Rows][Width] = {};
  for (index_t d = 0; d < size; ++d) {
    vector<T> numbers[Width];
#pragma GCC unroll 2
    for (index_t w = 0; w < Width; ++w) numbers[w] = load<vector<T>>(first + d * number_stride + w * lanes<T>);
#pragma GCC unroll 4
    for (index_t r = 0; r < Rows; ++r) {
      const T factor = static_cast<T>(rows[r][d]);
#pragma GCC unroll 2
      for (index_t w = 0; w < Width; ++w) sums[r][w] += factor * numbers[w];
    }
  }
#pragma GCC unroll 4
  for (index_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
    for (index_t w = 0; w < Width; ++w) store(out + r * out_stride + w * lanes<T>, sums[r][w]);
  }
}

/// The same for any number of vectors, from `first` on.
template <index_t Rows, class T, class R>
void multiply_span(const T* first, index_t count, index_t number_stride, index_t size, const R* const* rows, T* out,
                   index_t out_stride) noexcept {
  if (count < lanes<T>) {
    for (index_t r = 0; r < Rows; ++r) {
      T* sums = out + r * out_stride;
      std::fill_n(sums, count, T(0));
      for (index_t d = 0; d < size; ++d) {
        for (index_t i = 0; i < count; ++i) sums[i] += static_cast<T>(rows[r][d]) * first[i + d * number_stride];
      }
    }
    return;
  }
  // The last register overlaps the one before, instead of leaving single numbers.
  index_t done = 0;
  for (; count - done >= 2 * lanes<T>; done += 2 * lanes<T>)
    multiply_side_by_side<Rows, 2>(first + done, number_stride, size, rows, out + done, out_stride);
  for (; done < count; done += lanes<T>) {
    const index_t from = std::min(done, count - lanes<T>);
    multiply_side_by_side<Rows, 1>(first + from, number_stride, size, rows, out + from, out_stride);
  }
}

}  // namespace detail

/// <numbers, row>, both dense.
template <class T, class R>
T product(const T* numbers, const R* row, index_t size) noexcept {
  T sums[lanes<T>] = {};  // one per lane, so that the loop vectorizes
  index_t d = 0;
  for (; d + lanes<T> <= size; d += lanes<T>) {
    for (index_t l = 0; l < lanes<T>; ++l) sums[l] += numbers[d + l] * static_cast<T>(row[d + l]);
  }
  for (index_t l = 0; d < size; ++d, ++l) sums[l] += numbers[d] * static_cast<T>(row[d]);
  for (index_t width = lanes<T> / 2; width > 0; width /= 2) {
    for (index_t l = 0; l < width; ++l) sums[l] += sums[l + width];
  }
  return sums[0];
}

/// Rows that multiply_by_rows multiplies together.
inline constexpr index_t max_rows = 4;

/// out[r * out_stride + i] = <vector first + i, rows[r]> for r in [0, num_rows), i in [0, count).
template <class T, class R>
void multiply_by_rows(const strided_vectors<T>& x, index_t first, index_t count, const R* const* rows, index_t num_rows,
                      T* out, index_t out_stride) noexcept {
  const T* from = x.data + first * x.vector_stride;
  if (x.number_stride == 1) {
    for (index_t r = 0; r < num_rows; ++r) {
      for (index_t i = 0; i < count; ++i)
        out[r * out_stride + i] = product(from + i * x.vector_stride, rows[r], x.size);
    }
  } else if (num_rows == max_rows) {
    detail::multiply_span<max_rows>(from, count, x.number_stride, x.size, rows, out, out_stride);
  } else {
    for (index_t r = 0; r < num_rows; ++r)
      detail::multiply_span<1>(from, count, x.number_stride, x.size, rows + r, out + r * out_stride, out_stride);
  }
}

}  // namespace posenc::inline POSENC_ISA::kernels
