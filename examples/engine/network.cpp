#include "network.hpp"

#include "mapped_file.hpp"

#include <string>
#include <utility>

namespace engine {

namespace {

// Finds tensors by the names of a family, with its prefix if the file uses it, in layer `layer`.
class named_weights {
 public:
  named_weights(weights& file, const architecture& family)
      : file_(file),
        family_(family),
        prefix_(file.has(family.names.prefix + family.names.token_embedding + ".weight") ? family.names.prefix : "") {}

  void enter_layer(index_t number) { layer_ = std::to_string(number); }

  posenc::token_view<const float> table(const std::string& name, index_t rows, index_t columns) {
    return {file_.read(full(name) + ".weight", {rows, columns}), rows, columns};
  }

  /// Biases are used if the file has them: families differ, and so do configurations within a family.
  linear linear_layer(const std::string& name, index_t num_inputs, index_t num_outputs) {
    return linear_at(full(name), num_inputs, num_outputs, family_.layout);
  }
  /// The projection to the vocabulary, never prefixed or transposed in any family.
  linear output_layer(const std::string& name, index_t num_inputs, index_t num_outputs) {
    return linear_at(name, num_inputs, num_outputs, weight_layout::out_in);
  }

  normalization norm(const std::string& name, const model_config& config) {
    // The first BERT checkpoints use TensorFlow's names for weight and bias.
    const bool old_names = file_.has(full(name) + ".gamma");
    const std::vector<index_t> shape = {config.hidden_size};
    normalization n{family_.norm, config.norm_eps, file_.read(full(name) + (old_names ? ".gamma" : ".weight"), shape)};
    if (n.kind == norm_kind::layer) n.bias = file_.read(full(name) + (old_names ? ".beta" : ".bias"), shape);
    return n;
  }
  std::optional<normalization> norm_if_named(const std::string& name, const model_config& config) {
    return name.empty() ? std::nullopt : std::optional(norm(name, config));
  }

 private:
  std::string full(std::string name) const {
    if (const auto number = name.find('#'); number != std::string::npos) name.replace(number, 1, layer_);
    return prefix_ + name;
  }
  linear linear_at(const std::string& full_name, index_t num_inputs, index_t num_outputs, weight_layout layout) {
    std::vector<index_t> shape = {num_outputs, num_inputs};
    if (layout == weight_layout::in_out) std::swap(shape[0], shape[1]);
    linear l{num_inputs, num_outputs, layout, file_.read(full_name + ".weight", shape)};
    if (file_.has(full_name + ".bias")) l.bias = file_.read(full_name + ".bias", {num_outputs});
    return l;
  }

  weights& file_;
  const architecture& family_;
  std::string prefix_;
  std::string layer_;
};

std::vector<linear> load_qkv(named_weights& from, const model_config& c) {
  const auto& names = c.family->names.qkv;
  const index_t q = c.num_heads * c.head_dim;
  const index_t kv = c.num_kv_heads * c.head_dim;
  if (names.size() == 1) return {from.linear_layer(names[0], c.hidden_size, q + 2 * kv)};
  return {from.linear_layer(names[0], c.hidden_size, q), from.linear_layer(names[1], c.hidden_size, kv),
          from.linear_layer(names[2], c.hidden_size, kv)};
}

layer load_layer(named_weights& from, const model_config& c) {
  const tensor_names& names = c.family->names;
  layer l{.attention_norm = from.norm(names.attention_norm, c),
          .qkv = load_qkv(from, c),
          .attention_output = from.linear_layer(names.attention_output, c.num_heads * c.head_dim, c.hidden_size),
          .mlp_norm = from.norm(names.mlp_norm, c),
          .gate = {},
          .up = from.linear_layer(names.up, c.hidden_size, c.intermediate_size),
          .down = from.linear_layer(names.down, c.intermediate_size, c.hidden_size)};
  if (!names.gate.empty()) l.gate = from.linear_layer(names.gate, c.hidden_size, c.intermediate_size);
  return l;
}

// Encoders have none; a tied one is the token embedding, transposed.
std::optional<linear> load_output(named_weights& from, const model_config& c,
                                  posenc::token_view<const float> embedding) {
  if (!c.family->causal) return std::nullopt;
  if (c.tied_output) return linear{c.hidden_size, c.vocab_size, weight_layout::out_in, embedding.data};
  return from.output_layer(c.family->names.output, c.hidden_size, c.vocab_size);
}

}  // namespace

network load_network(const std::filesystem::path& config_path, const std::filesystem::path& weights_path) {
  const mapped_file config_file(config_path);
  network net{.config = read_config(config_file.text(), config_file.name()), .file = weights(weights_path)};
  const model_config& c = net.config;
  const tensor_names& names = c.family->names;
  named_weights from(net.file, *c.family);

  net.token_embedding = from.table(names.token_embedding, c.vocab_size, c.hidden_size);
  if (!names.position_table.empty())
    net.position_table = from.table(names.position_table, c.max_positions, c.hidden_size);
  if (!names.token_type_embedding.empty())
    net.token_type = from.table(names.token_type_embedding, c.num_token_types, c.hidden_size).token(0);
  net.embedding_norm = from.norm_if_named(names.embedding_norm, c);
  for (index_t number = 0; number < c.num_layers; ++number) {
    from.enter_layer(number);
    net.layers.push_back(load_layer(from, c));
  }
  net.final_norm = from.norm_if_named(names.final_norm, c);
  net.output = load_output(from, c, net.token_embedding);
  return net;
}

}  // namespace engine
