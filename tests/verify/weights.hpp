// Finds the file of a trained model under a directory, by size and checksum.
#pragma once

#include "findings.hpp"

#include <filesystem>

namespace verify {

/// The path of the file that `description` names: `path` under the directory, or any file of that name below it that
/// matches `bytes` and `sha256`. Throws no_weights if there is none, and std::runtime_error if the file at exactly
/// `path` does not match.
std::filesystem::path find_weights(const json& description, const std::filesystem::path& directory);

}  // namespace verify
