// Options of a run that concern positions.
#pragma once

#include <cstdint>
#include <span>

namespace engine {

struct forward_options {
  bool without_positions = false;            // no encoding, to show what the model loses without it
  std::int64_t first_position = 0;           // position of the first token
  std::span<const int> attention_mask = {};  // [num_tokens of the sequence], 0 for padding; empty: all tokens are real
};

}  // namespace engine
