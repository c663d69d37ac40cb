// Converts columns of rotary slices from one pairing to the other.
#pragma once

#include <posenc/error.hpp>           // index_t
#include <posenc/kernels/rotate.hpp>  // pairing
#include <posenc/scalar.hpp>

#include <algorithm>

namespace posenc::inline POSENC_ISA {

namespace kernels {

namespace detail {

template <scalar S>
void move_pairs(const S* __restrict from, pairing read, S* __restrict to, index_t num_pairs) noexcept {
  if (read == pairing::interleaved) {
    for (index_t i = 0; i < num_pairs; ++i) {
      to[i] = from[2 * i];
      to[i + num_pairs] = from[2 * i + 1];
    }
  } else {
    for (index_t i = 0; i < num_pairs; ++i) {
      to[2 * i] = from[i];
      to[2 * i + 1] = from[i + num_pairs];
    }
  }
}

}  // namespace detail

/// Largest number of pairs in a slice whose pairing is changed in place, because it is copied through the stack.
inline constexpr index_t max_moved_pairs = 1024;

/// Converts the columns of a slice from one pairing to the other in place, in every head of one token.
///
/// read       the pairing that `x` has now
/// num_pairs  of the slice, at most max_moved_pairs
template <scalar S>
void change_pairing(S* x, index_t num_heads, index_t head_stride, pairing read, index_t num_pairs) noexcept {
  S moved[2 * max_moved_pairs];
  for (index_t h = 0; h < num_heads; ++h) {
    detail::move_pairs(x + h * head_stride, read, moved, num_pairs);
    std::copy_n(moved, 2 * num_pairs, x + h * head_stride);
  }
}

}  // namespace kernels

}  // namespace posenc::inline POSENC_ISA
