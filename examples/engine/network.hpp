// A network: its configuration, and its weights by block.
#pragma once

#include "linear.hpp"
#include "model_config.hpp"
#include "normalization.hpp"
#include "weights.hpp"

#include <posenc/view.hpp>

#include <filesystem>
#include <optional>
#include <vector>

namespace engine {

struct layer {
  normalization attention_norm;
  std::vector<linear> qkv;  // one fused projection, or three whose outputs lie side by side
  linear attention_output;
  normalization mlp_norm;
  std::optional<linear> gate;
  linear up;
  linear down;
};

struct network {
  model_config config;
  weights file;

  posenc::token_view<const float> token_embedding{};                // [vocab_size, hidden_size]
  std::optional<posenc::token_view<const float>> position_table{};  // [max_positions, hidden_size]
  const float* token_type = nullptr;                                // [hidden_size], of type 0, or null
  std::optional<normalization> embedding_norm{};
  std::vector<layer> layers{};
  std::optional<normalization> final_norm{};
  std::optional<linear> output{};  // of decoders
};

/// Maps the weights and finds every tensor that the configuration requires.
network load_network(const std::filesystem::path& config, const std::filesystem::path& weights);

}  // namespace engine
