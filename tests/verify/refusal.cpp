#include "refusal.hpp"

namespace verify {

void check_refusal(const engine::model& model, index_t length, findings& found) {
  const auto run = [&](index_t num_tokens) {
    const std::vector<engine::token_id> ids(static_cast<std::size_t>(num_tokens), engine::token_id{1});
    (void)model.hidden_states(ids);
  };
  if (length > 1) run(length - 1);
  bool refused = false;
  try {
    run(length);
  } catch (const std::out_of_range&) {
    refused = true;
  }
  found.expect(refused, "a length of " + std::to_string(length) + " is not refused");
}

}  // namespace verify
