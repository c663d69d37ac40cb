// Splits numbers into bf16 parts, stored in pairs for instructions that multiply two at a time and add both products to
// a float.
#pragma once

#include <posenc/attention/key_source.hpp>
#include <posenc/kernels/convert.hpp>
#include <posenc/kernels/transpose_square.hpp>
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

/// Two adjacent bf16, the first in the lower half.
struct bf16_pair {
  std::uint32_t bits;
};

inline constexpr index_t pairs_of(index_t count) noexcept { return (count + 1) / 2; }

/// Rows of pairs, one part after the other; a number is the sum of its parts.
struct pair_rows {
  static constexpr index_t side = 16;

  const bf16_pair* data;
  index_t stride;
  index_t part_stride = 0;
  /// The first sixteen pairs of sixteen rows are contiguous, then their next sixteen pairs, then the next sixteen rows.
  /// A matrix register is then one contiguous read, which saves a tenth of a product's time. `stride` is as if each row
  /// were contiguous.
  bool in_squares = false;

  index_t row_step() const noexcept { return in_squares ? side : stride; }
  index_t pair_step() const noexcept { return in_squares ? side : 1; }
  pair_rows from(index_t offset) const noexcept { return {data + offset, stride, part_stride, in_squares}; }
};

/// Columns of pairs, one part after the other, in groups of sixteen. In squares the pairs of a group are contiguous, as
/// rows those of all columns are.
struct pair_columns {
  static constexpr index_t side = pair_rows::side;

  bf16_pair* data;
  index_t pair_step;
  index_t side_step;
  index_t part_stride;

  static pair_columns in_squares(bf16_pair* data, index_t num_pairs, index_t num_columns) noexcept {
    return {data, side, side * num_pairs, num_pairs * num_columns};
  }
  static pair_columns as_rows(bf16_pair* data, index_t num_pairs, index_t stride) noexcept {
    return {data, stride, side, num_pairs * stride};
  }

  /// Pair k of sixteen columns from `column` on, a multiple of `side`.
  bf16_pair* at(index_t k, index_t column) const noexcept { return data + k * pair_step + column / side * side_step; }
  pair_columns from(index_t k, index_t column) const noexcept {
    return {at(k, column), pair_step, side_step, part_stride};
  }
};

template <class S>
concept sum_of_bf16 = std::same_as<S, bf16> || std::same_as<S, f16> || std::same_as<S, float>;

/// Number of bf16 parts of a type: their sum is exact for finite numbers; for floats, if they are ordinary.
template <class S>
inline constexpr int num_parts = std::same_as<S, bf16>  ? 1
                                 : std::same_as<S, f16> ? 2
                                                        : 3;

/// Number of products of parts in a product: all but those below its last place.
constexpr int products_of_parts(int parts_of_a, int parts_of_b) noexcept {
  int count = 0;
  for (int a = 0; a < parts_of_a; ++a) count += std::min(parts_of_b, 3 - a);
  return count;
}

#if defined(__AVX512BF16__)

/// Pairs the upper halves, lane by lane; the lower halves of `second` must be zero.
[[gnu::always_inline]] inline kernels::vector<std::uint32_t> upper_halves(kernels::vector<float> first,
                                                                          kernels::vector<float> second) noexcept {
  using words = kernels::vector<std::uint32_t>;
  return std::bit_cast<words>(first) >> 16 | std::bit_cast<words>(second);
}

/// Subtracts the nearest bf16 from each number, and returns these as pairs.
[[gnu::always_inline]] inline kernels::vector<std::uint32_t> take_nearest(kernels::vector<float>& first,
                                                                          kernels::vector<float>& second) noexcept {
  using words = kernels::vector<std::uint32_t>;
  const auto take = [](kernels::vector<float> & x) __attribute__((always_inline)) {
    auto nearest = std::bit_cast<kernels::vector<float>>((std::bit_cast<words>(x) + 0x8000U) & 0xffff'0000U);
    kernels::hide_origin(nearest);  // keeps fast math from simplifying x - nearest
    x -= nearest;
    return nearest;
  };
  return upper_halves(take(first), take(second));
}

/// Stores two vectors of numbers as pairs, one part after the other; each part is of what the parts before leave.
template <int Parts>
[[gnu::always_inline]] inline void store_parts(kernels::vector<float> first, kernels::vector<float> second,
                                               bf16_pair* to, index_t part_stride) noexcept {
#pragma GCC unroll 3
  for (int p = 0; p + 1 < Parts; ++p) kernels::store(to + p * part_stride, take_nearest(first, second));
  kernels::store(to + (Parts - 1) * part_stride, upper_halves(first, second));  // the remainders' lower halves are zero
}

/// Records whether all numbers seen are ordinary: zero, or large enough that the last part is not subnormal, which the
/// instructions treat as zero, and small enough that products are finite. Not needed if all are bf16, whose products
/// are exact.
template <bool Asked>
struct ordinary_so_far {
  using words = kernels::vector<std::uint32_t>;
  words least = words{} - 1;  // magnitude minus one, so that zero wraps to the largest
  words largest = {};

  [[gnu::always_inline]] void see(kernels::vector<float> x) noexcept {
    if constexpr (Asked) {
      const words magnitude = std::bit_cast<words>(x) & 0x7fff'ffffU;
      least = magnitude - 1 < least ? magnitude - 1 : least;
      largest = magnitude > largest ? magnitude : largest;
    }
  }
  bool all() const noexcept {
    return !Asked || kernels::all_of((least >= 0x0c80'0000U - 1) & (largest < 0x5f00'0000U));  // 2^-102, 2^63
  }
};

/// A vector of float from a row, with zeros beyond its end.
template <class S>
[[gnu::always_inline]] inline kernels::vector<float> widen_some(const S* row, index_t at, index_t count) noexcept {
  constexpr index_t lanes = kernels::lanes<float>;
  if (at + lanes <= count) return kernels::detail::load_wide<float>(row + at);
  float some[lanes] = {};
  for (index_t i = at; i < count; ++i) some[i - at] = widen<float>(row[i]);
  return kernels::load<kernels::vector<float>>(some);
}

/// A vector of pairs from a row, with zeros beyond its end.
[[gnu::always_inline]] inline kernels::vector<std::uint32_t> some_pairs(const bf16* row, index_t at,
                                                                        index_t count) noexcept {
  constexpr index_t size = 2 * kernels::lanes<std::uint32_t>;
  if (at + size <= count) return kernels::load<kernels::vector<std::uint32_t>>(row + at);
  bf16 some[size] = {};
  std::copy(row + std::min(at, count), row + count, some);
  return kernels::load<kernels::vector<std::uint32_t>>(some);
}

template <bool Asked>
[[gnu::always_inline]] inline void see_both(kernels::vector<std::uint32_t> pairs,
                                            ordinary_so_far<Asked>& ordinary) noexcept {
  ordinary.see(std::bit_cast<kernels::vector<float>>(pairs << 16));
  ordinary.see(std::bit_cast<kernels::vector<float>>(pairs & 0xffff'0000U));
}

/// Splits a row into whole vectors of pairs, one part after the other, with zeros beyond head_dim. `pair_step` is as in
/// `pair_rows`.
template <class S, bool Asked>
[[gnu::always_inline]] inline void split_row(const S* row, index_t head_dim, index_t num_pairs, bf16_pair* to,
                                             index_t pair_step, index_t part_stride,
                                             ordinary_so_far<Asked>& ordinary) noexcept {
  constexpr index_t lanes = kernels::lanes<float>;
  if constexpr (std::same_as<S, bf16>) {
    for (index_t k = 0; k < num_pairs; k += lanes) {
      const auto pairs = some_pairs(row, 2 * k, head_dim);
      see_both(pairs, ordinary);
      kernels::store(to + k * pair_step, pairs);
    }
  } else {
    const auto split = [&](index_t k, kernels::vector<float> lower, kernels::vector<float> upper)
        __attribute__((always_inline)) {
      ordinary.see(lower);
      ordinary.see(upper);
      store_parts<num_parts<S>>(kernels::evens(lower, upper), kernels::odds(lower, upper), to + k * pair_step,
                                part_stride);
    };
    index_t k = 0;
    for (; 2 * (k + lanes) <= head_dim; k += lanes)
      split(k, kernels::detail::load_wide<float>(row + 2 * k), kernels::detail::load_wide<float>(row + 2 * k + lanes));
    for (; k < num_pairs; k += lanes)
      split(k, widen_some(row, 2 * k, head_dim), widen_some(row, 2 * k + lanes, head_dim));
  }
}

/// Loads sixteen columns of sixteen rows, one vector per column. Row i is row(i), zeros if null; none is if
/// `all_there`.
template <bool Asked, class Row>
[[gnu::always_inline]] inline void load_columns(Row row, bool all_there, index_t column, index_t num_columns,
                                                kernels::vector<float> (&columns)[16],
                                                ordinary_so_far<Asked>& ordinary) noexcept {
  if (all_there && column + 16 <= num_columns) {
#pragma GCC unroll 16
    for (index_t i = 0; i < 16; ++i) columns[i] = kernels::detail::load_wide<float>(row(i) + column);
  } else {
    for (index_t i = 0; i < 16; ++i)
      columns[i] = row(i) != nullptr ? widen_some(row(i), column, num_columns) : kernels::vector<float>{};
  }
#pragma GCC unroll 16
  for (index_t i = 0; i < 16; ++i) ordinary.see(columns[i]);
  kernels::transpose_square(columns);
}

/// Stores columns d and d + 1 of row first + i as pair d / 2 of column i, with zeros from `count` on and beyond
/// head_dim up to `num_pairs`. Returns false if a number is not ordinary.
template <bool Asked, class S>
bool load_query_pairs(head_view<S> x, index_t head, index_t first, index_t count, index_t num_pairs,
                      const pair_columns& to, index_t padded_queries) noexcept {
  using element = std::remove_const_t<S>;
  constexpr index_t n = kernels::lanes<float>;
  ordinary_so_far<Asked> ordinary;
  for (index_t i = 0; i < padded_queries; i += n) {
    const index_t num_rows = std::clamp<index_t>(count - i, 0, n);
    const auto row = [&](index_t r) { return r < num_rows ? x.row(first + i + r, head) : nullptr; };
    if constexpr (std::same_as<element, bf16>) {
      for (index_t k = 0; k < num_pairs; k += n) {
        kernels::vector<std::uint32_t> block[n] = {};
        for (index_t r = 0; r < num_rows; ++r) {
          block[r] = some_pairs(row(r), 2 * k, x.head_dim);
          see_both(block[r], ordinary);
        }
        kernels::transpose_square(block);
        for (index_t j = 0; j < std::min(n, num_pairs - k); ++j) kernels::store(to.at(k + j, i), block[j]);
      }
    } else {
      for (index_t d = 0; d < 2 * num_pairs; d += n) {
        kernels::vector<float> columns[n];
        load_columns(row, num_rows == n, d, x.head_dim, columns, ordinary);
#pragma GCC unroll 8
        for (index_t j = 0; j < n; j += 2)
          store_parts<num_parts<element>>(columns[j], columns[j + 1], to.at((d + j) / 2, i), to.part_stride);
      }
    }
  }
  return ordinary.all();
}

/// Stores rows of keys as pairs along the row, at `memory` in the layout of `to`, with zeros beyond head_dim up to
/// `num_pairs` and from `count` on up to `padded_rows`. Returns false if a number is not ordinary.
template <bool Asked, class Source>
bool load_key_pairs(const Source& keys, index_t head, index_t first, index_t count, index_t padded_rows,
                    index_t num_pairs, bf16_pair* memory, const pair_rows& to) noexcept {
  ordinary_so_far<Asked> ordinary;
  const auto at = [&](index_t i) {
    return memory + i / pair_rows::side * pair_rows::side * to.stride + i % pair_rows::side * to.row_step();
  };
  for_each_row(keys, head, first, count, [&](index_t i, const auto* row) {
    split_row(row, keys.head_dim, num_pairs, at(i), to.pair_step(), to.part_stride, ordinary);
  });
  constexpr key_element_t<Source> nothing{};
  for (index_t i = count; i < padded_rows; ++i)
    split_row(&nothing, 0, num_pairs, at(i), to.pair_step(), to.part_stride, ordinary);
  return ordinary.all();
}

/// Whether rows of keys are already laid out as `load_key_pairs` would store them; if so, sets `pairs` to them.
template <class Source>
bool as_pairs_lie(const Source& keys, index_t head, index_t first, index_t count, index_t padded_rows,
                  index_t num_pairs, pair_rows& pairs) noexcept {
  if constexpr (num_parts<key_element_t<Source>> == 1) {
    const auto piece = keys.block(first, count);
    if (piece.num_tokens < padded_rows || keys.head_dim != 2 * num_pairs ||
        piece.row(1, 0) - piece.row(0, 0) != keys.head_dim)
      return false;
    pairs = {reinterpret_cast<const bf16_pair*>(piece.row(0, head)), num_pairs, 0, false};
    return true;
  } else {
    return false;
  }
}

/// A bit for each row with a number that is not ordinary.
template <class Source>
std::uint64_t rows_that_are_not_ordinary(const Source& source, index_t head, index_t first, index_t count) noexcept {
  std::uint64_t found = 0;
  for_each_row(source, head, first, count, [&](index_t i, const auto* row) {
    ordinary_so_far<true> ordinary;
    for (index_t d = 0; d < source.head_dim; d += kernels::lanes<float>)
      ordinary.see(widen_some(row, d, source.head_dim));
    if (!ordinary.all()) found |= std::uint64_t{1} << i;
  });
  return found;
}

inline bool all_are_finite(const bf16* row, index_t count) noexcept {
  std::uint32_t finite = 1;
  for (index_t i = 0; i < count; ++i) finite &= (row[i].bits & 0x7f80U) != 0x7f80U ? 1U : 0U;
  return finite != 0;
}

/// A bit for each row with a value that is not finite.
template <class Source>
std::uint64_t rows_that_are_not_finite(const Source& source, index_t head, index_t first, index_t count) noexcept {
  std::uint64_t found = 0;
  for_each_row(source, head, first, count, [&](index_t i, const bf16* row) {
    if (!all_are_finite(row, source.head_dim)) found |= std::uint64_t{1} << i;
  });
  return found;
}

#endif

}  // namespace posenc::inline POSENC_ISA::detail
