#include "session.hpp"

#include <posenc/positions.hpp>

#include <algorithm>

namespace engine {

session::session(const network& net, const forward_options& options)
    : net_(net), options_(options), caches_(net.layers.size(), kv_cache(net.config.num_kv_heads, net.config.head_dim)) {
  const std::span<const int> mask = options.attention_mask;
  if (mask.empty()) return;
  posenc::require(options.first_position == 0, "session", "first_position", options.first_position,
                  "0 beside an attention_mask");
  padded_positions_ = posenc::positions_from_mask(mask);
  allowed_ = std::make_unique<bool[]>(mask.size());
  std::ranges::transform(mask, allowed_.get(), [](int real) { return real != 0; });
}

void session::check_length(index_t total) const {
  if (allowed_ != nullptr)
    posenc::require(total <= std::ssize(padded_positions_), "session", "num_tokens", total,
                    "at most #, the length of the attention_mask", std::ssize(padded_positions_));
  if (!net_.config.family->causal)
    posenc::require(ids_.empty(), "session", "num_tokens before this chunk", num_tokens(),
                    "0: an encoder sees its whole text at once");
  posenc::raise_if(posenc::check_positions("session", positions_of(0, total), total));
}

encoding session::encoding_for(index_t length) const {
  if (options_.without_positions) return posenc::no_encoding{};
  return encoding_from(net_, length);
}

posenc::positions session::positions_of(index_t first, index_t count) const {
  if (allowed_ != nullptr) return posenc::positions(padded_positions_).tokens(first, count);
  return {options_.first_position + first, count};
}

matrix session::extend(std::span<const token_id> ids, std::vector<matrix>* states) {
  const index_t total = num_tokens() + std::ssize(ids);
  check_length(total);

  const index_t length = std::max(planned_, total) + options_.first_position;
  const index_t decisive = deciding_length(net_.config, length);
  const bool same_encoding = decisive == encoded_for_;
  const encoding encode = same_encoding ? encoding_ : encoding_for(length);

  // Keys rotated with other frequencies are of no use: all tokens run again.
  const index_t first = same_encoding ? num_tokens() : 0;
  std::vector<token_id> run(ids_.begin() + first, ids_.end());
  run.insert(run.end(), ids.begin(), ids.end());

  const step s{.encode = encode,
               .queries = positions_of(first, std::ssize(run)),
               .keys = positions_of(0, total),
               .band = net_.config.family->causal ? posenc::causal() : posenc::index_band{},
               .allowed = {.data = allowed_.get(), .num_keys = std::ssize(padded_positions_)}};
  matrix x = embed(net_, run, s);  // the last call that may throw

  ids_.insert(ids_.end(), ids.begin(), ids.end());
  encoding_ = encode;
  encoded_for_ = decisive;
  if (first == 0) std::ranges::for_each(caches_, &kv_cache::clear);

  const auto keep = [&] {
    if (states != nullptr) states->push_back(x.bottomRows(std::ssize(ids)));
  };
  keep();
  for (std::size_t number = 0; number < caches_.size(); ++number) {
    run_layer(net_, net_.layers[number], x, caches_[number], s);
    if (number + 1 == caches_.size() && net_.final_norm) x = (*net_.final_norm)(x);
    keep();
  }
  return x.bottomRows(std::ssize(ids));
}

}  // namespace engine
