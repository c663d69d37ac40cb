// Shaw's relative keys: rows, scores, and the output of attention over them.
#include "head_scores.hpp"
#include "score_bias.hpp"

#include <posenc/attention/attention.hpp>
#include <posenc/encodings/shaw.hpp>

namespace verify {

namespace {

posenc::shaw<double> shaw_of(const golden_case& one) {
  const tensor& table = one.input("distance_embedding");
  return {table.values,
          {.left_max = one.count("left_max"), .right_max = one.count("right_max"), .head_dim = table.dim(-1)}};
}

// Heads, one after the other in memory.
template <class S>
posenc::head_view<S> heads_of_input(std::vector<S>& values, const tensor& x) {
  return posenc::head_major(values.data(), x.dim(0), x.dim(1), x.dim(2));
}

std::vector<double> output_of(const golden_case& one, const posenc::shaw<double>& encoding) {
  const tensor& v = one.input("v", one.input("q").shape);
  std::vector<double> q = one.input("q").values, k = one.input("k", one.input("q").shape).values, values = v.values;
  std::vector<double> out(values.size());
  posenc::attend_options<double> options;
  if (one.flag("causal", false)) options.band = posenc::causal();
  if (one.has_parameter("scale")) options.scale = one.number("scale");
  posenc::attention(heads_of_input(q, v), heads_of_input(k, v), heads_of_input(values, v), heads_of_input(out, v),
                    encoding, options);
  return out;
}

}  // namespace

void check_shaw(golden_case& one) {
  const posenc::shaw<double> encoding = shaw_of(one);
  const index_t length = one.input("q").dim(1);
  std::vector<position_t> rows;
  for (index_t q = 0; q < length; ++q) {
    for (index_t k = 0; k < length; ++k)
      rows.push_back(static_cast<position_t>(encoding.row(static_cast<position_t>(q - k))));
  }
  one.give_integers("index", rows);

  std::vector<double> scores;
  for (index_t h = 0; h < one.input("q").dim(0); ++h) {
    const std::vector<double> of_head = head_scores(one, h, one.flag("causal", false)).scores_under(encoding);
    scores.insert(scores.end(), of_head.begin(), of_head.end());
  }
  one.give("scores", scores);
  if (one.has("v")) one.give("output", output_of(one, encoding));
}

}  // namespace verify
