#include "encoding.hpp"

#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/learned.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/encodings/sinusoidal.hpp>

namespace engine {

namespace {

// tensor2tensor's form, used by fairseq and XGLM.
posenc::sinusoidal sinusoids(const model_config& c) {
  posenc::sinusoidal_params params{.dim = c.hidden_size,
                                   .layout = posenc::sinusoid::half,
                                   .downscale_freq_shift = 1,
                                   .offset = c.family->position_offset};
  if (c.pad_token_id) params.padding_idx = static_cast<posenc::position_t>(*c.pad_token_id);
  return posenc::sinusoidal(params);
}

}  // namespace

encoding encoding_from(const network& net, index_t length) {
  const model_config& c = net.config;
  switch (c.family->position) {
    case position_kind::sinusoidal:
      return sinusoids(c);
    case position_kind::learned:
      return posenc::learned_view<float>(*net.position_table, {.offset = c.family->position_offset});
    case position_kind::rope:
      return posenc::rope(c.family->pairing, c.rope->frequencies(length));
    case position_kind::alibi:
      return posenc::alibi<float>(c.num_heads);
  }
  return posenc::no_encoding{};
}

std::string encoding_name(const model_config& config) {
  const std::string rows = std::to_string(config.max_positions);
  switch (config.family->position) {
    case position_kind::sinusoidal:
      return "sinusoids, halves";
    case position_kind::learned:
      return "learned table, " + rows + " rows";
    case position_kind::rope: {
      const bool halves = config.family->pairing == posenc::pairing::half;
      return std::string("RoPE, ") + (halves ? "halves, " : "neighbours, ") + config.rope->rope_type;
    }
    case position_kind::alibi:
      return "ALiBi, " + std::to_string(config.num_heads) + " slopes";
  }
  return "none";
}

index_t deciding_length(const model_config& config, index_t length) {
  return config.rope ? config.rope->deciding_length(length) : 0;
}

}  // namespace engine
