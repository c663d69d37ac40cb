// The formats of reference files. Each is recognized by a file's content, not by its name.
#pragma once

#include "report.hpp"

#include <filesystem>

namespace verify {

/// Settings for all formats.
struct setting {
  std::filesystem::path weights;  // where to search for the files of trained models; empty: nowhere
};

// Each returns whether the content is in its format; if so, its cases are run and reported, and anything missing is an
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
