// One sequence in progress: its tokens so far, and the keys and values that every layer has kept of them.
#pragma once

#include "encoding.hpp"
#include "forward.hpp"
#include "forward_options.hpp"
#include "kv_cache.hpp"
#include "network.hpp"

#include <memory>
#include <span>
#include <vector>

namespace engine {

/// Takes a sequence in one pass, in chunks, or token by token: the hidden states agree up to rounding.
///
/// Where frequencies depend on the length of the sequence (dynamic NTK; LongRoPE at its boundary), the cached keys
/// carry those of a shorter one. `extend` then runs all tokens again, so that it agrees with one pass over the whole.
/// `plan` spares that to a caller who knows the length beforehand.
class session {
 public:
  /// `net` must outlive the session.
  explicit session(const network& net, const forward_options& options = {});

  /// The sequence will be this long at least.
  void plan(index_t num_tokens) { planned_ = num_tokens; }

  /// Runs the next tokens; returns what the last layer gives for them, after the final norm: [num_tokens, hidden_size].
  /// `states`, if given, receives the embeddings and then what each layer gives.
  ///
  /// Errors  std::out_of_range for a token outside the vocabulary and for a position that the encoding does not have;
  ///         std::invalid_argument for an encoder's second chunk, and beyond the attention mask. The session is then as
  ///         before.
  matrix extend(std::span<const token_id> ids, std::vector<matrix>* states = nullptr);

  index_t num_tokens() const { return std::ssize(ids_); }

 private:
  void check_length(index_t total) const;
  encoding encoding_for(index_t length) const;
  posenc::positions positions_of(index_t first, index_t count) const;

  const network& net_;
  forward_options options_;
  index_t planned_ = 0;
  std::vector<token_id> ids_;
  std::vector<kv_cache> caches_;  // one a layer

  encoding encoding_;
  index_t encoded_for_ = -1;  // its deciding length

  // With an attention mask, for the whole sequence: [num_tokens].
  std::vector<posenc::position_t> padded_positions_;
  std::unique_ptr<bool[]> allowed_;
};

}  // namespace engine
