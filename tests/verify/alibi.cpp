// ALiBi: slopes, and biases in the forms that models use.
#include "bias_matrix.hpp"
#include "groups.hpp"
#include "heads.hpp"

#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/falcon_alibi.hpp>
#include <posenc/encodings/two_sided_alibi.hpp>

#include <stdexcept>

namespace verify {

namespace {

// Heads of a bias that is wanted, [head, ...], or by a mask, [batch, head, key].
index_t num_heads_wanted(const golden_case& one, const std::string& role) {
  if (one.wants("slopes")) return one.wanted("slopes").dim(0);
  if (!one.wants(role)) throw not_known("none of its outputs is known here");
  return one.wanted(role).dim(one.has("attention_mask") ? 1 : 0);
}

// Slopes of the first heads; heads past `num_alibi_heads` have none.
template <posenc::real T>
posenc::alibi<T> alibi_of(const golden_case& one) {
  const index_t num_heads = one.count("num_heads", num_heads_wanted(one, "alibi"));
  const index_t with_slopes = one.count("num_alibi_heads", num_heads);
  const posenc::alibi<T> all({.num_heads = with_slopes, .max_bias = one.number("alibi_bias_max", 8)});
  std::vector<T> slopes(all.slopes().begin(), all.slopes().end());
  slopes.resize(static_cast<std::size_t>(num_heads), T(0));
  return posenc::alibi<T>(slopes);
}

// Bloom's form, [batch, head, key]: a constant in each row is left out, so that a key adds slope * its position,
// whoever asks. A query at the last position adds slope * (key - last); what it adds to the key at position 0 is that
// constant.
template <posenc::real T, class E>
std::vector<T> bias_by_key(const E& encoding, const tensor& mask) {
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

template <posenc::real T, class E>
std::vector<T> bias_of(const golden_case& one, const std::string& role, const E& encoding) {
  if (one.has("attention_mask")) return bias_by_key<T>(encoding, one.input("attention_mask"));
  // [head, query, key], or [head, key]: the row of the last query.
  const tensor& want = one.wanted(role);
  const index_t num_keys = want.dim(-1);
  const index_t num_queries = want.rank() == 3 ? want.dim(1) : 1;
  return bias_matrix<T>(encoding, encoding.num_heads(), counting_from(num_keys - num_queries, num_queries),
                        counting_from(0, num_keys));
}

template <posenc::real T>
void check_one_sided(golden_case& one) {
  const posenc::alibi<T> encoding = alibi_of<T>(one);
  if (one.wants("slopes")) one.give("slopes", std::vector<T>(encoding.slopes().begin(), encoding.slopes().end()));
  if (one.wants("alibi")) one.give("alibi", bias_of<T>(one, "alibi", encoding));
}

// Slopes of bfloat16; the bias before the scale.
template <posenc::real T>
void check_falcon(golden_case& one) {
  const std::string role = one.wants("alibi_bf16") ? "alibi_bf16" : "alibi";
  const posenc::falcon_alibi<T> encoding(
      {.num_heads = one.count("num_heads", num_heads_wanted(one, role)), .scale = one.number("scale", 1)});
  if (one.wants("slopes")) one.give("slopes", std::vector<T>(encoding.slopes().begin(), encoding.slopes().end()));
  if (one.wants(role)) one.give(role, bias_of<T>(one, role, encoding));
}

template <posenc::real T>
void check_two_sided(golden_case& one) {
  const std::vector<T> left = values_as<T>(one.input("left_slopes")), right = values_as<T>(one.input("right_slopes"));
  one.give("alibi", bias_of<T>(one, "alibi", posenc::two_sided_alibi<T>(left, right)));
}

template <posenc::real T>
void check_in(golden_case& one) {
  const std::string variant = one.text("variant", one.has("left_slopes") ? "asymmetric" : "symmetric");
  const std::string slope_type = one.text("slope_type", "");
  if (slope_type != "" && slope_type != "bf16")
    throw not_known("slopes rounded to " + slope_type + " do not exist yet");
  if (variant == "asymmetric") return check_two_sided<T>(one);
  if (variant != "symmetric" && variant != "causal") throw not_known("the variant " + variant + " does not exist yet");
  if (slope_type == "bf16") return check_falcon<T>(one);
  check_one_sided<T>(one);
}

}  // namespace

void check_alibi(golden_case& one) {
  if (one.encoding() != "alibi") throw not_known("the encoding " + one.encoding() + " does not exist yet");
  check_in<float>(one);
  check_in<double>(one);
}

}  // namespace verify
