// Contextual position encoding (CoPE): positions that count what a query asks for.
#pragma once

#include <posenc/concepts.hpp>  // tile_bias, real, index_t
#include <posenc/error.hpp>     // require

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// Adds a bias by contextual position: the sum of the gates between a key and its query, which may count sentences or
/// nouns, if the gates open on them.
///
///     gate[i, j]     = sigmoid(score[i, j])                             0 where the score is masked
///     position[i, j] = min(gate[i, j] + ... + gate[i, last key], max_positions - 1)
///     score[i, j]   += <q[i], embedding[position[i, j]]>                linear between two rows; q unscaled
///
/// Acts on    scores before the softmax; reads scores and queries. For causal attention: keys after the query count
///            unless they are masked. One table serves all heads.
/// Positions  none: keys are counted in sequence order.
/// Storage    the embedding [max_positions, head_dim]; scratch of max_positions + 1 values per query.
/// Errors     an embedding whose size is not a multiple of head_dim throws invalid_argument; check_scores reports a
///            different head_dim.
/// Accuracy   a position within n epsilon after n keys, in the kernel's type. A scale of 0 loses the queries, and so
///            the bias.
/// Gradient   of the embedding, the queries and, through the gates, the scores.
/// Source     Golovneva et al. 2024, arXiv:2405.18719; scaled gates and unscaled bias as in x-transformers.
template <real T>
class cope {
 public:
  using scalar_type = T;

  explicit cope(std::vector<T> embedding, index_t head_dim)  // [max_positions, head_dim]
      : embedding_(std::move(embedding)), head_dim_(head_dim) {
    require(head_dim >= 1, "cope", "head_dim", head_dim, "at least 1");
    require(!embedding_.empty() && std::ssize(embedding_) % head_dim == 0, "cope", "size of the embedding",
            std::ssize(embedding_), "a multiple of head_dim, #", head_dim);
  }

  index_t max_positions() const noexcept { return std::ssize(embedding_) / head_dim_; }
  index_t head_dim() const noexcept { return head_dim_; }

  bool reads_content() const noexcept { return true; }
  index_t scratch_size(index_t num_queries) const noexcept { return (max_positions() + 1) * num_queries; }

  template <real U>
  void begin(const score_tile<U>& tile) const noexcept {
    const auto [sums, products] = cut<U>(tile);
    std::fill_n(sums, tile.num_queries, U(0));
    for (index_t p = 0; p < max_positions(); ++p) {
      multiply(tile, row(p), products + p * tile.num_queries);
    }
  }

  template <real U>
  void add_to_scores(const score_tile<U>& tile) const noexcept {
    const memory<U> of = cut<U>(tile);
    const auto add = [&](index_t q, U& score) {
      of.sums[q] += gate(score);
      const place<U> at = place_of(of.sums[q]);
      const U below = of.products[at.below * tile.num_queries + q];
      const U above = of.products[at.above * tile.num_queries + q];
      score += below + at.weight * (above - below);
    };
    if (tile.query_stride == 1) {
      for (index_t k = tile.num_keys; k-- > 0;) {
        for (index_t q = 0; q < tile.num_queries; ++q) add(q, tile.scores[k * tile.key_stride + q]);
      }
    } else {
      for (index_t q = 0; q < tile.num_queries; ++q) {
        for (index_t k = tile.num_keys; k-- > 0;) add(q, tile.score(q, k));
      }
    }
  }

  problem check_scores(const score_shape& shape, const positions&, const positions&) const noexcept {
    if (shape.head_dim == head_dim_) return {};
    return problem::invalid("attend", "head_dim", shape.head_dim, "#, the width of the embedding", head_dim_);
  }

  std::span<T> parameters() noexcept { return embedding_; }  // [max_positions, head_dim]
  std::span<const T> parameters() const noexcept { return embedding_; }

  /// `before` needs no scratch.
  template <real U>
  void add_to_scores_backward(const score_tile<U>& before, const score_gradients<U>& gradients) const noexcept {
    for (index_t q = 0; q < before.num_queries; ++q) {
      const double slopes = add_parameter_gradients(before, gradients, q);
      correct_score_gradients(before, gradients, q, slopes);
    }
  }

 private:
  template <real U>
  struct memory {
    U* sums;      // [num_queries]: sums of the gates of all keys so far
    U* products;  // [max_positions, num_queries]: <q, embedding row>
  };
  template <real U>
  static memory<U> cut(const score_tile<U>& tile) noexcept {
    return {tile.scratch, tile.scratch + tile.num_queries};
  }

  template <real U>
  static U gate(U score) noexcept {
    return U(1) / (U(1) + std::exp(-score));
  }

  /// The two rows that a position lies between.
  template <real U>
  struct place {
    index_t below, above;
    U weight;  // of the row above
  };
  template <real U>
  place<U> place_of(U sum) const noexcept {
    const index_t last = max_positions() - 1;
    const U position = sum < static_cast<U>(last) ? sum : static_cast<U>(last);  // also if it is NaN
    // Clamped again, because under fast math a NaN may pass the comparison, and this is an index.
    const index_t below = std::clamp<index_t>(static_cast<index_t>(position), 0, last);
    return {below, std::min(below + 1, last), position - static_cast<U>(below)};
  }

  const T* row(index_t position) const noexcept { return embedding_.data() + position * head_dim_; }

  template <real U>
  static U unscale(const score_tile<U>& tile, U value) noexcept {
    return tile.scale == U(0) ? U(0) : value / tile.scale;
  }

  /// out[q] = <q, embedding_row>, with unscaled queries.
  template <real U>
  void multiply(const score_tile<U>& tile, const T* embedding_row, U* out) const noexcept {
    if (tile.query_token_stride == 1) {
      std::fill_n(out, tile.num_queries, U(0));
      for (index_t d = 0; d < head_dim_; ++d) {
        const U* queries = tile.queries + d * tile.query_dim_stride;
        const U factor = static_cast<U>(embedding_row[d]);
        for (index_t q = 0; q < tile.num_queries; ++q) out[q] += factor * queries[q];
      }
      for (index_t q = 0; q < tile.num_queries; ++q) out[q] = unscale(tile, out[q]);
    } else {
      for (index_t q = 0; q < tile.num_queries; ++q) out[q] = product(tile, q, embedding_row);
    }
  }

  template <real U>
  U product(const score_tile<U>& tile, index_t q, const T* embedding_row) const noexcept {
    constexpr index_t lanes = 8;  // one sum per lane, so that the loop vectorizes
    U sums[lanes] = {};
    index_t d = 0;
    for (; d + lanes <= head_dim_; d += lanes) {
      for (index_t l = 0; l < lanes; ++l) sums[l] += tile.query(q, d + l) * static_cast<U>(embedding_row[d + l]);
    }
    for (; d < head_dim_; ++d) sums[0] += tile.query(q, d) * static_cast<U>(embedding_row[d]);
    for (index_t l = 1; l < lanes; ++l) sums[0] += sums[l];
    return unscale(tile, sums[0]);
  }

  // ---- Adjoint ----
  //
  // With G = dL/dscore after the encoding, z[p] = <q, embedding[p]> and w the weight of the row above:
  //
  //     dL/dz[below] += (1 - w) G,  dL/dz[above] += w G,  dL/dposition[j] = G (z[above] - z[below]), 0 at the last row
  //     dL/dgate[j]   = sum over k <= j of dL/dposition[k]
  //     dL/dscore[j]  = G + gate (1 - gate) dL/dgate[j]
  //
  // The sum over k <= j is the total minus the sum over k > j, so both walks run like `add_to_scores`, from the last
  // key to the first, and meet the same positions. These only rise on the way: the current rows change max_positions
  // times at most, and nothing has to be kept per key.

  /// A walk over the keys of one query, from the last to the first.
  template <real U>
  struct walk {
    const cope& encoding;
    const score_tile<U>& before;
    index_t q;
    U sum = 0;
    U open = 0;  // the gate
    place<U> at{-1, -1, 0};
    U difference = 0;  // of the products with the rows above and below

    /// Moves to key k; calls `leave()` when the current rows are about to change.
    template <class Leave>
    void move_to(index_t k, Leave leave) {
      open = gate(before.score(q, k));
      sum += open;
      const place<U> next = encoding.place_of(sum);
      if (next.below != at.below) {
        leave();
        difference = encoding.product(before, q, encoding.row(next.above)) -
                     encoding.product(before, q, encoding.row(next.below));
      }
      at = next;
    }
  };

  /// Adds the gradients of the embedding and the query; returns the sum of dL/dposition over all keys.
  template <real U>
  double add_parameter_gradients(const score_tile<U>& before, const score_gradients<U>& gradients,
                                 index_t q) const noexcept {
    double slopes = 0;
    U below = 0;  // dL/dz of the current rows
    U above = 0;
    walk<U> w{*this, before, q};
    const auto flush = [&] {
      if (w.at.below >= 0) {
        add_row_gradient(before, gradients, q, w.at.below, below);
        add_row_gradient(before, gradients, q, w.at.above, above);
      }
      below = above = 0;
    };
    for (index_t k = before.num_keys; k-- > 0;) {
      w.move_to(k, flush);
      const U gradient = gradients.scores[q * before.query_stride + k * before.key_stride];
      below += (U(1) - w.at.weight) * gradient;
      above += w.at.weight * gradient;
      slopes += static_cast<double>(gradient) * static_cast<double>(w.difference);
    }
    flush();
    return slopes;
  }

  /// Adds the gradients through z[p] = <q, embedding[p]>.
  template <real U>
  void add_row_gradient(const score_tile<U>& before, const score_gradients<U>& gradients, index_t q, index_t p,
                        U gradient) const noexcept {
    const T* embedding_row = row(p);
    U* embedding_gradients = gradients.parameters.data() + p * head_dim_;
    U* query_gradients = gradients.queries + q * before.query_token_stride;
    for (index_t d = 0; d < head_dim_; ++d) {
      embedding_gradients[d] += gradient * unscale(before, before.query(q, d));
      query_gradients[d * before.query_dim_stride] += unscale(before, gradient * static_cast<U>(embedding_row[d]));
    }
  }

  template <real U>
  void correct_score_gradients(const score_tile<U>& before, const score_gradients<U>& gradients, index_t q,
                               double slopes) const noexcept {
    walk<U> w{*this, before, q};
    for (index_t k = before.num_keys; k-- > 0;) {
      w.move_to(k, [] {});
      U& gradient = gradients.scores[q * before.query_stride + k * before.key_stride];
      const double slope = static_cast<double>(gradient) * static_cast<double>(w.difference);
      gradient += w.open * (U(1) - w.open) * static_cast<U>(slopes);
      slopes -= slope;
    }
  }

  std::vector<T> embedding_;  // [max_positions, head_dim]
  index_t head_dim_;
};

static_assert(tile_bias<cope<float>, float> && tile_bias<cope<float>, double>);

}  // namespace posenc::inline POSENC_ISA
