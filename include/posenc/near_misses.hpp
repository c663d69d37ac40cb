// Finds misspelled hooks by name and rejects them with a message that states the required signature.
#pragma once

#include <posenc/concepts.hpp>

#include <concepts>
#include <span>
#include <tuple>
#include <type_traits>

namespace posenc::inline POSENC_ISA {

namespace detail {

// Whether E has a member of a given name, of any kind: data, function, template, overloaded, private. Inheriting that
// name from a second base makes it ambiguous exactly then. (In a final class only a plain, accessible member is found.)
#define POSENC_NAMES_(member)                               \
  struct owner_of_##member {                                \
    int member;                                             \
  };                                                        \
  template <class E>                                        \
  struct ambiguous_##member : E, owner_of_##member {};      \
  template <class E>                                        \
  consteval bool names_##member() {                         \
    if constexpr (!std::is_class_v<E>)                      \
      return false;                                         \
    else if constexpr (std::is_final_v<E>)                  \
      return requires { &E::member; };                      \
    else                                                    \
      return !requires { &ambiguous_##member<E>::member; }; \
  }
POSENC_NAMES_(add_to)
POSENC_NAMES_(apply_to_queries)
POSENC_NAMES_(apply_to_keys)
POSENC_NAMES_(bias)
POSENC_NAMES_(fill_bias)
POSENC_NAMES_(add_to_scores)
POSENC_NAMES_(begin)
POSENC_NAMES_(scratch_size)
POSENC_NAMES_(reads_content)
POSENC_NAMES_(check_add)
POSENC_NAMES_(check_rotate)
POSENC_NAMES_(check_scores)
POSENC_NAMES_(bias_backward)
POSENC_NAMES_(add_to_scores_backward)
#undef POSENC_NAMES_

/// Whether E has a member named like a hook, whatever its signature.
template <class E>
consteval bool names_a_hook() {
  return names_add_to<E>() || names_apply_to_queries<E>() || names_apply_to_keys<E>() || names_bias<E>() ||
         names_add_to_scores<E>();
}

// clang-format off

/// Has every hook by name (`combine`, `scores_of`); its parts, a tuple of types, are checked instead.
template <class E>
concept composite = requires { typename E::parts; };

template <class E, class S>
concept has_check_add = requires(const E& e, const embedding_shape& shape, const positions& p) {
  { e.check_add(shape, p) } noexcept -> std::same_as<problem>;
} || requires(const E& e, const embedding_shape& shape, const positions& p) {
  { e.template check_add<S>(shape, p) } noexcept -> std::same_as<problem>;
};
template <class E, class S>
concept has_check_rotate = requires(const E& e, const head_shape& shape, const positions& p) {
  { e.check_rotate(shape, p) } noexcept -> std::same_as<problem>;
} || requires(const E& e, const head_shape& shape, const positions& p) {
  { e.template check_rotate<S>(shape, p) } noexcept -> std::same_as<problem>;
};
template <class E, class S>
concept has_check_scores = requires(const E& e, const score_shape& shape, const positions& p) {
  { e.check_scores(shape, p, p) } noexcept -> std::same_as<problem>;
} || requires(const E& e, const score_shape& shape, const positions& p) {
  { e.template check_scores<S>(shape, p, p) } noexcept -> std::same_as<problem>;
};
template <class E, class T>
concept has_fill_bias = requires(const E& e, index_t head, position_t first, index_t count, T* out) {
  { e.fill_bias(head, first, count, out) } noexcept -> std::same_as<void>;
};
template <class E, class T>
concept has_begin = requires(const E& e, const score_tile<T>& tile) {
  { e.begin(tile) } noexcept -> std::same_as<void>;
};
template <class E>
concept has_scratch_size = requires(const E& e, index_t num_queries) {
  { e.scratch_size(num_queries) } noexcept -> std::same_as<index_t>;
};
template <class E>
concept has_reads_content = requires(const E& e) {
  { e.reads_content() } noexcept -> std::same_as<bool>;
};
template <class E, class T>
concept has_backward_by_distance = requires(const E& e, index_t head, position_t first, std::span<const T> sums,
                                            std::span<T> parameters) {
  { e.bias_backward(head, first, sums, parameters) } noexcept -> std::same_as<void>;
};
template <class E, class T>
concept has_backward_by_pair = requires(const E& e, index_t head, position_t query, position_t key, T gradient,
                                        std::span<T> parameters) {
  { e.bias_backward(head, query, key, gradient, parameters) } noexcept -> std::same_as<void>;
};
template <class E, class T>
concept has_backward_by_tile = requires(const E& e, const score_tile<T>& tile, const score_gradients<T>& gradients) {
  { e.add_to_scores_backward(tile, gradients) } noexcept -> std::same_as<void>;
};
template <class E, class T>
concept may_have_distance_bias = relative_bias<E, T> || requires(const E& e) {
  e.template has_distance_bias<T>();
};

// clang-format on

/// The adjoint of a bias of pairs, of the same form as the bias: kernels call no other.
template <class E, class T>
concept has_backward_of_pairs = (pairwise_bias<E, T> && has_backward_by_pair<E, T>) ||
                                (tile_bias<E, T> && has_backward_by_tile<E, T>);

/// A bias that may turn out to depend on distance alone needs both adjoints, one for either case.
template <class E, class T>
concept has_score_adjoint = (relative_bias<E, T> || has_backward_of_pairs<E, T>)&&(!may_have_distance_bias<E, T> ||
                                                                                   has_backward_by_distance<E, T>);

// One struct for each place, whose members assert what may be wrong there. Instantiated by the functions that take
// encodings, so that the message is in the first lines of the compiler's output.

template <class E, class S>
struct embedding_hook_of {
  static_assert(!names_add_to<E>() || embedding_encoding<E, S>,
                "posenc: this encoding has a member add_to that cannot be called for this element type; it must read "
                "void add_to(token_view<S> x, const positions& p) const noexcept");
  static_assert(
      !names_check_add<E>() || has_check_add<E, S>,
      "posenc: check_add must read problem check_add(const embedding_shape&, const positions&) const noexcept");
};

template <class E, class S>
struct query_key_hooks_of {
  static_assert(
      !(names_apply_to_queries<E>() || names_apply_to_keys<E>()) || query_key_encoding<E, S>,
      "posenc: this encoding has a member apply_to_queries or apply_to_keys, but not both as they must read for "
      "this element type: void apply_to_queries(head_view<S> x, const positions& p) const noexcept, and the same "
      "for apply_to_keys");
  static_assert(
      !names_check_rotate<E>() || has_check_rotate<E, S>,
      "posenc: check_rotate must read problem check_rotate(const head_shape&, const positions&) const noexcept");
};

template <class E, class T>
struct score_hook_of {
  static_assert(
      !names_bias<E>() || relative_bias<E, T> || pairwise_bias<E, T>,
      "posenc: this encoding has a member bias that cannot be called as it must be: either T bias(index_t head, "
      "position_t distance) const noexcept or T bias(index_t head, position_t query, position_t key) const "
      "noexcept, one of the two, with exactly these parameter types");
  static_assert(
      !names_add_to_scores<E>() || tile_bias<E, T>,
      "posenc: this encoding has a member add_to_scores that cannot be called for this compute type; it must read "
      "void add_to_scores(const score_tile<T>& tile) const noexcept");
  static_assert(!(names_bias<E>() && names_add_to_scores<E>()),
                "posenc: this encoding has both bias and add_to_scores; they are two spellings of one hook, keep one");
  static_assert(
      !names_fill_bias<E>() || (has_fill_bias<E, T> && (relative_bias<E, T> || tile_bias<E, T>)),
      "posenc: fill_bias must read void fill_bias(index_t head, position_t first_distance, index_t count, T* out) "
      "const noexcept, beside bias(head, distance)");
  static_assert(!(names_begin<E>() || names_scratch_size<E>() || names_reads_content<E>()) || tile_bias<E, T>,
                "posenc: begin, scratch_size and reads_content belong to an encoding that has add_to_scores");
  static_assert(!names_begin<E>() || has_begin<E, T>,
                "posenc: begin must read void begin(const score_tile<T>& tile) const noexcept");
  static_assert(!names_scratch_size<E>() || has_scratch_size<E>,
                "posenc: scratch_size must read index_t scratch_size(index_t num_queries) const noexcept");
  static_assert(!names_reads_content<E>() || has_reads_content<E>,
                "posenc: reads_content must read bool reads_content() const noexcept");
  static_assert(
      !names_check_scores<E>() || has_check_scores<E, T>,
      "posenc: check_scores must read problem check_scores(const score_shape&, const positions& queries, const "
      "positions& keys) const noexcept");
};

template <class E, class T>
struct score_adjoint_of {
  static_assert(!names_bias_backward<E>() || (may_have_distance_bias<E, T> && has_backward_by_distance<E, T>) ||
                    (pairwise_bias<E, T> && has_backward_by_pair<E, T>),
                "posenc: this encoding has a member bias_backward that cannot be called as it must be: either void "
                "bias_backward(index_t head, position_t first_distance, std::span<const T> sums, std::span<T> "
                "parameter_gradients) const noexcept, beside bias(head, distance), or void bias_backward(index_t head, "
                "position_t query, position_t key, T gradient, std::span<T> parameter_gradients) const noexcept, "
                "beside bias(head, query, key)");
  static_assert(!names_add_to_scores_backward<E>() || (tile_bias<E, T> && has_backward_by_tile<E, T>),
                "posenc: this encoding has a member add_to_scores_backward that cannot be called as it must be, beside "
                "add_to_scores: void add_to_scores_backward(const score_tile<T>& before, const score_gradients<T>&) "
                "const noexcept");
};

template <class E, class S, template <class, class> class Hook>
consteval bool check_parts();

template <class Parts, class S, template <class, class> class Hook>
constexpr bool all_parts_checked = true;
template <class... P, class S, template <class, class> class Hook>
constexpr bool all_parts_checked<std::tuple<P...>, S, Hook> = (check_parts<P, S, Hook>() && ...);

template <class E, class S, template <class, class> class Hook>
consteval bool check_parts() {
  if constexpr (composite<E>)
    return all_parts_checked<typename E::parts, S, Hook>;
  else
    return sizeof(Hook<E, S>) != 0;  // completes the type, and with it the assertions
}

}  // namespace detail

/// Does not compile, with a message, if E has a misspelled hook for embeddings of elements of type S.
template <class E, class S>
consteval bool check_embedding_hook() {
  return detail::check_parts<E, S, detail::embedding_hook_of>();
}

/// The same for queries and keys.
template <class E, class S>
consteval bool check_query_key_hooks() {
  return detail::check_parts<E, S, detail::query_key_hooks_of>();
}

/// The same for scores computed in T.
template <class E, class T>
consteval bool check_score_hook() {
  return detail::check_parts<E, T, detail::score_hook_of>();
}

/// The same for its adjoint, where gradients are wanted.
template <class E, class T>
consteval bool check_score_adjoint() {
  return detail::check_parts<E, T, detail::score_adjoint_of>();
}

}  // namespace posenc::inline POSENC_ISA
