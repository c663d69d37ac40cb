// The sections of the demo. Each prints its results and returns whether they are as expected.
#pragma once

#include <filesystem>

namespace demo {

/// A trained sentence encoder with and without its table of positions. `directory` may be missing.
bool word_order(const std::filesystem::path& directory);

/// Every model in `directory` against the logits that another implementation computed for it.
bool models_against_goldens(const std::filesystem::path& directory);

/// Five encodings in the same attention, far beyond the trained length.
bool extrapolation();

}  // namespace demo
