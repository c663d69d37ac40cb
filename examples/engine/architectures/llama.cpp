// Llama: RoPE on halves, any recipe; RMSNorm, grouped heads, a gated feed-forward, no biases unless the file has them.
#include "../architecture.hpp"

namespace engine {

architecture llama() {
  return {
      .model_type = "llama",
      .position_enters = "q and k",
      .position = position_kind::rope,
      .pairing = posenc::pairing::half,
      .norm = norm_kind::rms,
      .activation = "silu",
      .norm_eps = 1e-6,
      .tied_output = false,
      .names = {.prefix = "model.",
                .token_embedding = "embed_tokens",
                .qkv = {"layers.#.self_attn.q_proj", "layers.#.self_attn.k_proj", "layers.#.self_attn.v_proj"},
                .attention_output = "layers.#.self_attn.o_proj",
                .attention_norm = "layers.#.input_layernorm",
                .mlp_norm = "layers.#.post_attention_layernorm",
                .gate = "layers.#.mlp.gate_proj",
                .up = "layers.#.mlp.up_proj",
                .down = "layers.#.mlp.down_proj",
                .final_norm = "norm",
                .output = "lm_head"},
  };
}

}  // namespace engine
