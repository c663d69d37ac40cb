#include "element_type.hpp"

#include <posenc/scalar.hpp>

#include <bit>
#include <cstring>

namespace engine {

namespace {

static_assert(std::endian::native == std::endian::little, "model files are little-endian, and are read as they lie");

// Through memcpy, because tensors in a file may be unaligned.
template <class S>
void convert(const std::byte* source, std::span<float> out) {
  for (float& value : out) {
    S stored;
    std::memcpy(&stored, source, sizeof stored);
    value = static_cast<float>(stored);
    source += sizeof stored;
  }
}

constexpr element_type known_types[] = {
    {"F32", 4, convert<float>},
    {"F16", 2, convert<posenc::f16>},
    {"BF16", 2, convert<posenc::bf16>},
    {"F64", 8, convert<double>},
    {"I64", 8, nullptr},
    {"U64", 8, nullptr},
    {"I32", 4, nullptr},
    {"U32", 4, nullptr},
    {"I16", 2, nullptr},
    {"U16", 2, nullptr},
    {"I8", 1, nullptr},
    {"U8", 1, nullptr},
    {"BOOL", 1, nullptr},
    {"F8_E4M3", 1, nullptr},
    {"F8_E5M2", 1, nullptr},
};

}  // namespace

const element_type* find_element_type(std::string_view name) {
  for (const element_type& type : known_types) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

}  // namespace engine
