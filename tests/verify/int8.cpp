// Symmetric 8-bit quantization: of tables, with one scale per row or one for all, and of cached keys.
#include "groups.hpp"
#include "heads.hpp"
#include "rope_parameters.hpp"

#include <posenc/encodings/rope_cache.hpp>
#include <posenc/kernels/quantize.hpp>
#include <posenc/quantize.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace verify {

namespace {

using posenc::head_view;

double root_mean_square(const std::vector<double>& errors) {
  double sum = 0;
  for (const double error : errors) sum += error * error;
  return errors.empty() ? 0 : std::sqrt(sum / static_cast<double>(errors.size()));
}

double largest(const std::vector<double>& errors) {
  double size = 0;
  for (const double error : errors) size = std::max(size, std::abs(error));
  return size;
}

void quantise_table(golden_case& one) {
  if (one.count("qmax") != 127) throw not_known("a largest integer other than 127 does not exist");
  const std::string mode = one.text("mode", "");
  if (mode != "per_row" && mode != "per_tensor") throw not_known("the mode " + mode + " does not exist yet");
  const index_t num_rows = one.count("rows");
  const index_t columns = one.count("columns");
  const std::vector<double>& exact = one.input("x", {num_rows, columns}).values;
  const std::vector<float> x = values_as<float>(one.input("x"));
  std::vector<std::int8_t> q(x.size());
  std::vector<float> scales(static_cast<std::size_t>(mode == "per_row" ? num_rows : 1));
  if (mode == "per_row")
    posenc::kernels::quantize_rows(x.data(), columns, num_rows, columns, q.data(), columns, scales.data());
  else
    scales[0] = posenc::kernels::quantize_tensor(x.data(), columns, num_rows, columns, q.data(), columns);
  std::vector<double> back(x.size());
  posenc::kernels::dequantize_rows(q.data(), columns, scales.data(), mode == "per_row" ? 1 : 0, num_rows, columns,
                                   back.data(), columns);

  std::vector<double> errors;
  for (std::size_t i = 0; i < back.size(); ++i) errors.push_back(back[i] - exact[i]);
  std::vector<double> row_errors;
  for (auto row = errors.begin(); row != errors.end(); row += columns)
    row_errors.push_back(largest({row, row + columns}));
  one.give("scale", scales);
  one.give_integers("quantized", {q.begin(), q.end()});
  one.give("dequantized", back);
  one.give("row_max_error", row_errors);
  one.give<double>("max_error", {largest(errors)});
  one.give<double>("rms_error", {root_mean_square(errors)});
}

// q k^T, all queries with all keys.
std::vector<double> scores(head_view<const double> q, head_view<const double> k) {
  std::vector<double> products;
  for (index_t i = 0; i < q.num_tokens; ++i) {
    for (index_t j = 0; j < k.num_tokens; ++j) {
      double sum = 0;
      for (index_t d = 0; d < q.head_dim; ++d) sum += q.row(i, 0)[d] * k.row(j, 0)[d];
      products.push_back(sum);
    }
  }
  return products;
}

// What scores lose to an int8 cache of rotated keys, and to one of keys that are rotated when they are read.
void cache_keys(golden_case& one) {
  const index_t length = one.count("length");
  const index_t head_dim = one.count("head_dim");
  const posenc::rope rotary = rope_of(one, head_dim);
  const posenc::positions at(0, length);
  std::vector<double> q = one.input("q", {length, head_dim}).values;
  std::vector<double> k = one.input("k", {length, head_dim}).values;
  std::vector<float> unrotated = values_as<float>(one.input("k"));
  const head_view<double> q_heads(q.data(), length, 1, head_dim), k_heads(k.data(), length, 1, head_dim);
  const head_view<float> unrotated_heads(unrotated.data(), length, 1, head_dim);
  rotate(rotary, q_heads, k_heads, at);
  const std::vector<double> exact = scores(q_heads, k_heads);

  std::vector<std::int8_t> memory(k.size());
  std::vector<float> scales(static_cast<std::size_t>(length));
  const posenc::quantized_view<std::int8_t> cache(memory.data(), scales.data(), length, 1, head_dim);
  const auto give_errors = [&](const std::string& order) {
    std::vector<double> errors = scores(q_heads, k_heads);
    for (std::size_t i = 0; i < errors.size(); ++i) errors[i] -= exact[i];
    one.give<double>("max_score_error_" + order, {largest(errors)});
    one.give<double>("rms_" + order, {root_mean_square(errors)});
  };
  rotate_to(rotary, unrotated_heads, cache, at);
  dequantize(cache, k_heads);
  give_errors("rotate_then_quantise");
  quantize(unrotated_heads, cache);
  dequantize(cache, k_heads);
  rotate(rotary, k_heads, at);
  give_errors("quantise_then_rotate");
}

}  // namespace

void check_int8(golden_case& one) {
  if (one.encoding() != "int8") throw not_known("the encoding " + one.encoding() + " does not exist yet");
  if (one.has("x")) return quantise_table(one);
  cache_keys(one);
}

}  // namespace verify
