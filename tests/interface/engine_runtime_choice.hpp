// An engine whose model file names the encoding. It compiles without exceptions too.
#pragma once

#include <posenc/attention/attend.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/cope.hpp>
#include <posenc/encodings/learned.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/encodings/scores_of.hpp>
#include <posenc/encodings/sinusoidal.hpp>
#include <posenc/encodings/t5_bias.hpp>
#include <posenc/scaling/default.hpp>

#include <span>
#include <string_view>
#include <utility>
#include <vector>

struct model_config {
  std::string_view position_embedding;
  posenc::index_t dim = 12;
  posenc::index_t num_heads = 2;
  posenc::index_t head_dim = 6;
};

/// The engine's list of what it can run. Tables would come from the model file.
inline posenc::any_encoding<float, posenc::bf16> encoding_from(const model_config& config) {
  using namespace posenc;
  const auto table = [](index_t size) {
    std::vector<float> values;
    for (index_t i = 0; i < size; ++i) values.push_back(0.1F * static_cast<float>(i * 7 % 13) - 0.6F);
    return values;
  };
  if (config.position_embedding == "sinusoidal") return sinusoidal({.dim = config.dim});
  if (config.position_embedding == "learned") return learned<float>(table(64 * config.dim), config.dim);
  if (config.position_embedding == "rope")
    return rope(pairing::half, default_frequencies({.head_dim = config.head_dim}));
  if (config.position_embedding == "alibi") return alibi<float>(config.num_heads);
  if (config.position_embedding == "t5") return t5_bias<float>(table(32 * config.num_heads));
  if (config.position_embedding == "cope") return cope<float>(table(8 * config.head_dim), config.head_dim);
  if (config.position_embedding == "rope and alibi")
    return combine(rope(pairing::half, default_frequencies({.head_dim = config.head_dim})),
                   alibi<float>(config.num_heads));
  return no_encoding{};
}

/// Rotated keys and values of a sequence, and the positions of its tokens.
struct positioned_cache {
  posenc::head_view<const posenc::bf16> keys, values;
  std::span<const posenc::position_t> key_ids;

  std::span<const posenc::position_t> ids() const { return key_ids; }
};

inline void add_positions(const posenc::any_encoding<float, posenc::bf16>& encoding, posenc::token_view<float> x,
                          const std::vector<posenc::position_t>& ids) {
  add_to(encoding, x, ids);
}

inline void transform(const posenc::any_encoding<float, posenc::bf16>& encoding, posenc::head_view<posenc::bf16> q,
                      posenc::head_view<posenc::bf16> k, const std::vector<posenc::position_t>& ids) {
  apply_to_queries(encoding, q, ids);
  apply_to_keys(encoding, k, ids);
}

inline void attend_to(const posenc::any_encoding<float, posenc::bf16>& encoding, posenc::head_view<posenc::bf16> q,
                      const positioned_cache& cache, posenc::head_view<float> out,
                      const std::vector<posenc::position_t>& ids) {
  using namespace posenc;
  const auto keys = cache.keys;
  const auto values = cache.values;
  attend(q, keys, values, out, scores_of(encoding), {.band = causal(), .positions = {ids, cache.ids()}});
}
