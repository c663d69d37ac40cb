// Without positions a transformer reads a bag of words: shown on a trained sentence encoder.
#include "sections.hpp"

#include "engine/model.hpp"

#include <cmath>
#include <cstdio>
#include <span>
#include <stdexcept>
#include <vector>

namespace demo {

namespace {

using engine::token_id;
using sentence = std::vector<token_id>;

// Token ids from MiniLM's tokenizer, between [CLS] and [SEP].
const sentence dog_bites_man = {101, 1996, 3899, 15424, 1996, 2158, 1012, 102};  // The dog bites the man.
const sentence man_bites_dog = {101, 1996, 2158, 15424, 1996, 3899, 1012, 102};  // The man bites the dog.
const sentence shuffled = {101, 1012, 1996, 3899, 1996, 2158, 15424, 102};       // . the dog the man bites

// The result of transformers for the first pair (tests/data, minilm-position.json), to float32 accuracy: the hidden
// states of a float32 run there were off by 5e-6.
constexpr float expected_with_table = 0.97271552f;
constexpr float tolerance = 4e-5f;

float similarity(const engine::model& encoder, const sentence& a, const sentence& b, bool without_positions) {
  const engine::forward_options options{.without_positions = without_positions};
  return encoder.sentence_embedding(a, options).dot(encoder.sentence_embedding(b, options));
}

// Beyond the end of the table: refused, not read out of bounds.
void print_end_of_table(const engine::model& encoder) {
  const sentence too_long(static_cast<std::size_t>(encoder.config().max_positions) + 1, 1996);
  try {
    encoder.sentence_embedding(too_long);
    throw std::logic_error("a text longer than the table was accepted");
  } catch (const std::out_of_range& refusal) {
    std::printf("\nA text of %zu tokens: %s\n", too_long.size(), refusal.what());
  }
}

}  // namespace

bool word_order(const std::filesystem::path& directory) {
  std::printf("Word order\n\n");
  if (!std::filesystem::exists(directory / "model.safetensors")) {
    std::printf("Skipped: the trained model is not in %s (no network?)\n\n", directory.c_str());
    return true;
  }
  const engine::model encoder = engine::load_model(directory);
  std::printf(
      "MiniLM, a trained sentence encoder with a learned table of %td positions. Similarity of\n"
      "\"The dog bites the man.\" to                its own table    no table\n",
      encoder.config().max_positions);

  bool right = true;
  const auto print = [&](const char* text, const sentence& other) {
    const float with_table = similarity(encoder, dog_bites_man, other, false);
    const float without = similarity(encoder, dog_bites_man, other, true);
    std::printf("  %-40s     %.6f    %.6f\n", text, static_cast<double>(with_table), static_cast<double>(without));
    right = right && std::abs(without - 1) < tolerance;  // only the words count, and they are the same
    return with_table;
  };
  const float pair = print("\"The man bites the dog.\"", man_bites_dog);
  const float any_order = print("\". the dog the man bites\"", shuffled);
  right = right && std::abs(pair - expected_with_table) < tolerance && any_order < 1 - tolerance;
  std::printf("\nThe same words in any order are one sentence to it without its positions.");
  print_end_of_table(encoder);
  std::printf("\n");
  return right;
}

}  // namespace demo
