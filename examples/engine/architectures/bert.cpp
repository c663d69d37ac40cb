// BERT, an encoder: a learned table and a token type added to the tokens; all tokens see each other; post-norm.
#include "../architecture.hpp"

namespace engine {

architecture bert() {
  return {
      .model_type = "bert",
      .position_enters = "added to tokens",
      .position = position_kind::learned,
      .causal = false,
      .order = block_order::post_norm,
      .activation = "gelu",
      .norm_eps = 1e-12,
      .required = {{"position_embedding_type", "\"absolute\""}, {"is_decoder", "false"}},
      .names = {.prefix = "bert.",
                .token_embedding = "embeddings.word_embeddings",
                .position_table = "embeddings.position_embeddings",
                .token_type_embedding = "embeddings.token_type_embeddings",
                .embedding_norm = "embeddings.LayerNorm",
                .qkv = {"encoder.layer.#.attention.self.query", "encoder.layer.#.attention.self.key",
                        "encoder.layer.#.attention.self.value"},
                .attention_output = "encoder.layer.#.attention.output.dense",
                .attention_norm = "encoder.layer.#.attention.output.LayerNorm",
                .mlp_norm = "encoder.layer.#.output.LayerNorm",
                .up = "encoder.layer.#.intermediate.dense",
                .down = "encoder.layer.#.output.dense"},
  };
}

}  // namespace engine
