// An encoding as the laws see it: its hooks type-erased, so that each law is written and compiled once.
#pragma once

#include <posenc/attention/attention.hpp>
#include <posenc/encode.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/hooks.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

namespace laws {

/// A type-erased function of an encoding; empty if the encoding lacks it. std::function would take twice as long to
/// compile.
template <class F>
class hook_ref;
template <class R, class... A>
class hook_ref<R(A...)> {
 public:
  hook_ref() = default;
  hook_ref(const void* encoding, R (*call)(const void*, A...)) : encoding_(encoding), call_(call) {}
  explicit operator bool() const { return call_ != nullptr; }
  R operator()(A... arguments) const { return call_(encoding_, arguments...); }

 private:
  const void* encoding_ = nullptr;
  R (*call_)(const void*, A...) = nullptr;
};

template <class E>
const E& held(const void* encoding) noexcept {
  return *static_cast<const E*>(encoding);
}

/// A hook on rows: add_to, apply_to_queries or apply_to_keys. Embeddings are treated as one head per token.
template <scalar S>
struct row_hook {
  const char* name = "";
  bool on_embeddings = false;
  hook_ref<void(head_view<S>, const positions&)> apply;    // unchecked
  hook_ref<void(head_view<S>, const positions&)> checked;  // the public entry point, which raises
  hook_ref<problem(head_view<S>, const positions&)> check;
  hook_ref<void(head_view<S>, const real_positions&)> apply_real;
  hook_ref<problem(head_view<S>, const real_positions&)> check_real;
  hook_ref<void(head_view<S>, const positions&)> undo;   // `unrotate`, found by name
  hook_ref<void(head_view<S>, const positions&)> shift;  // `shift` of transformed rows, found by name
  // x, gradients (in: of the output, out: of x), positions, gradients of the parameters
  hook_ref<void(head_view<const S>, head_view<S>, const positions&, std::span<compute_t<S>>)> backward;
};

/// The hook on scores, in any of its forms.
template <real T>
struct score_hook {
  hook_ref<void(const score_tile<T>&)> begin;
  hook_ref<void(const score_tile<T>&)> add_to_scores;
  hook_ref<index_t(index_t)> scratch_size;
  hook_ref<problem(const score_shape&, const positions&, const positions&)> check;
  hook_ref<void(index_t, position_t, index_t, T*)> fill_bias;  // empty: not a bias of distance alone
  hook_ref<void(const score_tile<T>&, const score_gradients<T>&)> backward;
  hook_ref<void(index_t, position_t, std::span<const T>, std::span<T>)> bias_backward;  // by distance, as fill_bias
  bool reads_content = false;
};

template <scalar S>
struct subject {
  std::vector<row_hook<S>> rows;
  std::vector<score_hook<compute_t<S>>> scores;  // at most one
  index_t num_axes = 1;
  index_t num_parameters = 0;
  bool has_parameters_in_double = false;
  // Evaluates a loss on a copy of the encoding whose parameter i is larger by `step`; returns the step as rounded.
  using loss_of = void (*)(const void* context, const subject&);
  hook_ref<double(index_t i, double step, loss_of, const void* context)> with_changed_parameter;
};

/// Queries, keys and values, not transformed yet; the output is in the compute type, so that rounding hides nothing.
template <scalar S>
struct attention_call {
  head_view<const S> q;
  head_view<const S> k;
  head_view<const S> v;
  head_view<compute_t<S>> out;
  attend_options<compute_t<S>> options{};
};

template <scalar S>
struct attention_functions {
  hook_ref<void(const attention_call<S>&)> run;
  hook_ref<problem(const attention_call<S>&)> check;
  hook_ref<index_t(const attention_call<S>&)> workspace_size;
};

// ---- What is known from the types ----

template <class E, class S, class U>
consteval bool acts_alike();

template <class Parts, class S, class U>
constexpr bool all_act_alike = true;
template <class... P, class S, class U>
constexpr bool all_act_alike<std::tuple<P...>, S, U> = (acts_alike<P, S, U>() && ...);

/// Whether E acts at the same places for elements of type S and of type U.
template <class E, class S, class U>
consteval bool acts_alike() {
  if constexpr (posenc::detail::composite<E>)
    return all_act_alike<typename E::parts, S, U>;
  else
    return embedding_encoding<E, S> == embedding_encoding<E, U> &&
           query_key_encoding<E, S> == query_key_encoding<E, U> &&
           score_encoding<E, compute_t<S>> == score_encoding<E, compute_t<U>>;
}

template <class E>
concept has_parameters = std::copyable<E> && requires(E e) {
  e.parameters()[0] = e.parameters()[0];
};

// ---- Construction ----

template <scalar S>
token_view<S> as_embeddings(head_view<S> x) noexcept {
  return {x.data, x.num_tokens, x.head_dim, x.token_stride};
}

template <scalar S, class E>
row_hook<S> embedding_hook(const E& e) {
  using T = compute_t<S>;
  row_hook<S> hook;
  hook.name = "add_to";
  hook.on_embeddings = true;
  hook.apply = {&e, [](const void* it, head_view<S> x, const positions& p) {
                  posenc::add_to(unchecked, held<E>(it), as_embeddings(x), p);
                }};
  hook.checked = {
      &e, [](const void* it, head_view<S> x, const positions& p) { posenc::add_to(held<E>(it), as_embeddings(x), p); }};
  hook.check = {&e, [](const void* it, head_view<S> x, const positions& p) {
                  return posenc::check_add(held<E>(it), as_embeddings(x), p);
                }};
  if constexpr (real_embedding_encoding<E, S>) {
    hook.apply_real = {&e, [](const void* it, head_view<S> x, const real_positions& p) {
                         posenc::add_to(unchecked, held<E>(it), as_embeddings(x), p);
                       }};
    hook.check_real = {&e, [](const void* it, head_view<S> x, const real_positions& p) {
                         return posenc::check_add(held<E>(it), as_embeddings(x), p);
                       }};
  }
  if constexpr (requires(token_view<const S> upstream, positions p, std::span<T> parameters) {
                  e.add_to_backward(upstream, p, parameters);
                }) {
    hook.backward = {
        &e, [](const void* it, head_view<const S>, head_view<S> gradients, const positions& p, std::span<T> sums) {
          hooks::add_to_backward<E, S>(held<E>(it), as_embeddings(gradients), p, sums);
        }};
  } else if (hooks::num_parameters(e) == 0) {
    // The gradient of x is unchanged.
    hook.backward = {&e, [](const void*, head_view<const S>, head_view<S>, const positions&, std::span<T>) {}};
  }
  return hook;
}

/// `Apply` calls apply_to_queries or apply_to_keys, checked and unchecked.
template <scalar S, class E, class Apply>
row_hook<S> query_key_hook(const char* name, const E& e, Apply) {
  row_hook<S> hook;
  hook.name = name;
  hook.apply = {&e, [](const void* it, head_view<S> x, const positions& p) { Apply{}(unchecked, held<E>(it), x, p); }};
  hook.checked = {&e, [](const void* it, head_view<S> x, const positions& p) { Apply{}(held<E>(it), x, p); }};
  hook.check = {
      &e, [](const void* it, head_view<S> x, const positions& p) { return posenc::check_rotate(held<E>(it), x, p); }};
  if constexpr (real_query_key_encoding<E, S>) {
    hook.apply_real = {
        &e, [](const void* it, head_view<S> x, const real_positions& p) { Apply{}(unchecked, held<E>(it), x, p); }};
    hook.check_real = {&e, [](const void* it, head_view<S> x, const real_positions& p) {
                         return posenc::check_rotate(held<E>(it), x, p);
                       }};
  }
  if constexpr (requires(head_view<S> x, positions p) { unrotate(e, x, p); })
    hook.undo = {&e, [](const void* it, head_view<S> x, const positions& p) { unrotate(held<E>(it), x, p); }};
  if constexpr (requires(head_view<S> x, positions p) { shift(e, x, p); })
    hook.shift = {&e, [](const void* it, head_view<S> x, const positions& by) { shift(held<E>(it), x, by); }};
  return hook;
}

template <scalar S, class E>
row_hook<S> query_hook(const E& e) {
  using T = compute_t<S>;
  auto hook = query_key_hook<S>("apply_to_queries", e, [](const auto&... args) { apply_to_queries(args...); });
  if constexpr (requires(head_view<const S> x, head_view<S> gradients, positions p, std::span<T> sums) {
                  e.apply_to_queries_backward(x, gradients, p, sums);
                }) {
    hook.backward = {
        &e, [](const void* it, head_view<const S> x, head_view<S> gradients, const positions& p, std::span<T> sums) {
          hooks::apply_to_queries_backward(held<E>(it), x, gradients, p, sums);
        }};
  }
  return hook;
}

template <scalar S, class E>
row_hook<S> key_hook(const E& e) {
  using T = compute_t<S>;
  auto hook = query_key_hook<S>("apply_to_keys", e, [](const auto&... args) { apply_to_keys(args...); });
  if constexpr (requires(head_view<const S> x, head_view<S> gradients, positions p, std::span<T> sums) {
                  e.apply_to_keys_backward(x, gradients, p, sums);
                }) {
    hook.backward = {&e, [](const void* it, head_view<const S> x, head_view<S> gradients, const positions& p,
                            std::span<T> sums) { hooks::apply_to_keys_backward(held<E>(it), x, gradients, p, sums); }};
  }
  return hook;
}

template <real T, class E>
score_hook<T> score_hook_of(const E& e) {
  score_hook<T> hook;
  hook.begin = {&e, [](const void* it, const score_tile<T>& tile) { hooks::begin(held<E>(it), tile); }};
  hook.add_to_scores = {&e, [](const void* it, const score_tile<T>& tile) { hooks::add_to_scores(held<E>(it), tile); }};
  hook.scratch_size = {
      &e, [](const void* it, index_t num_queries) { return hooks::scratch_size(held<E>(it), num_queries); }};
  hook.check = {&e, [](const void* it, const score_shape& shape, const positions& queries, const positions& keys) {
                  return hooks::check_scores<T>(held<E>(it), shape, queries, keys);
                }};
  hook.reads_content = hooks::reads_content(e);
  if (hooks::has_distance_bias<T>(e)) {
    hook.fill_bias = {&e, [](const void* it, index_t head, position_t first, index_t count, T* out) {
                        hooks::fill_bias<T>(held<E>(it), head, first, count, out);
                      }};
  }
  if constexpr (posenc::detail::num_content_readers<E> <= 1) {
    if (hooks::passes_score_gradients<T>(e)) {
      hook.backward = {&e, [](const void* it, const score_tile<T>& before, const score_gradients<T>& gradients) {
                         hooks::add_to_scores_backward(held<E>(it), before, gradients);
                       }};
    }
    if (hook.backward && hook.fill_bias) {
      hook.bias_backward = {
          &e, [](const void* it, index_t head, position_t first, std::span<const T> sums, std::span<T> gradients) {
            hooks::bias_backward<T>(held<E>(it), head, first, sums, gradients);
          }};
    }
  }
  return hook;
}

/// The hooks of `e`, which must outlive the result.
template <scalar S, class E>
subject<S> subject_of(const E& e) {
  subject<S> s;
  if constexpr (embedding_encoding<E, S>) s.rows.push_back(embedding_hook<S>(e));
  if constexpr (query_key_encoding<E, S>) {
    s.rows.push_back(query_hook<S>(e));
    s.rows.push_back(key_hook<S>(e));
  }
  if constexpr (score_encoding<E, compute_t<S>>) s.scores.push_back(score_hook_of<compute_t<S>>(e));
  s.num_axes = hooks::num_position_axes(e);
  s.num_parameters = hooks::num_parameters(e);
  if constexpr (has_parameters<E>) {
    using parameter = std::remove_cvref_t<decltype(std::declval<E&>().parameters()[0])>;
    using loss_of = typename subject<S>::loss_of;
    s.has_parameters_in_double = std::same_as<parameter, double>;
    s.with_changed_parameter = {&e, [](const void* it, index_t i, double step, loss_of loss, const void* context) {
                                  E changed = held<E>(it);
                                  parameter& value = changed.parameters()[static_cast<std::size_t>(i)];
                                  const double before = widen<double>(value);
                                  value = narrow<parameter>(before + step);
                                  loss(context, subject_of<S>(changed));
                                  return widen<double>(value) - before;
                                }};
  }
  return s;
}

/// Attention with everything that `e` does to queries, keys and scores.
template <scalar S, class E>
attention_functions<S> attention_of(const E& e) {
  // An encoding that acts only on embeddings does not change attention.
  if constexpr (embedding_encoding<E, S> && !query_key_encoding<E, S> && !score_encoding<E, compute_t<S>>) {
    static constexpr no_encoding none{};
    return attention_of<S>(none);
  } else {
    attention_functions<S> functions;
    functions.run = {&e, [](const void* it, const attention_call<S>& c) {
                       attention(c.q, c.k, c.v, c.out, held<E>(it), c.options);
                     }};
    functions.check = {
        &e, [](const void* it, const attention_call<S>& c) {
          const E& encoding = held<E>(it);
          const index_t offset = posenc::detail::resolve_query_offset(c.options, c.q.num_tokens, c.k.num_tokens);
          const positions at_queries(offset, c.q.num_tokens);
          const positions at_keys(0, c.k.num_tokens);
          if (const problem wrong = check_attend(c.q, c.k, c.v, c.out, scores_of(encoding), c.options)) return wrong;
          if (const problem wrong = check_rotate(encoding, c.q, c.options.positions.queries.value_or(at_queries)))
            return wrong.of("queries");
          return check_rotate(encoding, c.k, c.options.positions.keys.value_or(at_keys)).of("keys");
        }};
    functions.workspace_size = {&e, [](const void* it, const attention_call<S>& c) {
                                  return workspace_size(c.q, c.k, c.v, scores_of(held<E>(it)));
                                }};
    return functions;
  }
}

}  // namespace laws

}  // namespace posenc::inline POSENC_ISA
