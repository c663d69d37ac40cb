// Rotation of pairs of columns by given cosines and sines: pointers and strides, no encoding.
#pragma once

#include <posenc/error.hpp>   // index_t
#include <posenc/scalar.hpp>  // widen, narrow

#include <cstdint>

namespace posenc::inline POSENC_ISA {

/// Which columns of a rotary slice of d columns turn together. Models differ, checkpoints must match, so nothing
/// defaults.
///
///     half         (i, i + d/2)    also: NEOX (ggml), not traditional (MLX), interleave=False (FlashInfer),
///     rotate_half interleaved  (2i, 2i + 1)    also: NORMAL (ggml), traditional (MLX), interleave=True (FlashInfer),
///     complex pairs
enum class pairing : std::uint8_t { half, interleaved };

/// Which way to turn: `inverse` undoes `forward`, and is its adjoint.
enum class direction : std::uint8_t { forward, inverse };

namespace kernels {

namespace detail {

// (x0, x1) turned by one angle. Written with the sine's sign outside, so that both directions are one loop.
template <real T, scalar S>
void turn(S& x0, S& x1, T cos, T sin) noexcept {
  const T a = widen<T>(x0);
  const T b = widen<T>(x1);
  x0 = narrow<S>(a * cos - b * sin);
  x1 = narrow<S>(a * sin + b * cos);
}

}  // namespace detail

/// Turns pairs [first_pair, first_pair + num_pairs) of every head of one token, in place.
///
/// `x`: the token's rotary slice in its first head; heads lie `head_stride` apart. `slice_pairs`: pairs in the whole
/// slice. `cos`, `sin`: [num_pairs], those of the first pair first, in double for double data.
template <scalar S, real T>
void rotate_heads(S* x, index_t num_heads, index_t head_stride, pairing pairs, index_t slice_pairs, index_t first_pair,
                  index_t num_pairs, const T* cos, const T* sin, direction way) noexcept {
  const T sign = way == direction::forward ? T(1) : T(-1);
  for (index_t h = 0; h < num_heads; ++h) {
    S* slice = x + h * head_stride;
    if (pairs == pairing::half) {
      S* __restrict low = slice + first_pair;
      S* __restrict high = low + slice_pairs;
      for (index_t i = 0; i < num_pairs; ++i) detail::turn(low[i], high[i], cos[i], sign * sin[i]);
    } else {
      S* pair = slice + 2 * first_pair;
      for (index_t i = 0; i < num_pairs; ++i) detail::turn(pair[2 * i], pair[2 * i + 1], cos[i], sign * sin[i]);
    }
  }
}

}  // namespace kernels

}  // namespace posenc::inline POSENC_ISA
