// libFuzzer: whatever bytes a model file or a config.json contains, the readers accept them or refuse them with an
// error.
#include "engine/model_config.hpp"
#include "engine/safetensors.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

// The first byte of an input says what the rest is.
enum class input : std::uint8_t { file, header_and_data, config };
constexpr std::uint8_t num_inputs = 3;

// Every element of every tensor that was accepted is read, so that a wrong bound is seen.
void read_all(std::span<const std::byte> file) {
  for (const auto& [name, tensor] : engine::read_safetensors(file, "model.safetensors")) {
    if (tensor.type->to_floats == nullptr) continue;
    std::vector<float> values(tensor.bytes.size() / tensor.type->size);
    tensor.type->to_floats(tensor.bytes.data(), values);
  }
}

// A header, a newline, data: the header's length, which is hard to guess, is put before it.
void read_framed(std::string_view text) {
  const std::string_view header = text.substr(0, text.find('\n'));
  const std::string_view data = text.substr(std::min(header.size() + 1, text.size()));
  const std::uint64_t length = header.size();
  // Of exactly this size, so that a byte read past it is seen.
  std::vector<char> file(sizeof length + header.size() + data.size());
  std::memcpy(file.data(), &length, sizeof length);
  std::ranges::copy(data, std::ranges::copy(header, file.begin() + sizeof length).out);
  read_all(std::as_bytes(std::span(file)));
}

void read_config(std::string_view text) {
  const engine::model_config config = engine::read_config(text, "config.json");
  if (!config.rope) return;
  for (const engine::index_t length : {1, 100'000}) (void)config.rope->frequencies(length);
}

// Whole inputs to start from.
const std::string seeds[] = {
    std::string("\1") + R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[1,1],)"
                        R"("data_offsets":[8,10]}})"
                        "\n0123456789",
    std::string("\2") + R"({"model_type":"llama","vocab_size":9,"hidden_size":64,"num_hidden_layers":2,)"
                        R"("num_attention_heads":4,"max_position_embeddings":64,"rope_parameters":{"rope_type":"yarn",)"
                        R"("rope_theta":1e4,"factor":4.0,"original_max_position_embeddings":16,"beta_fast":32}})",
    std::string("\2") +
        R"({"model_type":"llama","vocab_size":9,"hidden_size":8,"num_hidden_layers":1,)"
        R"("num_attention_heads":2,"rope_theta":1e6,"max_position_embeddings":64,"rope_scaling":{)"
        R"("type":"su","short_factor":[1,1],"long_factor":[2,3.5],"original_max_position_embeddings":9}})",
    std::string("\2") + R"({"model_type":"gptj","vocab_size":9,"n_embd":64,"n_layer":2,"n_head":4,"rotary_dim":8})",
};

// Numbers at which sizes, offsets and ranges end.
constexpr std::string_view numbers[] = {"0",
                                        "1",
                                        "2",
                                        "3",
                                        "4",
                                        "8",
                                        "9",
                                        "10",
                                        "-1",
                                        "4.5",
                                        "1e30",
                                        "4294967296",
                                        "4611686018427387904",
                                        "9223372036854775807"};

// Another number for one of those in the text, so that the JSON stays whole; none, if there is none.
std::string with_another_number(const std::string& text, std::minstd_rand& random) {
  constexpr std::string_view digits = "0123456789";
  std::vector<std::size_t> starts;
  for (std::size_t at = text.find_first_of(digits); at != std::string::npos; at = text.find_first_of(digits, at)) {
    starts.push_back(at);
    at = std::min(text.find_first_not_of(digits, at), text.size());
  }
  if (starts.empty()) return text;
  const std::size_t start = starts[random() % starts.size()];
  const std::size_t end = std::min(text.find_first_not_of(digits, start), text.size());
  return std::string(text).replace(start, end - start, numbers[random() % std::size(numbers)]);
}

}  // namespace

// Starts from whole inputs, and keeps many of them whole: bytes changed at random rarely get past the JSON.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned int seed) {
  std::minstd_rand random(seed);
  std::string text(data, data + size);
  switch (size > 8 ? random() % 8 : 0) {
    case 0:
      text = seeds[random() % std::size(seeds)];
      break;
    case 1:
      text.resize(size - random() % 8);
      break;  // cut short
    case 2:
    case 3:
      text = with_another_number(text, random);
      break;
    default:
      return LLVMFuzzerMutate(data, size, max_size);
  }
  text.resize(std::min(text.size(), max_size));
  std::ranges::copy(text, data);
  return text.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    switch (static_cast<input>(data[0] % num_inputs)) {
      case input::file:
        read_all(std::as_bytes(std::span(text)));
        break;
      case input::header_and_data:
        read_framed(text);
        break;
      case input::config:
        read_config(text);
        break;
    }
  } catch (const std::runtime_error&) {     // the readers'
  } catch (const std::invalid_argument&) {  // posenc's, about parameters
  }
  return 0;
}
