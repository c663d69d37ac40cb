// DeBERTa: buckets, and the two products that they select.
#include "head_scores.hpp"
#include "score_bias.hpp"

#include <posenc/encodings/deberta.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace verify {

namespace {

// Where distances have no buckets, each is its own.
position_t bucket_of(const golden_case& one, position_t distance) {
  const index_t buckets = one.count("position_buckets", -1);
  if (buckets <= 0) return distance;
  return static_cast<position_t>(posenc::deberta_bucket(distance, buckets, one.count("max_relative_positions")));
}

void give_buckets(golden_case& one) {
  std::vector<position_t> buckets;
  for (const position_t distance : ids_of(one.input("relative_position"))) buckets.push_back(bucket_of(one, distance));
  one.give_integers("bucket", buckets);
}

posenc::deberta<double> deberta_of(const golden_case& one) {
  const tensor& vectors = one.input("rel_embeddings");
  const auto terms = one.parameter("pos_att_type").get<std::vector<std::string>>();
  posenc::deberta_params<double> params;
  params.num_heads = vectors.dim(0);
  params.head_dim = vectors.dim(-1);
  params.position_buckets = one.count("position_buckets", -1);
  params.max_relative_positions = one.count("max_relative_positions");
  for (const std::string& term : terms) {
    if (term == "c2p")
      params.pos_keys = vectors.values;
    else if (term == "p2c")
      params.pos_queries = vectors.values;
    else
      throw not_known("the term " + term + " does not exist");
  }
  return posenc::deberta<double>(params);
}

void give_bias(golden_case& one) {
  const posenc::deberta<double> encoding = deberta_of(one);
  const tensor& q = one.input("q");
  const double scale = 1 / std::sqrt(static_cast<double>(q.dim(-1)) * one.number("scale_factor"));
  if (one.has_parameter("span"))
    one.found().expect(encoding.span() == one.count("span"), "the span is " + std::to_string(encoding.span()));
  std::vector<double> bias;
  for (index_t h = 0; h < q.dim(0); ++h) {
    const std::vector<double> of_head = head_scores(one, h, false, scale).bias_of(encoding);
    bias.insert(bias.end(), of_head.begin(), of_head.end());
  }
  one.give("bias", bias);
  one.give("bias_reference", bias);
  std::vector<position_t> relative;
  for (position_t i = 0; i < q.dim(1); ++i) {
    for (position_t j = 0; j < q.dim(1); ++j) relative.push_back(bucket_of(one, i - j));
  }
  one.give_integers("relative_position", relative);
}

}  // namespace

void check_deberta(golden_case& one) {
  if (one.has("relative_position")) return give_buckets(one);
  give_bias(one);
}

}  // namespace verify
