#include "forward.hpp"

#include <posenc/attention/attend.hpp>
#include <posenc/encode.hpp>
#include <posenc/encodings/scores_of.hpp>

#include <stdexcept>
#include <string>

namespace engine {

namespace {

using posenc::head_view;

struct qkv_views {
  head_view<float> q, k, v;
};

// The projections of a token are one row, in either column order; strides separate the heads.
qkv_views split(matrix& qkv, const model_config& c) {
  const index_t n = qkv.rows();
  const index_t row = qkv.cols();
  const index_t d = c.head_dim;
  float* const x = qkv.data();
  if (c.family->qkv == qkv_order::by_head)
    return {{x, n, c.num_heads, d, row, 3 * d},
            {x + d, n, c.num_heads, d, row, 3 * d},
            {x + 2 * d, n, c.num_heads, d, row, 3 * d}};
  float* const k = x + c.num_heads * d;
  float* const v = k + c.num_kv_heads * d;
  return {{x, n, c.num_heads, d, row, d}, {k, n, c.num_kv_heads, d, row, d}, {v, n, c.num_kv_heads, d, row, d}};
}

matrix project(const std::vector<linear>& projections, const matrix& x) {
  index_t width = 0;
  for (const linear& projection : projections) width += projection.num_outputs;
  matrix y(x.rows(), width);
  index_t column = 0;
  for (const linear& projection : projections) {
    projection.apply(x, y.middleCols(column, projection.num_outputs));
    column += projection.num_outputs;
  }
  return y;
}

// Position may enter here twice: the rotation of queries and keys, and what is added to scores.
matrix attention(const model_config& c, const layer& l, const matrix& x, kv_cache& cache, const step& s) {
  matrix qkv = project(l.qkv, x);
  const auto [q, k, v] = split(qkv, c);
  apply_to_queries(s.encode, q, s.queries);
  apply_to_keys(s.encode, k, s.queries);
  cache.append(k, v);

  matrix out(x.rows(), c.num_heads * c.head_dim);
  attend(q, cache.keys(), cache.values(), posenc::as_heads(out, c.num_heads), scores_of(s.encode),
         {.band = s.band, .positions = {s.queries, s.keys}, .more = {.allowed = s.allowed}});
  return l.attention_output(out);
}

matrix mlp(const model_config& c, const layer& l, const matrix& x) {
  if (!l.gate) {
    matrix inner = l.up(x);
    c.activate(inner);
    return l.down(inner);
  }
  matrix gate = (*l.gate)(x);
  c.activate(gate);
  return l.down(gate.cwiseProduct(l.up(x)));
}

}  // namespace

matrix embed(const network& net, std::span<const token_id> ids, const step& s) {
  const auto& table = net.token_embedding;
  matrix x(std::ssize(ids), table.dim);
  for (index_t t = 0; t < x.rows(); ++t) {
    const token_id id = ids[static_cast<std::size_t>(t)];
    if (id < 0 || id >= table.num_tokens)
      throw std::out_of_range("embed: ids[" + std::to_string(t) + "] is " + std::to_string(id) + ", expected 0 to " +
                              std::to_string(table.num_tokens - 1));
    x.row(t) = net.config.embedding_scale * row_vector_map(table.token(id), table.dim);
  }
  add_to(s.encode, posenc::as_tokens(x), s.queries);
  if (net.token_type != nullptr) x.rowwise() += row_vector_map(net.token_type, table.dim);
  return net.embedding_norm ? (*net.embedding_norm)(x) : x;
}

void run_layer(const network& net, const layer& l, matrix& x, kv_cache& cache, const step& s) {
  const model_config& c = net.config;
  switch (c.order) {
    case block_order::sequential:
      x += attention(c, l, l.attention_norm(x), cache, s);
      x += mlp(c, l, l.mlp_norm(x));
      break;
    case block_order::parallel:
      x += attention(c, l, l.attention_norm(x), cache, s) + mlp(c, l, l.mlp_norm(x));
      break;
    case block_order::post_norm:
      x = l.attention_norm(x + attention(c, l, x, cache, s));
      x = l.mlp_norm(x + mlp(c, l, x));
      break;
  }
}

matrix logits(const network& net, const matrix& hidden) {
  if (!net.output)
    throw std::invalid_argument("logits: " + net.config.family->model_type + " is an encoder, expected a decoder");
  return (*net.output)(hidden);
}

}  // namespace engine
