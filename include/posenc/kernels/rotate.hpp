// Rotates pairs of columns by given cosines and sines: pointers and strides, no encoding.
#pragma once

#include <posenc/error.hpp>  // index_t
#include <posenc/kernels/rotate_half.hpp>
#include <posenc/kernels/rotate_interleaved.hpp>
#include <posenc/scalar.hpp>

#include <cstdint>

namespace posenc::inline POSENC_ISA {

/// Which columns of a rotary slice of d columns are rotated together. Models differ and checkpoints must match, so
/// there is no default.
///
///     half         (i, i + d/2)   also: NEOX (ggml), not traditional (MLX), interleave=False (FlashInfer), rotate_half
///     interleaved  (2i, 2i + 1)   also: NORMAL (ggml), traditional (MLX), interleave=True (FlashInfer), complex pairs
enum class pairing : std::uint8_t { half, interleaved };

/// Direction of rotation: `inverse` undoes `forward`, and is its adjoint.
enum class direction : std::uint8_t { forward, inverse };

namespace kernels {

// Rotating in place reads and writes each element once, so it can be as fast as memory if nothing else costs: one pass
// in memory order (token, head, column), trip counts that the compiler knows, and cosines and sines arranged in loop
// order once per token, for all its heads.

namespace detail {

template <index_t Pairs>
struct known_pairs {};

/// Calls `run` with the number of pairs as a constant for the head sizes in use (64, 80, 96, 128, 256, and slices of
/// them): worth a factor of two in L1 with GCC. Inlined, or the captures of `run` would go through memory, a tenth of
/// the time for one token.
template <class Run>
[[gnu::always_inline]] inline void with_known_pairs(index_t num_pairs, Run run) noexcept {
  switch (num_pairs) {
    case 16:
      return run(known_pairs<16>{});
    case 32:
      return run(known_pairs<32>{});
    case 40:
      return run(known_pairs<40>{});
    case 48:
      return run(known_pairs<48>{});
    case 64:
      return run(known_pairs<64>{});
    case 128:
      return run(known_pairs<128>{});
    default:
      return run(known_pairs<0>{});
  }
}

template <bool InMemory, scalar S, real T>
[[gnu::always_inline]] inline void rotate_forward(S* x, index_t num_heads, index_t head_stride, pairing pairs,
                                                  index_t slice_pairs, index_t first_pair, index_t num_pairs,
                                                  const T* cos, const T* sin) noexcept {
  if constexpr (InMemory && std::same_as<S, T>) {
    if (pairs == pairing::half)
      return rotate_half_in_memory(x + first_pair, num_heads, head_stride, slice_pairs, num_pairs, cos, sin);
  }
  if (pairs == pairing::interleaved) {
    with_known_pairs(num_pairs, [&]<index_t Pairs>(known_pairs<Pairs>) {
      rotate_interleaved<Pairs>(x + 2 * first_pair, num_heads, head_stride, num_pairs, cos, sin);
    });
  } else if (num_pairs == slice_pairs) {
    with_known_pairs(num_pairs, [&]<index_t Pairs>(known_pairs<Pairs>) {
      rotate_half<Pairs>(x, num_heads, head_stride, slice_pairs, num_pairs, cos, sin);
    });
  } else {
    rotate_half<0>(x + first_pair, num_heads, head_stride, slice_pairs, num_pairs, cos, sin);
  }
}

template <bool InMemory, scalar S, real T>
[[gnu::noinline]] void rotate_back(S* x, index_t num_heads, index_t head_stride, pairing pairs, index_t slice_pairs,
                                   index_t first_pair, index_t num_pairs, const T* cos, const T* sin) noexcept {
  T negated[max_pairs] = {};
  for (index_t i = 0; i < num_pairs; ++i) negated[i] = -sin[i];
  rotate_forward<InMemory>(x, num_heads, head_stride, pairs, slice_pairs, first_pair, num_pairs, cos, negated);
}

}  // namespace detail

/// Rotates pairs [first_pair, first_pair + num_pairs) of every head of one token, in place.
///
/// x            the token's rotary slice in its first head; heads are `head_stride` apart
/// slice_pairs  pairs in the whole slice; num_pairs is at most max_pairs
/// cos, sin     [num_pairs], in double for double data; finite
/// InMemory     whether the call's tokens are more than caches hold: see rotate_half_in_memory
template <bool InMemory = false, scalar S, real T>
[[gnu::always_inline]] inline void rotate_heads(S* x, index_t num_heads, index_t head_stride, pairing pairs,
                                                index_t slice_pairs, index_t first_pair, index_t num_pairs,
                                                const T* cos, const T* sin, direction way) noexcept {
  if (way == direction::forward)
    detail::rotate_forward<InMemory>(x, num_heads, head_stride, pairs, slice_pairs, first_pair, num_pairs, cos, sin);
  else
    detail::rotate_back<InMemory>(x, num_heads, head_stride, pairs, slice_pairs, first_pair, num_pairs, cos, sin);
}

}  // namespace kernels

}  // namespace posenc::inline POSENC_ISA
