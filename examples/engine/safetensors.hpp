// The safetensors format: eight bytes with the header's length, a JSON header, then the tensors.
#pragma once

#include "model_file.hpp"

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace engine {

using tensors_by_name = std::map<std::string, stored_tensor, std::less<>>;

/// Reads the header of an untrusted file and validates lengths, types, shapes, and that the tensors fill the rest of
/// the file without overlap or gap. The views point into `file`.
///
/// Errors  std::runtime_error with `file_name`, field, value and rule.
/// Source  the format's description and reference reader, github.com/huggingface/safetensors.
tensors_by_name read_safetensors(std::span<const std::byte> file, std::string_view file_name);

}  // namespace engine
