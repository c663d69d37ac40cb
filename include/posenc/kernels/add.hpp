// Rows added to rows: what additive encodings and foreign biases do to memory, whichever they are.
#pragma once

#include <posenc/error.hpp>   // index_t
#include <posenc/scalar.hpp>  // widen, narrow

#include <cstring>
#include <type_traits>

namespace posenc::inline POSENC_ISA {

namespace kernels {

/// x[i] += row[i], in the wider of the two compute types, rounded once to the type of x. No overlap.
template <scalar S, scalar R>
void add(S* __restrict x,          // [count]
         const R* __restrict row,  // [count]
         index_t count) noexcept {
  using T = std::common_type_t<compute_t<S>, compute_t<R>>;
  for (index_t i = 0; i < count; ++i) x[i] = narrow<S>(widen<T>(x[i]) + widen<T>(row[i]));
}

/// x[r, i] += rows[r, i]. A `row_stride` of 0 adds one row to all.
template <scalar S, scalar R>
void add_rows(S* x,  // [num_rows, count]
              index_t x_stride,
              const R* rows,  // [num_rows, count]
              index_t row_stride, index_t num_rows, index_t count) noexcept {
  // Rows without gaps are one long row: short ones would spend their time on loop ends.
  if (x_stride == count && row_stride == count) return add(x, rows, num_rows * count);
  for (index_t r = 0; r < num_rows; ++r) add(x + r * x_stride, rows + r * row_stride, count);
}

namespace detail {

template <real T>
struct quad_of {
  typedef T type __attribute__((vector_size(4 * sizeof(T))));
};

// Four rows of four, turned in registers: element by element, each of x would be a read, a write and a cache line of
// its own. Four, because every instruction set has shuffles for it.
template <real T, scalar R>
void add_four_by_four_transposed(T* x, index_t x_stride, const R* rows, index_t row_stride) noexcept {
  using quad = typename quad_of<T>::type;
  quad row[4];
  for (index_t r = 0; r < 4; ++r) {
    const R* from = rows + r * row_stride;
    row[r] = quad{widen<T>(from[0]), widen<T>(from[1]), widen<T>(from[2]), widen<T>(from[3])};
  }
  const quad low_a = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);
  const quad low_b = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
  const quad high_a = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
  const quad high_b = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
  const quad column[4] = {
      __builtin_shufflevector(low_a, low_b, 0, 1, 4, 5), __builtin_shufflevector(low_a, low_b, 2, 3, 6, 7),
      __builtin_shufflevector(high_a, high_b, 0, 1, 4, 5), __builtin_shufflevector(high_a, high_b, 2, 3, 6, 7)};
  for (index_t c = 0; c < 4; ++c) {
    quad sum;
    std::memcpy(&sum, x + c * x_stride, sizeof sum);
    sum += column[c];
    std::memcpy(x + c * x_stride, &sum, sizeof sum);
  }
}

}  // namespace detail

/// x[i, r] += rows[r, i].
template <real T, scalar R>
void add_transposed(T* x,  // [count, num_rows]
                    index_t x_stride,
                    const R* rows,  // [num_rows, count]
                    index_t row_stride, index_t num_rows, index_t count) noexcept {
  for (index_t r = 0; r < num_rows; r += 4) {
    const R* from = rows + r * row_stride;
    const bool four_rows = r + 4 <= num_rows;
    index_t i = 0;
    for (; four_rows && i + 4 <= count; i += 4) {
      detail::add_four_by_four_transposed(x + i * x_stride + r, x_stride, from + i, row_stride);
    }
    for (; i < count; ++i) {
      for (index_t rest = 0; rest < 4 && r + rest < num_rows; ++rest) {
        x[i * x_stride + r + rest] += widen<T>(from[rest * row_stride + i]);
      }
    }
  }
}

}  // namespace kernels

}  // namespace posenc::inline POSENC_ISA
