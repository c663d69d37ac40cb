#include "rope_recipe.hpp"

#include "error.hpp"

#include <posenc/positions.hpp>  // position_t
#include <posenc/scaling/default.hpp>
#include <posenc/scaling/dynamic_ntk.hpp>
#include <posenc/scaling/linear.hpp>
#include <posenc/scaling/llama3.hpp>
#include <posenc/scaling/longrope.hpp>
#include <posenc/scaling/proportional.hpp>
#include <posenc/scaling/yarn.hpp>

#include <algorithm>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

namespace engine {

namespace {

constexpr double largest = 1e12;
constexpr index_t largest_position = std::numeric_limits<posenc::position_t>::max();

// Input of the recipes: the rope object, the configuration around it, and what follows from both.
struct rope_fields {
  const json_fields& config;
  json_fields rope;  // empty if config.json has no such object
  index_t head_dim;
  index_t rotary_dim;  // 0: partial_rotary_factor decides
  double partial_rotary_factor;
  double rope_theta;

  /// The starting point of all recipes but one.
  template <class Params>
  Params start() const {
    Params p;
    p.head_dim = head_dim;
    p.rotary_dim = rotary_dim;
    p.partial_rotary_factor = partial_rotary_factor;
    p.rope_theta = rope_theta;
    return p;
  }

  double number(const char* name) const { return rope.number({name}, 0, largest); }
  std::optional<double> optional(const char* name) const {
    return rope.has({name}) ? std::optional(number(name)) : std::nullopt;
  }

  index_t max_position_embeddings() const {
    return config.integer({"max_position_embeddings", "n_positions"}, 1, largest_position);
  }
  // Phi-3 has it next to the object, where it takes precedence.
  index_t original_max_position_embeddings() const {
    const json_fields::names name = {"original_max_position_embeddings"};
    const json_fields& holder = config.has(name) ? config : rope;
    return holder.integer(name, 1, largest_position);
  }
};

rope_recipe fixed(posenc::frequencies list) {
  return {.frequencies = [list = std::move(list)](index_t) { return list; },
          .deciding_length = [](index_t) { return index_t{0}; }};
}

rope_recipe read_default(const rope_fields& f) {
  return fixed(default_frequencies(f.start<posenc::default_frequencies_params>()));
}

rope_recipe read_linear(const rope_fields& f) {
  auto p = f.start<posenc::linear_frequencies_params>();
  p.factor = f.number("factor");
  return fixed(linear_frequencies(p));
}

rope_recipe read_dynamic(const rope_fields& f) {
  // Hunyuan's variant, which does not depend on length.
  if (f.rope.has({"alpha"})) f.rope.refuse_field({"alpha"}, "nothing: scaling by alpha is not known here");
  auto p = f.start<posenc::dynamic_ntk_frequencies_params>();
  p.factor = f.number("factor");
  p.max_position_embeddings = f.max_position_embeddings();
  const auto at_length = [p](index_t length) {
    auto at = p;
    at.seq_len = length;
    return dynamic_ntk_frequencies(at);
  };
  return {.frequencies = at_length,
          .deciding_length = [max = p.max_position_embeddings](index_t length) { return std::max(length, max); }};
}

rope_recipe read_yarn(const rope_fields& f) {
  auto p = f.start<posenc::yarn_frequencies_params>();
  const json_fields::names original = {"original_max_position_embeddings"};
  p.original_max_position_embeddings = f.rope.has(original) || f.config.has(original)
                                           ? f.original_max_position_embeddings()
                                           : f.max_position_embeddings();
  p.factor = f.rope.has({"factor"}) ? f.number("factor")
                                    : static_cast<double>(f.max_position_embeddings()) /
                                          static_cast<double>(p.original_max_position_embeddings);
  // Zero means the default. Llama omits the softmax multiplier.
  if (const auto beta = f.optional("beta_fast").value_or(0); beta != 0) p.beta_fast = beta;
  if (const auto beta = f.optional("beta_slow").value_or(0); beta != 0) p.beta_slow = beta;
  p.truncate = f.rope.boolean({"truncate"}, true);
  p.mscale = f.optional("mscale").value_or(0);
  p.mscale_all_dim = f.optional("mscale_all_dim").value_or(0);
  p.attention_factor = f.optional("attention_factor");
  return fixed(yarn_frequencies(p));
}

rope_recipe read_longrope(const rope_fields& f) {
  auto p = f.start<posenc::longrope_frequencies_params>();
  p.original_max_position_embeddings = f.original_max_position_embeddings();
  p.max_position_embeddings = f.max_position_embeddings();
  p.factor = f.optional("factor");
  p.attention_factor = f.optional("attention_factor");
  const auto at_length = [p, short_factor = f.rope.numbers({"short_factor"}, 0, largest),
                          long_factor = f.rope.numbers({"long_factor"}, 0, largest)](index_t length) {
    auto at = p;
    at.short_factor = short_factor;
    at.long_factor = long_factor;
    at.seq_len = length;
    return longrope_frequencies(at);
  };
  return {.frequencies = at_length, .deciding_length = [original = p.original_max_position_embeddings](index_t length) {
            return std::clamp(length, original, original + 1);
          }};
}

rope_recipe read_llama3(const rope_fields& f) {
  auto p = f.start<posenc::llama3_frequencies_params>();
  p.factor = f.number("factor");
  p.low_freq_factor = f.number("low_freq_factor");
  p.high_freq_factor = f.number("high_freq_factor");
  p.original_max_position_embeddings = f.original_max_position_embeddings();
  return fixed(llama3_frequencies(p));
}

// The fraction of pairs that rotate, not of columns: pairs span the whole head.
rope_recipe read_proportional(const rope_fields& f) {
  posenc::proportional_frequencies_params p;
  p.head_dim = f.head_dim;
  p.partial_rotary_factor = f.partial_rotary_factor;
  p.rope_theta = f.rope_theta;
  p.factor = f.optional("factor").value_or(1);
  return fixed(proportional_frequencies(p));
}

struct named_reader {
  std::string_view rope_type;
  rope_recipe (*read)(const rope_fields&);
};
constexpr named_reader known_recipes[] = {
    {"default", read_default},   {"linear", read_linear},
    {"dynamic", read_dynamic},   {"yarn", read_yarn},
    {"longrope", read_longrope}, {"su", read_longrope},
    {"llama3", read_llama3},     {"proportional", read_proportional},
};

std::string known_types() {
  std::string list;
  for (const named_reader& known : known_recipes)
    list += (list.empty() ? "one of " : ", ") + std::string(known.rope_type);
  return list;
}

std::string read_rope_type(const json_fields& rope) {
  // An object with more than theta and the rotated fraction, but without a recipe, is not the default recipe.
  if (!rope.has({"rope_type", "type"}) && !rope.has_only({"rope_theta", "partial_rotary_factor"}))
    rope.refuse_field({"rope_type", "type"}, known_types());
  return rope.text({"rope_type", "type"}, "default");
}

// A number that may be in the object or around it, or in both if they agree.
double inner_or_outer(const json_fields& rope, json_fields::names inner, const json_fields& config,
                      json_fields::names outer, double largest_value, double if_absent) {
  if (!rope.has(inner)) return config.number(outer, 0, largest_value, if_absent);
  const double value = rope.number(inner, 0, largest_value);
  if (config.has(outer) && config.number(outer, 0, largest_value) != value)
    config.refuse_field(outer, "the same as " + rope.path(*inner.begin()));
  return value;
}

rope_fields read_fields(const json_fields& config, const architecture& family, index_t head_dim) {
  const json_fields::names object = {"rope_parameters", "rope_scaling"};
  rope_fields f{config, config.has(object) ? config.object(object) : json_fields::empty(config), head_dim, 0, 1, 10000};
  f.rope_theta =
      inner_or_outer(f.rope, {"rope_theta"}, config, {"rope_theta", "rotary_emb_base"}, largest, f.rope_theta);
  f.partial_rotary_factor = inner_or_outer(f.rope, {"partial_rotary_factor"}, config,
                                           {"partial_rotary_factor", "rotary_pct"}, 1, family.partial_rotary_factor);
  f.rotary_dim = config.integer({"rotary_dim"}, 2, head_dim, family.rotary_dim);
  return f;
}

}  // namespace

rope_recipe read_rope(const json_fields& config, const architecture& family, index_t head_dim) {
  const rope_fields fields = read_fields(config, family, head_dim);
  const std::string rope_type = read_rope_type(fields.rope);
  for (const named_reader& known : known_recipes) {
    if (known.rope_type != rope_type) continue;
    try {
      rope_recipe recipe = known.read(fields);
      recipe.rope_type = rope_type;
      (void)recipe.frequencies(1);  // reports errors now rather than at the first run
      return recipe;
    } catch (const std::invalid_argument& wrong) {
      throw std::runtime_error(config.file_name() + ": " + wrong.what());
    }
  }
  fields.rope.refuse_field({"rope_type", "type"}, known_types());
}

}  // namespace engine
