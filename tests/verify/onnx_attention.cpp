// ONNX Attention: scaled dot products with masks, caches and windows, by the tiled kernel and by the reference.
#include "heads.hpp"
#include "onnx_case.hpp"
#include "onnx_mask.hpp"

#include <posenc/attention/attend.hpp>
#include <posenc/attention/reference.hpp>

#include <stdexcept>

namespace verify {

namespace {

using posenc::head_view;

// What a case asks for, all but the elements.
struct attention_call {
  explicit attention_call(const onnx_case& one)
      : queries(heads_shape_of(one.input("Q"), one.integer("q_num_heads", 0))),
        new_keys(heads_shape_of(one.input("K"), one.integer("kv_num_heads", 0))),
        new_values(heads_shape_of(one.input("V"), one.integer("kv_num_heads", 0))),
        has_past(one.find("past_key") != nullptr),
        past(has_past ? one.input("past_key").dim(2) : 0),
        keys(with_past(new_keys)),
        values(with_past(new_values)) {
    if (new_keys.batch != queries.batch || new_values.batch != queries.batch)
      throw std::runtime_error("Q, K and V differ in their batches");
    if (const tensor* lengths = one.find("nonpad_kv_seqlen")) num_valid = ids_of(*lengths);
    if (!num_valid.empty() && std::ssize(num_valid) != queries.batch)
      throw std::runtime_error("nonpad_kv_seqlen and Q differ in their batches");
  }

  heads_shape with_past(const heads_shape& fresh) const {
    return {fresh.batch, fresh.num_heads, past + fresh.num_tokens, fresh.head_dim, false};
  }

  index_t valid_keys(index_t batch) const {
    if (num_valid.empty()) return keys.num_tokens;
    const index_t count = num_valid[static_cast<std::size_t>(batch)];
    if (count < 0 || count > keys.num_tokens) throw std::runtime_error("nonpad_kv_seqlen exceeds the keys");
    return count;
  }
  // Behind the past; or, with an external cache, at its end; else at the front.
  index_t query_offset(index_t batch) const {
    return has_past || num_valid.empty() ? past : valid_keys(batch) - queries.num_tokens;
  }
  heads_shape outputs() const {
    return {queries.batch, queries.num_heads, queries.num_tokens, values.head_dim, queries.token_major};
  }

  heads_shape queries, new_keys, new_values;
  bool has_past;
  index_t past;                       // its length
  heads_shape keys, values;           // those of the past, and the new ones
  std::vector<position_t> num_valid;  // [batch], empty: all keys
};

posenc::index_band band_of(const onnx_case& one) {
  posenc::index_band band;
  if (const index_t left = one.integer("left_window_size", -1); left >= 0) band.end = left + 1;
  if (const index_t right = one.integer("right_window_size", -1); right >= 0) band.first = -right;
  if (one.integer("is_causal", 0) != 0) band.first = std::max<index_t>(band.first, 0);
  return band;
}

template <posenc::real T>
posenc::attend_options<T> options_of(const onnx_case& one, const attention_call& call, const onnx_mask& mask,
                                     index_t batch) {
  posenc::attend_options<T> options{.band = band_of(one), .query_offset = call.query_offset(batch)};
  if (one.has_attribute("scale")) options.scale = one.number("scale", 0);
  options.softcap = one.number("softcap", 0);
  options.more.allowed = mask.allowed(batch);
  return options;
}

// Past and new tokens, one behind the other: [batch, heads, tokens, dim].
template <posenc::scalar S>
std::vector<S> joined(const tensor* past, const tensor& fresh, const heads_shape& fresh_shape,
                      const heads_shape& shape) {
  std::vector<S> all(static_cast<std::size_t>(shape.batch * shape.size()));
  const auto put = [&](const tensor& x, const heads_shape& from_shape, index_t first) {
    std::vector<S> values = values_as<S>(x);
    for (index_t b = 0; b < shape.batch; ++b) {
      const head_view<S> from = heads_of(values, from_shape, b);
      const head_view<S> to = heads_of(all, shape, b).tokens(first, from_shape.num_tokens);
      for (index_t t = 0; t < from.num_tokens; ++t) {
        for (index_t h = 0; h < from.num_heads; ++h) std::copy_n(from.row(t, h), from.head_dim, to.row(t, h));
      }
    }
  };
  const index_t past_length = shape.num_tokens - fresh_shape.num_tokens;
  if (past != nullptr) {
    if (past->shape != std::vector<index_t>{shape.batch, shape.num_heads, past_length, shape.head_dim})
      throw std::runtime_error("a past of shape " + shape_text(past->shape) + " does not fit");
    put(*past, {shape.batch, shape.num_heads, past_length, shape.head_dim, false}, 0);
  } else if (past_length != 0) {
    throw std::runtime_error("past_key and past_value come together");
  }
  put(fresh, fresh_shape, past_length);
  return all;
}

template <posenc::scalar S>
void check_streaming(onnx_case& one, const attention_call& call, const onnx_mask& mask, std::vector<S>& q,
                     std::vector<S>& k, std::vector<S>& v) {
  using T = posenc::compute_t<S>;
  const heads_shape shape = call.outputs();
  std::vector<S> out(static_cast<std::size_t>(shape.batch * shape.size()));
  for (index_t b = 0; b < shape.batch; ++b) {
    const index_t count = call.valid_keys(b);
    posenc::attend(heads_of(q, call.queries, b), heads_of(k, call.keys, b).tokens(0, count),
                   heads_of(v, call.values, b).tokens(0, count), heads_of(out, shape, b), mask.bias(b),
                   options_of<T>(one, call, mask, b));
  }
  one.give("Y", widened(out));
}

const posenc::row_matrix<double>& step_of(const posenc::reference_head& head, index_t mode) {
  switch (mode) {
    case 0:
      return head.scaled;
    case 1:
      return head.capped;
    case 2:
      return head.biased;
    case 3:
      return head.weights;
    default:
      throw not_known("qk_matmul_output_mode " + std::to_string(mode) + " is not known here");
  }
}

// The intermediate scores cover all keys, also those that are padding: for them the valid ones are a range.
template <posenc::scalar S>
void check_reference(onnx_case& one, const attention_call& call, const onnx_mask& mask, std::vector<S>& q,
                     std::vector<S>& k, std::vector<S>& v) {
  const index_t mode = one.integer("qk_matmul_output_mode", 0);
  const heads_shape shape = call.outputs();
  std::vector<double> out(static_cast<std::size_t>(shape.batch * shape.size()));
  std::vector<double> scores;
  for (index_t b = 0; b < shape.batch; ++b) {
    posenc::attend_options<double> options = options_of<double>(one, call, mask, b);
    const std::vector<posenc::key_range> valid(static_cast<std::size_t>(shape.num_tokens), {0, call.valid_keys(b)});
    options.more.key_ranges = valid;
    const auto heads = posenc::attend_reference(heads_of(q, call.queries, b), heads_of(k, call.keys, b),
                                                heads_of(v, call.values, b), mask.bias(b), options);
    const head_view<double> to = heads_of(out, shape, b);
    for (index_t h = 0; h < shape.num_heads; ++h) {
      const posenc::reference_head& head = heads[static_cast<std::size_t>(h)];
      for (index_t t = 0; t < shape.num_tokens; ++t)
        for (index_t d = 0; d < shape.head_dim; ++d) to.row(t, h)[d] = head.out(t, d);
      for (const double score : step_of(head, mode).reshaped<Eigen::RowMajor>()) scores.push_back(score);
    }
  }
  one.give("Y", out);
  one.give("qk_matmul_output", scores);
}

template <posenc::scalar S>
void check_in(onnx_case& one, const attention_call& call, const onnx_mask& mask) {
  std::vector<S> q = values_as<S>(one.input("Q"));
  std::vector<S> k = joined<S>(one.find("past_key"), one.input("K"), call.new_keys, call.keys);
  std::vector<S> v = joined<S>(one.find("past_value"), one.input("V"), call.new_values, call.values);
  check_streaming(one, call, mask, q, k, v);
  check_reference(one, call, mask, q, k, v);
  one.give("present_key", widened(k));
  one.give("present_value", widened(v));
}

}  // namespace

// softmax_precision asks for a type to compute in: the kernel uses float or wider, and the reference always double.
void check_onnx_attention(onnx_case& one) {
  one.expect_only({"is_causal", "scale", "softcap", "q_num_heads", "kv_num_heads", "qk_matmul_output_mode",
                   "left_window_size", "right_window_size", "softmax_precision"},
                  {"Q", "K", "V", "attn_mask", "past_key", "past_value", "nonpad_kv_seqlen"});
  const attention_call call(one);
  const onnx_mask mask(one,
                       {call.queries.batch, call.queries.num_heads, call.queries.num_tokens, call.keys.num_tokens});
  with_element_type(one.element_type("Q"), [&]<class S>() { check_in<S>(one, call, mask); });
}

}  // namespace verify
