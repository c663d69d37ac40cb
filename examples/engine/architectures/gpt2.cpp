// GPT-2: a learned table added to the tokens; LayerNorm before each block; all weights are [in, out].
#include "../architecture.hpp"

namespace engine {

architecture gpt2() {
  return {
      .model_type = "gpt2",
      .position_enters = "added to tokens",
      .position = position_kind::learned,
      .layout = weight_layout::in_out,
      .activation = "gelu_new",
      .norm_eps = 1e-5,
      .required = {{"add_cross_attention", "false"},
                   {"scale_attn_weights", "true"},
                   {"scale_attn_by_inverse_layer_idx", "false"}},
      .names = {.prefix = "transformer.",
                .token_embedding = "wte",
                .position_table = "wpe",
                .qkv = {"h.#.attn.c_attn"},
                .attention_output = "h.#.attn.c_proj",
                .attention_norm = "h.#.ln_1",
                .mlp_norm = "h.#.ln_2",
                .up = "h.#.mlp.c_fc",
                .down = "h.#.mlp.c_proj",
                .final_norm = "ln_f"},
  };
}

}  // namespace engine
