// Numbers as sums of bf16, in pairs, as the instructions want it that multiply two at a time and add both products to a
// float.
#pragma once

#include <posenc/attention/key_source.hpp>
#include <posenc/attention/tile/transposed_queries.hpp>
#include <posenc/attention/tile/visible_keys.hpp>
#include <posenc/kernels/convert.hpp>
#include <posenc/kernels/vectors.hpp>
#include <posenc/scalar.hpp>
#include <posenc/view.hpp>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace posenc::inline POSENC_ISA::detail {

/// Two bf16 that lie side by side, the first in the lower half.
struct bf16_pair {
  std::uint32_t bits;
};

inline constexpr index_t pairs_of(index_t count) noexcept { return (count + 1) / 2; }

/// Rows of pairs, part after part: the numbers are sums of their parts.
struct pair_rows {
  const bf16_pair* data;
  index_t stride;
  index_t part_stride = 0;
};

/// How many bf16 a number of this type is the sum of: exactly if it is finite, and of floats if it is ordinary.
template <class S>
inline constexpr int num_parts = std::same_as<S, bf16>  ? 1
                                 : std::same_as<S, f16> ? 2
                                                        : 3;

#if defined(__AVX512BF16__)

/// Parts of floats, each of what the ones before leave, nearest first; the last is not rounded yet.
template <int Parts>
struct parts_of_floats {
  kernels::vector<float> part[Parts];

  [[gnu::always_inline]] explicit parts_of_floats(kernels::vector<float> x) noexcept {
    using words = kernels::vector<std::uint32_t>;
#pragma GCC unroll 3
    for (int p = 0; p < Parts; ++p) {
      part[p] = x;
      if (p + 1 == Parts) break;
      part[p] = std::bit_cast<kernels::vector<float>>((std::bit_cast<words>(x) + 0x8000U) & 0xffff'0000U);
      kernels::hide_origin(part[p]);  // fast math may not know what x - part is
      x -= part[p];
    }
  }
};

/// Whether these are zeros or large enough for their last part not to be subnormal, which instructions take for zero.
[[gnu::always_inline]] inline bool ordinary(kernels::vector<float> x) noexcept {
  using bits_t = kernels::vector<std::int32_t>;
  const bits_t magnitude = std::bit_cast<bits_t>(x) & 0x7fff'ffff;
  return kernels::all_of((magnitude == 0) | (magnitude >= 0x0c80'0000));  // 2^-102
}

/// A row in vectors of float, with zeros behind its end.
template <class S>
[[gnu::always_inline]] inline kernels::vector<float> widen_some(const S* row, index_t at, index_t count) noexcept {
  constexpr index_t lanes = kernels::lanes<float>;
  if (at + lanes <= count) return kernels::detail::load_wide<float>(row + at);
  float some[lanes] = {};
  for (index_t i = at; i < count; ++i) some[i - at] = widen<float>(row[i]);
  return kernels::load<kernels::vector<float>>(some);
}

/// A row as pairs along it, zeros behind head_dim up to `num_pairs`, part after part. False if a float is not ordinary.
template <class S>
bool split_row(const S* row, index_t head_dim, index_t num_pairs, bf16_pair* to, index_t part_stride) noexcept {
  bool all_ordinary = true;
  if constexpr (std::same_as<S, bf16>) {
    std::fill(to + head_dim / 2, to + num_pairs, bf16_pair{});
    std::memcpy(static_cast<void*>(to), row, static_cast<std::size_t>(head_dim) * sizeof(bf16));
  } else {
    constexpr int parts = num_parts<S>;
    constexpr index_t lanes = kernels::lanes<float>;
    for (index_t d = 0; d < 2 * num_pairs; d += 2 * lanes) {
      const auto lower = widen_some(row, d, head_dim), upper = widen_some(row, d + lanes, head_dim);
      if constexpr (std::same_as<S, float>) all_ordinary = all_ordinary && ordinary(lower) && ordinary(upper);
      const parts_of_floats<parts> a(lower), b(upper);
#pragma GCC unroll 3
      for (int p = 0; p < parts; ++p)
        kernels::store(to + p * part_stride + d / 2, _mm512_cvtne2ps_pbh((__m512)b.part[p], (__m512)a.part[p]));
    }
  }
  return all_ordinary;
}

/// to[part][d / 2][i] = columns d and d + 1 of row first + i, zeros from `count` on and beyond head_dim up to `num_pairs`;
/// `some_rows` holds sixteen rows of all parts, whole vectors. False if a float is not ordinary.
template <class S>
bool load_query_pairs(head_view<S> x, index_t head, index_t first, index_t count, index_t num_pairs,
                      bf16_pair* some_rows, bf16_pair* to, index_t stride, index_t padded_queries) noexcept {
  using vector = kernels::vector<std::uint32_t>;
  constexpr index_t n = kernels::lanes<std::uint32_t>, parts = num_parts<std::remove_const_t<S>>;
  const index_t row = (num_pairs + n - 1) / n * n;
  bool all_ordinary = true;
  for (index_t i = 0; i < padded_queries; i += n) {
    const index_t rows = std::clamp<index_t>(count - i, 0, n);
    std::fill(some_rows + rows * parts * row, some_rows + n * parts * row, bf16_pair{});
    for (index_t r = 0; r < rows; ++r)
      all_ordinary &= split_row(x.row(first + i + r, head), x.head_dim, row, some_rows + r * parts * row, row);
    for (index_t p = 0; p < parts; ++p) {
      for (index_t d = 0; d < num_pairs; d += n) {
        vector block[n];
#pragma GCC unroll 16
        for (index_t r = 0; r < n; ++r) block[r] = kernels::load<vector>(some_rows + (r * parts + p) * row + d);
        transpose_square(block);
        for (index_t j = 0; j < std::min<index_t>(n, num_pairs - d); ++j)
          kernels::store(to + (p * num_pairs + d + j) * stride + i, block[j]);
      }
    }
  }
  return all_ordinary;
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
                    index_t num_pairs, bf16_pair* to, index_t stride, index_t part_stride) noexcept {
  for_each_row(keys, head, first, count, [&](index_t i, const auto* row) {
    split_row(row, keys.head_dim, num_pairs, to + i * stride, part_stride);
  });
  for (int p = 0; p < num_parts<key_element_t<Source>>; ++p) {
    for (index_t i = count; i < padded_rows; ++i)
      std::fill_n(to + p * part_stride + i * stride, num_pairs, bf16_pair{});
  }
}

/// Whether rows of keys can be multiplied where they lie, as `load_key_pairs` would put them; then `pairs` is set.
template <class Source>
bool as_pairs_lie(const Source& keys, index_t head, index_t first, index_t count, index_t padded_rows,
                  index_t num_pairs, pair_rows& pairs) noexcept {
  if constexpr (num_parts<key_element_t<Source>> == 1) {
    const auto piece = keys.block(first, count);
    if (piece.num_tokens < padded_rows || keys.head_dim != 2 * num_pairs ||
        piece.row(1, 0) - piece.row(0, 0) != keys.head_dim)
      return false;
    pairs = {reinterpret_cast<const bf16_pair*>(piece.row(0, head)), num_pairs};
    return true;
  } else {
    return false;
  }
}

/// pairs[part][c] = column c of `row` in its lower half, and zero above it; or in the upper half, beside what is there.
/// Zeros behind its end.
template <bool Upper, class S>
void put_half(const S* row, index_t count, index_t padded_count, bf16_pair* pairs, index_t part_stride) noexcept {
  using words = kernels::vector<std::uint32_t>;
  constexpr int parts = num_parts<S>;
  for (index_t c = 0; c < padded_count; c += kernels::lanes<float>) {
    const parts_of_floats<parts> of_some(widen_some(row, c, count));
#pragma GCC unroll 3
    for (int p = 0; p < parts; ++p) {
      const auto bits = std::bit_cast<words>(of_some.part[p]);
      bf16_pair* at = pairs + p * part_stride + c;
      kernels::store(at, Upper ? kernels::load<words>(at) | (bits & 0xffff'0000U) : bits >> 16);
    }
  }
}

/// to[part][k / 2][c] = column c of rows k and k + 1, zeros up to the stride, and from `count` on up to `padded_rows`,
/// which is even. Rows that have their bit in `left_out` are zeros.
template <class Source>
void load_value_pairs(const Source& values, index_t head, index_t first, index_t count, index_t padded_rows,
                      std::uint64_t left_out, bf16_pair* to, index_t stride, index_t part_stride) noexcept {
  constexpr int parts = num_parts<key_element_t<Source>>;
  const index_t columns = values.head_dim, padded_columns = (columns + 15) / 16 * 16;
  const auto clear = [&](bf16_pair* begin, bf16_pair* end) {
    for (int p = 0; p < parts; ++p) std::fill(begin + p * part_stride, end + p * part_stride, bf16_pair{});
  };
  for_each_row(values, head, first, count, [&](index_t k, const auto* row) {
    bf16_pair* pairs = to + k / 2 * stride;
    const bool taken = (left_out >> k & 1) == 0, upper = k % 2 != 0;
    if (!upper) clear(taken ? pairs + padded_columns : pairs, pairs + stride);
    if (taken)
      upper ? put_half<true>(row, columns, padded_columns, pairs, part_stride)
            : put_half<false>(row, columns, padded_columns, pairs, part_stride);
  });
  clear(to + pairs_of(count) * stride, to + padded_rows / 2 * stride);
}

inline bool all_are_finite(const bf16* row, index_t count) noexcept {
  std::uint32_t finite = 1;
  for (index_t i = 0; i < count; ++i) finite &= (row[i].bits & 0x7f80U) != 0x7f80U ? 1U : 0U;
  return finite != 0;
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

/// Weights of key k by a function of it, zeros beyond those seen; and adds them to a sum.
template <class Weight>
[[gnu::always_inline]] inline kernels::vector<float> weight_if_seen(index_t k, tile_edges::range seen, Weight weight,
                                                                    kernels::vector<float>& sum) noexcept {
  if (k < seen.first || k >= seen.end) return kernels::vector<float>{};
  const kernels::vector<float> of_key = weight(k);
  sum += of_key;
  return of_key;
}

#endif

}  // namespace posenc::inline POSENC_ISA::detail
