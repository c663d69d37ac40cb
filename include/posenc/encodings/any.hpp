// An encoding chosen at run time.
#pragma once

#include <posenc/hooks.hpp>

#include <concepts>
#include <memory>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

namespace posenc::inline POSENC_ISA {

namespace detail {

// Hooks of a held encoding, per element type and per compute type: pointers, called once per block or tile.

template <class S>
struct element_hooks {
  void (*add_to)(const void*, token_view<S>, const positions&) noexcept;
  void (*add_to_real)(const void*, token_view<S>, const real_positions&) noexcept;
  void (*apply_to_queries)(const void*, head_view<S>, const positions&) noexcept;
  void (*apply_to_queries_real)(const void*, head_view<S>, const real_positions&) noexcept;
  void (*apply_to_keys)(const void*, head_view<S>, const positions&) noexcept;
  void (*apply_to_keys_real)(const void*, head_view<S>, const real_positions&) noexcept;
  problem (*check_add)(const void*, const embedding_shape&, const positions&) noexcept;
  problem (*check_add_real)(const void*, const embedding_shape&, const real_positions&) noexcept;
  problem (*check_rotate)(const void*, const head_shape&, const positions&) noexcept;
  problem (*check_rotate_real)(const void*, const head_shape&, const real_positions&) noexcept;
};

template <class T>
struct score_hooks {
  void (*add_to_scores)(const void*, const score_tile<T>&) noexcept;
  void (*begin)(const void*, const score_tile<T>&) noexcept;
  bool (*acts_on_scores)(const void*) noexcept;
  bool (*has_distance_bias)(const void*) noexcept;
  void (*fill_bias)(const void*, index_t, position_t, index_t, T*) noexcept;
  problem (*check_scores)(const void*, const score_shape&, const positions&, const positions&) noexcept;
  bool (*passes_score_gradients)(const void*) noexcept;
  void (*bias_backward)(const void*, index_t, position_t, std::span<const T>, std::span<T>) noexcept;
  void (*add_to_scores_backward)(const void*, const score_tile<T>&, const score_gradients<T>&) noexcept;
};

struct content_hooks {
  bool (*reads_content)(const void*) noexcept;
  index_t (*scratch_size)(const void*, index_t) noexcept;
  index_t (*num_parameters)(const void*) noexcept;
};

template <class E>
const E& held(const void* e) noexcept {
  return *static_cast<const E*>(e);
}

template <class E, class S, token_positions P>
problem checked_add(const void* e, const embedding_shape& shape, const P& p) noexcept {
  if constexpr (adds_at<E, S, P>)
    return hooks::check_add<S>(held<E>(e), shape, p);
  else
    return problem::invalid("add_to", "number of real-valued positions", p.size(),
                            "integer positions, which alone this encoding takes");
}
template <class E, class S, token_positions P>
problem checked_rotate(const void* e, const head_shape& shape, const P& p) noexcept {
  if constexpr (transforms_at<E, S, P>)
    return hooks::check_rotate<S>(held<E>(e), shape, p);
  else
    return problem::invalid("rotate", "number of real-valued positions", p.size(),
                            "integer positions, which alone this encoding takes");
}

template <class E, class S>
constexpr element_hooks<S> element_hooks_of{
    [](const void* e, token_view<S> x, const positions& p) noexcept { hooks::add_to(held<E>(e), x, p); },
    [](const void* e, token_view<S> x, const real_positions& p) noexcept { hooks::add_to(held<E>(e), x, p); },
    [](const void* e, head_view<S> x, const positions& p) noexcept { hooks::apply_to_queries(held<E>(e), x, p); },
    [](const void* e, head_view<S> x, const real_positions& p) noexcept { hooks::apply_to_queries(held<E>(e), x, p); },
    [](const void* e, head_view<S> x, const positions& p) noexcept { hooks::apply_to_keys(held<E>(e), x, p); },
    [](const void* e, head_view<S> x, const real_positions& p) noexcept { hooks::apply_to_keys(held<E>(e), x, p); },
    checked_add<E, S, positions>,
    checked_add<E, S, real_positions>,
    checked_rotate<E, S, positions>,
    checked_rotate<E, S, real_positions>,
};

/// False for a `combine` whose parts together have no gradient.
template <class E>
constexpr bool may_be_differentiated = !requires {
  requires !E::differentiable;
};

template <class E, class T>
constexpr score_hooks<T> score_hooks_of{
    [](const void* e, const score_tile<T>& tile) noexcept { hooks::add_to_scores(held<E>(e), tile); },
    [](const void* e, const score_tile<T>& tile) noexcept { hooks::begin(held<E>(e), tile); },
    [](const void* e) noexcept { return hooks::acts_on_scores<T>(held<E>(e)); },
    [](const void* e) noexcept { return hooks::has_distance_bias<T>(held<E>(e)); },
    [](const void* e, index_t head, position_t first, index_t count, T* out) noexcept {
      hooks::fill_bias(held<E>(e), head, first, count, out);
    },
    [](const void* e, const score_shape& shape, const positions& queries, const positions& keys) noexcept {
      return hooks::check_scores<T>(held<E>(e), shape, queries, keys);
    },
    [](const void* e) noexcept { return may_be_differentiated<E> && hooks::passes_score_gradients<T>(held<E>(e)); },
    [](const void* e, index_t head, position_t first, std::span<const T> sums, std::span<T> parameters) noexcept {
      hooks::bias_backward(held<E>(e), head, first, sums, parameters);
    },
    [](const void* e, const score_tile<T>& before, const score_gradients<T>& gradients) noexcept {
      if constexpr (may_be_differentiated<E>) hooks::add_to_scores_backward(held<E>(e), before, gradients);
    },
};

template <class E>
constexpr content_hooks content_hooks_of{
    [](const void* e) noexcept { return hooks::reads_content(held<E>(e)); },
    [](const void* e, index_t num_queries) noexcept { return hooks::scratch_size(held<E>(e), num_queries); },
    [](const void* e) noexcept { return hooks::num_parameters(held<E>(e)); },
};

// Compute types of a list of element types, each once.
template <class... S>
using compute_types = std::conditional_t<
    (std::same_as<compute_t<S>, float> || ...),
    std::conditional_t<(std::same_as<compute_t<S>, double> || ...), std::tuple<float, double>, std::tuple<float>>,
    std::tuple<double>>;

template <class X, class... List>
concept one_of = (std::same_as<X, List> || ...);

}  // namespace detail

/// Holds any encoding, for the element types that an engine uses, and is an encoding itself: one type, so that code
/// which takes it is compiled once. One indirect call per block of rows or tile of scores, never one per element.
///
///     const any_encoding<float, bf16> encoding = alibi<float>(32);
///
/// Acts on    whatever the held encoding acts on; element types other than `S...` do not compile.
/// Positions  those of the held encoding; the checks report real positions given to one that takes only integers.
/// Storage    shared and immutable: copies are cheap, and share it.
/// Errors     those of the held encoding.
/// Gradients  those of the held encoding through scores, which `attend_backward` needs. There are none through rows:
///            for those, train the encoding itself.
template <scalar... S>
class any_encoding {
  template <class T>
  static constexpr bool computes_in = (std::same_as<compute_t<S>, T> || ...);

 public:
  // Implicit: any encoding is one. Near misses are accepted too, to be rejected with an explanation.
  template <class E>
  requires(!std::same_as<E, any_encoding> && ((positional_encoding<E, S> || ...) || detail::names_a_hook<E>()))
      any_encoding(E e)
      : held_(std::make_shared<const E>(std::move(e))), table_(&table_of<E>) {
    static_assert((check_embedding_hook<E, S>() && ...) && (check_query_key_hooks<E, S>() && ...) &&
                  (check_score_hook<E, compute_t<S>>() && ...));
  }
  any_encoding() : any_encoding(no_encoding{}) {}

  template <detail::one_of<S...> X>
  void add_to(token_view<X> x, const positions& p) const noexcept {
    of<X>().add_to(held_.get(), x, p);
  }
  template <detail::one_of<S...> X>
  void add_to(token_view<X> x, const real_positions& p) const noexcept {
    of<X>().add_to_real(held_.get(), x, p);
  }
  template <detail::one_of<S...> X>
  void apply_to_queries(head_view<X> x, const positions& p) const noexcept {
    of<X>().apply_to_queries(held_.get(), x, p);
  }
  template <detail::one_of<S...> X>
  void apply_to_queries(head_view<X> x, const real_positions& p) const noexcept {
    of<X>().apply_to_queries_real(held_.get(), x, p);
  }
  template <detail::one_of<S...> X>
  void apply_to_keys(head_view<X> x, const positions& p) const noexcept {
    of<X>().apply_to_keys(held_.get(), x, p);
  }
  template <detail::one_of<S...> X>
  void apply_to_keys(head_view<X> x, const real_positions& p) const noexcept {
    of<X>().apply_to_keys_real(held_.get(), x, p);
  }

  template <real T>
  requires computes_in<T>
  void add_to_scores(const score_tile<T>& tile) const noexcept { on_scores<T>().add_to_scores(held_.get(), tile); }
  template <real T>
  requires computes_in<T>
  void begin(const score_tile<T>& tile) const noexcept { on_scores<T>().begin(held_.get(), tile); }
  template <real T>
  requires computes_in<T>
  bool acts_on_scores() const noexcept { return on_scores<T>().acts_on_scores(held_.get()); }
  template <real T>
  requires computes_in<T>
  bool has_distance_bias() const noexcept { return on_scores<T>().has_distance_bias(held_.get()); }
  template <real T>
  requires computes_in<T>
  void fill_bias(index_t head, position_t first, index_t count, T* out) const noexcept {
    on_scores<T>().fill_bias(held_.get(), head, first, count, out);
  }
  bool reads_content() const noexcept { return table_->content.reads_content(held_.get()); }
  index_t scratch_size(index_t num_queries) const noexcept {
    return table_->content.scratch_size(held_.get(), num_queries);
  }

  // The held encoding checks its own axes.
  index_t num_position_axes() const noexcept { return 0; }
  template <detail::one_of<S...> X>
  problem check_add(const embedding_shape& shape, const positions& p) const noexcept {
    return of<X>().check_add(held_.get(), shape, p);
  }
  template <detail::one_of<S...> X>
  problem check_add(const embedding_shape& shape, const real_positions& p) const noexcept {
    return of<X>().check_add_real(held_.get(), shape, p);
  }
  template <detail::one_of<S...> X>
  problem check_rotate(const head_shape& shape, const positions& p) const noexcept {
    return of<X>().check_rotate(held_.get(), shape, p);
  }
  template <detail::one_of<S...> X>
  problem check_rotate(const head_shape& shape, const real_positions& p) const noexcept {
    return of<X>().check_rotate_real(held_.get(), shape, p);
  }
  template <real T>
  requires computes_in<T> problem check_scores(const score_shape& shape, const positions& queries,
                                               const positions& keys)
  const noexcept { return on_scores<T>().check_scores(held_.get(), shape, queries, keys); }

  index_t num_parameters() const noexcept { return table_->content.num_parameters(held_.get()); }
  template <real T>
  requires computes_in<T>
  bool passes_score_gradients() const noexcept { return on_scores<T>().passes_score_gradients(held_.get()); }
  template <real T>
  requires computes_in<T>
  void bias_backward(index_t head, position_t first_distance, std::span<const T> sums,
                     std::span<T> parameters) const noexcept {
    on_scores<T>().bias_backward(held_.get(), head, first_distance, sums, parameters);
  }
  template <real T>
  requires computes_in<T>
  void add_to_scores_backward(const score_tile<T>& before, const score_gradients<T>& gradients) const noexcept {
    on_scores<T>().add_to_scores_backward(held_.get(), before, gradients);
  }

 private:
  template <class List>
  struct score_tables;
  template <class... T>
  struct score_tables<std::tuple<T...>> {
    using type = std::tuple<detail::score_hooks<T>...>;
  };
  template <class E, class... T>
  static constexpr auto score_table_of(std::tuple<T...>*) {
    return std::tuple{detail::score_hooks_of<E, T>...};
  }

  using compute_types = detail::compute_types<S...>;

  struct table {
    std::tuple<detail::element_hooks<S>...> elements;
    typename score_tables<compute_types>::type scores;
    detail::content_hooks content;
  };
  template <class E>
  static constexpr table table_of{std::tuple{detail::element_hooks_of<E, S>...},
                                  score_table_of<E>(static_cast<compute_types*>(nullptr)), detail::content_hooks_of<E>};

  template <class X>
  const detail::element_hooks<X>& of() const noexcept {
    return std::get<detail::element_hooks<X>>(table_->elements);
  }
  template <class T>
  const detail::score_hooks<T>& on_scores() const noexcept {
    return std::get<detail::score_hooks<T>>(table_->scores);
  }

  std::shared_ptr<const void> held_;
  const table* table_;
};

}  // namespace posenc::inline POSENC_ISA
