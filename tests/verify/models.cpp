// Small models, each with config.json and model.safetensors: logits, the next token, and the length to refuse.
#include "formats.hpp"
#include "refusal.hpp"

#include <engine/model.hpp>

#include <memory>

namespace verify {

namespace {

using engine::token_id;

// Loads when the first case asks, so that a file that cannot be loaded fails cases and not the run.
class lazy_model {
 public:
  explicit lazy_model(std::filesystem::path directory) : directory_(std::move(directory)) {}

  const engine::model& get() {
    if (!model_) model_ = std::make_unique<engine::model>(engine::load_model(directory_));
    return *model_;
  }

 private:
  std::filesystem::path directory_;
  std::unique_ptr<engine::model> model_;
};

index_t largest(const engine::matrix& logits, index_t row) {
  index_t token = 0;
  logits.row(row).maxCoeff(&token);
  return token;
}

void check_logits(const engine::model& model, const json& one, const tolerance& allowed, findings& found) {
  const auto ids = one.at("input_ids").get<std::vector<token_id>>();
  const auto rows = one.at("rows").get<std::vector<index_t>>();
  if (ids.empty()) throw std::runtime_error("input_ids are empty");
  const engine::matrix logits = model.forward(ids);
  if (one.at("logits").size() != rows.size()) throw std::runtime_error("rows and logits disagree");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] < 0 || rows[i] >= logits.rows())
      throw std::runtime_error("row " + std::to_string(rows[i]) + " is none");
    const auto want = one.at("logits")[i].get<std::vector<double>>();
    const auto got = logits.row(rows[i]);
    found.compare("logits of token " + std::to_string(rows[i]), std::vector<double>(got.begin(), got.end()),
                  {"F32", {static_cast<index_t>(want.size())}, want}, allowed);
  }
  if (!one.contains("greedy_next")) return;
  const auto want = one.at("greedy_next").get<index_t>();
  const index_t got = largest(logits, logits.rows() - 1);
  found.expect(got == want, "greedy_next is " + std::to_string(got) + ", wanted " + std::to_string(want));
}

}  // namespace

bool verify_model(const json& content, const std::filesystem::path& file, report& to) {
  if (!content.contains("cases") || !content.at("cases").is_array() || content.at("cases").empty()) return false;
  const json& first = content.at("cases").front();
  if (!first.is_object() || !first.contains("input_ids") || !first.contains("logits")) return false;

  const std::string name = "models/" + content.value("model", file.parent_path().filename().string());
  const tolerance allowed = tolerance_from(content.at("tolerance"));
  lazy_model model(file.parent_path());
  for (const json& one : content.at("cases")) {
    const std::size_t length = one.contains("input_ids") ? one.at("input_ids").size() : 0;
    to.run(name + ", " + std::to_string(length) + " tokens",
           [&](findings& found) { check_logits(model.get(), one, allowed, found); });
  }
  if (content.contains("must_refuse_length") && !content.at("must_refuse_length").is_null()) {
    const auto length = content.at("must_refuse_length").get<index_t>();
    to.run(name + ", refuses " + std::to_string(length) + " tokens",
           [&](findings& found) { check_refusal(model.get(), length, found); });
  }
  return true;
}

}  // namespace verify
