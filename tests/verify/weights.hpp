// The file of a trained model: searched under a directory, known by its size and its checksum.
#pragma once

#include "findings.hpp"

#include <filesystem>

namespace verify {

/// Where the file that `description` names lies: `path` under the directory, or any file of its name below it that is
/// the right one. `bytes` and `sha256` decide. Throws no_weights if there is none, and std::runtime_error if there is
/// another one at exactly `path`.
std::filesystem::path find_weights(const json& description, const std::filesystem::path& directory);

}  // namespace verify
