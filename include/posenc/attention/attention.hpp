// Attention of unrotated queries and keys, with any encoding.
#pragma once

#include <posenc/attention/attend.hpp>
#include <posenc/encodings/scores_of.hpp>

#include <algorithm>
#include <type_traits>
#include <vector>

namespace posenc::inline POSENC_ISA {

namespace detail {

/// A dense, mutable copy of a view.
template <scalar S>
class head_copy {
 public:
  template <element X>
  explicit head_copy(head_view<X> x)
      : values_(static_cast<std::size_t>(x.num_tokens * x.num_heads * x.head_dim)),
        num_tokens_(x.num_tokens),
        num_heads_(x.num_heads),
        head_dim_(x.head_dim) {
    const head_view<S> to = view();
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t h = 0; h < x.num_heads; ++h) std::copy_n(x.row(t, h), x.head_dim, to.row(t, h));
    }
  }
  head_view<S> view() noexcept { return {values_.data(), num_tokens_, num_heads_, head_dim_}; }

 private:
  std::vector<S> values_;
  index_t num_tokens_, num_heads_, head_dim_;
};

}  // namespace detail

/// `attend` for queries and keys that are not transformed yet: if the encoding acts on them, copies are transformed
/// first.
///
/// q, k, v, out  as for `attend`; q and k are not modified
/// encoding      any. What it adds to embeddings is not added here (use `add_to`); one that acts only on embeddings
///               does not compile.
/// Memory        allocates copies of q and k if the encoding transforms them.
/// Errors        those of `check_rotate` and `check_attend`, raised before anything is written.
template <element Q, element K, element V, element O, class E>
void attention(head_view<Q> q, head_view<K> k, head_view<V> v, head_view<O> out, const E& encoding,
               const attend_options<compute_t<Q>>& options = {}) {
  using query_type = std::remove_const_t<Q>;
  using key_type = std::remove_const_t<K>;
  static_assert(check_query_key_hooks<E, query_type>() && check_query_key_hooks<E, key_type>());
  static_assert(
      !embedding_encoding<E, query_type> || query_key_encoding<E, query_type> || score_encoding<E, compute_t<Q>>,
      "posenc: this encoding acts on embeddings only, and attention sees none. Add it to the embeddings (add_to) "
      "before the projections and pass no_encoding{}, or call self_attention");
  if constexpr (query_key_encoding<E, query_type> || query_key_encoding<E, key_type>) {
    raise_if(check_attend(q, k, v, out, scores_of(encoding), options));
    const index_t query_offset = detail::resolve_query_offset(options, q.num_tokens, k.num_tokens);
    const positions query_positions = detail::or_indices(options.positions.queries, query_offset, q.num_tokens);
    const positions key_positions = detail::or_indices(options.positions.keys, 0, k.num_tokens);
    raise_if(check_rotate(encoding, q, query_positions).of("queries"));
    raise_if(check_rotate(encoding, k, key_positions).of("keys"));
    detail::head_copy<query_type> queries(q);
    detail::head_copy<key_type> keys(k);
    apply_to_queries(unchecked, encoding, queries.view(), query_positions);
    apply_to_keys(unchecked, encoding, keys.view(), key_positions);
    attend(unchecked, queries.view(), keys.view(), v, out, scores_of(encoding), options);
  } else {
    attend(q, k, v, out, scores_of(encoding), options);
  }
}

}  // namespace posenc::inline POSENC_ISA
