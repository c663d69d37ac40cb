// Greedy generation: the most likely token, again and again.
#pragma once

#include "session.hpp"

#include <functional>
#include <span>
#include <vector>

namespace engine {

/// Feeds a prompt in chunks of at most `chunk` tokens, then appends the most likely token `count` times.
///
/// Returns the new tokens. `on_progress`, if given, is called with the number of tokens that have been run so far.
std::vector<token_id> generate_greedily(const network& net, session& running, std::span<const token_id> prompt,
                                        index_t count, index_t chunk,
                                        const std::function<void(index_t)>& on_progress = {});

/// Feeds tokens in chunks of at most `chunk`; returns the hidden states of all of them: [num_tokens, hidden_size].
matrix feed(session& running, std::span<const token_id> ids, index_t chunk,
            const std::function<void(index_t)>& on_progress = {});

/// The first of the largest.
token_id most_likely(Eigen::Ref<const row_vector> logits);

}  // namespace engine
