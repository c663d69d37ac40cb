#include "formats.hpp"

#include <algorithm>
#include <fstream>
#include <vector>

namespace verify {

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> json_files(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry :
       fs::recursive_directory_iterator(directory, fs::directory_options::follow_directory_symlink)) {
    if (entry.is_regular_file() && entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

json parse(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot be opened");
  return json::parse(stream);
}

// A model's configuration lies beside its goldens and is read with them.
bool is_model_config(const json& content) {
  return content.is_object() && (content.contains("model_type") || content.contains("architectures"));
}

bool verify_content(const json& content, const fs::path& file, const setting& with, report& to) {
  if (!content.is_object()) return false;
  return verify_goldens(content, file, to) || verify_onnx(content, file, to) ||
         verify_trained_model(content, file, with, to) || verify_model(content, file, to);
}

// Under a directory there may be other files: what is no format known here cannot be judged. A file that was named must
// be one.
void verify_file(const fs::path& file, const setting& with, report& to, bool asked_for) {
  try {
    const json content = parse(file);
    if (verify_content(content, file, with, to)) return;
    if (asked_for) return to.reject(file.string(), "not one of the formats known here");
    if (!is_model_config(content))
      to.run(file.string(), [](findings& found) { found.cannot_judge("not one of the formats known here"); });
  } catch (const std::exception& what) {
    to.reject(file.string(), what.what());
  }
}

}  // namespace

void verify_path(const fs::path& path, const setting& with, report& to) {
  if (!fs::is_directory(path)) return verify_file(path, with, to, true);
  const int before = to.num_cases();
  try {
    for (const fs::path& file : json_files(path)) verify_file(file, with, to, false);
  } catch (const fs::filesystem_error& what) {
    to.reject(path.string(), what.what());
  }
  if (to.num_cases() == before) to.reject(path.string(), "holds nothing to verify");
}

}  // namespace verify
