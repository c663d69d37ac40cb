// The parts of the demo, each of which prints itself and says whether all was as it should be.
#pragma once

#include <filesystem>

namespace demo {

/// A trained sentence encoder with and without its table of positions. `directory` may be missing.
bool word_order(const std::filesystem::path& directory);

/// Every model in `directory` against the logits that another implementation computed for it.
bool models_against_goldens(const std::filesystem::path& directory);

/// Five encodings in one attention, far beyond a trained length.
bool extrapolation();

}  // namespace demo
