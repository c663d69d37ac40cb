// Greedy generation: repeatedly appends the most likely token.
#pragma once

#include "session.hpp"

#include <functional>
#include <span>
#include <vector>

namespace engine {

/// Optional callbacks of `generate_greedily`.
struct generation_callbacks {
  std::function<void(token_id)> on_token;    // each new token, before the next one is computed
  std::function<void(index_t)> on_progress;  // the number of tokens run so far
};

/// Feeds a prompt in chunks of at most `chunk` tokens, then appends the most likely token `count` times. Returns the new
/// tokens; throws where the model's positions end, after reporting the tokens generated until then.
std::vector<token_id> generate_greedily(const network& net, session& running, std::span<const token_id> prompt,
                                        index_t count, index_t chunk, const generation_callbacks& callbacks = {});

/// Feeds tokens in chunks of at most `chunk`; returns the hidden states of all of them: [num_tokens, hidden_size].
matrix feed(session& running, std::span<const token_id> ids, index_t chunk,
            const std::function<void(index_t)>& on_progress = {});

/// The index of the largest element, the first one if there are several.
token_id most_likely(Eigen::Ref<const row_vector> logits);

}  // namespace engine
