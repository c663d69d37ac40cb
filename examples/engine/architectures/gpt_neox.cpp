// GPT-NeoX: RoPE on halves, a quarter of each head; attention and feed-forward in parallel, each after its own norm.
#include "../architecture.hpp"

namespace engine {

architecture gpt_neox() {
  return {
      .model_type = "gpt_neox",
      .position_enters = "q and k",
      .position = position_kind::rope,
      .pairing = posenc::pairing::half,
      .order = block_order::parallel,
      .qkv = qkv_order::by_head,
      .activation = "gelu",
      .norm_eps = 1e-5,
      .partial_rotary_factor = 0.25,
      .tied_output = false,
      .names = {.prefix = "gpt_neox.",
                .token_embedding = "embed_in",
                .qkv = {"layers.#.attention.query_key_value"},
                .attention_output = "layers.#.attention.dense",
                .attention_norm = "layers.#.input_layernorm",
                .mlp_norm = "layers.#.post_attention_layernorm",
                .up = "layers.#.mlp.dense_h_to_4h",
                .down = "layers.#.mlp.dense_4h_to_h",
                .final_norm = "final_layer_norm",
                .output = "embed_out"},
  };
}

}  // namespace engine
