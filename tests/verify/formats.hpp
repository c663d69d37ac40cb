// The formats of reference files. Each is recognised by what a file holds, not by its name.
#pragma once

#include "report.hpp"

#include <filesystem>

namespace verify {

/// What all formats are run with.
struct setting {
  std::filesystem::path weights;  // where trained models' files are searched; empty: nowhere
};

// Each says whether the content is of its format; if it is, its cases are run and reported, and what they lack is an
// error.

/// `group`: goldens of one group, `cases` and the `file` of their tensors.
bool verify_goldens(const json& content, const std::filesystem::path& file, report& to);

/// `op`: a case of one ONNX operator, with its tensors in the .safetensors file of the same name.
bool verify_onnx(const json& content, const std::filesystem::path& file, report& to);

/// `cases` with `input_ids` and `logits`, beside a config.json and a model.safetensors.
bool verify_model(const json& content, const std::filesystem::path& file, report& to);

/// `weights`, which names a file of a package: goldens of a trained model.
bool verify_trained_model(const json& content, const std::filesystem::path& file, const setting& with, report& to);

/// Verifies a file, or all .json files under a directory.
void verify_path(const std::filesystem::path& path, const setting& with, report& to);

}  // namespace verify
