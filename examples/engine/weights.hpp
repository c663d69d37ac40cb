// The tensors of a model, checked for shape and converted to float.
#pragma once

#include "matrix.hpp"
#include "model_file.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace engine {

/// Returns float tensors in place in the mapped file; other types, and unaligned floats, are converted once and kept.
class weights {
 public:
  explicit weights(const std::filesystem::path& path) : file_(open_model_file(path)) {}

  bool has(const std::string& name) const { return file_->find(name) != nullptr; }

  /// Dense, row-major, of this shape; valid as long as this object. Throws std::runtime_error if the tensor is missing,
  /// has another shape, or is not of a floating-point type.
  const float* read(const std::string& name, const std::vector<index_t>& shape);

 private:
  std::unique_ptr<model_file> file_;
  std::vector<std::unique_ptr<float[]>> converted_;
};

}  // namespace engine
