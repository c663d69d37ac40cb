// bf16 in pairs, as the instructions want it that multiply two at a time and add both products to a float.
#pragma once

#include <posenc/attention/key_source.hpp>
#include <posenc/attention/tile/transposed_queries.hpp>
#include <posenc/attention/tile/visible_keys.hpp>
#include <posenc/kernels/vectors.hpp>
#include <posenc/scalar.hpp>
#include <posenc/view.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace posenc::inline POSENC_ISA::detail {

/// Two bf16 that lie side by side, the first in the lower half.
struct bf16_pair {
  std::uint32_t bits;
};

inline constexpr index_t pairs_of(index_t count) noexcept { return (count + 1) / 2; }

/// Weights of key k by a function of it, zeros beyond those seen; and adds them to a sum.
template <class Weight>
[[gnu::always_inline]] inline kernels::vector<float> weight_if_seen(index_t k, tile_edges::range seen, Weight weight,
                                                                    kernels::vector<float>& sum) noexcept {
  if (k < seen.first || k >= seen.end) return kernels::vector<float>{};
  const kernels::vector<float> of_key = weight(k);
  sum += of_key;
  return of_key;
}

#if defined(__AVX512F__)
/// to[d][i] = pair d of row first + i, of sixteen rows whose pairs fill vectors.
template <class S>
void transpose_pairs(head_view<S> x, index_t head, index_t first, bf16_pair* to, index_t stride) noexcept {
  using vector = kernels::vector<std::uint32_t>;
  constexpr int n = int{kernels::lanes<std::uint32_t>};
  for (index_t d = 0; d < x.head_dim / 2; d += n) {
    vector block[n];
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) block[i] = kernels::load<vector>(x.row(first + i, head) + 2 * d);
    transpose_square(block);
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) kernels::store(to + (d + i) * stride, block[i]);
  }
}
#endif

/// to[d / 2][i] = columns d and d + 1 of row first + i, zeros from `count` on and beyond head_dim up to `num_pairs`;
/// `some_rows` holds `turned_rows` rows of pairs.
template <class S>
void load_query_pairs(head_view<S> x, index_t head, index_t first, index_t count, index_t num_pairs,
                      bf16_pair* some_rows, bf16_pair* to, index_t stride, index_t padded_queries) noexcept {
  index_t i = 0;
#if defined(__AVX512F__)
  constexpr index_t lanes = kernels::lanes<std::uint32_t>;
  if (x.head_dim % (2 * lanes) == 0) {
    for (; i + lanes <= count; i += lanes) transpose_pairs(x, head, first + i, to + i, stride);
  }
#endif
  for (; i < padded_queries; i += turned_rows) {
    std::memset(static_cast<void*>(some_rows), 0,
                static_cast<std::size_t>(turned_rows * num_pairs) * sizeof(bf16_pair));
    for (index_t r = 0; r < std::min(turned_rows, count - i); ++r) {
      std::memcpy(static_cast<void*>(some_rows + r * num_pairs), x.row(first + i + r, head),
                  static_cast<std::size_t>(x.head_dim) * sizeof(bf16));
    }
    for (index_t d = 0; d < num_pairs; ++d) {
      for (index_t r = 0; r < turned_rows; ++r) to[d * stride + i + r] = some_rows[r * num_pairs + d];
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

/// Rows of keys as pairs along a row, `stride` pairs apart; zeros behind head_dim up to `num_pairs`, and from `count` on
/// up to `padded_rows`.
template <class Source>
void load_key_pairs(const Source& keys, index_t head, index_t first, index_t count, index_t padded_rows,
                    index_t num_pairs, bf16_pair* to, index_t stride) noexcept {
  for_each_row(keys, head, first, count, [&](index_t i, const bf16* row) {
    bf16_pair* pairs = to + i * stride;
    std::fill(pairs + keys.head_dim / 2, pairs + num_pairs, bf16_pair{});
    std::memcpy(static_cast<void*>(pairs), row, static_cast<std::size_t>(keys.head_dim) * sizeof(bf16));
  });
  for (index_t i = count; i < padded_rows; ++i) std::fill_n(to + i * stride, num_pairs, bf16_pair{});
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

/// to[k / 2][c] = column c of rows k and k + 1, zeros up to the stride, and from `count` on up to `padded_rows`, which is
/// even. Rows that have their bit in `left_out` are zeros.
template <class Source>
void load_value_pairs(const Source& values, index_t head, index_t first, index_t count, index_t padded_rows,
                      std::uint64_t left_out, bf16_pair* to, index_t stride) noexcept {
  const index_t columns = values.head_dim;
  for_each_row(values, head, first, count, [&](index_t k, const bf16* row) {
    bf16_pair* pairs = to + k / 2 * stride;
    const bool taken = (left_out >> k & 1) == 0, upper = k % 2 != 0;
    if (!upper) std::fill(taken ? pairs + columns : pairs, pairs + stride, bf16_pair{});
    if (taken) upper ? put_half<true>(row, columns, pairs) : put_half<false>(row, columns, pairs);
  });
  std::fill(to + pairs_of(count) * stride, to + padded_rows / 2 * stride, bf16_pair{});
}

}  // namespace posenc::inline POSENC_ISA::detail
