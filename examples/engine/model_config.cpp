#include "model_config.hpp"

#include <cmath>
#include <limits>
#include <string>

namespace engine {

namespace {

constexpr std::size_t largest_file = std::size_t{1} << 24;  // the longest known lists are a few hundred numbers

// Far above any model, and far below where the product of two would overflow.
constexpr index_t largest_size = index_t{1} << 24;
constexpr index_t largest_head_dim = index_t{1} << 12;
constexpr index_t largest_position = std::numeric_limits<posenc::position_t>::max();

const architecture& find_family(const json_fields& config) {
  const std::string model_type = config.text({"model_type"});
  std::string known;
  for (const architecture& family : known_architectures()) {
    if (family.model_type == model_type) return family;
    known += (known.empty() ? "one of " : ", ") + family.model_type;
  }
  config.refuse_field({"model_type"}, known);
}

void check_required(const json_fields& config, const architecture& family) {
  for (const required_field& field : family.required) {
    if (config.has({field.name}) && config.json({field.name}) != field.value)
      config.refuse_field({field.name}, std::string(field.value) + ", all that this engine does");
  }
}

block_order read_order(const json_fields& config, const architecture& family) {
  if (family.order != block_order::parallel) return family.order;
  return config.boolean({"use_parallel_residual"}, true) ? block_order::parallel : block_order::sequential;
}

activation read_activation(const json_fields& config, const architecture& family) {
  const std::string name = config.text({"hidden_act", "activation_function"}, family.activation);
  const activation found = find_activation(name);
  if (found == nullptr)
    config.refuse_field({"hidden_act", "activation_function"}, "an activation that the engine knows");
  return found;
}

void read_sizes(const json_fields& config, model_config& c) {
  c.vocab_size = config.integer({"vocab_size"}, 1, largest_size);
  c.hidden_size = config.integer({"hidden_size", "n_embd", "d_model", "n_embed"}, 1, largest_size);
  c.num_layers = config.integer({"num_hidden_layers", "n_layer", "num_layers"}, 1, largest_size);
  c.intermediate_size = config.integer({"intermediate_size", "n_inner", "ffn_dim"}, 1, largest_size, 4 * c.hidden_size);
  const json_fields::names positions = {"max_position_embeddings", "n_positions", "seq_length"};
  c.max_positions = c.family->position == position_kind::learned ? config.integer(positions, 1, largest_position)
                                                                 : config.integer(positions, 1, largest_position, 0);
  c.num_token_types = config.integer({"type_vocab_size"}, 1, largest_size, 2);
  if (config.has({"pad_token_id"})) c.pad_token_id = config.integer({"pad_token_id"}, 0, c.vocab_size - 1);
}

void read_heads(const json_fields& config, model_config& c) {
  const json_fields::names heads = {"num_attention_heads", "n_head", "attention_heads"};
  c.num_heads = config.integer(heads, 1, c.hidden_size);
  const index_t share = c.hidden_size / c.num_heads;
  if (!config.has({"head_dim"}) && (c.hidden_size % c.num_heads != 0 || share > largest_head_dim))
    config.refuse_field(heads, "a divisor of the hidden size, " + std::to_string(c.hidden_size) +
                                   ", that leaves each head at most " + std::to_string(largest_head_dim));
  c.head_dim = config.integer({"head_dim"}, 1, largest_head_dim, share);

  c.num_kv_heads = config.integer({"num_key_value_heads"}, 1, c.num_heads, c.num_heads);
  if (c.num_heads % c.num_kv_heads != 0)
    config.refuse_field({"num_key_value_heads"}, "a divisor of the " + std::to_string(c.num_heads) + " heads");
  if (c.family->qkv == qkv_order::by_head && c.num_kv_heads != c.num_heads)
    config.refuse_field({"num_key_value_heads"}, std::to_string(c.num_heads) + ", the number of heads");
}

}  // namespace

model_config read_config(std::string_view text, std::string_view file_name) {
  if (text.size() > largest_file)
    refuse(file_name, "file size", text.size(), "at most " + std::to_string(largest_file));
  const json_fields config(parse_json(text, file_name), std::string(file_name));
  const architecture& family = find_family(config);
  check_required(config, family);

  model_config c;
  c.family = &family;
  read_sizes(config, c);
  read_heads(config, c);
  c.order = read_order(config, family);
  c.activate = read_activation(config, family);
  c.norm_eps = static_cast<float>(
      config.number({"rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps"}, 0, 1, family.norm_eps));
  if (family.scales_embedding && config.boolean({"scale_embedding"}, true))
    c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  c.tied_output = config.boolean({"tie_word_embeddings"}, family.tied_output);
  if (family.position == position_kind::rope) c.rope = read_rope(config, family, c.head_dim);
  return c;
}

}  // namespace engine
