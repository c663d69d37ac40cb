#include "engine/model_config.hpp"

#include "catch.hpp"

#include <cmath>
#include <string>

namespace {

using engine::model_config;
using engine::read_config;

// A configuration with some of its fields replaced, added, or (null) taken away.
std::string config(const char* base, const std::string& changes = "{}") {
  nlohmann::json merged = nlohmann::json::parse(base);
  merged.merge_patch(nlohmann::json::parse(changes));
  return merged.dump();
}

constexpr const char* llama = R"({"model_type": "llama", "vocab_size": 97, "hidden_size": 64, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 112, "max_position_embeddings": 64})";
constexpr const char* gpt2 = R"({"model_type": "gpt2", "vocab_size": 97, "n_embd": 64, "n_layer": 2, "n_head": 4,
  "n_positions": 64})";

model_config read(const std::string& text) { return read_config(text, "c"); }

}  // namespace

TEST_CASE("config: every family's spelling gives the same sizes", "[engine]") {
  const model_config a = read(llama);
  CHECK(a.family->model_type == "llama");
  CHECK(a.vocab_size == 97);
  CHECK(a.hidden_size == 64);
  CHECK(a.num_layers == 2);
  CHECK(a.num_heads == 4);
  CHECK(a.num_kv_heads == 2);
  CHECK(a.head_dim == 16);
  CHECK(a.intermediate_size == 112);
  CHECK(a.max_positions == 64);

  const model_config b = read(gpt2);
  CHECK(b.hidden_size == 64);
  CHECK(b.num_layers == 2);
  CHECK(b.num_heads == 4);
  CHECK(b.num_kv_heads == 4);
  CHECK(b.intermediate_size == 256);
  CHECK(b.max_positions == 64);

  const model_config c = read(R"({"model_type": "xglm", "vocab_size": 9, "d_model": 16, "num_layers": 1,
                                  "attention_heads": 2, "ffn_dim": 32})");
  CHECK(c.hidden_size == 16);
  CHECK(c.num_heads == 2);
  CHECK(c.intermediate_size == 32);
  CHECK(c.embedding_scale == 4.0f);
  CHECK(read(config(R"({"model_type": "xglm", "vocab_size": 9, "d_model": 16, "num_layers": 1, "attention_heads": 2})",
                    R"({"scale_embedding": false})"))
            .embedding_scale == 1.0f);
}

TEST_CASE("config: an unknown model_type is refused with the known ones", "[engine]") {
  CHECK_THROWS_WITH(read(config(llama, R"({"model_type": "mamba"})")),
                    "c: model_type is \"mamba\", expected one of bert, bloom, gpt2, gpt_neox, gptj, llama, xglm");
  CHECK_THROWS_WITH(read("{}"), "c: model_type is absent, expected a text");
}

TEST_CASE("config: sizes that make no sense are refused", "[engine]") {
  CHECK_THROWS_WITH(read(config(llama, R"({"hidden_size": 0})")),
                    "c: hidden_size is 0, expected a whole number from 1 to 16777216");
  CHECK_THROWS_WITH(read(config(llama, R"({"hidden_size": null})")),
                    "c: hidden_size is absent, expected a whole number from 1 to 16777216");
  CHECK_THROWS_WITH(
      read(config(llama, R"({"num_attention_heads": 3})")),
      "c: num_attention_heads is 3, expected a divisor of the hidden size, 64, that leaves each head at most 4096");
  CHECK_THROWS_WITH(read(config(llama, R"({"num_key_value_heads": 3})")),
                    "c: num_key_value_heads is 3, expected a divisor of the 4 heads");
  CHECK_THROWS_WITH(read(config(gpt2, R"({"n_positions": null})")),
                    "c: max_position_embeddings is absent, expected a whole number from 1 to 2147483647");
}

TEST_CASE("config: fused heads admit no grouping", "[engine]") {
  CHECK_THROWS_WITH(read(R"({"model_type": "bloom", "vocab_size": 9, "hidden_size": 16, "n_layer": 1, "n_head": 4,
                             "num_key_value_heads": 2})"),
                    "c: num_key_value_heads is 2, expected 4, the number of heads");
}

TEST_CASE("config: what the engine does not do is refused, not left out", "[engine]") {
  CHECK_THROWS_WITH(read(config(gpt2, R"({"scale_attn_by_inverse_layer_idx": true})")),
                    "c: scale_attn_by_inverse_layer_idx is true, expected false, all that this engine does");
  CHECK_THROWS_WITH(read(config(gpt2, R"({"activation_function": "quick_gelu"})")),
                    "c: activation_function is \"quick_gelu\", expected an activation that the engine knows");
  CHECK_THROWS_WITH(read(R"({"model_type": "bert", "vocab_size": 9, "hidden_size": 16, "num_hidden_layers": 1,
                             "num_attention_heads": 4, "max_position_embeddings": 8,
                             "position_embedding_type": "relative_key"})"),
                    "c: position_embedding_type is \"relative_key\", expected \"absolute\", all that this engine does");
}

TEST_CASE("config: GPT-NeoX may run its blocks one after the other", "[engine]") {
  const char* const neox = R"({"model_type": "gpt_neox", "vocab_size": 9, "hidden_size": 64, "num_hidden_layers": 1,
                               "num_attention_heads": 4, "max_position_embeddings": 8})";
  CHECK(read(neox).order == engine::block_order::parallel);
  CHECK(read(config(neox, R"({"use_parallel_residual": false})")).order == engine::block_order::sequential);
}
