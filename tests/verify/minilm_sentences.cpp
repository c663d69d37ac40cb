// MiniLM on sentences: hidden states, embeddings, and a batch with padding.
#include "trained_cases.hpp"

namespace verify {

namespace {

using engine::token_id;

template <class Row>
std::vector<double> widened(const Row& row) {
  return {row.begin(), row.end()};
}

tensor row_of(const json& numbers) {
  const auto values = numbers.get<std::vector<double>>();
  return {"F64", {static_cast<index_t>(values.size())}, values};
}

void check_hidden_states(const std::vector<engine::matrix>& states, const json& one, const tolerance& allowed,
                         findings& found) {
  const auto rows = one.at("rows").get<std::vector<index_t>>();
  for (const auto& [layer, want] : one.at("hidden_states").items()) {
    const auto number = static_cast<std::size_t>(number_of(layer));
    if (number >= states.size()) throw std::runtime_error("there is no layer " + layer);
    if (want.size() != rows.size()) throw std::runtime_error("rows and hidden_states disagree");
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows[i] < 0 || rows[i] >= states[number].rows())
        throw std::runtime_error("there is no token " + std::to_string(rows[i]));
      found.compare("layer " + layer + ", token " + std::to_string(rows[i]), widened(states[number].row(rows[i])),
                    row_of(want[i]), allowed);
    }
  }
}

void check_sentence(const engine::model& model, const json& one, const tolerance& allowed, findings& found) {
  const auto ids = one.at("input_ids").get<std::vector<token_id>>();
  check_hidden_states(model.hidden_states(ids), one, allowed, found);
  if (!one.contains("sentence_embedding")) return;
  found.compare("sentence_embedding", widened(model.sentence_embedding(ids)), row_of(one.at("sentence_embedding")),
                allowed);
}

void check_padded_batch(const engine::model& model, const json& batch, const tolerance& allowed, findings& found) {
  std::vector<engine::row_vector> embeddings;
  for (std::size_t i = 0; i < batch.at("input_ids").size(); ++i) {
    const auto ids = batch.at("input_ids")[i].get<std::vector<token_id>>();
    const auto mask = batch.at("attention_mask").at(i).get<std::vector<int>>();
    embeddings.push_back(model.sentence_embedding(ids, {.attention_mask = mask}));
  }
  const json& similarity = batch.at("cosine_similarity");
  if (similarity.size() != embeddings.size()) throw std::runtime_error("input_ids and cosine_similarity disagree");
  for (std::size_t i = 0; i < embeddings.size(); ++i) {
    std::vector<double> cosines;
    for (const auto& other : embeddings) cosines.push_back(static_cast<double>(embeddings[i].dot(other)));
    found.compare("cosine_similarity of sentence " + std::to_string(i), cosines, row_of(similarity[i]), allowed);
  }
}

}  // namespace

std::vector<trained_case> sentence_cases(const json& content) {
  const tolerance allowed = tolerance_from(content.at("tolerance"));
  std::vector<trained_case> cases;
  for (const json& one : content.at("cases")) {
    const std::string name =
        one.value("text", "unnamed").substr(0, 32) + ", " + std::to_string(one.at("input_ids").size()) + " tokens";
    cases.push_back({name, [&one, allowed](const engine::model& model, findings& found) {
                       check_sentence(model, one, allowed, found);
                     }});
  }
  if (content.contains("padded_batch")) {
    const json& batch = content.at("padded_batch");
    cases.push_back({"padded_batch", [&batch, allowed](const engine::model& model, findings& found) {
                       check_padded_batch(model, batch, allowed, found);
                     }});
  }
  return cases;
}

}  // namespace verify
