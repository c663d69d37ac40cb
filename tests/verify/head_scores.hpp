// One head of a case as seen by an encoding that reads content: scores, queries, keys, and their tile.
#pragma once

#include "golden_case.hpp"
#include "heads.hpp"

#include <posenc/hooks.hpp>

#include <cmath>
#include <vector>

namespace verify {

struct head_scores {
  /// From q and k [num_heads, length, head_dim] and the case's scale, by default 1 / sqrt(head_dim).
  head_scores(const golden_case& one, index_t head, bool causal);
  head_scores(const golden_case& one, index_t head, bool causal, double scale_of_scores);

  posenc::score_tile<double> tile(std::vector<double>& of_scores) const;
  std::size_t at(index_t token, index_t d) const { return static_cast<std::size_t>(token * head_dim + d); }

  /// The scores after the encoding: [length, length].
  template <class E>
  std::vector<double> scores_under(const E& encoding) const {
    const posenc::positions ids(indices);
    posenc::raise_if(posenc::hooks::check_scores<double>(
        encoding, {.num_queries = length, .num_keys = length, .num_heads = 1, .head_dim = head_dim, .first_head = head},
        ids, ids));
    std::vector<double> result = scores;
    posenc::score_tile<double> all = tile(result);
    std::vector<double> scratch(static_cast<std::size_t>(posenc::hooks::scratch_size(encoding, length)));
    all.scratch = scratch.data();
    posenc::score_tile<double> before_keys = all;
    before_keys.num_keys = 0;
    posenc::hooks::begin(encoding, before_keys);
    posenc::hooks::add_to_scores(encoding, all);
    return result;
  }

  /// What the encoding adds; masked pairs count as 0.
  template <class E>
  std::vector<double> bias_of(const E& encoding) const {
    std::vector<double> added = scores_under(encoding);
    for (std::size_t i = 0; i < added.size(); ++i) added[i] = std::isinf(scores[i]) ? 0 : added[i] - scores[i];
    return added;
  }

  index_t head;
  double scale;
  index_t length = 0;
  index_t head_dim = 0;
  std::vector<double> queries;  // scaled
  std::vector<double> keys;
  std::vector<double> scores;  // masked
  std::vector<position_t> indices;
};

}  // namespace verify
