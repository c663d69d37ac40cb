// ALiBi: slopes, and biases in the forms that models keep them.
#include "bias_matrix.hpp"
#include "groups.hpp"
#include "heads.hpp"

#include <posenc/encodings/alibi.hpp>

#include <stdexcept>

namespace verify {

namespace {

index_t num_heads_wanted(const golden_case& one) {
  if (one.wants("slopes")) return one.wanted("slopes").dim(0);
  if (!one.wants("alibi")) throw not_known("none of its outputs is known here");
  return one.wanted("alibi").dim(one.has("attention_mask") ? 1 : 0);
}

// Slopes of the first heads; heads past `num_alibi_heads` have none.
template <posenc::real T>
posenc::alibi<T> alibi_of(const golden_case& one) {
  const index_t num_heads = one.count("num_heads", num_heads_wanted(one));
  const index_t with_slopes = one.count("num_alibi_heads", num_heads);
  const posenc::alibi<T> all({.num_heads = with_slopes, .max_bias = one.number("alibi_bias_max", 8)});
  std::vector<T> slopes(all.slopes().begin(), all.slopes().end());
  slopes.resize(static_cast<std::size_t>(num_heads), T(0));
  return posenc::alibi<T>(slopes);
}

// Bloom's form, [batch, head, key]: a constant in each row is left out, so that a key adds slope * its position, whoever
// asks. A query at the last position adds slope * (key - last); what it adds to the key at position 0 is that constant.
template <posenc::real T>
std::vector<T> bias_by_key(const posenc::alibi<T>& encoding, const tensor& mask) {
  if (mask.rank() != 2) throw std::runtime_error("attention_mask has shape " + shape_text(mask.shape));
  const index_t num_keys = mask.dim(-1);
  std::vector<T> all;
  for (index_t b = 0; b < mask.dim(0); ++b) {
    const auto row =
        std::span(mask.values).subspan(static_cast<std::size_t>(b * num_keys), static_cast<std::size_t>(num_keys));
    const std::vector<position_t> keys = posenc::positions_from_mask(row);
    const std::vector<position_t> query{keys.empty() ? 0 : keys.back()};
    const std::vector<position_t> zero{0};
    const std::vector<T> bias = bias_matrix<T>(encoding, encoding.num_heads(), query, keys);
    const std::vector<T> constant = bias_matrix<T>(encoding, encoding.num_heads(), query, zero);
    for (std::size_t i = 0; i < bias.size(); ++i) {
      const bool real_token = row[i % row.size()] != 0;
      all.push_back(real_token ? bias[i] - constant[i / row.size()] : T(0));
    }
  }
  return all;
}

template <posenc::real T>
std::vector<T> bias_of(const golden_case& one, const posenc::alibi<T>& encoding) {
  if (one.has("attention_mask")) return bias_by_key(encoding, one.input("attention_mask"));
  // [head, query, key], or [head, key]: the row of the last query.
  const tensor& want = one.wanted("alibi");
  const index_t num_keys = want.dim(-1);
  const index_t num_queries = want.rank() == 3 ? want.dim(1) : 1;
  return bias_matrix<T>(encoding, encoding.num_heads(), counting_from(num_keys - num_queries, num_queries),
                        counting_from(0, num_keys));
}

template <posenc::real T>
void check_in(golden_case& one) {
  const posenc::alibi<T> encoding = alibi_of<T>(one);
  if (one.wants("slopes")) one.give("slopes", std::vector<T>(encoding.slopes().begin(), encoding.slopes().end()));
  if (one.wants("alibi")) one.give("alibi", bias_of(one, encoding));
}

}  // namespace

void check_alibi(golden_case& one) {
  if (one.encoding() != "alibi") throw not_known("the encoding " + one.encoding() + " does not exist yet");
  const std::string variant = one.text("variant", one.has("left_slopes") ? "asymmetric" : "symmetric");
  if (variant != "symmetric" && variant != "causal") throw not_known("the variant " + variant + " does not exist yet");
  if (one.has_parameter("slope_type"))
    throw not_known("slopes rounded to " + one.text("slope_type", "") + " do not exist yet");
  check_in<float>(one);
  check_in<double>(one);
}

}  // namespace verify
