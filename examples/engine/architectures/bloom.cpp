// BLOOM: ALiBi, a penalty on scores that grows with distance; q, k and v are interleaved per head.
#include "../architecture.hpp"

namespace engine {

architecture bloom() {
  return {
      .model_type = "bloom",
      .position_enters = "scores",
      .position = position_kind::alibi,
      .qkv = qkv_order::by_head,
      .activation = "gelu_new",
      .norm_eps = 1e-5,
      .required = {{"apply_residual_connection_post_layernorm", "false"}},
      .names = {.prefix = "transformer.",
                .token_embedding = "word_embeddings",
                .embedding_norm = "word_embeddings_layernorm",
                .qkv = {"h.#.self_attention.query_key_value"},
                .attention_output = "h.#.self_attention.dense",
                .attention_norm = "h.#.input_layernorm",
                .mlp_norm = "h.#.post_attention_layernorm",
                .up = "h.#.mlp.dense_h_to_4h",
                .down = "h.#.mlp.dense_4h_to_h",
                .final_norm = "ln_f"},
  };
}

}  // namespace engine
