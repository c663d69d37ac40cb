#include "weights.hpp"

#include "error.hpp"

#include <cstdint>
#include <span>

namespace engine {

namespace {

std::string shown(const std::vector<index_t>& shape) {
  std::string text = "[";
  for (const index_t extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

bool can_be_read_in_place(const stored_tensor& tensor) {
  return tensor.type->name == "F32" && reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % alignof(float) == 0;
}

}  // namespace

const float* weights::read(const std::string& name, const std::vector<index_t>& shape) {
  const stored_tensor* const tensor = file_->find(name);
  if (tensor == nullptr) refuse(file_->name(), name, "absent", "a tensor " + shown(shape));
  if (tensor->shape != shape) refuse(file_->name(), name + ".shape", shown(tensor->shape), shown(shape));
  if (tensor->type->to_floats == nullptr)
    refuse(file_->name(), name + ".dtype", tensor->type->name, "F32, F16, BF16 or F64");
  if (can_be_read_in_place(*tensor)) return reinterpret_cast<const float*>(tensor->bytes.data());

  const std::size_t size = tensor->bytes.size() / tensor->type->size;
  converted_.push_back(std::make_unique<float[]>(size));
  tensor->type->to_floats(tensor->bytes.data(), std::span(converted_.back().get(), size));
  return converted_.back().get();
}

}  // namespace engine
