// XGLM: sinusoids added to scaled tokens, the first token at row 2; LayerNorm before each block.
#include "../architecture.hpp"

namespace engine {

architecture xglm() {
  return {
      .model_type = "xglm",
      .position_enters = "added to tokens",
      .position = position_kind::sinusoidal,
      .position_offset = 2,
      .scales_embedding = true,
      .activation = "gelu",
      .norm_eps = 1e-5,
      .required = {{"add_cross_attention", "false"}},
      .names = {.prefix = "model.",
                .token_embedding = "embed_tokens",
                .qkv = {"layers.#.self_attn.q_proj", "layers.#.self_attn.k_proj", "layers.#.self_attn.v_proj"},
                .attention_output = "layers.#.self_attn.out_proj",
                .attention_norm = "layers.#.self_attn_layer_norm",
                .mlp_norm = "layers.#.final_layer_norm",
                .up = "layers.#.fc1",
                .down = "layers.#.fc2",
                .final_norm = "layer_norm"},
  };
}

}  // namespace engine
