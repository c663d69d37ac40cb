// GPT-J: RoPE on adjacent columns, part of each head; attention and feed-forward in parallel after one norm.
#include "../architecture.hpp"

namespace engine {

architecture gptj() {
  return {
      .model_type = "gptj",
      .position_enters = "q and k",
      .position = position_kind::rope,
      .pairing = posenc::pairing::interleaved,
      .order = block_order::parallel,
      .activation = "gelu_new",
      .norm_eps = 1e-5,
      .rotary_dim = 64,
      .tied_output = false,
      .names = {.prefix = "transformer.",
                .token_embedding = "wte",
                .qkv = {"h.#.attn.q_proj", "h.#.attn.k_proj", "h.#.attn.v_proj"},
                .attention_output = "h.#.attn.out_proj",
                .attention_norm = "h.#.ln_1",
                .mlp_norm = "h.#.ln_1",
                .up = "h.#.mlp.fc_in",
                .down = "h.#.mlp.fc_out",
                .final_norm = "ln_f",
                .output = "lm_head"},
  };
}

}  // namespace engine
