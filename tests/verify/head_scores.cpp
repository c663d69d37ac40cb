#include "head_scores.hpp"

#include <limits>
#include <stdexcept>

namespace verify {

head_scores::head_scores(const golden_case& one, index_t head_index, bool causal)
    : head_scores(one, head_index, causal,
                  one.number("scale", 1 / std::sqrt(static_cast<double>(one.input("q").dim(-1))))) {}

head_scores::head_scores(const golden_case& one, index_t head_index, bool causal, double scale_of_scores)
    : head(head_index), scale(scale_of_scores) {
  const tensor& q = one.input("q");
  const tensor& k = one.input("k", q.shape);
  if (q.rank() != 3) throw std::runtime_error("q has shape " + shape_text(q.shape));
  length = q.dim(1);
  head_dim = q.dim(2);
  const index_t first = head * length * head_dim;
  queries.assign(q.values.begin() + first, q.values.begin() + first + length * head_dim);
  for (double& value : queries) value *= scale;
  keys.assign(k.values.begin() + first, k.values.begin() + first + length * head_dim);
  for (index_t i = 0; i < length; ++i) {
    for (index_t j = 0; j < length; ++j) {
      double product = 0;
      for (index_t d = 0; d < head_dim; ++d) product += queries[at(i, d)] * keys[at(j, d)];
      scores.push_back(causal && j > i ? -std::numeric_limits<double>::infinity() : product);
    }
  }
  indices = counting_from(0, length);
}

posenc::score_tile<double> head_scores::tile(std::vector<double>& of_scores) const {
  posenc::score_tile<double> all;
  all.scores = of_scores.data();
  all.query_stride = length;
  all.key_stride = 1;
  all.num_queries = length;
  all.num_keys = length;
  all.head = head;
  all.query_positions = indices.data();
  all.key_positions = indices.data();
  all.consecutive = true;
  all.queries = queries.data();
  all.query_token_stride = head_dim;
  all.query_dim_stride = 1;
  all.keys = keys.data();
  all.key_token_stride = head_dim;
  all.head_dim = head_dim;
  all.scale = scale;
  return all;
}

}  // namespace verify
