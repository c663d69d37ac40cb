#include "safetensors.hpp"

#include "error.hpp"
#include "json.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

namespace engine {

namespace {

constexpr std::size_t length_bytes = 8;
constexpr std::uint64_t largest_header = 100'000'000;  // the reference reader's bound

// Context of the reader: the part of the file that offsets refer to, and names for messages.
struct source {
  std::span<const std::byte> data;
  std::string_view file_name;
};

std::string_view header_text(std::span<const std::byte> file, std::string_view file_name) {
  if (file.size() < length_bytes) refuse(file_name, "file size", file.size(), "at least 8");
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), length_bytes);
  const std::uint64_t largest = std::min<std::uint64_t>(file.size() - length_bytes, largest_header);
  if (length > largest) refuse(file_name, "header length", length, "at most " + std::to_string(largest));
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + length_bytes, length);
  if (!text.starts_with('{')) refuse(file_name, "header", escaped(text), "a JSON object");
  return text;
}

// A product that overflows is refused here, so that the comparison with the file size is exact.
std::uint64_t size_in_bytes(const std::vector<index_t>& shape, const element_type& type, const std::string& field,
                            const source& from) {
  std::uint64_t size = type.size;
  for (const index_t extent : shape) {
    if (__builtin_mul_overflow(size, static_cast<std::uint64_t>(extent), &size))
      refuse(from.file_name, field + ".shape", "too large", "a size that fits 64 bits");
  }
  return size;
}

stored_tensor read_tensor(const json_fields& entry, const std::string& name, const source& from) {
  const std::string type_name = entry.text({"dtype"});
  const element_type* const type = find_element_type(type_name);
  if (type == nullptr) refuse(from.file_name, name + ".dtype", escaped(type_name), "a known element type");

  constexpr index_t largest = std::numeric_limits<index_t>::max();
  std::vector<index_t> shape = entry.integers({"shape"}, 0, largest);
  const std::vector<index_t> offsets = entry.integers({"data_offsets"}, 0, largest);
  if (offsets.size() != 2)
    refuse(from.file_name, name + ".data_offsets", std::to_string(offsets.size()) + " numbers", "2");
  const auto begin = static_cast<std::uint64_t>(offsets[0]);
  const auto end = static_cast<std::uint64_t>(offsets[1]);
  if (end > from.data.size())
    refuse(from.file_name, name + ".data_offsets[1]", end, "at most " + std::to_string(from.data.size()));
  if (begin > end) refuse(from.file_name, name + ".data_offsets[0]", begin, "at most " + std::to_string(end));

  const std::uint64_t size = size_in_bytes(shape, *type, name, from);
  if (end - begin != size)
    refuse(from.file_name, name + ".data_offsets", std::to_string(end - begin) + " bytes",
           std::to_string(size) + ", what its shape and dtype take");
  return {type, std::move(shape), from.data.subspan(begin, size)};
}

// Ordered by offset, each tensor must begin where the one before it ends, and the last must end the file: tensors
// neither overlap nor leave gaps.
void check_layout(const tensors_by_name& tensors, const source& from) {
  std::vector<std::pair<std::span<const std::byte>, std::string_view>> in_order;
  for (const auto& [name, tensor] : tensors) in_order.emplace_back(tensor.bytes, name);
  std::ranges::sort(in_order, [](const auto& a, const auto& b) {
    return std::pair(a.first.data(), a.first.size()) < std::pair(b.first.data(), b.first.size());
  });
  const auto offset = [&](const std::byte* byte) { return byte - from.data.data(); };
  const std::byte* expected = from.data.data();
  for (const auto& [bytes, name] : in_order) {
    if (bytes.data() != expected)
      refuse(from.file_name, escaped(name) + ".data_offsets[0]", offset(bytes.data()),
             std::to_string(offset(expected)) + ", where the tensor before it ends");
    expected += bytes.size();
  }
  if (static_cast<std::size_t>(offset(expected)) != from.data.size())
    refuse(from.file_name, "size of the data", from.data.size(),
           std::to_string(offset(expected)) + ", where the last tensor ends");
}

}  // namespace

tensors_by_name read_safetensors(std::span<const std::byte> file, std::string_view file_name) {
  const std::string_view text = header_text(file, file_name);
  const source from{file.subspan(length_bytes + text.size()), file_name};
  const nlohmann::json header = parse_json(text, file_name);

  tensors_by_name tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;  // free text about the file, not used here
    const std::string field = escaped(name);
    tensors.emplace(name, read_tensor(json_fields(entry, std::string(file_name), field + "."), field, from));
  }
  check_layout(tensors, from);
  return tensors;
}

}  // namespace engine
