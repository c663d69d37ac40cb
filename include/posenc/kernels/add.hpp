// Adds rows to rows, for all additive encodings and foreign biases.
#pragma once

#include <posenc/error.hpp>            // index_t
#include <posenc/kernels/convert.hpp>  // load_wide
#include <posenc/kernels/transpose_square.hpp>
#include <posenc/kernels/vectors.hpp>  // load, store
#include <posenc/scalar.hpp>           // widen, narrow

#include <concepts>
#include <cstring>
#include <type_traits>

namespace posenc::inline POSENC_ISA {

namespace kernels {

namespace detail {

#if defined(__F16C__)
inline vector<float> load_floats(const float* from) noexcept { return load<vector<float>>(from); }
inline vector<float> load_floats(const f16* from) noexcept { return load_f16(from); }
inline void store_floats(float* to, vector<float> v) noexcept { store(to, v); }
inline void store_floats(f16* to, vector<float> v) noexcept { store_f16(to, v); }

template <class S, class R>
inline constexpr bool converts_by_instruction = (std::same_as<S, f16> || std::same_as<R, f16>)&&(
    std::same_as<S, f16> || std::same_as<S, float>)&&(std::same_as<R, f16> || std::same_as<R, float>);
#endif

}  // namespace detail

/// x[i] += row[i], in the wider of the two compute types, rounded once to the type of x. They must not overlap.
template <scalar S, scalar R>
void add(S* __restrict x,          // [count]
         const R* __restrict row,  // [count]
         index_t count) noexcept {
  using T = std::common_type_t<compute_t<S>, compute_t<R>>;
  index_t i = 0;
#if defined(__F16C__)
  if constexpr (detail::converts_by_instruction<S, R>) {
    for (; i + lanes<float> <= count; i += lanes<float>) {
      detail::store_floats(x + i, detail::load_floats(x + i) + detail::load_floats(row + i));
    }
  }
#endif
  for (; i < count; ++i) x[i] = narrow<S>(widen<T>(x[i]) + widen<T>(row[i]));
}

/// x[r, i] += rows[r, i]. A `row_stride` of 0 adds one row to all.
template <scalar S, scalar R>
void add_rows(S* x,  // [num_rows, count]
              index_t x_stride,
              const R* rows,  // [num_rows, count]
              index_t row_stride, index_t num_rows, index_t count) noexcept {
  // Contiguous rows are added as one long row: short ones would spend their time on loop ends.
  if (x_stride == count && row_stride == count) return add(x, rows, num_rows * count);
  for (index_t r = 0; r < num_rows; ++r) add(x + r * x_stride, rows + r * row_stride, count);
}

namespace detail {

// 4 x 4 elements, transposed in registers: one by one, each element of x would be a read and a write of its own cache
// line. Four, because every instruction set has shuffles for it.
template <real T, scalar R>
[[gnu::always_inline]] inline void add_four_by_four_transposed(T* x, index_t x_stride, const R* rows,
                                                               index_t row_stride) noexcept {
  using quad = typename vector_of<T, 4>::type;
  quad row[4];
  for (index_t r = 0; r < 4; ++r) {
    T values[4];
    for (index_t c = 0; c < 4; ++c) values[c] = widen<T>(rows[r * row_stride + c]);
    std::memcpy(&row[r], values, sizeof values);
  }
  const quad low_a = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);
  const quad low_b = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
  const quad high_a = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
  const quad high_b = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
  const quad column[4] = {
      __builtin_shufflevector(low_a, low_b, 0, 1, 4, 5), __builtin_shufflevector(low_a, low_b, 2, 3, 6, 7),
      __builtin_shufflevector(high_a, high_b, 0, 1, 4, 5), __builtin_shufflevector(high_a, high_b, 2, 3, 6, 7)};
  for (index_t c = 0; c < 4; ++c) {
    // Not `load`: returning four doubles by value is a different ABI without AVX.
    quad sum;
    std::memcpy(&sum, x + c * x_stride, sizeof sum);
    sum += column[c];
    std::memcpy(x + c * x_stride, &sum, sizeof sum);
  }
}

template <real T, scalar R>
void add_transposed_by_four(T* x, index_t x_stride, const R* rows, index_t row_stride, index_t num_rows,
                            index_t count) noexcept {
  for (index_t r = 0; r < num_rows; r += 4) {
    const R* from = rows + r * row_stride;
    const bool four_rows = r + 4 <= num_rows;
    index_t i = 0;
    for (; four_rows && i + 4 <= count; i += 4) {
      add_four_by_four_transposed(x + i * x_stride + r, x_stride, from + i, row_stride);
    }
    for (; i < count; ++i) {
      for (index_t rest = 0; rest < 4 && r + rest < num_rows; ++rest) {
        x[i * x_stride + r + rest] += widen<T>(from[rest * row_stride + i]);
      }
    }
  }
}

#if defined(__AVX512F__)
template <scalar R>
void add_square_transposed(float* x, index_t x_stride, const R* rows, index_t row_stride) noexcept {
  vector<float> square[16];
#pragma GCC unroll 16
  for (index_t r = 0; r < 16; ++r) square[r] = load_wide<float>(rows + r * row_stride);
  transpose_square(square);
#pragma GCC unroll 16
  for (index_t i = 0; i < 16; ++i) add_at(x + i * x_stride, square[i]);
}
#endif

}  // namespace detail

/// x[i, r] += rows[r, i], in the type of x.
template <real T, scalar R>
void add_transposed(T* x,  // [count, num_rows]
                    index_t x_stride,
                    const R* rows,  // [num_rows, count]
                    index_t row_stride, index_t num_rows, index_t count) noexcept {
  index_t r = 0;
#if defined(__AVX512F__)
  if constexpr (std::same_as<T, float> && detail::in_vectors<R, float>) {
    const index_t whole = count - count % 16;
    for (; r + 16 <= num_rows; r += 16) {
      const R* from = rows + r * row_stride;
      for (index_t i = 0; i < whole; i += 16)
        detail::add_square_transposed(x + i * x_stride + r, x_stride, from + i, row_stride);
      detail::add_transposed_by_four(x + whole * x_stride + r, x_stride, from + whole, row_stride, 16, count - whole);
    }
  }
#endif
  detail::add_transposed_by_four(x + r, x_stride, rows + r * row_stride, row_stride, num_rows - r, count);
}

}  // namespace kernels

}  // namespace posenc::inline POSENC_ISA
