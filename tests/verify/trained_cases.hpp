// The cases in the goldens of a trained model.
#pragma once

#include "findings.hpp"

#include <engine/model.hpp>

#include <functional>
#include <string>
#include <vector>

namespace verify {

struct trained_case {
  std::string name;
  std::function<void(const engine::model&, findings&)> check;
};

/// A key of an object that stands for a number: a layer, a row, a shift. Throws where it is none.
index_t number_of(const std::string& key);

/// A sentence encoder: hidden states, sentence embeddings, and a padded batch.
std::vector<trained_case> sentence_cases(const json& content);

/// A sentence encoder: what its table of positions is worth, and where it ends.
std::vector<trained_case> position_cases(const json& content);

/// A decoder: none is known here yet.
std::vector<trained_case> decoder_cases(const json& content);

}  // namespace verify
