#include "tensor.hpp"

#include <engine/mapped_file.hpp>
#include <engine/safetensors.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace verify {

namespace {

// Through memcpy, because nothing aligns the tensors of a file.
template <class S>
std::vector<double> widened(std::span<const std::byte> bytes) {
  std::vector<double> values(bytes.size() / sizeof(S));
  for (std::size_t i = 0; i < values.size(); ++i) {
    S stored;
    std::memcpy(&stored, bytes.data() + i * sizeof(S), sizeof(S));
    values[i] = static_cast<double>(stored);
    if constexpr (sizeof(S) == 8 && std::is_integral_v<S>) {
      if (std::abs(values[i]) > 0x1p53) throw std::runtime_error("holds an integer beyond 2^53");
    }
  }
  return values;
}

std::vector<double> values_of(const engine::stored_tensor& x) {
  const std::string_view type = x.type->name;
  if (type == "F64") return widened<double>(x.bytes);
  if (type == "F32") return widened<float>(x.bytes);
  if (type == "F16") return widened<posenc::f16>(x.bytes);
  if (type == "BF16") return widened<posenc::bf16>(x.bytes);
  if (type == "I64") return widened<std::int64_t>(x.bytes);
  if (type == "I32") return widened<std::int32_t>(x.bytes);
  if (type == "I16") return widened<std::int16_t>(x.bytes);
  if (type == "I8") return widened<std::int8_t>(x.bytes);
  if (type == "U8" || type == "BOOL") return widened<std::uint8_t>(x.bytes);
  throw std::runtime_error("is of type " + std::string(type) + ", which is not read here");
}

}  // namespace

index_t tensor::dim(index_t axis) const {
  const index_t from_front = axis < 0 ? rank() + axis : axis;
  if (from_front < 0 || from_front >= rank())
    throw std::runtime_error("a tensor of shape " + shape_text(shape) + " has no axis " + std::to_string(axis));
  return shape[static_cast<std::size_t>(from_front)];
}

tensors read_tensors(const std::filesystem::path& file) {
  const engine::mapped_file mapped(file);
  tensors all;
  for (const auto& [name, stored] : engine::read_safetensors(mapped.bytes(), mapped.name())) {
    try {
      all[name] = {std::string(stored.type->name), stored.shape, values_of(stored)};
    } catch (const std::runtime_error& what) {
      throw std::runtime_error(mapped.name() + ": " + name + " " + what.what());
    }
  }
  return all;
}

index_t volume(const std::vector<index_t>& shape) {
  index_t product = 1;
  for (const index_t extent : shape) product *= extent;
  return product;
}

std::string shape_text(const std::vector<index_t>& shape) {
  std::string text;
  for (const index_t extent : shape) text += (text.empty() ? "" : "x") + std::to_string(extent);
  return text.empty() ? "a scalar" : text;
}

std::vector<position_t> ids_of(const tensor& x) {
  std::vector<position_t> ids;
  for (const double value : x.values) {
    if (!(value >= std::numeric_limits<position_t>::min() && value <= std::numeric_limits<position_t>::max()) ||
        value != std::floor(value))
      throw std::runtime_error("an id is " + std::to_string(value) + ", expected a 32-bit integer");
    ids.push_back(static_cast<position_t>(value));
  }
  return ids;
}

}  // namespace verify
