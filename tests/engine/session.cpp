#include "engine/session.hpp"
#include "engine/generate.hpp"
#include "engine/model.hpp"

#include "catch.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

using namespace engine;

std::filesystem::path models() { return std::filesystem::path(__FILE__).parent_path().parent_path() / "data/models"; }

std::vector<token_id> some_ids(index_t count) {
  std::vector<token_id> ids(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<token_id>((7 * i + 3) % 97);
  return ids;
}

// A copy of a model under another configuration: fields merged into config.json, "weights" cut to a length.
class altered_model {
 public:
  altered_model(const char* model, const std::string& changes)
      : directory_(std::filesystem::temp_directory_path() / ("posenc-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(directory_);
    nlohmann::json config = nlohmann::json::parse(std::ifstream(models() / model / "config.json"));
    config.merge_patch(nlohmann::json::parse(changes));
    std::ofstream(directory_ / "config.json") << config;
    std::filesystem::copy_file(models() / model / "model.safetensors", weights(),
                               std::filesystem::copy_options::overwrite_existing);
  }
  ~altered_model() { std::filesystem::remove_all(directory_); }

  std::filesystem::path weights() const { return directory_ / "model.safetensors"; }
  model load() const { return load_model(directory_); }

 private:
  std::filesystem::path directory_;
};

float difference(const matrix& a, const matrix& b) { return (a - b).cwiseAbs().maxCoeff(); }

// Float sums in another order, through sharp attention; the goldens allow as much for the same reason.
constexpr float rounding = 1e-4f;

}  // namespace

TEST_CASE("session: one pass, chunks and one by one agree for every family", "[engine]") {
  for (const char* name : {"bloom-alibi", "gpt2-learned", "gptj-rope-interleaved", "llama-rope", "llama-rope-yarn",
                           "neox-rope-partial", "xglm-sinusoidal"}) {
    CAPTURE(name);
    const model m = load_model(models() / name);
    const auto ids = some_ids(48);
    session whole(m.layers()), chunks(m.layers()), single(m.layers());
    const matrix expected = feed(whole, ids, 48);
    CHECK(difference(expected, feed(chunks, ids, 7)) < rounding);
    CHECK(difference(expected, feed(single, ids, 1)) < rounding);
  }
}

TEST_CASE("session: greedy generation with a cache equals running the whole text each time", "[engine]") {
  for (const char* name : {"bloom-alibi", "gpt2-learned", "gptj-rope-interleaved", "llama-rope-llama3"}) {
    CAPTURE(name);
    const model m = load_model(models() / name);
    std::vector<token_id> text = some_ids(10);
    session cached(m.layers());
    const auto generated = generate_greedily(m.layers(), cached, text, 12, 4);
    REQUIRE(generated.size() == 12);
    for (const token_id next : generated) {
      CHECK(next == most_likely(m.forward(text).bottomRows(1).row(0)));
      text.push_back(next);
    }
  }
}

TEST_CASE("session: generation past the end of a learned table reports every token up to there", "[engine]") {
  const model m = load_model(models() / "gpt2-learned");
  session running(m.layers());
  std::vector<token_id> reported;
  const auto keep = [&](token_id id) { reported.push_back(id); };
  CHECK_THROWS_WITH(generate_greedily(m.layers(), running, some_ids(60), 10, 60, {keep, {}}),
                    "add_to: positions[0] is 64, expected at most 63");
  CHECK(reported.size() == 5);  // from the positions 59 to 63
}

TEST_CASE("session: keys rotated for a shorter text are not used for a longer one", "[engine]") {
  // Frequencies change with each token beyond 16, and at 17.
  const char* const dynamic =
      R"({"max_position_embeddings": 16, "rope_parameters": {"rope_type": "dynamic", "factor": 2}})";
  const char* const longrope = R"({"rope_parameters": {"rope_type": "longrope", "factor": 4,
    "original_max_position_embeddings": 16, "short_factor": [1, 1, 1, 1, 1, 1, 1, 1],
    "long_factor": [1, 1.1, 1.3, 1.7, 2, 3, 3.5, 4]}})";
  for (const char* changes : {dynamic, longrope}) {
    CAPTURE(changes);
    const altered_model altered("llama-rope", changes);
    const model m = altered.load();
    const auto ids = some_ids(24);
    session single(m.layers());
    matrix last;
    for (std::size_t t = 0; t < ids.size(); ++t) last = single.extend(std::span(ids).subspan(t, 1));
    session whole(m.layers());
    CHECK(difference(whole.extend(ids).bottomRows(1), last) < rounding);

    // And the change is no small one: without it the text would read otherwise.
    const model unchanged = load_model(models() / "llama-rope");
    session plain(unchanged.layers());
    CHECK(difference(plain.extend(ids).bottomRows(1), last) > 100 * rounding);
  }
}

TEST_CASE("session: a text longer than the learned table is refused, and the session goes on", "[engine]") {
  const model m = load_model(models() / "gpt2-learned");
  const auto ids = some_ids(65);
  const auto all_but_one = std::span(ids).first(64);
  CHECK_THROWS_WITH(m.forward(ids), "add_to: positions[64] is 64, expected at most 63");
  session running(m.layers());
  running.extend(std::span(ids).first(63));
  CHECK_THROWS_WITH(running.extend(std::span(ids).last(2)), "add_to: positions[1] is 64, expected at most 63");
  CHECK(running.num_tokens() == 63);
  session whole(m.layers());
  CHECK(difference(running.extend(std::span(ids).subspan(63, 1)), whole.extend(all_but_one).bottomRows(1)) < rounding);
}

TEST_CASE("session: a token outside the vocabulary is refused", "[engine]") {
  const model m = load_model(models() / "llama-rope");
  CHECK_THROWS_WITH(m.forward(std::vector<token_id>{1, 97}), "embed: ids[1] is 97, expected 0 to 96");
  CHECK_THROWS_WITH(m.forward(std::vector<token_id>{-1}), "embed: ids[0] is -1, expected 0 to 96");
}

TEST_CASE("session: padding on the left changes nothing for the real tokens", "[engine]") {
  for (const char* name : {"bloom-alibi", "gpt2-learned", "llama-rope", "xglm-sinusoidal"}) {
    CAPTURE(name);
    const model m = load_model(models() / name);
    const auto ids = some_ids(12);
    std::vector<token_id> padded(5, 0);
    padded.insert(padded.end(), ids.begin(), ids.end());
    std::vector<int> mask(padded.size(), 1);
    std::fill_n(mask.begin(), 5, 0);
    const matrix logits = m.forward(padded, {.attention_mask = mask});
    CHECK(difference(logits.bottomRows(12), m.forward(ids)) < rounding);
  }
}

TEST_CASE("session: distance is all that RoPE and ALiBi know, and a table knows places", "[engine]") {
  const auto ids = some_ids(12);
  const auto shifted = [&](const char* name, std::int64_t by) {
    const model m = load_model(models() / name);
    return difference(m.forward(ids), m.forward(ids, {.first_position = by}));
  };
  CHECK(shifted("llama-rope", 1000) < rounding);
  CHECK(shifted("bloom-alibi", 1000) < rounding);
  CHECK(shifted("gpt2-learned", 8) > 0.1f);
  CHECK(shifted("xglm-sinusoidal", 8) > 0.1f);
}

TEST_CASE("session: without positions a text of one word is the same everywhere", "[engine]") {
  for (const char* name : {"bloom-alibi", "gpt2-learned", "gptj-rope-interleaved", "llama-rope", "xglm-sinusoidal"}) {
    CAPTURE(name);
    const model m = load_model(models() / name);
    const matrix repeated = m.forward(std::vector<token_id>(9, 5), {.without_positions = true});
    CHECK(difference(repeated, repeated.row(0).replicate(9, 1)) < rounding);
    CHECK(difference(m.forward(some_ids(9)), m.forward(some_ids(9), {.without_positions = true})) > 100 * rounding);
  }
}

TEST_CASE("model: a truncated file is refused", "[engine]") {
  const altered_model altered("llama-rope", "{}");
  const auto size = std::filesystem::file_size(altered.weights());
  std::filesystem::resize_file(altered.weights(), size - 1);
  CHECK_THROWS_WITH(altered.load(),
                    "model.safetensors: \"model.norm.weight\".data_offsets[1] is 321280, expected at most 321279");
  std::filesystem::resize_file(altered.weights(), 4);
  CHECK_THROWS_WITH(altered.load(), "model.safetensors: file size is 4, expected at least 8");
}

TEST_CASE("model: weights of another shape than config.json says are refused", "[engine]") {
  CHECK_THROWS_WITH(altered_model("llama-rope", R"({"vocab_size": 98})").load(),
                    "model.safetensors: model.embed_tokens.weight.shape is [97, 64], expected [98, 64]");
  CHECK_THROWS_WITH(altered_model("llama-rope", R"({"num_hidden_layers": 3})").load(),
                    "model.safetensors: model.layers.2.input_layernorm.weight is absent, expected a tensor [64]");
}
