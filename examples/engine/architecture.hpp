// The architecture of a family of transformers: everything in which families differ, as data.
#pragma once

#include "linear.hpp"
#include "normalization.hpp"

#include <posenc/kernels/rotate.hpp>  // pairing
#include <posenc/positions.hpp>       // position_t

#include <span>
#include <string>
#include <vector>

namespace engine {

/// Where position enters.
enum class position_kind { sinusoidal, learned, rope, alibi };

/// How a layer combines attention and feed-forward.
enum class block_order {
  sequential,  // x += attention(norm(x));  x += mlp(norm(x))
  parallel,    // x += attention(norm(x)) + mlp(norm(x))
  post_norm,   // x = norm(x + attention(x));  x = norm(x + mlp(x))
};

/// The column order of the fused projection; separate projections are written side by side.
enum class qkv_order {
  side_by_side,  // [q of all heads | k of all heads | v of all heads]
  by_head,       // [q | k | v] of the first head, then of the second, ...
};

/// Names of tensors, without ".weight" and ".bias". Empty: the family has none. '#' stands for the layer's number.
struct tensor_names {
  std::string prefix = "";  // checkpoints of the bare model leave it out
  std::string token_embedding;
  std::string position_table = "";
  std::string token_type_embedding = "";
  std::string embedding_norm = "";
  std::vector<std::string> qkv;  // one fused, or three
  std::string attention_output;
  std::string attention_norm;
  std::string mlp_norm;  // the same as attention_norm: one norm feeds both
  std::string gate = "";
  std::string up;
  std::string down;
  std::string final_norm = "";
  std::string output = "";  // never prefixed; empty: the token embedding serves
};

/// A field of config.json for which the engine supports only one value.
struct required_field {
  const char* name;
  const char* value;  // as JSON
};

struct architecture {
  std::string model_type;       // as config.json spells it
  std::string position_enters;  // where, in plain words

  position_kind position;
  posenc::pairing pairing = posenc::pairing::half;  // of rope
  posenc::position_t position_offset = 0;           // the row of the first token

  bool causal = true;
  block_order order = block_order::sequential;
  norm_kind norm = norm_kind::layer;
  qkv_order qkv = qkv_order::side_by_side;
  weight_layout layout = weight_layout::out_in;
  bool scales_embedding = false;  // by sqrt(hidden_size), unless config.json says otherwise

  // Defaults of fields that config.json may omit.
  std::string activation = "";  // empty: required
  double norm_eps = 0;          // 0: required
  double partial_rotary_factor = 1;
  index_t rotary_dim = 0;  // 0: partial_rotary_factor decides
  bool tied_output = true;

  std::vector<required_field> required = {};

  tensor_names names;
};

/// All families that the engine runs.
std::span<const architecture> known_architectures();

// One file each, in architectures/.
architecture bert();
architecture bloom();
architecture gpt2();
architecture gpt_neox();
architecture gptj();
architecture llama();
architecture xglm();

}  // namespace engine
