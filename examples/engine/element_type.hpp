// The element types of model files, and their conversion to float.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace engine {

/// One element type of a file.
struct element_type {
  std::string_view name;  // as safetensors spells it
  std::size_t size;       // bytes per element
  /// Converts `out.size()` elements; the source may be unaligned. Null: not a type used for weights.
  void (*to_floats)(const std::byte* source, std::span<float> out);
};

/// Null if the name is unknown.
const element_type* find_element_type(std::string_view name);

}  // namespace engine
