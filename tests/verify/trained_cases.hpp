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

/// An object's key as a number: a layer, a row, a shift. Throws if it is none.
index_t number_of(const std::string& key);

/// A sentence encoder: hidden states, sentence embeddings, and a padded batch.
std::vector<trained_case> sentence_cases(const json& content);

/// A sentence encoder: the effect of its table of positions, and where the table ends.
std::vector<trained_case> position_cases(const json& content);

/// A decoder: none is known here yet.
std::vector<trained_case> decoder_cases(const json& content);

}  // namespace verify
