// Matrix products, one register block at a time.
#pragma once

#include <posenc/kernels/vectors.hpp>

#include <algorithm>

namespace posenc::inline POSENC_ISA::detail {

/// Width of a block in vectors, and its height in rows by width: as many accumulators as leave registers for a row of
/// `b` and one broadcast, to hide multiply-add latency and load `b` least often.
inline constexpr int block_vectors = kernels::num_registers >= 32 ? 4 : 2;
constexpr int block_rows(int vectors) { return vectors == block_vectors ? 6 : 8; }

/// Arithmetic on the elements of a block: broadcast, and multiply-add.
template <class T>
struct block_arithmetic {
  using vector = kernels::vector<T>;
  using sums = vector;

  [[gnu::always_inline]] static vector broadcast(const T* a) noexcept {
    return *a - vector{};  // x - 0 is a no-op; x + 0 is not, because it turns -0 into +0
  }
  [[gnu::always_inline]] static vector multiply_add(vector sum, vector factor, vector row) noexcept {
    return sum + factor * row;
  }
};

/// Calls finish(m, n, sum over k < depth of a[m * a_row + k * a_step] * b[k * b_step + n * lanes]). Constant strides
/// become displacements. `finish` reads what a sum is added to; reading it first would stall the whole block.
template <int M, int N, class T, class RowStride, class Step, class Stride, class Finish>
[[gnu::always_inline]] inline void multiply_block(const T* __restrict a, RowStride a_row, Step a_step,
                                                  const T* __restrict b, Stride b_step, index_t depth,
                                                  Finish finish) noexcept {
  using arithmetic = block_arithmetic<T>;
  using vector = typename arithmetic::vector;
  constexpr index_t lanes = kernels::lanes<T>;
  typename arithmetic::sums sum[M][N] = {};
#pragma GCC unroll 2
  for (index_t k = 0; k < depth; ++k) {
    vector row[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) row[n] = kernels::load<vector>(b + n * lanes);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const vector factor = arithmetic::broadcast(a + m * a_row);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) sum[m][n] = arithmetic::multiply_add(sum[m][n], factor, row[n]);
    }
    a += a_step;
    b += b_step;
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) finish(m, n, sum[m][n]);
  }
}

/// Calls f.operator()<count>(first) for rows [begin, end) in groups of M, then smaller ones.
template <int M, class F>
[[gnu::always_inline]] inline void for_row_groups(index_t begin, index_t end, F f) {
  index_t i = begin;
  for (; i + M <= end; i += M) f.template operator()<M>(i);
  if constexpr (M > 4) {
    for (; i + 4 <= end; i += 4) f.template operator()<4>(i);
  }
  for (; i + 2 <= end; i += 2) f.template operator()<2>(i);
  for (; i < end; ++i) f.template operator()<1>(i);
}

/// Calls f.operator()<count>(first) for `columns` in groups of vectors, avoiding groups of one vector where possible.
template <class T, class Columns, class F>
[[gnu::always_inline]] inline void for_column_groups(Columns columns, F f) {
  constexpr index_t lanes = kernels::lanes<T>;
  index_t c = 0;
  if constexpr (block_vectors == 4) {
    for (; c + 4 * lanes <= columns && columns - c != 5 * lanes; c += 4 * lanes) f.template operator()<4>(c);
    for (; c + 3 * lanes <= columns; c += 3 * lanes) f.template operator()<3>(c);
  }
  for (; c + 2 * lanes <= columns; c += 2 * lanes) f.template operator()<2>(c);
  for (; c < columns; c += lanes) f.template operator()<1>(c);
}

}  // namespace posenc::inline POSENC_ISA::detail
