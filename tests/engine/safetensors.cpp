#include "engine/safetensors.hpp"

#include "catch.hpp"

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace {

using engine::read_safetensors;

// The bytes of a file with this header, padded to eight bytes as writers do, and this many bytes of data: 0, 1, 2, ...
std::vector<std::byte> file(std::string header, std::size_t data_size) {
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = header.size();
  std::vector<std::byte> bytes(sizeof length + header.size() + data_size);
  std::memcpy(bytes.data(), &length, sizeof length);
  std::memcpy(bytes.data() + sizeof length, header.data(), header.size());
  for (std::size_t i = 0; i < data_size; ++i) bytes[sizeof length + header.size() + i] = static_cast<std::byte>(i);
  return bytes;
}

// What the reader says about such a file; empty if it takes it.
std::string refusal(const std::vector<std::byte>& bytes) {
  try {
    read_safetensors(bytes, "m");
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}
std::string refusal(const std::string& header, std::size_t data_size) { return refusal(file(header, data_size)); }

std::vector<std::byte> with_header_length(std::uint64_t length) {
  std::vector<std::byte> bytes = file("{}", 0);
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes;
}

}  // namespace

TEST_CASE("safetensors: tensors are found by name, with type, shape and bytes", "[engine]") {
  const auto bytes = file(R"({"__metadata__": {"format": "pt"},
                              "b": {"dtype": "F32", "shape": [2, 3], "data_offsets": [4, 28]},
                              "a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}})",
                          28);
  const auto tensors = read_safetensors(bytes, "m");
  REQUIRE(tensors.size() == 2);
  const auto& b = tensors.at("b");
  CHECK(b.type->name == "F32");
  CHECK(b.shape == std::vector<engine::index_t>{2, 3});
  REQUIRE(b.bytes.size() == 24);
  CHECK(b.bytes.front() == std::byte{4});
  CHECK(tensors.at("a").bytes.front() == std::byte{0});
}

TEST_CASE("safetensors: empty files, scalars and tensors without elements are fine", "[engine]") {
  CHECK(read_safetensors(file("{}", 0), "m").empty());
  const auto bytes = file(R"({"none": {"dtype": "F64", "shape": [0, 5], "data_offsets": [0, 0]},
                              "one": {"dtype": "I64", "shape": [], "data_offsets": [0, 8]}})",
                          8);
  const auto tensors = read_safetensors(bytes, "m");
  CHECK(tensors.at("none").bytes.empty());
  CHECK(tensors.at("one").bytes.size() == 8);
}

TEST_CASE("safetensors: a header length is checked against the file", "[engine]") {
  CHECK(refusal(std::vector<std::byte>(7)) == "m: file size is 7, expected at least 8");
  CHECK(refusal(with_header_length(9)) == "m: header length is 9, expected at most 8");
  CHECK(refusal(with_header_length(UINT64_MAX)) == "m: header length is 18446744073709551615, expected at most 8");
  CHECK(refusal(with_header_length(0)) == "m: header is \"\", expected a JSON object");
}

TEST_CASE("safetensors: a file cut short anywhere is refused", "[engine]") {
  const auto whole = file(R"({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}})", 16);
  REQUIRE(refusal(whole).empty());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK(!refusal(std::vector<std::byte>(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))).empty());
  }
}

TEST_CASE("safetensors: what follows the last tensor is refused", "[engine]") {
  CHECK(refusal(R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}})", 5) ==
        "m: size of the data is 5, expected 4, where the last tensor ends");
}

TEST_CASE("safetensors: offsets must lie in the file, in order, and fit the shape", "[engine]") {
  const auto with_offsets = [](const std::string& offsets) {
    return refusal(R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": )" + offsets + "}}", 8);
  };
  CHECK(with_offsets("[0, 8]").empty());
  CHECK(with_offsets("[0, 9]") == "m: \"a\".data_offsets[1] is 9, expected at most 8");
  CHECK(with_offsets("[8, 0]") == "m: \"a\".data_offsets[0] is 8, expected at most 0");
  CHECK(with_offsets("[0, 4]") == "m: \"a\".data_offsets is 4 bytes, expected 8, what its shape and dtype take");
  CHECK(with_offsets("[0]") == "m: \"a\".data_offsets is 1 numbers, expected 2");
  const std::string rule = ", expected a list of whole numbers from 0 to 9223372036854775807";
  CHECK(with_offsets("[-8, 0]") == "m: \"a\".data_offsets[0] is -8" + rule);
  CHECK(with_offsets("[0, 8.0]") == "m: \"a\".data_offsets[1] is 8.0" + rule);
  CHECK(with_offsets("[0, 18446744073709551615]") == "m: \"a\".data_offsets[1] is 18446744073709551615" + rule);
  CHECK(with_offsets("[0, [8]]") == "m: \"a\".data_offsets[1] is a list" + rule);
  CHECK(with_offsets("\"8\"") == "m: \"a\".data_offsets is \"8\"" + rule);
}

TEST_CASE("safetensors: tensors may neither overlap nor leave gaps", "[engine]") {
  const auto second_at = [](const std::string& offsets) {
    return refusal(R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
                       "b": {"dtype": "U8", "shape": [4], "data_offsets": )" +
                       offsets + "}}",
                   9);
  };
  CHECK(second_at("[3, 7]") == "m: \"b\".data_offsets[0] is 3, expected 4, where the tensor before it ends");
  CHECK(second_at("[0, 4]") == "m: \"b\".data_offsets[0] is 0, expected 4, where the tensor before it ends");
  CHECK(second_at("[5, 9]") == "m: \"b\".data_offsets[0] is 5, expected 4, where the tensor before it ends");
}

TEST_CASE("safetensors: a shape whose size overflows is refused", "[engine]") {
  const auto with_shape = [](const std::string& shape) {
    return refusal(R"({"a": {"dtype": "F32", "shape": )" + shape + R"(, "data_offsets": [0, 0]}})", 0);
  };
  CHECK(with_shape("[0]").empty());
  // 2^32 * 2^32 * 4 wraps to 0, the size of the data.
  CHECK(with_shape("[4294967296, 4294967296]") == "m: \"a\".shape is too large, expected a size that fits 64 bits");
  CHECK(with_shape("[4611686018427387904]") == "m: \"a\".shape is too large, expected a size that fits 64 bits");
}

TEST_CASE("safetensors: unknown types and missing fields are refused", "[engine]") {
  CHECK(refusal(R"({"a": {"dtype": "Q4_0", "shape": [], "data_offsets": [0, 0]}})", 0) ==
        "m: \"a\".dtype is \"Q4_0\", expected a known element type");
  CHECK(refusal(R"({"a": {"shape": [], "data_offsets": [0, 0]}})", 0) == "m: \"a\".dtype is absent, expected a text");
  CHECK(refusal(R"({"a": [1, 2]})", 0) == "m: \"a\" is a list, expected an object");
}

TEST_CASE("safetensors: a name that is there twice is refused", "[engine]") {
  CHECK(refusal(R"({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
                    "a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}})",
                2) == "m: field \"a\" is there twice, expected once");
}

TEST_CASE("safetensors: names reach the terminal escaped and cut", "[engine]") {
  const std::string long_name(100, 'x');
  CHECK(refusal("{\"\\u001b[2J\": 1}", 0) == "m: \"\\x1b[2J\" is 1, expected an object");
  CHECK(refusal("{\"" + long_name + "\": 1}", 0) == "m: \"" + std::string(60, 'x') + "...\" is 1, expected an object");
}
