// The rotation that config.json asks for, in any of its spellings, as a function from length to frequencies.
#pragma once

#include "architecture.hpp"
#include "json.hpp"
#include "matrix.hpp"  // index_t

#include <posenc/angles/frequencies.hpp>

#include <functional>
#include <string>

namespace engine {

struct rope_recipe {
  std::string rope_type{};  // as config.json spells it
  /// Frequencies for a sequence of `length` tokens; most recipes ignore it.
  std::function<posenc::frequencies(index_t length)> frequencies;
  /// The length that decides: sequences for which it is the same share their frequencies, and with them cached keys.
  std::function<index_t(index_t length)> deciding_length;
};

/// Reads `rope_parameters` (or `rope_scaling` and `rope_theta`, as before transformers 5), partial rotation included.
/// Throws std::runtime_error for a rope_type that it does not know, and for parameters that are missing or senseless.
rope_recipe read_rope(const json_fields& config, const architecture& family, index_t head_dim);

}  // namespace engine
