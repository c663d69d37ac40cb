// Entry points for embeddings, queries and keys: check, raise, then run the hooks of any encoding.
#pragma once

#include <posenc/hooks.hpp>

#include <type_traits>

namespace posenc::inline POSENC_ISA {

/// As first argument, skips the checks and makes the call noexcept. Precondition: the check of the same arguments finds
/// nothing.
struct unchecked_t {
  explicit unchecked_t() = default;
};
inline constexpr unchecked_t unchecked{};

/// x_t += e(position of t), in place. Does nothing if the encoding does not act on embeddings.
///
/// p          `positions`, `real_positions`, or a contiguous range of ids or coordinates: one per token
/// Errors     those of `check_add`, raised before anything is written.
template <class E, element S, position_source P>
void add_to(unchecked_t, const E& e, token_view<S> x, const P& p) noexcept {
  hooks::add_to(e, x, as_positions(p));
}

/// Returns what would be wrong with `add_to(e, x, p)`, if anything.
template <class E, element S, position_source P>
problem check_add(const E& e, token_view<S> x, const P& p) noexcept {
  using stored = std::remove_const_t<S>;  // a const view can be checked too
  static_assert(check_embedding_hook<E, stored>());
  static_assert(
      !embedding_encoding<E, stored> || std::convertible_to<const P&, positions> || real_embedding_encoding<E, stored>,
      "posenc: this encoding adds to embeddings at integer positions only");
  return hooks::check_add<stored>(e, {x.num_tokens, x.dim}, as_positions(p));
}

template <class E, element S, position_source P>
void add_to(const E& e, token_view<S> x, const P& p) {
  raise_if(check_add(e, x, p));
  add_to(unchecked, e, x, p);
}

/// Returns what would be wrong with `apply_to_queries(e, x, p)` or `apply_to_keys(e, x, p)`, if anything.
template <class E, element S, position_source P>
problem check_rotate(const E& e, head_view<S> x, const P& p) noexcept {
  using stored = std::remove_const_t<S>;  // a const view can be checked too
  static_assert(check_query_key_hooks<E, stored>());
  static_assert(
      !query_key_encoding<E, stored> || std::convertible_to<const P&, positions> || real_query_key_encoding<E, stored>,
      "posenc: this encoding acts on queries and keys at integer positions only");
  return hooks::check_rotate<stored>(e, {x.num_tokens, x.num_heads, x.head_dim}, as_positions(p));
}

/// Transforms queries in place. Does nothing if the encoding does not act on them.
/// Errors: those of `check_rotate`, raised before anything is written.
template <class E, element S, position_source P>
void apply_to_queries(unchecked_t, const E& e, head_view<S> x, const P& p) noexcept {
  hooks::apply_to_queries(e, x, as_positions(p));
}
template <class E, element S, position_source P>
void apply_to_queries(const E& e, head_view<S> x, const P& p) {
  raise_if(check_rotate(e, x, p));
  apply_to_queries(unchecked, e, x, p);
}

/// Transforms keys in place. Does nothing if the encoding does not act on them.
/// Errors: those of `check_rotate`, raised before anything is written.
template <class E, element S, position_source P>
void apply_to_keys(unchecked_t, const E& e, head_view<S> x, const P& p) noexcept {
  hooks::apply_to_keys(e, x, as_positions(p));
}
template <class E, element S, position_source P>
void apply_to_keys(const E& e, head_view<S> x, const P& p) {
  raise_if(check_rotate(e, x, p));
  apply_to_keys(unchecked, e, x, p);
}

}  // namespace posenc::inline POSENC_ISA
