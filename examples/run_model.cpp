// Runs token ids through a Hugging Face directory (config.json, model.safetensors) on posenc.
//
//     run_model DIRECTORY --ids 1,2,3                        the most likely next tokens
//     run_model DIRECTORY --ids 1,2,3 --generate 20          greedy generation
//     run_model DIRECTORY --ids 1,2,3 --encoding none        the model without its positions
//     run_model DIRECTORY --ids 1,2,3 --output embedding     a sentence embedding
#include "engine/generate.hpp"
#include "engine/model.hpp"
#include "engine/progress_bar.hpp"
#include "engine/session.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace engine;

struct arguments {
  std::filesystem::path directory;
  std::vector<token_id> ids;
  index_t generate = 0;
  index_t chunk = 512;
  std::string encoding = "model";
  std::string output = "next";
};

arguments parse(CLI::App& app, int argc, char** argv) {
  arguments a;
  app.add_option("directory", a.directory, "Holds config.json and model.safetensors")->required();
  app.add_option("--ids", a.ids, "Token ids, separated by commas")->required()->delimiter(',');
  app.add_option("--generate", a.generate, "Append this many of the most likely tokens")->check(CLI::NonNegativeNumber);
  app.add_option("--chunk", a.chunk, "Run the prompt in chunks of this many tokens")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--encoding", a.encoding, "The model's own, or none at all")
      ->capture_default_str()
      ->check(CLI::IsMember({"model", "none"}));
  app.add_option("--output", a.output, "What to print: the likeliest next tokens, or a row of numbers for each token")
      ->capture_default_str()
      ->check(CLI::IsMember({"next", "logits", "hidden", "embedding"}));
  app.parse(argc, argv);
  return a;
}

void print_rows(const matrix& rows) {
  for (index_t t = 0; t < rows.rows(); ++t) {
    for (index_t column = 0; column < rows.cols(); ++column)
      std::printf(column == 0 ? "%.9g" : " %.9g", static_cast<double>(rows(t, column)));
    std::printf("\n");
  }
}

void print_most_likely(const row_vector& logits) {
  std::vector<index_t> order(static_cast<std::size_t>(logits.size()));
  std::iota(order.begin(), order.end(), index_t{0});
  const auto count = std::min<index_t>(5, logits.size());
  std::ranges::partial_sort(order, order.begin() + count, [&](index_t a, index_t b) { return logits[a] > logits[b]; });
  std::printf("next token   logit\n");
  for (index_t i = 0; i < count; ++i) {
    const index_t id = order[static_cast<std::size_t>(i)];
    std::printf("%10td  %8.4f\n", id, static_cast<double>(logits[id]));
  }
}

// Reports the time on standard error: standard output holds only results.
class stopwatch {
 public:
  void report(index_t num_tokens) const {
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start_;
    std::fprintf(stderr, "%td tokens, %.1f tokens/s\n", num_tokens, static_cast<double>(num_tokens) / seconds.count());
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Prints each token as it is generated, so that they are shown even if the model's positions run out.
void print_generated(const network& net, session& running, const arguments& a,
                     const std::function<void(index_t)>& on_progress) {
  const char* separator = "";
  const auto print = [&](token_id id) { std::printf("%s%d", std::exchange(separator, ","), id); };
  try {
    generate_greedily(net, running, a.ids, a.generate, a.chunk, {print, on_progress});
  } catch (...) {
    std::printf("\n");
    throw;
  }
  std::printf("\n");
}

void run(const arguments& a) {
  const model loaded = load_model(a.directory);
  const network& net = loaded.layers();
  const forward_options options{.without_positions = a.encoding == "none"};
  const stopwatch watch;

  if (a.output == "embedding") {
    print_rows(loaded.sentence_embedding(a.ids, options));
    return watch.report(std::ssize(a.ids));
  }

  session running(net, options);
  progress_bar bar(std::ssize(a.ids) + std::max<index_t>(a.generate - 1, 0));
  const auto on_progress = [&bar](index_t done) { bar.update(done); };
  if (a.generate > 0) {
    print_generated(net, running, a, on_progress);
  } else {
    // An encoder cannot run in chunks.
    const index_t chunk = loaded.config().family->causal ? a.chunk : std::ssize(a.ids);
    const matrix hidden = feed(running, a.ids, chunk, on_progress);
    if (a.output == "hidden")
      print_rows(hidden);
    else if (a.output == "logits")
      print_rows(logits(net, hidden));
    else
      print_most_likely(logits(net, hidden.bottomRows(1)).row(0));
  }
  watch.report(running.num_tokens());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs token ids through a Hugging Face model on posenc.");
  try {
    run(parse(app, argc, argv));
    return 0;
  } catch (const CLI::ParseError& wrong) {
    return app.exit(wrong) == 0 ? 0 : 1;
  } catch (const std::exception& wrong) {
    std::fprintf(stderr, "run_model: %s\n", wrong.what());
    return 1;
  }
}
