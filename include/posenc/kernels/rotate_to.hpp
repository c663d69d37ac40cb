// Rotates pairs of columns from one place to another, and from one pairing and element type to others.
#pragma once

#include <posenc/error.hpp>  // index_t
#include <posenc/kernels/bf16_words.hpp>
#include <posenc/kernels/convert.hpp>
#include <posenc/kernels/rotate.hpp>  // pairing, with_known_pairs
#include <posenc/kernels/vectors.hpp>
#include <posenc/scalar.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace posenc::inline POSENC_ISA {

namespace kernels {

namespace detail {

/// Layout of pairs in a slice: pair i is columns (i, i + distance) or (2i, 2i + 1).
template <pairing Pairs, class S>
struct pair_columns {
  S* first;
  index_t distance;  // half only

  S& low(index_t i) const noexcept { return Pairs == pairing::half ? first[i] : first[2 * i]; }
  S& high(index_t i) const noexcept { return Pairs == pairing::half ? first[i + distance] : first[2 * i + 1]; }
};

/// Loads both columns of pairs i, i + 1, ..., one vector each.
template <real T, pairing Pairs, class S>
[[gnu::always_inline]] inline void load_pairs(pair_columns<Pairs, const S> x, index_t i, vector<T>& low,
                                              vector<T>& high) noexcept {
  if constexpr (Pairs == pairing::half) {
    low = load_wide<T>(x.first + i);
    high = load_wide<T>(x.first + x.distance + i);
  } else if constexpr (std::same_as<S, bf16>) {  // a word is a pair
    const auto words = load_bf16_pair<vector<T>>(x.first + 2 * i);
    low = words.even;
    high = words.odd;
  } else {
    const auto a = load_wide<T>(x.first + 2 * i);
    const auto b = load_wide<T>(x.first + 2 * i + lanes<T>);
    low = evens(a, b);
    high = odds(a, b);
  }
}
template <real T, pairing Pairs, class S>
[[gnu::always_inline]] inline void store_pairs(pair_columns<Pairs, S> x, index_t i, vector<T> low,
                                               vector<T> high) noexcept {
  if constexpr (std::same_as<S, bf16>) {
    const bf16_halves words = bf16_split({low, high}).rounded_or_nan();
    if constexpr (Pairs == pairing::half) {
      const bf16_halves apart = evens_then_odds(words);
      store(x.first + i, lower_half(apart));
      store(x.first + x.distance + i, upper_half(apart));
    } else {
      store(x.first + 2 * i, words);
    }
  } else if constexpr (Pairs == pairing::half) {
    store_narrow(x.first + i, low);
    store_narrow(x.first + x.distance + i, high);
  } else {
    store_narrow(x.first + 2 * i, zip_low(low, high));
    store_narrow(x.first + 2 * i + lanes<T>, zip_high(low, high));
  }
}

/// Rotates a head's pairs from `first` on one by one: those that fill no vector. Not inlined, because few heads have
/// any, and all would pay for its setup.
template <pairing Read, pairing Written, scalar S, scalar D, real T>
[[gnu::noinline]] void rotate_last_pairs_to(pair_columns<Read, const S> from, pair_columns<Written, D> to,
                                            index_t first, index_t num_pairs, const T* cos, const T* sin) noexcept {
  for (index_t i = first; i < num_pairs; ++i) {
    const T a = widen<T>(from.low(i));
    const T b = widen<T>(from.high(i));
    to.low(i) = narrow<D>(a * cos[i] - b * sin[i]);
    to.high(i) = narrow<D>(a * sin[i] + b * cos[i]);
  }
}

/// Rotates a head's pairs. Not `restrict`: if read and written in the same layout, `to` may be `from`.
template <pairing Read, pairing Written, scalar S, scalar D, real T>
[[gnu::always_inline]] inline void rotate_pairs_to(pair_columns<Read, const S> from, pair_columns<Written, D> to,
                                                   index_t num_pairs, const T* cos, const T* sin) noexcept {
  index_t whole = 0;
  if constexpr (in_vectors<S, T> && in_vectors<D, T>) {
    whole = num_pairs - num_pairs % lanes<T>;
    for (index_t i = 0; i < whole; i += lanes<T>) {
      vector<T> a, b;
      load_pairs<T>(from, i, a, b);
      const auto c = load<vector<T>>(cos + i);
      const auto s = load<vector<T>>(sin + i);
      store_pairs<T>(to, i, a * c - b * s, a * s + b * c);
    }
  }
  if (whole < num_pairs) rotate_last_pairs_to(from, to, whole, num_pairs, cos, sin);
}

// Vectorized by hand, so that run-time sizes cost little: with a constant per head size, each combination of types and
// pairings would be compiled six times.
template <pairing Read, pairing Written, scalar S, scalar D, real T>
[[gnu::noinline]] void rotate_heads_to(const S* from, index_t from_head_stride, D* to, index_t to_head_stride,
                                       index_t num_heads, index_t distance, index_t num_pairs, const T* cos,
                                       const T* sin) noexcept {
  for (index_t h = 0; h < num_heads; ++h) {
    rotate_pairs_to(pair_columns<Read, const S>{from + h * from_head_stride, distance},
                    pair_columns<Written, D>{to + h * to_head_stride, distance}, num_pairs, cos, sin);
  }
}

/// Calls `run` with both pairings as constants.
template <class Run>
void with_pairings(pairing read, pairing written, Run run) noexcept {
  using half = std::integral_constant<pairing, pairing::half>;
  using interleaved = std::integral_constant<pairing, pairing::interleaved>;
  if (read == pairing::half) return written == pairing::half ? run(half{}, half{}) : run(half{}, interleaved{});
  return written == pairing::half ? run(interleaved{}, half{}) : run(interleaved{}, interleaved{});
}

}  // namespace detail

/// Rotates pairs [first_pair, first_pair + num_pairs) of every head of one token, read in one pairing, written in
/// another.
///
/// from, to     the token's rotary slice in its first head. They must not overlap; if `read` is `written` and S is D,
///              they may be the same memory.
/// slice_pairs  pairs in the whole slice
/// cos, sin     [num_pairs]; finite
template <scalar S, scalar D, real T>
void rotate_heads_to(const S* from, index_t from_head_stride, pairing read,  //
                     D* to, index_t to_head_stride, pairing written,         //
                     index_t num_heads, index_t slice_pairs, index_t first_pair, index_t num_pairs, const T* cos,
                     const T* sin) noexcept {
  const auto first_column = [first_pair](pairing pairs) {
    return pairs == pairing::interleaved ? 2 * first_pair : first_pair;
  };
  from += first_column(read);
  to += first_column(written);
  detail::with_pairings(read, written, [&](auto r, auto w) {
    detail::rotate_heads_to<r(), w()>(from, from_head_stride, to, to_head_stride, num_heads, slice_pairs, num_pairs,
                                      cos, sin);
  });
}

}  // namespace kernels

}  // namespace posenc::inline POSENC_ISA
