// Transformer-XL and XLNet: scores, and their relative shift of products.
#include "bias_matrix.hpp"
#include "head_scores.hpp"
#include "score_bias.hpp"

#include <posenc/encodings/transformer_xl.hpp>

#include <stdexcept>

namespace verify {

namespace {

// x holds products of each query with relative keys, the largest distance first. They are scores of an encoding whose
// queries are x and whose relative keys are unit vectors: what it adds to a pair is the product for its distance,
// moved to where the pair stands.
void give_shifted(golden_case& one) {
  const tensor& x = one.input("x");
  const tensor& want = one.wanted("shifted");
  if (x.rank() != 3 || want.rank() != 3) throw std::runtime_error("x has shape " + shape_text(x.shape));
  const index_t num_queries = x.dim(1), num_columns = x.dim(2), num_keys = want.dim(2);
  // Queries are the last tokens, the last of them at num_keys - 1.
  const index_t furthest = num_columns - num_queries;
  const posenc::relative_range range{static_cast<position_t>(furthest - num_columns + 1),
                                     static_cast<position_t>(furthest)};
  std::vector<double> unit(static_cast<std::size_t>(num_columns * num_columns), 0.0);
  for (index_t c = 0; c < num_columns; ++c) unit[static_cast<std::size_t>((num_columns - 1 - c) * num_columns + c)] = 1;
  const std::vector<double> zeros(static_cast<std::size_t>(num_columns), 0.0);
  const posenc::transformer_xl<double> encoding(zeros, zeros, unit, 1, range);

  const std::vector<position_t> queries = counting_from(num_keys - num_queries, num_queries);
  const std::vector<position_t> keys = counting_from(0, num_keys);
  const std::vector<double> contents(static_cast<std::size_t>(num_keys * num_columns), 0.0);
  std::vector<double> shifted(static_cast<std::size_t>(want.size()), 0.0);
  for (index_t h = 0; h < x.dim(0); ++h) {
    posenc::score_tile<double> tile = tile_of(shifted.data() + h * num_queries * num_keys, queries, keys);
    tile.queries = x.values.data() + h * num_queries * num_columns;
    tile.query_token_stride = tile.key_token_stride = tile.head_dim = num_columns;
    tile.query_dim_stride = 1;
    tile.keys = contents.data();
    posenc::hooks::add_to_scores(encoding, tile);
  }
  one.give("shifted", shifted);
}

void give_scores(golden_case& one) {
  const tensor& q = one.input("q");
  const tensor& r = one.input("r");
  if (!one.flag("causal", true)) throw not_known("relative keys of both directions in a case are not known here");
  if (r.rank() != 3 || r.dim(0) != q.dim(0) || r.dim(2) != q.dim(2))
    throw std::runtime_error("r has shape " + shape_text(r.shape));
  const posenc::relative_range range{0, static_cast<position_t>(r.dim(1) - 1)};
  const posenc::transformer_xl<double> encoding(one.input("u").values, one.input("v").values, r.values, q.dim(0),
                                                range);
  std::vector<double> scores;
  for (index_t h = 0; h < q.dim(0); ++h) {
    for (const double score : head_scores(one, h, true, one.number("scale", 1)).scores_under(encoding))
      scores.push_back(std::isinf(score) ? 0 : score);  // masked
  }
  one.give("scores", scores);
}

}  // namespace

void check_transformer_xl(golden_case& one) {
  if (one.has("x")) return give_shifted(one);
  give_scores(one);
}

}  // namespace verify
