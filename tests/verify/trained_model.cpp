// Goldens of trained models, whose weights come from a package: detects the kind of a file, and finds its weights.
#include "formats.hpp"
#include "trained_cases.hpp"
#include "weights.hpp"

#include <charconv>
#include <memory>
#include <system_error>

namespace verify {

namespace {

// Found and loaded when the first case asks: without weights each case says so.
class lazy_encoder {
 public:
  lazy_encoder(const json& content, const setting& with) : content_(content), with_(with) {}

  const engine::model& get() {
    if (model_) return *model_;
    const auto weights = find_weights(content_.at("weights"), with_.weights);
    if (weights.extension() != ".safetensors")
      throw not_known("a reader of " + weights.extension().string() + " files does not exist yet");
    model_ = std::make_unique<engine::model>(engine::load_model(weights.parent_path() / "config.json", weights));
    return *model_;
  }

 private:
  const json& content_;
  const setting& with_;
  std::unique_ptr<engine::model> model_;
};

std::vector<trained_case> cases_of(const json& content) {
  if (content.contains("cosine_between_the_pair")) return position_cases(content);
  if (content.contains("pooling")) return sentence_cases(content);
  return decoder_cases(content);
}

}  // namespace

index_t number_of(const std::string& key) {
  index_t number = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), number);
  if (error != std::errc() || end != key.data() + key.size())
    throw std::runtime_error("the key " + key + " is no number");
  return number;
}

bool verify_trained_model(const json& content, const std::filesystem::path& file, const setting& with, report& to) {
  if (!content.contains("weights")) return false;
  lazy_encoder model(content, with);
  for (const trained_case& one : cases_of(content))
    to.run(file.stem().string() + "/" + one.name, [&](findings& found) { one.check(model.get(), found); });
  return true;
}

}  // namespace verify
