// A transformer from a Hugging Face directory: token ids in; logits, hidden states or a sentence embedding out.
#pragma once

#include "forward_options.hpp"
#include "matrix.hpp"
#include "model_config.hpp"

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

namespace engine {

struct network;

/// A loaded model. Weights stay in the mapped file. Runs allocate, and may be concurrent.
///
/// Errors  An invalid file throws std::runtime_error when it is loaded. A run throws
///         std::out_of_range where the encoding ends (GPT-2's 65th token), and for a token outside the vocabulary.
class model {
 public:
  model(const std::filesystem::path& config, const std::filesystem::path& weights);
  model(model&&) noexcept;
  model& operator=(model&&) noexcept;
  ~model();

  const model_config& config() const noexcept;
  /// The layers that a `session` runs, for generation.
  const network& layers() const noexcept { return *network_; }

  /// Logits of every token: [num_tokens, vocab_size]. Decoders only: an encoder throws std::invalid_argument.
  matrix forward(std::span<const token_id> ids, const forward_options& options = {}) const;

  /// num_layers + 1 matrices [num_tokens, hidden_size]: the embeddings, then the output of each layer; the last one
  /// after the final norm, if the model has one.
  std::vector<matrix> hidden_states(std::span<const token_id> ids, const forward_options& options = {}) const;

  /// Mean of the last hidden states over the real tokens, scaled to unit length: [hidden_size].
  row_vector sentence_embedding(std::span<const token_id> ids, const forward_options& options = {}) const;

 private:
  std::unique_ptr<network> network_;
};

/// Loads `config.json` and `model.safetensors` from a directory.
model load_model(const std::filesystem::path& directory);
model load_model(const std::filesystem::path& config, const std::filesystem::path& weights);

}  // namespace engine
