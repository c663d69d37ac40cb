// The forward pass of a transformer, block by block, for every family that the engine knows.
#pragma once

#include "encoding.hpp"
#include "kv_cache.hpp"
#include "matrix.hpp"
#include "network.hpp"

#include <posenc/attention/masks.hpp>
#include <posenc/positions.hpp>

#include <span>

namespace engine {

/// What the layers of one step share: positions and masks.
struct step {
  const encoding& encode;
  posenc::positions queries;  // of the step's own tokens
  posenc::positions keys;     // of all tokens so far, the step's own included
  posenc::index_band band;
  posenc::bool_mask allowed;
};

/// Token embeddings with what the encoding adds to them: [num_tokens, hidden_size].
matrix embed(const network& net, std::span<const token_id> ids, const step& s);

/// One layer, in place; its new keys and values go to the end of `cache`.
void run_layer(const network& net, const layer& l, matrix& x, kv_cache& cache, const step& s);

/// Scores over the vocabulary: [num_tokens, vocab_size].
matrix logits(const network& net, const matrix& hidden);

}  // namespace engine
