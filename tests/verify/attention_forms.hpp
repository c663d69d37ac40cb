// Attention cases with more than queries, keys and values, and what all forms share.
#pragma once

#include "golden_case.hpp"
#include "heads.hpp"

#include <posenc/attention/reference.hpp>
#include <posenc/encode.hpp>

namespace verify {

/// A layer: embeddings, an encoding added to them, projections, attention.
template <posenc::real T>
void check_layer(golden_case& one);

/// Without positions, permuted tokens give permuted outputs.
template <posenc::real T>
void check_permutation(golden_case& one);

/// Scores of rotated queries and keys, before and after all positions are shifted.
template <posenc::real T>
void check_shift(golden_case& one);

/// Writes outputs of all heads into a view, and their log-sum-exps after those of earlier batches: [num_heads,
/// num_queries].
template <posenc::real T>
void give_heads(const std::vector<posenc::reference_head>& heads, posenc::head_view<T> out, std::vector<T>& lse) {
  for (std::size_t h = 0; h < heads.size(); ++h) {
    for (index_t q = 0; q < out.num_tokens; ++q) {
      for (index_t d = 0; d < out.head_dim; ++d)
        out.row(q, static_cast<index_t>(h))[d] = static_cast<T>(heads[h].out(q, d));
      lse.push_back(static_cast<T>(heads[h].lse[q]));
    }
  }
}

/// Propagates gradients of transformed queries and keys to the original ones.
template <class E>
void through_rotation(const E& encoding, posenc::reference_gradients& gradients, const heads_shape& queries,
                      const heads_shape& keys, const posenc::positions& query_positions,
                      const posenc::positions& key_positions) {
  using view = posenc::head_view<double>;
  const view dq(gradients.queries.data(), queries.num_tokens, queries.num_heads, queries.head_dim);
  const view dk(gradients.keys.data(), keys.num_tokens, keys.num_heads, keys.head_dim);
  // Rotations are linear: what they acted on does not matter, any view of the right shape will do.
  const posenc::head_view<const double> q = dq;
  const posenc::head_view<const double> k = dk;
  posenc::hooks::apply_to_queries_backward<E, double>(encoding, q, dq, query_positions, {});
  posenc::hooks::apply_to_keys_backward<E, double>(encoding, k, dk, key_positions, {});
}

}  // namespace verify
