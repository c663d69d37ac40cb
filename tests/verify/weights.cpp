#include "weights.hpp"

#include "sha256.hpp"

#include <engine/mapped_file.hpp>

#include <map>

namespace verify {

namespace {

namespace fs = std::filesystem;

// Several files of goldens name the same weights: each is read once.
const std::string& checksum(const fs::path& file) {
  static std::map<fs::path, std::string> known;
  std::string& sum = known[file];
  if (sum.empty()) sum = sha256(engine::mapped_file(file).bytes());
  return sum;
}

bool is_the_file(const fs::path& file, const json& description) {
  if (!fs::is_regular_file(file)) return false;
  if (fs::file_size(file) != description.at("bytes").get<std::uintmax_t>()) return false;
  return checksum(file) == description.at("sha256").get<std::string>();
}

}  // namespace

fs::path find_weights(const json& description, const fs::path& directory) {
  const fs::path path = description.at("path").get<std::string>();
  if (directory.empty()) throw no_weights("no --weights to find " + path.filename().string() + " under");
  const fs::path exact = directory / path;
  if (is_the_file(exact, description)) return exact;
  if (fs::exists(exact)) throw std::runtime_error(exact.string() + " has another size or SHA-256 than the goldens say");
  for (const auto& entry : fs::recursive_directory_iterator(directory, fs::directory_options::skip_permission_denied)) {
    if (entry.path().filename() == path.filename() && is_the_file(entry.path(), description)) return entry.path();
  }
  throw no_weights("no " + path.filename().string() + " with the right SHA-256 under " + directory.string());
}

}  // namespace verify
