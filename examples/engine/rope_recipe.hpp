// The rotation that config.json specifies, in any of its forms, as a function from length to frequencies.
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
  /// The length that decides: sequences for which it is equal share frequencies, and so cached keys.
  std::function<index_t(index_t length)> deciding_length;
};

/// Reads `rope_parameters` (or `rope_scaling` and `rope_theta`, as before transformers 5), partial rotation included.
/// Throws std::runtime_error for an unknown rope_type and for missing or invalid parameters.
rope_recipe read_rope(const json_fields& config, const architecture& family, index_t head_dim);

}  // namespace engine
