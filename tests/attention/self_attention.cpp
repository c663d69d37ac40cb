#include <posenc/attention/self_attention.hpp>

#include <posenc/attention/reference.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/learned.hpp>
#include <posenc/encodings/rope.hpp>

#include "../catch.hpp"
#include "../random_values.hpp"

#include <string>
#include <vector>

using namespace posenc;

namespace {

using matrix = row_matrix<double>;

constexpr index_t num_tokens = 7, dim = 6, num_heads = 4, num_kv_heads = 2, head_dim = 4, value_dim = 3;

matrix draw(random_values& random, index_t rows, index_t columns) {
  matrix m(rows, columns);
  for (index_t i = 0; i < m.size(); ++i) m.data()[i] = random.real();
  return m;
}

struct layer {
  matrix x;
  attention_weights<double> weights;

  explicit layer(random_values& random) : x(draw(random, num_tokens, dim)) {
    weights.query = draw(random, dim, num_heads * head_dim);
    weights.key = draw(random, dim, num_kv_heads * head_dim);
    weights.value = draw(random, dim, num_kv_heads * value_dim);
    weights.output = draw(random, num_heads * value_dim, dim);
    weights.num_heads = num_heads;
    weights.num_kv_heads = num_kv_heads;
  }
  void draw_biases(random_values& random) {
    weights.query_bias = draw(random, 1, num_heads * head_dim);
    weights.key_bias = draw(random, 1, num_kv_heads * head_dim);
    weights.value_bias = draw(random, 1, num_kv_heads * value_dim);
    weights.output_bias = draw(random, 1, dim);
  }
};

const rope rotary(pairing::interleaved, frequencies(std::vector<double>{1, 0.1}).with_attention_factor(1.25));
const alibi<double> slopes(num_heads);

/// The four places written out, in matrices: embedding table, rotation, slopes, and the reference's softmax.
matrix by_hand(const layer& l, const matrix& table, const std::vector<position_t>& ids) {
  const auto add_bias = [](matrix y, const Eigen::RowVectorXd& bias) {
    if (bias.size() > 0) y.rowwise() += bias;
    return y;
  };
  matrix x = l.x;
  for (index_t t = 0; t < num_tokens; ++t) x.row(t) += table.row(ids[static_cast<std::size_t>(t)]);
  matrix q = add_bias(x * l.weights.query, l.weights.query_bias);
  matrix k = add_bias(x * l.weights.key, l.weights.key_bias);
  const matrix v = add_bias(x * l.weights.value, l.weights.value_bias);
  rotate(rotary, as_heads(q, num_heads), ids);
  rotate(rotary, as_heads(k, num_kv_heads), ids);
  const auto heads = attend_reference(as_heads(q, num_heads), as_heads(k, num_kv_heads), as_heads(v, num_kv_heads),
                                      slopes, {.band = causal(), .positions = {ids, ids}});
  matrix side_by_side(num_tokens, num_heads * value_dim);
  for (index_t h = 0; h < num_heads; ++h)
    side_by_side.middleCols(h * value_dim, value_dim) = heads[static_cast<std::size_t>(h)].out;
  if (l.weights.output.size() == 0) return side_by_side;
  return add_bias(side_by_side * l.weights.output, l.weights.output_bias);
}

}  // namespace

TEST_CASE("self_attention: a layer is its four places, written out", "[self_attention]") {
  random_values random(1);
  CAPTURE(random.seed());
  layer l(random);
  const bool has_biases = GENERATE(false, true);
  const bool has_output = GENERATE(false, true);
  if (has_biases) l.draw_biases(random);
  if (!has_output) {
    l.weights.output.resize(0, 0);
    l.weights.output_bias.resize(0);
  }
  const matrix table = draw(random, 12, dim);
  const auto all =
      combine(learned<double>(std::vector<double>(table.data(), table.data() + table.size()), dim), rotary, slopes);
  const std::vector<position_t> in_order{0, 1, 2, 3, 4, 5, 6}, ids{3, 3, 0, 11, 5, 6, 1};
  const matrix before = l.x;
  const matrix y = self_attention(l.x, l.weights, all, {.band = causal()});
  CHECK((y - by_hand(l, table, in_order)).cwiseAbs().maxCoeff() < 1e-12);
  const matrix moved = self_attention(l.x, l.weights, all, {.band = causal(), .positions = {.queries = ids}});
  CHECK((moved - by_hand(l, table, ids)).cwiseAbs().maxCoeff() < 1e-12);
  CHECK(l.x == before);
}

TEST_CASE("self_attention: without an encoding the order of tokens means nothing", "[self_attention]") {
  random_values random(2);
  CAPTURE(random.seed());
  const layer l(random);
  const matrix y = self_attention(l.x, l.weights, no_encoding{});
  const matrix reversed = self_attention(matrix(l.x.colwise().reverse()), l.weights, no_encoding{});
  CHECK((y - reversed.colwise().reverse()).cwiseAbs().maxCoeff() < 1e-14);
  const matrix with_order = self_attention(matrix(l.x.colwise().reverse()), l.weights, rotary);
  CHECK((self_attention(l.x, l.weights, rotary) - with_order.colwise().reverse()).cwiseAbs().maxCoeff() > 1e-3);
}

TEST_CASE("self_attention: positions of several axes reach the rotation", "[self_attention]") {
  random_values random(3);
  CAPTURE(random.seed());
  const layer l(random);
  const std::vector<index_t> axes{0, 1};
  const rope on_two(pairing::half, frequencies(std::vector<double>{1, 0.1}).with_axes(axes));
  std::vector<position_t> same{0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6};
  const matrix y = self_attention(l.x, l.weights, on_two);
  CHECK(self_attention(l.x, l.weights, on_two, {.positions = {.queries = positions(same, 2)}}) == y);
  same[9] = 40;
  CHECK(self_attention(l.x, l.weights, on_two, {.positions = {.queries = positions(same, 2)}}) != y);
}

TEST_CASE("self_attention: no tokens give no rows", "[self_attention]") {
  random_values random(4);
  CAPTURE(random.seed());
  const layer l(random);
  const matrix y = self_attention(matrix(0, dim), l.weights, combine(rotary, slopes), {.band = causal()});
  CHECK(y.rows() == 0);
  CHECK(y.cols() == dim);
}

TEST_CASE("self_attention: weights that do not fit are refused", "[self_attention]") {
  random_values random(5);
  CAPTURE(random.seed());
  layer l(random);
  const auto refuses = [&](const std::string& message) {
    CHECK_THROWS_WITH(self_attention(l.x, l.weights, no_encoding{}), message);
  };
  SECTION("rows") {
    l.weights.key.resize(5, 8);
    refuses("self_attention: key: number of rows is 5, expected 6, the width of its input");
  }
  SECTION("columns") {
    l.weights.value.resize(dim, 7);
    refuses("self_attention: value: number of columns is 7, expected a multiple of 2, the number of heads");
  }
  SECTION("heads") {
    l.weights.num_heads = 0;
    refuses("self_attention: num_heads is 0, expected at least 1");
    l.weights.num_heads = 4;
    l.weights.num_kv_heads = -1;
    refuses("self_attention: num_kv_heads is -1, expected at least 1");
    l.weights.num_kv_heads = 1;
    l.weights.output.resize(24, dim);
    refuses("attend: head_dim of keys is 8, expected 4, that of the queries");
  }
  SECTION("the output projection") {
    l.weights.output.resize(11, dim);
    refuses("self_attention: output: number of rows is 11, expected 12, the width of its input");
  }
  SECTION("biases") {
    l.weights.query_bias.setZero(15);
    refuses("self_attention: query: size of the bias is 15, expected 0 or 16, one for each column");
    l.weights.query_bias.resize(0);
    l.weights.output_bias.setZero(5);
    refuses("self_attention: output: size of the bias is 5, expected 0 or 6, one for each column");
    l.weights.output.resize(0, 0);
    refuses("self_attention: size of output_bias is 5, expected 0 without an output projection");
  }
  SECTION("positions") {
    CHECK_THROWS_WITH(self_attention(l.x, l.weights, rotary, {.positions = {.queries = positions(0, 6)}}),
                      "rotate: number of positions is 6, expected 7, one for each token");
    const learned<double> table(std::vector<double>(6 * dim), dim);
    CHECK_THROWS_WITH(self_attention(l.x, l.weights, table), "add_to: positions[6] is 6, expected at most 5");
  }
}
