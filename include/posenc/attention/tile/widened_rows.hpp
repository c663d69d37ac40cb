// Rows of a key source in the compute type: in place, or widened into contiguous memory.
#pragma once

#include <posenc/attention/key_source.hpp>
#include <posenc/attention/tile/block_products.hpp>
#include <posenc/kernels/convert.hpp>
#include <posenc/kernels/vectors.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace posenc::inline POSENC_ISA::detail {

/// to[i] = factor * from[i]
template <real T, class S>
void widen_row(const S* from, index_t count, T factor, T* to) noexcept {
  if constexpr (std::same_as<S, std::int8_t>) {
    using bytes = typename kernels::detail::vector_of<std::int8_t, kernels::lanes<T>>::type;
    index_t i = 0;
    for (; i + kernels::lanes<T> <= count; i += kernels::lanes<T>) {
      bytes some;
      std::memcpy(&some, from + i, sizeof some);
      kernels::store(to + i, __builtin_convertvector(some, kernels::vector<T>) * factor);
    }
    for (; i < count; ++i) to[i] = static_cast<T>(from[i]) * factor;
  } else {
    kernels::convert<T>(from, to, count, factor);
  }
}

/// The scale of a quantized row, or 1.
template <real T, class Piece>
T scale_of_row(const Piece& piece, index_t token, index_t head) noexcept {
  if constexpr (requires { piece.scale(token, head); })
    return static_cast<T>(piece.scale(token, head));
  else
    return 1;
}

/// Widens row `token` of one head of a source to T.
template <real T, class Source>
void widen_row_of(const Source& source, index_t token, index_t head, T* to) noexcept {
  const auto piece = source.block(token, 1);
  widen_row(piece.row(0, head), source.head_dim, scale_of_row<T>(piece, 0, head), to);
}

/// Widens rows [first, first + count) of one head of a source to T, `stride` apart, zero-padded up to the stride.
template <real T, class Source>
void widen_rows(const Source& source, index_t head, index_t first, index_t count, T* to, index_t stride) noexcept {
  for (index_t done = 0; done < count;) {
    const auto piece = source.block(first + done, count - done);
    const index_t rows = std::min(piece.num_tokens, count - done);
    for (index_t i = 0; i < rows; ++i) {
      T* row = to + (done + i) * stride;
      widen_row(piece.row(i, head), source.head_dim, scale_of_row<T>(piece, i, head), row);
      std::fill(row + source.head_dim, row + stride, T(0));
    }
    done += rows;
  }
}

/// Prefetches rows [first, first + count) of one head of a source.
template <class Source>
void fetch_rows(const Source& source, index_t head, index_t first, index_t count) noexcept {
  for_each_row(source, head, first, count, [&](index_t, const auto* row) {
    kernels::fetch_lines(row, source.head_dim * static_cast<index_t>(sizeof *row));
  });
}

/// Whether the rows of a tile can be read in place: in the compute type and contiguous; if so, sets `rows` to them.
/// Rows that are far apart share cache sets and are better copied once for all queries that read them.
template <real T, class Source>
bool as_they_lie(const Source& source, index_t head, index_t first, index_t count, tile_rows<T>& rows) noexcept {
  const auto piece = source.block(first, count);
  if constexpr (std::same_as<std::remove_cvref_t<decltype(*piece.row(0, 0))>, T>) {
    if (piece.num_tokens < count || piece.row(1, 0) - piece.row(0, 0) != source.head_dim) return false;
    rows = {piece.row(0, head), source.head_dim};
    return true;
  } else {
    return false;
  }
}

/// Finiteness is tested by exponent, because fast math may assume that all values are finite.
template <real T>
struct exponent_of {
  using bits_t = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  static constexpr bits_t mask = sizeof(T) == 4 ? bits_t{0x7f80'0000} : static_cast<bits_t>(0x7ff0'0000'0000'0000);
};

/// `count` must be a multiple of the vector size.
template <real T>
bool all_are_finite(const T* rows, index_t count) noexcept {
  using bits_t = typename exponent_of<T>::bits_t;
  constexpr bits_t exponent = exponent_of<T>::mask;
  using vector = kernels::vector<bits_t>;
  vector largest[2] = {};
  const auto see = [&](index_t i, vector & so_far) __attribute__((always_inline)) {
    const vector bits = kernels::load<vector>(rows + i) & exponent;
    so_far = bits > so_far ? bits : so_far;
  };
  index_t i = 0;
  for (; i + 2 * kernels::lanes<T> <= count; i += 2 * kernels::lanes<T>) {
    see(i, largest[0]);
    see(i + kernels::lanes<T>, largest[1]);
  }
  if (i < count) see(i, largest[0]);
  bits_t each[2 * kernels::lanes<T>];
  std::memcpy(each, largest, sizeof largest);
  return std::all_of(each, each + 2 * kernels::lanes<T>, [](bits_t found) { return found < exponent; });
}

/// Returns a bit for each row with a value that is not finite, and overwrites such rows with zeros.
template <real T>
std::uint64_t clear_rows_that_are_not_finite(T* rows, index_t stride, index_t count) noexcept {
  std::uint64_t found = 0;
  if (all_are_finite(rows, count * stride)) return found;
  for (index_t i = 0; i < count; ++i) {
    if (all_are_finite(rows + i * stride, stride)) continue;
    found |= std::uint64_t{1} << i;
    std::fill_n(rows + i * stride, stride, T(0));
  }
  return found;
}

}  // namespace posenc::inline POSENC_ISA::detail
