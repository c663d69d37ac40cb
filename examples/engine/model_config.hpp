// config.json with uniform field names, whatever the model family.
#pragma once

#include "activation.hpp"
#include "architecture.hpp"
#include "json.hpp"
#include "rope_recipe.hpp"

#include <optional>
#include <string_view>

namespace engine {

struct model_config {
  const architecture* family = nullptr;
  index_t vocab_size = 0;
  index_t hidden_size = 0;
  index_t intermediate_size = 0;
  index_t num_layers = 0;
  index_t num_heads = 0;
  index_t num_kv_heads = 0;
  index_t head_dim = 0;
  index_t max_positions = 0;  // trained length; 0: not in config.json
  index_t num_token_types = 0;
  std::optional<index_t> pad_token_id;
  block_order order = block_order::sequential;
  activation activate = nullptr;
  float norm_eps = 0;
  float embedding_scale = 1;
  bool tied_output = true;
  std::optional<rope_recipe> rope;  // where the family rotates
};

/// Reads an untrusted config.json.
///
/// Errors  An unknown model_type, rope_type or activation, a missing or invalid field, and a field that requests
///         something the engine does not support throw std::runtime_error with file, field, value and rule. Nothing
///         falls back silently.
model_config read_config(std::string_view text, std::string_view file_name);

}  // namespace engine
