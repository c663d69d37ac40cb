// Property tests for positional encodings, including your own.
#pragma once

#include <posenc/near_misses.hpp>
#include <posenc/testing/laws/adjoint.hpp>
#include <posenc/testing/laws/attention.hpp>
#include <posenc/testing/laws/distance.hpp>
#include <posenc/testing/laws/order.hpp>
#include <posenc/testing/laws/precision.hpp>
#include <posenc/testing/laws/refusals.hpp>
#include <posenc/testing/laws/rows.hpp>
#include <posenc/testing/laws/subject.hpp>
#include <posenc/testing/laws/tiles.hpp>
#include <posenc/testing/laws/trial.hpp>
#include <posenc/testing/laws/wrappers.hpp>
#include <posenc/testing/report.hpp>

#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>

namespace posenc::inline POSENC_ISA {

namespace laws {

/// Lists the hooks that the encoding lacks, and what therefore went unchecked.
template <scalar S>
void list_lacking_hooks(const trial<S>& t) {
  const auto lacks = [&](bool missing, const std::string& what) {
    if (missing) t.report.lacks.push_back(what);
  };
  bool on_embeddings = false;
  bool on_queries = false;
  for (const row_hook<S>& hook : t.encoding.rows) {
    (hook.on_embeddings ? on_embeddings : on_queries) = true;
    lacks(!acts(t, hook), std::string("an effect of ") + hook.name + ": it is there, and changes nothing");
    lacks(!hook.backward, std::string(hook.name) + "_backward: no gradient passes it");
  }
  lacks(!on_embeddings, "add_to: embeddings stay as they are");
  lacks(!on_queries, "apply_to_queries, apply_to_keys: queries and keys stay as they are");
  lacks(t.encoding.scores.empty(), "bias, add_to_scores: scores stay as they are");
  for (const auto& hook : t.encoding.scores) {
    lacks(!acts_on_scores(t, hook), "an effect on scores: the hook is there, and changes nothing");
    lacks(!hook.backward, "bias_backward or add_to_scores_backward: no gradient passes it");
  }
  lacks(t.encoding.num_parameters > 0 && !t.encoding.with_changed_parameter,
        "parameters(): gradients of its parameters went unchecked");
}

/// Whether any hook changes anything: embeddings, or what attention sees.
template <scalar S>
bool acts(const trial<S>& t, bool on_embeddings) {
  bool acting = false;
  for (const row_hook<S>& hook : t.encoding.rows)
    acting = acting || (hook.on_embeddings == on_embeddings && acts(t, hook));
  for (const auto& hook : t.encoding.scores) acting = acting || (!on_embeddings && acts_on_scores(t, hook));
  return acting;
}

template <scalar S>
void check_attention(const trial<S>& t) {
  check_attention_in_chunks(t);
  check_workspaces(t);
  check_merged_bands(t);
  check_left_padding(t);
  check_masked_keys(t);
  check_heads_apart(t);
  check_output_in_place(t);
  check_attention_of_nothing(t);
  check_unsorted_positions(t);
  check_refused_attention(t);
}

/// The wider type that results are compared with: double for float, float for narrower types.
template <scalar S>
using wider_t = std::conditional_t<std::same_as<S, compute_t<S>>, double, float>;

/// Everything that needs only the encoding's hooks, not its type, so that it is compiled once per element type.
template <scalar S>
struct suite {
  static void check_without_positions(const trial<S>&);
  static void check_hooks(const trial<S>&);
  static void check_against_wider(const trial<S>&, const subject<wider_t<S>>&);
  static void check_adjoints(const trial<S>&);
  static void check_within(const trial<S>&, const subject<S>& other, const char* name, bool keeps_distance_bias);
};

template <scalar S>
void suite<S>::check_without_positions(const trial<S>& t) {
  check_attention(t);
  check_order_means_nothing(t);
}

template <scalar S>
void suite<S>::check_hooks(const trial<S>& t) {
  list_lacking_hooks(t);
  const bool acts_in_attention = acts(t, false);
  law acting = t.start("it acts somewhere");
  acting.expect(acts_in_attention || acts(t, true), [] { return std::string("no hook changes anything"); });

  const row_hook<S>* queries = nullptr;
  for (const row_hook<S>& hook : t.encoding.rows) {
    check_chunks(t, hook);
    check_memory(t, hook);
    check_zero_sizes(t, hook);
    check_far_positions(t, hook);
    check_real_positions(t, hook);
    check_axes(t, hook);
    check_refusals(t, hook);
    check_norms(t, hook);
    check_inverse(t, hook);
    check_shift(t, hook);
    if (hook.on_embeddings && acts(t, hook)) check_embeddings_differ(t, hook);
    if (queries != nullptr) check_products_of_distance(t, *queries, hook);
    if (!hook.on_embeddings) queries = &hook;
  }
  for (const auto& hook : t.encoding.scores) {
    const bool forms_agree = check_forms(t, hook);
    check_no_nan(t, hook);
    check_fill_bias(t, hook);
    check_bias_of_distance(t, hook);
    if (!forms_agree) return;  // attention would only report the same violation many times
  }
  if (queries == nullptr && t.encoding.scores.empty()) return;  // attention would not use it
  check_attention(t);
  if (acts_in_attention) check_order_means_something(t);
}

template <scalar S>
void suite<S>::check_against_wider(const trial<S>& t, const subject<wider_t<S>>& wider) {
  for (std::size_t i = 0; i < t.encoding.rows.size(); ++i) {
    if constexpr (std::same_as<S, float>)
      check_against_double(t, t.encoding.rows[i], wider.rows[i]);
    else if constexpr (std::same_as<wider_t<S>, float>)
      check_rounded_once(t, t.encoding.rows[i], wider.rows[i]);
  }
  if constexpr (std::same_as<S, float>) {
    for (std::size_t i = 0; i < t.encoding.scores.size(); ++i)
      check_scores_against_double(t, t.encoding.scores[i], wider.scores[i]);
  }
}

template <scalar S>
void suite<S>::check_adjoints(const trial<S>& t) {
  if constexpr (real<S>) {
    for (std::size_t i = 0; i < t.encoding.rows.size(); ++i) check_adjoint_of_rows(t, i);
    if (!t.encoding.scores.empty()) {
      check_adjoint_of_scores(t);
      check_adjoint_by_distance(t);
    }
  }
}

template <scalar S>
void suite<S>::check_within(const trial<S>& t, const subject<S>& other, const char* name, bool keeps_distance_bias) {
  check_wrapped(t, other, name, keeps_distance_bias);
}

// ---- Checks that need the encoding's own type ----

template <scalar S, class E>
void check_against_wider(const trial<S>& t, const E& e) {
  if constexpr (acts_alike<E, S, wider_t<S>>())
    suite<S>::check_against_wider(t, subject_of<wider_t<S>>(e));
  else
    t.report.lacks.push_back(std::string("hooks for ") + (std::same_as<wider_t<S>, double> ? "double" : "float") +
                             ": the rounding of narrower types went unchecked");
}

/// In double, where finite differences are accurate, if the encoding acts on it.
template <scalar S, class E>
void check_adjoints(const trial<S>& t, const E& e) {
  using T = std::conditional_t<acts_alike<E, S, double>(), double, compute_t<S>>;
  if constexpr (acts_alike<E, S, T>()) {
    const subject<T> encoding = subject_of<T>(e);
    suite<T>::check_adjoints({encoding, {}, t.sizes, t.options, t.report});
  } else {
    t.report.lacks.push_back("hooks for float: adjoints went unchecked");
  }
}

template <scalar S, class E>
void check_wrappers(const trial<S>& t, const E& e) {
  if constexpr (std::copyable<E>) {
    const any_encoding<S> chosen(e);
    suite<S>::check_within(t, subject_of<S>(chosen), "any_encoding", true);
    const auto first = combine(e, zero_bias{});
    suite<S>::check_within(t, subject_of<S>(first), "combine with a bias of zero behind it", true);
    const auto second = combine(zero_bias{}, e);
    suite<S>::check_within(t, subject_of<S>(second), "combine with a bias of zero before it", true);
    const auto beside_scratch = combine(scribbles{}, e);
    suite<S>::check_within(t, subject_of<S>(beside_scratch), "combine with another's scratch before it", false);
  }
}

}  // namespace laws

/// Checks an encoding against the laws of the library, for elements of type S.
///
///     const law_report report = check_encoding_laws(my_decay{0.5f});
///     for (const std::string& violation : report.violations) std::puts(violation.c_str());
///
/// violations  the laws that do not hold: law, place, actual and allowed values, seed. Empty if all hold.
/// lacks       hooks that the encoding does not have or that change nothing, so that an encoding that does nothing does
///             not pass unnoticed.
/// checked     the laws that ran: those of the places where the encoding acts, and those that `options.claims` adds.
///
/// Sizes that `options` does not fix are found by trying the encoding's checks. The headers in testing/laws define the
/// laws: memory (rows.hpp), errors (refusals.hpp), tile layouts (tiles.hpp), distance, norms and inverses
/// (distance.hpp), rounding (precision.hpp), gradients (adjoint.hpp), attention (attention.hpp, order.hpp), and
/// encodings within others (wrappers.hpp).
///
/// A type without hooks does not compile; hooks that change nothing are a violation, except for `no_encoding`.
template <scalar S = float, class E>
law_report check_encoding_laws(const E& encoding, const law_options& options = {}) {
  static_assert(check_embedding_hook<E, S>() && check_query_key_hooks<E, S>() && check_score_hook<E, compute_t<S>>() &&
                check_score_adjoint<E, compute_t<S>>());
  static_assert(positional_encoding<E, S>,
                "posenc: this is no positional encoding for this element type: it has none of the hooks that "
                "concepts.hpp lists, so there is nothing to check");
  law_report report;
  const laws::subject<S> subject = laws::subject_of<S>(encoding);
  const laws::attention_functions<S> attention = laws::attention_of<S>(encoding);
  laws::law_sizes sizes;
  if (const problem wrong = laws::find_sizes(subject, options, sizes)) {
    report.violations.push_back("it accepts some sizes: none found, the last refusal was \"" + wrong.message() + "\"");
    return report;
  }
  const laws::trial<S> trial{subject, attention, sizes, options, report};
  if constexpr (std::same_as<E, no_encoding>) {
    laws::suite<S>::check_without_positions(trial);
  } else {
    laws::suite<S>::check_hooks(trial);
    laws::check_against_wider(trial, encoding);
    laws::check_adjoints(trial, encoding);
    laws::check_wrappers(trial, encoding);
  }
  return report;
}

}  // namespace posenc::inline POSENC_ISA
