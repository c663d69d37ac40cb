// One sequence in progress: its tokens so far, and the cached keys and values of every layer.
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

/// Runs a sequence in one pass, in chunks, or token by token: the hidden states agree up to rounding.
///
/// If frequencies depend on the length of the sequence (dynamic NTK; LongRoPE at its boundary), cached keys may have
/// those of a shorter one. `extend` then runs all tokens again, so that it agrees with one pass over the whole
/// sequence. `plan` avoids that if the length is known beforehand.
class session {
 public:
  /// `net` must outlive the session.
  explicit session(const network& net, const forward_options& options = {});

  /// Declares that the sequence will be at least this long.
  void plan(index_t num_tokens) { planned_ = num_tokens; }

  /// Runs the next tokens; returns the output of the last layer for them, after the final norm: [num_tokens,
  /// hidden_size]. `states`, if given, receives the embeddings and then the output of each layer.
  ///
  /// Errors  std::out_of_range for a token outside the vocabulary and for a position that the encoding does not have;
  ///         std::invalid_argument for an encoder's second chunk, and beyond the attention mask. The session is then
  ///         unchanged.
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
  std::vector<kv_cache> caches_;  // one per layer

  encoding encoding_;
  index_t encoded_for_ = -1;  // the deciding length of encoding_

  // With an attention mask, for the whole sequence: [num_tokens].
  std::vector<posenc::position_t> padded_positions_;
  std::unique_ptr<bool[]> allowed_;
};

}  // namespace engine
