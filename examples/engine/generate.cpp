#include "generate.hpp"

#include <posenc/error.hpp>

#include <algorithm>

namespace engine {

matrix feed(session& running, std::span<const token_id> ids, index_t chunk,
            const std::function<void(index_t)>& on_progress) {
  posenc::require(chunk >= 1, "feed", "chunk", chunk, "at least 1");
  const index_t num_tokens = std::ssize(ids);
  running.plan(running.num_tokens() + num_tokens);
  matrix hidden;
  for (index_t first = 0; first < num_tokens; first += chunk) {
    const index_t count = std::min(chunk, num_tokens - first);
    const matrix part = running.extend(ids.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
    if (first == 0) hidden.resize(num_tokens, part.cols());
    hidden.middleRows(first, count) = part;
    if (on_progress) on_progress(running.num_tokens());
  }
  return hidden;
}

token_id most_likely(Eigen::Ref<const row_vector> logits) {
  index_t best = 0;
  logits.maxCoeff(&best);
  return static_cast<token_id>(best);
}

std::vector<token_id> generate_greedily(const network& net, session& running, std::span<const token_id> prompt,
                                        index_t count, index_t chunk, const generation_callbacks& callbacks) {
  posenc::require(!prompt.empty(), "generate", "length of the prompt", std::ssize(prompt), "at least 1");
  std::vector<token_id> generated;
  matrix last = feed(running, prompt, chunk, callbacks.on_progress).bottomRows(1);
  while (std::ssize(generated) < count) {
    generated.push_back(most_likely(logits(net, last).row(0)));
    if (callbacks.on_token) callbacks.on_token(generated.back());
    if (std::ssize(generated) == count) break;  // the next hidden state is not needed
    last = running.extend(std::span(generated).last(1));
    if (callbacks.on_progress) callbacks.on_progress(running.num_tokens());
  }
  return generated;
}

}  // namespace engine
