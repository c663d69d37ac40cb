// A file of named tensors, whatever its format.
#pragma once

#include "element_type.hpp"
#include "matrix.hpp"

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace engine {

/// A tensor in the file: dense, row-major, possibly unaligned.
struct stored_tensor {
  const element_type* type;
  std::vector<index_t> shape;
  std::span<const std::byte> bytes;  // exactly the product of the shape times the element size
};

/// Tensors by name. Returned references live as long as the file.
class model_file {
 public:
  virtual ~model_file() = default;

  virtual const std::string& name() const = 0;                                // for messages
  virtual const stored_tensor* find(std::string_view tensor_name) const = 0;  // null if there is none
};

/// Opens a model file, recognized by its content. Throws std::runtime_error if it is unknown or invalid.
std::unique_ptr<model_file> open_model_file(const std::filesystem::path& path);

}  // namespace engine
