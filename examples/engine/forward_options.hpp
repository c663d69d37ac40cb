// What a run may change about positions.
#pragma once

#include <cstdint>
#include <span>

namespace engine {

struct forward_options {
  bool without_positions = false;            // no encoding at all: what the model loses without its positions
  std::int64_t first_position = 0;           // where the first token stands
  std::span<const int> attention_mask = {};  // [num_tokens of the sequence], 0 for padding; empty: all tokens are real
};

}  // namespace engine
