#include "model.hpp"

#include "forward.hpp"
#include "network.hpp"
#include "session.hpp"

#include <posenc/error.hpp>

namespace engine {

model::model(const std::filesystem::path& config, const std::filesystem::path& weights)
    : network_(std::make_unique<network>(load_network(config, weights))) {}
model::model(model&&) noexcept = default;
model& model::operator=(model&&) noexcept = default;
model::~model() = default;

const model_config& model::config() const noexcept { return network_->config; }

matrix model::forward(std::span<const token_id> ids, const forward_options& options) const {
  return logits(*network_, session(*network_, options).extend(ids));
}

std::vector<matrix> model::hidden_states(std::span<const token_id> ids, const forward_options& options) const {
  std::vector<matrix> states;
  session(*network_, options).extend(ids, &states);
  return states;
}

row_vector model::sentence_embedding(std::span<const token_id> ids, const forward_options& options) const {
  const matrix hidden = session(*network_, options).extend(ids);
  row_vector sum = row_vector::Zero(hidden.cols());
  for (index_t t = 0; t < hidden.rows(); ++t) {
    const bool real = options.attention_mask.empty() || options.attention_mask[static_cast<std::size_t>(t)] != 0;
    if (real) sum += hidden.row(t);
  }
  return sum.normalized();  // the same as the normalized mean
}

model load_model(const std::filesystem::path& directory) {
  return load_model(directory / "config.json", directory / "model.safetensors");
}

model load_model(const std::filesystem::path& config, const std::filesystem::path& weights) {
  return model(config, weights);
}

}  // namespace engine
