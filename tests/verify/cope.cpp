#include "head_scores.hpp"
#include "score_bias.hpp"

#include <posenc/encodings/cope.hpp>

#include <cmath>
#include <stdexcept>

namespace verify {

namespace {

// With 0, 1, 2, ... for an embedding of one column, and ones for queries, the bias is the position. Masked pairs have
// one as well: what their row has counted up to there. Zeros for scores would open their gates, so the mask stays, and
// the sum is read behind it from keys whose gates are shut: minus infinity before, minus infinity after. What a shut
// gate adds is nothing, so a masked pair's position is that of the key after it, and 0 behind the last.
std::vector<double> positions_of(index_t max_positions, const head_scores& head) {
  std::vector<double> ramp;
  for (index_t p = 0; p < max_positions; ++p) ramp.push_back(static_cast<double>(p));
  head_scores counting = head;
  counting.head_dim = 1;
  counting.queries.assign(static_cast<std::size_t>(head.length), head.scale);
  counting.keys.assign(static_cast<std::size_t>(head.length), 0.0);
  std::vector<double> positions = counting.bias_of(posenc::cope<double>(ramp, 1));
  for (index_t i = 0; i < head.length; ++i) {
    double behind = 0;
    for (index_t j = head.length; j-- > 0;) {
      const auto at = static_cast<std::size_t>(i * head.length + j);
      if (std::isinf(head.scores[at])) positions[at] = behind;
      behind = positions[at];
    }
  }
  return positions;
}

struct cope_gradients {
  std::vector<double> queries, keys, embedding;
};

// Of sum(upstream * bias): the adjoint gives that of sum(upstream * (score + bias)), so the scores' own part comes off.
void add_gradients(const posenc::cope<double>& encoding, head_scores& head, std::vector<double> upstream,
                   cope_gradients& sums) {
  std::vector<double> through = upstream;
  for (std::size_t i = 0; i < through.size(); ++i) {
    if (std::isinf(head.scores[i])) through[i] = upstream[i] = 0;
  }
  std::vector<double> d_queries(head.queries.size(), 0.0);
  std::vector<double> d_keys(head.keys.size(), 0.0);
  posenc::hooks::add_to_scores_backward(
      encoding, head.tile(head.scores),
      posenc::score_gradients<double>{through.data(), d_queries.data(), d_keys.data(), sums.embedding});
  for (index_t i = 0; i < head.length; ++i) {
    for (index_t j = 0; j < head.length; ++j) {
      const auto pair = static_cast<std::size_t>(i * head.length + j);
      const double d_score = through[pair] - upstream[pair];
      for (index_t d = 0; d < head.head_dim; ++d) {
        d_queries[head.at(i, d)] += d_score * head.keys[head.at(j, d)];
        d_keys[head.at(j, d)] += d_score * head.queries[head.at(i, d)];
      }
    }
  }
  for (const double value : d_queries) sums.queries.push_back(head.scale * value);
  sums.keys.insert(sums.keys.end(), d_keys.begin(), d_keys.end());
}

}  // namespace

void check_cope(golden_case& one) {
  const tensor& embedding = one.input("pos_emb");
  const posenc::cope<double> encoding(embedding.values, embedding.dim(-1));
  if (embedding.dim(-1) != one.input("q").dim(-1)) throw std::runtime_error("pos_emb and q differ in their last axis");
  std::vector<double> bias, positions;
  cope_gradients gradients{{}, {}, std::vector<double>(embedding.values.size(), 0.0)};
  for (index_t h = 0; h < one.input("q").dim(0); ++h) {
    head_scores head(one, h, one.flag("causal", true));
    const auto append = [](std::vector<double>& all, const std::vector<double>& part) {
      all.insert(all.end(), part.begin(), part.end());
    };
    append(bias, head.bias_of(encoding));
    append(positions, positions_of(encoding.max_positions(), head));
    if (!one.has("upstream")) continue;
    const tensor& upstream = one.input("upstream", {one.input("q").dim(0), head.length, head.length});
    const auto first = upstream.values.begin() + h * head.length * head.length;
    add_gradients(encoding, head, {first, first + head.length * head.length}, gradients);
  }
  one.give("bias", bias);
  one.give("positions", positions);
  if (!one.has("upstream")) return;
  one.give("q_grad", gradients.queries);
  one.give("k_grad", gradients.keys);
  one.give("pos_emb_grad", gradients.embedding);
}

}  // namespace verify
