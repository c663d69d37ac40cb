// Compares nine decoders, covering each place and form in which position enters, with another implementation's logits.
#include "sections.hpp"

#include "engine/encoding.hpp"
#include "engine/model.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace demo {

namespace {

using engine::index_t;
using engine::matrix;
using engine::model;
using engine::token_id;
using ids = std::vector<token_id>;

struct named_model {
  std::filesystem::path path;
  model loaded;
};

struct comparison {
  double largest_error = 0;
  bool within_tolerance = true;
  index_t longest = 0;
};

comparison compare(const model& m, const nlohmann::json& golden) {
  comparison all;
  const double abs = golden["tolerance"]["abs"];
  const double rel = golden["tolerance"]["rel"];
  for (const auto& one : golden["cases"]) {
    const auto input = one["input_ids"].get<ids>();
    const auto rows = one["rows"].get<std::vector<index_t>>();
    const matrix logits = m.forward(input);
    all.longest = std::max(all.longest, logits.rows());
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const auto expected = one["logits"][r].get<std::vector<double>>();
      for (index_t v = 0; v < logits.cols(); ++v) {
        const double want = expected[static_cast<std::size_t>(v)];
        const double error = std::abs(static_cast<double>(logits(rows[r], v)) - want);
        all.largest_error = std::max(all.largest_error, error);
        all.within_tolerance = all.within_tolerance && error <= abs + rel * std::abs(want);
      }
    }
  }
  return all;
}

// What happens with one token more than the trained length.
std::string beyond_trained_length(const model& m, index_t longest_checked) {
  const index_t trained = m.config().max_positions;
  const std::string checked = longest_checked > trained ? ", right at " + std::to_string(longest_checked) : "";
  if (trained == 0) return "no end" + checked;
  try {
    m.forward(ids(static_cast<std::size_t>(trained) + 1, 1));
  } catch (const std::out_of_range&) {
    return "refuses token " + std::to_string(trained + 1);
  }
  return "runs on" + checked;
}

// Speed on a prompt, in one pass.
double tokens_per_second(const model& m) {
  using clock = std::chrono::steady_clock;
  const ids prompt(64, 1);
  index_t tokens = 0;
  const auto start = clock::now();
  while (clock::now() - start < std::chrono::milliseconds(100)) tokens += m.forward(prompt).rows();
  return static_cast<double>(tokens) / std::chrono::duration<double>(clock::now() - start).count();
}

}  // namespace

bool models_against_goldens(const std::filesystem::path& directory) {
  std::vector<named_model> models;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.is_directory()) models.push_back({entry.path(), engine::load_model(entry.path())});
  }
  std::ranges::sort(models, {}, [](const named_model& m) {
    return std::pair(m.loaded.config().family->position, m.path.filename());
  });

  std::printf(
      "Models, against the logits that transformers computes for them\n\n"
      "%-22s %-16s %-25s %-11s      %-23s %s\n%-22s %-16s %-25s %-11s      %-23s\n",
      "model", "position enters", "encoding", "largest", "beyond the", "tokens/s",  //
      "", "", "", "logit error", "trained length");
  bool all_right = true;
  for (const auto& [path, loaded] : models) {
    const comparison seen = compare(loaded, nlohmann::json::parse(std::ifstream(path / "golden.json")));
    all_right = all_right && seen.within_tolerance;
    std::printf("%-22s %-16s %-25s %11.1e %-5s%-23s %.0f\n", path.filename().c_str(),
                loaded.config().family->position_enters.c_str(), engine::encoding_name(loaded.config()).c_str(),
                seen.largest_error, seen.within_tolerance ? "ok" : "WRONG",
                beyond_trained_length(loaded, seen.longest).c_str(), tokens_per_second(loaded));
  }
  std::printf(
      "\nTiny and never trained, so that a wrong position shows. Allowed error: 1e-4, absolute and relative.\n\n");
  return all_right;
}

}  // namespace demo
