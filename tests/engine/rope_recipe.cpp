#include "engine/rope_recipe.hpp"

#include "engine/mapped_file.hpp"
#include "engine/model_config.hpp"
#include "engine/safetensors.hpp"

#include "catch.hpp"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

using engine::index_t;
using engine::rope_recipe;
using nlohmann::json;

// What a Llama with these fields rotates by.
rope_recipe read(const json& fields, const char* model_type = "llama") {
  json config = {{"model_type", model_type}, {"vocab_size", 9},          {"hidden_size", 64},
                 {"num_hidden_layers", 1},   {"num_attention_heads", 4}, {"intermediate_size", 8}};
  config.merge_patch(fields);
  return *engine::read_config(config.dump(), "c").rope;
}
rope_recipe read(const char* fields, const char* model_type = "llama") { return read(json::parse(fields), model_type); }

std::vector<double> doubles(const engine::stored_tensor& tensor) {
  std::vector<double> values(tensor.bytes.size() / sizeof(double));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

double relative_error(double got, double want) { return want == 0 ? std::abs(got) : std::abs(got / want - 1); }

}  // namespace

// rope_tables: transformers 5.23.0's recipes, evaluated with 50 digits.
TEST_CASE("rope recipe: config.json of the goldens gives their frequencies", "[engine]") {
  const auto goldens = std::filesystem::path(__FILE__).parent_path().parent_path() / "data/goldens";
  const json group = json::parse(std::ifstream(goldens / "rope_tables.json"));
  const engine::mapped_file file(goldens / "rope_tables.safetensors");
  const auto tensors = engine::read_safetensors(file.bytes(), file.name());
  int checked = 0;
  for (const json& one : group.at("cases")) {
    const json& parameters = one.at("parameters");
    if (!one.at("tensors").contains("inv_freq_exact") || !parameters.contains("rope_parameters")) continue;
    const auto name = one.at("name").get<std::string>();
    CAPTURE(name);
    const rope_recipe recipe = read({{"head_dim", parameters.at("head_dim")},
                                     {"max_position_embeddings", parameters.at("max_position_embeddings")},
                                     {"rope_parameters", parameters.at("rope_parameters")}});
    const json& length = parameters.at("seq_len");
    const auto frequencies = recipe.frequencies(length.is_null() ? 1 : length.get<index_t>());
    const std::vector<double> want = doubles(tensors.at(name + "/inv_freq_exact"));
    REQUIRE(frequencies.size() == std::ssize(want));
    double worst =
        relative_error(frequencies.attention_factor(), doubles(tensors.at(name + "/attention_factor_exact"))[0]);
    for (index_t i = 0; i < frequencies.size(); ++i)
      worst = std::max(worst, relative_error(frequencies.inv_freq(i), want[static_cast<std::size_t>(i)]));
    CHECK(worst <= 1e-14);
    ++checked;
  }
  CHECK(checked >= 25);
}

TEST_CASE("rope recipe: the spellings of transformers 4 and 5 mean the same", "[engine]") {
  const auto frequencies = [](const char* fields) { return read(fields).frequencies(1); };
  CHECK(frequencies(R"({"rope_theta": 5e5})") == frequencies(R"({"rope_parameters": {"rope_theta": 5e5}})"));
  CHECK(frequencies(R"({"rope_theta": 5e5, "rope_scaling": null})") ==
        frequencies(R"({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}})"));
  CHECK(frequencies(R"({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4}})") ==
        frequencies(R"({"rope_parameters": {"rope_theta": 5e5, "rope_type": "linear", "factor": 4}})"));
  CHECK(frequencies(R"({"rope_scaling": {"type": "su", "short_factor": [1,2,3,4,5,6,7,8], "factor": 2,
                        "long_factor": [1,1,1,1,1,1,1,1], "original_max_position_embeddings": 8},
                        "max_position_embeddings": 16})") ==
        frequencies(R"({"rope_parameters": {"rope_type": "longrope", "short_factor": [1,2,3,4,5,6,7,8], "factor": 2,
                        "long_factor": [1,1,1,1,1,1,1,1], "original_max_position_embeddings": 8},
                        "max_position_embeddings": 16})"));
}

TEST_CASE("rope recipe: what stands inside and outside of the object must agree", "[engine]") {
  CHECK_NOTHROW(read(R"({"rope_theta": 5e5, "rope_parameters": {"rope_theta": 500000}})"));
  CHECK_THROWS_WITH(read(R"({"rope_theta": 10000, "rope_parameters": {"rope_theta": 500000}})"),
                    "c: rope_theta is 10000, expected the same as rope_parameters.rope_theta");
}

TEST_CASE("rope recipe: how much of a head rotates has three names", "[engine]") {
  const auto pairs = [](const char* fields, const char* model_type) {
    return read(fields, model_type).frequencies(1).size();
  };
  CHECK(pairs("{}", "llama") == 8);
  CHECK(pairs(R"({"partial_rotary_factor": 0.5})", "llama") == 4);
  CHECK(pairs(R"({"rope_parameters": {"partial_rotary_factor": 0.5}})", "llama") == 4);
  CHECK(pairs("{}", "gpt_neox") == 2);  // a quarter, if config.json does not say
  CHECK(pairs(R"({"rotary_pct": 0.5})", "gpt_neox") == 4);
  CHECK(pairs(R"({"rotary_dim": 6})", "gptj") == 3);
}

TEST_CASE("rope recipe: unknown and incomplete recipes are refused, never taken for the default", "[engine]") {
  const std::string known = "expected one of default, linear, dynamic, yarn, longrope, su, llama3, proportional";
  CHECK_THROWS_WITH(read(R"({"rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}})"),
                    "c: rope_scaling.type is \"mrope\", " + known);
  CHECK_THROWS_WITH(read(R"({"rope_parameters": {"rope_type": "YaRN", "factor": 2}})"),
                    "c: rope_parameters.rope_type is \"YaRN\", " + known);
  CHECK_THROWS_WITH(read(R"({"rope_parameters": {"factor": 2}})"), "c: rope_parameters.rope_type is absent, " + known);
  CHECK_THROWS_WITH(read(R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})"),
                    "c: rope_parameters.rope_type is absent, " + known);
  CHECK_THROWS_WITH(read(R"({"rope_parameters": {"rope_type": "linear"}})"),
                    "c: rope_parameters.factor is absent, expected a number from 0 to 1e+12");
  CHECK_THROWS_WITH(
      read(R"({"rope_parameters": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1,
                             "high_freq_factor": 4}})"),
      "c: rope_parameters.original_max_position_embeddings is absent, expected a whole number from 1 to 2147483647");
  CHECK_THROWS_WITH(read(R"({"rope_parameters": {"rope_type": "dynamic", "factor": 2}})"),
                    "c: max_position_embeddings is absent, expected a whole number from 1 to 2147483647");
  CHECK_THROWS_WITH(read(R"({"rope_parameters": "yarn"})"), "c: rope_parameters is \"yarn\", expected an object");
}

TEST_CASE("rope recipe: senseless parameters are refused when the file is read", "[engine]") {
  CHECK_THROWS_WITH(read(R"({"rope_parameters": {"rope_type": "linear", "factor": 0}})"),
                    "c: linear_frequencies: factor is 0, expected above 0 and finite");
  CHECK_THROWS_WITH(read(R"({"rope_theta": 0})"),
                    "c: default_frequencies: rope_theta is 0, expected above 0 and finite");
  CHECK_THROWS_WITH(read(R"({"partial_rotary_factor": 0.2})"),
                    "c: default_frequencies: rotary_dim is 3, expected even and at least 2");
  CHECK_THROWS_WITH(read(R"({"partial_rotary_factor": 0.01})"),
                    "c: default_frequencies: rotary_dim is 0, expected even and at least 2");
  CHECK_THROWS_WITH(read(R"({"rope_parameters": {"rope_type": "longrope", "factor": 2, "short_factor": [1],
                             "long_factor": [1], "original_max_position_embeddings": 8},
                             "max_position_embeddings": 16})"),
                    "c: longrope_frequencies: size of short_factor is 1, expected 8, half of rotary_dim");
}

TEST_CASE("rope recipe: lengths that share their frequencies are known as such", "[engine]") {
  const rope_recipe dynamic =
      read(R"({"rope_parameters": {"rope_type": "dynamic", "factor": 2}, "max_position_embeddings": 16})");
  const rope_recipe longrope = read(R"({"rope_parameters": {"rope_type": "longrope", "factor": 2,
    "short_factor": [1,2,3,4,5,6,7,8], "long_factor": [1,1,1,1,1,1,1,1], "original_max_position_embeddings": 16},
    "max_position_embeddings": 64})");
  const rope_recipe plain = read("{}");
  for (const rope_recipe* recipe : {&dynamic, &longrope, &plain}) {
    for (index_t length = 1; length < 40; ++length) {
      CAPTURE(length);
      const bool shared = recipe->deciding_length(length) == recipe->deciding_length(length + 1);
      CHECK(shared == (recipe->frequencies(length) == recipe->frequencies(length + 1)));
    }
  }
}
