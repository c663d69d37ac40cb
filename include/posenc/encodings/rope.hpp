// Rotary position embedding (RoPE).
#pragma once

#include <posenc/angles/consecutive.hpp>
#include <posenc/angles/cos_sin.hpp>      // cos_sin
#include <posenc/angles/frequencies.hpp>  // frequencies
#include <posenc/encode.hpp>              // unchecked, the checked front
#include <posenc/kernels/change_pairing.hpp>
#include <posenc/kernels/rotate.hpp>  // pairing, rotate_heads

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

namespace posenc::inline POSENC_ISA {

namespace detail {

/// Whether the tokens are more than caches hold.
template <element S>
bool is_in_memory(head_view<S> x) noexcept {
  constexpr index_t caches = index_t{24} << 20;  // bytes; prefetching from L3 would cost a tenth
  return x.num_tokens * x.num_heads * x.head_dim > caches / static_cast<index_t>(sizeof(S));
}

}  // namespace detail

/// Rows of cosines and sines, one per token or per position: from `fill_cos_sin`, or another library's cache.
///
///     two arrays [num_rows, num_pairs]         {cos, sin, num_rows, num_pairs}               (ONNX)
///     one array [num_rows, cos | sin]          {x, x + num_pairs, num_rows, num_pairs, 2 * num_pairs}   (vLLM)
template <element C>
struct cos_sin_rows {
  C* cos = nullptr;  // [num_rows, num_pairs]
  C* sin = nullptr;  // [num_rows, num_pairs]
  index_t num_rows = 0;
  index_t num_pairs = 0;
  index_t row_stride = 0;  // in elements

  cos_sin_rows() = default;
  cos_sin_rows(C* cosines, C* sines, index_t rows, index_t pairs) : cos_sin_rows(cosines, sines, rows, pairs, pairs) {}
  cos_sin_rows(C* cosines, C* sines, index_t rows, index_t pairs, index_t stride)
      : cos(cosines), sin(sines), num_rows(rows), num_pairs(pairs), row_stride(stride) {}
  template <class M>
  requires(std::is_const_v<C>&& std::same_as<M, std::remove_const_t<C>>) cos_sin_rows(const cos_sin_rows<M>& rows)
      : cos_sin_rows(rows.cos, rows.sin, rows.num_rows, rows.num_pairs, rows.row_stride) {}
};

/// The direction in which positions rotate. A model needs the one that it was trained with.
enum class rotation_sign : std::uint8_t { positive, negative };

/// Rotation options that few models need.
struct rope_options {
  index_t first_column = 0;                      // of the rotary slice in a head
  std::optional<pairing> output{};               // the pairing that is written; default: the one that is read
  rotation_sign sign = rotation_sign::positive;  // negative: rotates by -position * inv_freq (nanochat)
};

/// Rotates each pair of columns of queries and keys by position * inv_freq, so that scores depend on distance alone.
///
///     y[a] = m (x[a] cos(p w_i) - x[b] sin(p w_i))     (a, b) = (i, i + d/2) or (2i, 2i + 1), w = inv_freq
///     y[b] = m (x[a] sin(p w_i) + x[b] cos(p w_i))     m = attention_factor of the frequencies
///
///     rope(pairing::half, list)                                       // llama
///     rope(pairing::interleaved, list, {.output = pairing::half})     // DeepSeek: reads adjacent pairs, writes halves
///
/// Acts on    queries and keys, in place: columns [first_column, first_column + rotary_dim) of each head; the rest is
///            unchanged.
/// Positions  any 32-bit, and real ones; one axis, or as many as the frequencies read (M-RoPE).
/// Storage    the frequencies; no table. `fill_cos_sin` writes one into the caller's memory, for all layers of a step.
/// Errors     first_column < 0, no pairs, more than 8 axes, or more than 1024 pairs with a different output pairing,
///            throws invalid_argument; check_rotate reports a head that is too narrow for the slice.
/// Accuracy   that of `cos_sin`, then one rounding of each product and sum in float (double for double data).
/// Source     Su et al. 2021, arXiv:2104.09864; pairings as in transformers' llama (half), gptj (interleaved) and
///            deepseek_v3 (both).
class rope {
 public:
  /// More axes than any model reads; positions of one token are gathered on the stack.
  static constexpr index_t max_axes = 8;

  rope(pairing pairs, frequencies list, index_t first_column = 0)
      : rope(pairs, std::move(list), rope_options{.first_column = first_column}) {}
  rope(pairing pairs, frequencies list, const rope_options& options)
      : frequencies_(std::move(list)),
        first_column_(options.first_column),
        pairing_(pairs),
        output_(options.output.value_or(pairs)),
        sign_(options.sign) {
    require(frequencies_.size() >= 1, "rope", "number of frequencies", frequencies_.size(), "at least 1");
    require(first_column_ >= 0, "rope", "first_column", first_column_, "at least 0");
    require(frequencies_.num_axes() <= max_axes, "rope", "number of axes", frequencies_.num_axes(), "at most #",
            max_axes);
    require(output_ == pairing_ || frequencies_.size() <= kernels::max_moved_pairs, "rope",
            "number of frequencies with another pairing for output", frequencies_.size(), "at most #",
            kernels::max_moved_pairs);
  }

  const frequencies& inv_freq() const noexcept { return frequencies_; }
  pairing layout() const noexcept { return pairing_; }        // read
  pairing output_layout() const noexcept { return output_; }  // written
  rotation_sign sign() const noexcept { return sign_; }
  index_t num_pairs() const noexcept { return frequencies_.size(); }
  index_t rotary_dim() const noexcept { return 2 * frequencies_.size(); }
  index_t first_column() const noexcept { return first_column_; }
  /// Factor for the softmax scale (YaRN as in DeepSeek), 1 for most.
  double softmax_multiplier() const noexcept { return frequencies_.softmax_multiplier(); }

  template <element S, token_positions P>
  void apply_to_queries(head_view<S> x, const P& p) const noexcept {
    turn(p, direction::forward, frequencies_.attention_factor(), x);
  }
  template <element S, token_positions P>
  void apply_to_keys(head_view<S> x, const P& p) const noexcept {
    turn(p, direction::forward, frequencies_.attention_factor(), x);
  }

  index_t num_position_axes() const noexcept { return frequencies_.num_axes(); }

  template <token_positions P>
  problem check_rotate(const head_shape& shape, const P&) const noexcept {
    return check_slice(shape.head_dim);
  }
  problem check_slice(index_t head_dim) const noexcept {
    if (head_dim >= first_column_ + rotary_dim()) return {};
    return problem::invalid("rotate", "head_dim", head_dim, "at least #, the end of the rotary slice",
                            first_column_ + rotary_dim());
  }

  // The adjoint of a rotation is the inverse rotation; the attention factor is its own adjoint.
  template <element S>
  void apply_to_queries_backward(head_view<const S>, head_view<S> gradients, const positions& p,
                                 std::span<compute_t<S>>) const noexcept {
    turn(p, direction::inverse, frequencies_.attention_factor(), gradients);
  }
  template <element S>
  void apply_to_keys_backward(head_view<const S>, head_view<S> gradients, const positions& p,
                              std::span<compute_t<S>>) const noexcept {
    turn(p, direction::inverse, frequencies_.attention_factor(), gradients);
  }

  /// Rotates all views by the same angles: one row of cosines and sines per token, whatever the number of heads. The
  /// inverse reads the pairing that the forward rotation writes. Unchecked.
  template <token_positions P, element... S>
  void turn(const P& p, direction way, double magnitude, head_view<S>... x) const noexcept {
    const bool forward = way == direction::forward;
    turn_between(forward ? pairing_ : output_, forward ? output_ : pairing_, p, way, magnitude, x...);
  }
  /// Rotates further what has been rotated already, in the pairing that was written then. Unchecked.
  template <token_positions P, element S>
  void turn_on(const P& p, double magnitude, head_view<S> x) const noexcept {
    turn_between(output_, output_, p, direction::forward, magnitude, x);
  }

  /// cos and sin of token t, pairs [first, first + count), times `magnitude`; a negative sign is in the sine.
  template <real T, token_positions P>
  void angles(const P& p, index_t t, index_t first, index_t count, double magnitude, T* cos, T* sin) const noexcept {
    using coordinate = std::conditional_t<std::same_as<P, positions>, position_t, double>;
    coordinate by_axis[max_axes];
    for (index_t a = 0; a < frequencies_.num_axes(); ++a) by_axis[a] = p.at(a, t);
    cos_sin(frequencies_, by_axis, first, count, cos, sin);
    multiply(count, magnitude, cos, sin);
  }
  /// Applies the magnitude and the sign to cosines and sines of unit magnitude and positive sign.
  template <real T>
  void multiply(index_t count, double magnitude, T* cos, T* sin) const noexcept {
    if (frequencies_.float32_angles()) magnitude = static_cast<float>(magnitude);
    const double of_sine = sign_ == rotation_sign::positive ? magnitude : -magnitude;
    if (magnitude == 1 && of_sine == 1) return;
    for (index_t i = 0; i < count; ++i) {
      cos[i] = static_cast<T>(static_cast<double>(cos[i]) * magnitude);
      sin[i] = static_cast<T>(static_cast<double>(sin[i]) * of_sine);
    }
  }

 private:
  template <token_positions P, element... S>
  void turn_between(pairing read, pairing written, const P& p, direction way, double magnitude,
                    head_view<S>... x) const noexcept {
    if ((detail::is_in_memory(x) || ...))
      turn_tokens<true>(read, written, p, way, magnitude, x...);
    else
      turn_tokens<false>(read, written, p, way, magnitude, x...);
  }

  template <bool InMemory, token_positions P, element... S>
  void turn_tokens(pairing read, pairing written, const P& p, direction way, double magnitude,
                   head_view<S>... x) const noexcept {
    using T = std::common_type_t<compute_t<S>...>;
    const index_t num_tokens = p.size();
    alignas(64) T cos[kernels::max_pairs];
    alignas(64) T sin[kernels::max_pairs];
    for (index_t t = 0; t < num_tokens; ++t) {
      for (index_t first = 0; first < num_pairs(); first += kernels::max_pairs) {
        const index_t count = std::min(kernels::max_pairs, num_pairs() - first);
        angles(p, t, first, count, magnitude, cos, sin);
        (kernels::rotate_heads<InMemory>(x.row(t, 0) + first_column_, x.num_heads, x.head_stride, read, num_pairs(),
                                         first, count, cos, sin, way),
         ...);
      }
      if (read == written) continue;
      (kernels::change_pairing(x.row(t, 0) + first_column_, x.num_heads, x.head_stride, read, num_pairs()), ...);
    }
  }

  frequencies frequencies_;
  index_t first_column_;
  pairing pairing_;
  pairing output_;
  rotation_sign sign_;
};

static_assert(query_key_encoding<rope, float> && real_query_key_encoding<rope, double>);

// ---- Rotation of queries and keys ----

namespace detail {

/// Adjacent queries and keys, as a joint projection leaves them, are one view of more heads: a single loop over heads
/// is a tenth faster than two of different lengths, whose ends no processor predicts.
template <element Q, element K>
bool adjoin(head_view<Q> q, head_view<K> k) noexcept {
  if constexpr (std::same_as<Q, K>) {
    return k.data == q.row(0, q.num_heads) && k.head_stride == q.head_stride && k.token_stride == q.token_stride &&
           k.num_tokens == q.num_tokens;
  }
  return false;
}
template <element S>
head_view<S> joined(head_view<S> q, index_t more_heads) noexcept {
  return {q.data, q.num_tokens, q.num_heads + more_heads, q.head_dim, q.token_stride, q.head_stride};
}

}  // namespace detail

/// Rotates queries and keys in place, with one row of angles per token for both.
///
/// q     [num_tokens, num_heads, head_dim]
/// k     [num_tokens, num_kv_heads, head_dim], its own strides and element type
/// p     one position per token
/// Errors: those of `check_rotate`, raised before anything is written.
template <element Q, element K, position_source P>
void rotate(unchecked_t, const rope& rotary, head_view<Q> q, head_view<K> k, const P& p) noexcept {
  if constexpr (std::same_as<Q, K>) {
    if (detail::adjoin(q, k)) return apply_to_queries(unchecked, rotary, detail::joined(q, k.num_heads), p);
  }
  rotary.turn(as_positions(p), direction::forward, rotary.inv_freq().attention_factor(), q, k);
}
template <element Q, element K, position_source P>
void rotate(const rope& rotary, head_view<Q> q, head_view<K> k, const P& p) {
  raise_if(check_rotate(rotary, q, p));
  raise_if(check_rotate(rotary, k, p));
  rotate(unchecked, rotary, q, k, p);
}

/// The same for one of them.
template <element S, position_source P>
void rotate(unchecked_t, const rope& rotary, head_view<S> x, const P& p) noexcept {
  apply_to_queries(unchecked, rotary, x, p);
}
template <element S, position_source P>
void rotate(const rope& rotary, head_view<S> x, const P& p) {
  apply_to_queries(rotary, x, p);
}

/// Undoes `rotate`, including the attention factor.
template <element S, position_source P>
void unrotate(unchecked_t, const rope& rotary, head_view<S> x, const P& p) noexcept {
  rotary.turn(as_positions(p), direction::inverse, 1 / rotary.inv_freq().attention_factor(), x);
}
template <element S, position_source P>
void unrotate(const rope& rotary, head_view<S> x, const P& p) {
  raise_if(check_rotate(rotary, x, p));
  unrotate(unchecked, rotary, x, p);
}

/// Moves rotated keys forward by `by` positions (back, if negative), for a context shift. The magnitude is unchanged,
/// because the attention factor is in the keys already. Each shift rounds once more: one by the sum is better than many
/// (rope_cache.hpp has figures).
///
/// by    one difference of positions per token
template <element S, position_source P>
void shift(unchecked_t, const rope& rotary, head_view<S> rotated, const P& by) noexcept {
  rotary.turn_on(as_positions(by), 1, rotated);
}
template <element S, position_source P>
void shift(const rope& rotary, head_view<S> rotated, const P& by) {
  raise_if(check_rotate(rotary, rotated, by));
  shift(unchecked, rotary, rotated, by);
}

// ---- Rotation by rows of cosines and sines ----

namespace detail {

template <element C>
problem check_rows(const char* operation, cos_sin_rows<C> rows, index_t num_pairs, index_t num_rows) noexcept {
  if (rows.num_pairs != num_pairs)
    return problem::invalid(operation, "pairs of the cos and sin rows", rows.num_pairs, "#, those of the rotary slice",
                            num_pairs);
  if (rows.num_rows < num_rows)
    return problem::invalid(operation, "number of cos and sin rows", rows.num_rows, "at least #, one for each token",
                            num_rows);
  return {};
}

template <element C>
problem check_row_slice(cos_sin_rows<C> rows, index_t head_dim, index_t first_column) noexcept {
  if (first_column < 0) return problem::invalid("rotate", "first_column", first_column, "at least 0");
  if (head_dim >= first_column + 2 * rows.num_pairs) return {};
  return problem::invalid("rotate", "head_dim", head_dim, "at least #, the end of the rotary slice",
                          first_column + 2 * rows.num_pairs);
}

// Inlined, or the rows and the sizes would go through memory for each token.
template <bool InMemory = false, element S, element C>
[[gnu::always_inline]] inline void rotate_token(S* slice, index_t num_heads, index_t head_stride, pairing pairs,
                                                cos_sin_rows<C> rows, index_t row, direction way) noexcept {
  using T = compute_t<S>;
  constexpr index_t block = kernels::max_pairs;
  const C* row_cos = rows.cos + row * rows.row_stride;
  const C* row_sin = rows.sin + row * rows.row_stride;
  for (index_t first = 0; first < rows.num_pairs; first += block) {
    const index_t count = std::min(block, rows.num_pairs - first);
    const auto rotate_by = [&](const T* cos, const T* sin) {
      kernels::rotate_heads<InMemory>(slice, num_heads, head_stride, pairs, rows.num_pairs, first, count, cos, sin,
                                      way);
    };
    if constexpr (std::same_as<std::remove_const_t<C>, T>) {
      rotate_by(row_cos + first, row_sin + first);
    } else {
      T cos[block];
      T sin[block];
      for (index_t i = 0; i < count; ++i) {
        cos[i] = widen<T>(row_cos[first + i]);
        sin[i] = widen<T>(row_sin[first + i]);
      }
      rotate_by(cos, sin);
    }
  }
}

template <element C, element S>
[[gnu::noinline]] void rotate_in_memory(cos_sin_rows<C> rows, pairing pairs, head_view<S> x, index_t first_column,
                                        direction way) noexcept {
  for (index_t t = 0; t < x.num_tokens; ++t) {
    rotate_token<true>(x.row(t, 0) + first_column, x.num_heads, x.head_stride, pairs, rows, t, way);
  }
}

}  // namespace detail

namespace detail {

/// cos and sin of token t, rounded to the type of the row.
template <element C, token_positions P>
void narrow_angles(const rope& rotary, const P& p, index_t t, double magnitude, C* row_cos, C* row_sin) noexcept {
  constexpr index_t block = kernels::max_pairs;
  compute_t<C> cos[block];
  compute_t<C> sin[block];
  for (index_t first = 0; first < rotary.num_pairs(); first += block) {
    const index_t count = std::min(block, rotary.num_pairs() - first);
    rotary.angles(p, t, first, count, magnitude, cos, sin);
    for (index_t i = 0; i < count; ++i) {
      row_cos[first + i] = narrow<C>(cos[i]);
      row_sin[first + i] = narrow<C>(sin[i]);
    }
  }
}

/// Fills rows for a range of positions. Unchecked.
inline void fill_consecutive(const rope& rotary, const positions& p, double magnitude,
                             cos_sin_rows<float> rows) noexcept {
  constexpr index_t block = consecutive_angles::max_pairs;
  for (index_t first = 0; first < rotary.num_pairs(); first += block) {
    const index_t count = std::min(block, rotary.num_pairs() - first);
    consecutive_angles angles(rotary.inv_freq(), first, count);
    for (index_t t = 0; t < p.size(); ++t) {
      float* const cos = rows.cos + t * rows.row_stride + first;
      float* const sin = rows.sin + t * rows.row_stride + first;
      angles.row(p[t], cos, sin);
      rotary.multiply(count, magnitude, cos, sin);
    }
  }
}

}  // namespace detail

/// Writes cos and sin of each token, including the attention factor: one table for all layers and heads of a step.
///
/// Float rows for a range of positions cost half as much as for a list, with the same accuracy: see
/// `consecutive_angles`.
///
/// rows  [num_tokens, num_pairs], in the caller's memory
template <element C, position_source P>
void fill_cos_sin(const rope& rotary, const P& p, cos_sin_rows<C> rows) {
  using T = compute_t<C>;
  const auto at = as_positions(p);
  raise_if(check_positions("fill_cos_sin", at, at.size(), rotary.num_position_axes()));
  raise_if(detail::check_rows("fill_cos_sin", rows, rotary.num_pairs(), at.size()));
  const double magnitude = rotary.inv_freq().attention_factor();
  if constexpr (std::same_as<C, float> && std::convertible_to<const P&, positions>) {
    if (at.consecutive() && !rotary.inv_freq().float32_angles())
      return detail::fill_consecutive(rotary, at, magnitude, rows);
  }
  for (index_t t = 0; t < at.size(); ++t) {
    C* row_cos = rows.cos + t * rows.row_stride;
    C* row_sin = rows.sin + t * rows.row_stride;
    if constexpr (std::same_as<C, T>) {
      rotary.angles(at, t, 0, rows.num_pairs, magnitude, row_cos, row_sin);
    } else {
      detail::narrow_angles(rotary, at, t, magnitude, row_cos, row_sin);
    }
  }
}

/// Rotates by given rows, row t for token t; the slice starts at `first_column`.
///
/// rows  [>= num_tokens, num_pairs]; rotary_dim is twice num_pairs
template <element C, element S>
void rotate(unchecked_t, cos_sin_rows<C> rows, pairing pairs, head_view<S> x, index_t first_column = 0,
            direction way = direction::forward) noexcept {
  if (detail::is_in_memory(x)) return detail::rotate_in_memory(rows, pairs, x, first_column, way);
  for (index_t t = 0; t < x.num_tokens; ++t) {
    detail::rotate_token(x.row(t, 0) + first_column, x.num_heads, x.head_stride, pairs, rows, t, way);
  }
}
template <element C, element S>
void rotate(cos_sin_rows<C> rows, pairing pairs, head_view<S> x, index_t first_column = 0,
            direction way = direction::forward) {
  raise_if(detail::check_rows("rotate", rows, rows.num_pairs, x.num_tokens));
  raise_if(detail::check_row_slice(rows, x.head_dim, first_column));
  rotate(unchecked, rows, pairs, x, first_column, way);
}

/// The same for queries and keys, token by token, so that a row is read once.
template <element C, element Q, element K>
void rotate(unchecked_t, cos_sin_rows<C> rows, pairing pairs, head_view<Q> q, head_view<K> k, index_t first_column = 0,
            direction way = direction::forward) noexcept {
  if constexpr (std::same_as<Q, K>) {
    if (detail::adjoin(q, k)) return rotate(unchecked, rows, pairs, detail::joined(q, k.num_heads), first_column, way);
  }
  if (detail::is_in_memory(q)) {
    rotate(unchecked, rows, pairs, q, first_column, way);
    return rotate(unchecked, rows, pairs, k, first_column, way);
  }
  for (index_t t = 0; t < q.num_tokens; ++t) {
    detail::rotate_token(q.row(t, 0) + first_column, q.num_heads, q.head_stride, pairs, rows, t, way);
    detail::rotate_token(k.row(t, 0) + first_column, k.num_heads, k.head_stride, pairs, rows, t, way);
  }
}
template <element C, element Q, element K>
void rotate(cos_sin_rows<C> rows, pairing pairs, head_view<Q> q, head_view<K> k, index_t first_column = 0,
            direction way = direction::forward) {
  raise_if(detail::check_rows("rotate", rows, rows.num_pairs, q.num_tokens));
  require(k.num_tokens == q.num_tokens, "rotate", "num_tokens of k", k.num_tokens, "#, that of q", q.num_tokens);
  raise_if(detail::check_row_slice(rows, q.head_dim, first_column));
  raise_if(detail::check_row_slice(rows, k.head_dim, first_column));
  rotate(unchecked, rows, pairs, q, k, first_column, way);
}

/// Rotates by a cache of rows, one per position (ONNX RotaryEmbedding): the row of a token is its position.
/// Errors: a position outside the cache throws out_of_range, before anything is written.
template <element C, element S, position_source P>
void rotate(cos_sin_rows<C> cache, pairing pairs, head_view<S> x, const P& p, index_t first_column = 0,
            direction way = direction::forward) {
  const positions at(p);
  raise_if(check_positions("rotate", at, x.num_tokens));
  raise_if(detail::check_row_slice(cache, x.head_dim, first_column));
  for (index_t t = 0; t < at.size(); ++t) {
    if (at[t] >= 0 && at[t] < cache.num_rows) continue;
    raise(problem::out_of_range("rotate", "positions", at[t], "from 0 to #, the rows of the cos and sin cache",
                                cache.num_rows - 1)
              .at(t));
  }
  for (index_t t = 0; t < x.num_tokens; ++t) {
    detail::rotate_token(x.row(t, 0) + first_column, x.num_heads, x.head_stride, pairs, cache, at[t], way);
  }
}

}  // namespace posenc::inline POSENC_ISA
