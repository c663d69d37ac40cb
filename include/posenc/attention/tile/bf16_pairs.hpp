// Products of bf16, two at a time: the operands of an instruction that multiplies pairs and adds both to a float.
#pragma once

#include <posenc/attention/key_source.hpp>
#include <posenc/attention/tile/register_block.hpp>
#include <posenc/attention/tile/transposed_queries.hpp>
#include <posenc/kernels/vectors.hpp>
#include <posenc/scalar.hpp>
#include <posenc/view.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(POSENC_BF16_PAIRS)
#include <immintrin.h>
#endif

namespace posenc::inline POSENC_ISA::detail {

/// Two bf16 that lie side by side, the first in the lower half.
struct bf16_pair {
  std::uint32_t bits;
};

#if defined(POSENC_BF16_PAIRS)
inline constexpr bool multiplies_bf16_pairs = true;

template <>
struct block_arithmetic<bf16_pair> {
  using vector = kernels::vector<std::int32_t>;

  // Read as bytes, because rows of bf16 are read as pairs where they lie.
  [[gnu::always_inline]] static vector broadcast(const bf16_pair* a) noexcept {
    std::int32_t bits;
    std::memcpy(&bits, a, sizeof bits);
    return bits - vector{};
  }
  [[gnu::always_inline]] static kernels::vector<float> multiply_add(kernels::vector<float> sum, vector factor,
                                                                    vector row) noexcept {
    return (kernels::vector<float>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)factor, (__m512bh)row);
  }
};

/// pairs[k / 2][q] = weights of keys k and k + 1 as bf16, from weights[k][q]; a last odd key is joined by a zero.
inline void pair_weights(const float* weights, index_t stride, index_t num_keys, index_t padded_queries,
                         bf16_pair* pairs) noexcept {
  using floats = kernels::vector<float>;
  using words = typename kernels::detail::vector_of<std::uint16_t, 32>::type;
  constexpr index_t lanes = kernels::lanes<float>;
  const auto pair = [&](index_t k, index_t q, floats first, floats second) __attribute__((always_inline)) {
    const words apart = (words)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
    const words together = __builtin_shufflevector(apart, apart, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
                                                   8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    kernels::store(pairs + k / 2 * stride + q, together);
  };
  for (index_t q = 0; q < padded_queries; q += lanes) {
    const float* column = weights + q;
    index_t k = 0;
    for (; k + 2 <= num_keys; k += 2)
      pair(k, q, kernels::load<floats>(column + k * stride), kernels::load<floats>(column + (k + 1) * stride));
    if (k < num_keys) pair(k, q, kernels::load<floats>(column + k * stride), floats{});
  }
}
#else
inline constexpr bool multiplies_bf16_pairs = false;
#endif

inline constexpr index_t pairs_of(index_t count) noexcept { return (count + 1) / 2; }

/// to[d / 2][i] = columns d and d + 1 of row first + i, zeros from `count` on and beyond an odd head_dim; `some_rows`
/// holds `turned_rows` rows of pairs.
template <class S>
void load_query_pairs(head_view<S> x, index_t head, index_t first, index_t count, bf16_pair* some_rows, bf16_pair* to,
                      index_t stride, index_t padded_queries) noexcept {
  const index_t pairs = pairs_of(x.head_dim);
  for (index_t i = 0; i < padded_queries; i += turned_rows) {
    std::memset(static_cast<void*>(some_rows), 0, static_cast<std::size_t>(turned_rows * pairs) * sizeof(bf16_pair));
    for (index_t r = 0; r < std::min(turned_rows, count - i); ++r) {
      std::memcpy(static_cast<void*>(some_rows + r * pairs), x.row(first + i + r, head),
                  static_cast<std::size_t>(x.head_dim) * sizeof(bf16));
    }
    for (index_t d = 0; d < pairs; ++d) {
      for (index_t r = 0; r < turned_rows; ++r) to[d * stride + i + r] = some_rows[r * pairs + d];
    }
  }
}

/// Calls f(i, row) for rows [first, first + count) of one head of a source.
template <class Source, class F>
void for_each_row(const Source& source, index_t head, index_t first, index_t count, F f) noexcept {
  for (index_t done = 0; done < count;) {
    const auto piece = source.block(first + done, count - done);
    const index_t rows = std::min(piece.num_tokens, count - done);
    for (index_t i = 0; i < rows; ++i) f(done + i, piece.row(i, head));
    done += rows;
  }
}

/// Rows of keys as pairs along a row, `stride` pairs apart and with a zero behind an odd head_dim.
template <class Source>
void load_key_pairs(const Source& keys, index_t head, index_t first, index_t count, bf16_pair* to,
                    index_t stride) noexcept {
  for_each_row(keys, head, first, count, [&](index_t i, const bf16* row) {
    if (keys.head_dim % 2 != 0) to[i * stride + keys.head_dim / 2] = {};
    std::memcpy(static_cast<void*>(to + i * stride), row, static_cast<std::size_t>(keys.head_dim) * sizeof(bf16));
  });
}

inline bool all_are_finite(const bf16* row, index_t count) noexcept {
  std::uint32_t finite = 1;
  for (index_t i = 0; i < count; ++i) finite &= (row[i].bits & 0x7f80U) != 0x7f80U ? 1U : 0U;
  return finite != 0;
}

/// pairs[c] = column c of `row` in its lower half, and zero above it; or in the upper half, beside what is there.
template <bool Upper>
void put_half(const bf16* row, index_t count, bf16_pair* pairs) noexcept {
  using vector = kernels::vector<std::uint32_t>;
  using words = typename kernels::detail::vector_of<std::uint16_t, kernels::lanes<std::uint32_t>>::type;
  const auto joined = [](auto lower, auto upper) { return Upper ? lower | upper << 16 : upper; };
  index_t c = 0;
  for (; c + kernels::lanes<std::uint32_t> <= count; c += kernels::lanes<std::uint32_t>) {
    const vector half = __builtin_convertvector(kernels::load<words>(row + c), vector);
    kernels::store(pairs + c, joined(kernels::load<vector>(pairs + c), half));
  }
  for (; c < count; ++c) pairs[c].bits = joined(pairs[c].bits, std::uint32_t{row[c].bits});
}

/// A bit for each row that holds something that is not finite.
template <class Source>
std::uint64_t rows_that_are_not_finite(const Source& source, index_t head, index_t first, index_t count) noexcept {
  std::uint64_t found = 0;
  for_each_row(source, head, first, count, [&](index_t i, const bf16* row) {
    if (!all_are_finite(row, source.head_dim)) found |= std::uint64_t{1} << i;
  });
  return found;
}

/// to[k / 2][c] = column c of rows k and k + 1, zeros up to the stride. Rows that have their bit in `left_out` are zeros.
template <class Source>
void load_value_pairs(const Source& values, index_t head, index_t first, index_t count, std::uint64_t left_out,
                      bf16_pair* to, index_t stride) noexcept {
  const index_t columns = values.head_dim;
  for_each_row(values, head, first, count, [&](index_t k, const bf16* row) {
    bf16_pair* pairs = to + k / 2 * stride;
    const bool taken = (left_out >> k & 1) == 0, upper = k % 2 != 0;
    if (!upper) std::fill(taken ? pairs + columns : pairs, pairs + stride, bf16_pair{});
    if (taken) upper ? put_half<true>(row, columns, pairs) : put_half<false>(row, columns, pairs);
  });
}

}  // namespace posenc::inline POSENC_ISA::detail
