#include "rope_parameters.hpp"

#include <posenc/encodings/mrope.hpp>
#include <posenc/scaling/default.hpp>
#include <posenc/scaling/dynamic_ntk.hpp>
#include <posenc/scaling/linear.hpp>
#include <posenc/scaling/llama3.hpp>
#include <posenc/scaling/longrope.hpp>
#include <posenc/scaling/ntk.hpp>
#include <posenc/scaling/ntk_by_parts.hpp>
#include <posenc/scaling/proportional.hpp>
#include <posenc/scaling/yarn.hpp>

#include <stdexcept>

namespace verify {

namespace {

using posenc::frequencies;

// What recipes read: `rope_parameters`, and around it what models keep outside of it.
class recipe {
 public:
  recipe(const golden_case& one, index_t head_dim) : one_(one), head_dim_(head_dim) {
    if (one.has_parameter("rope_parameters")) rope_ = one.parameter("rope_parameters");
    if (!rope_.is_object()) throw std::runtime_error("rope_parameters is no object");
  }

  bool has(const char* name) const { return in_rope(name) || one_.has_parameter(name); }
  double number(const char* name) const { return in_rope(name) ? rope_.at(name).get<double>() : one_.number(name); }
  double number(const char* name, double otherwise) const { return has(name) ? number(name) : otherwise; }
  index_t count(const char* name, index_t otherwise) const {
    return has(name) ? static_cast<index_t>(number(name)) : otherwise;
  }
  bool flag(const char* name, bool otherwise) const {
    return in_rope(name) ? rope_.at(name).get<bool>() : one_.flag(name, otherwise);
  }
  std::vector<double> numbers(const char* name) const {
    return (in_rope(name) ? rope_ : json{{name, one_.parameter(name)}}).at(name).get<std::vector<double>>();
  }
  std::string type() const {
    for (const char* name : {"rope_type", "type"}) {
      if (in_rope(name)) return rope_.at(name).get<std::string>();
    }
    return "default";
  }

  // What all recipes but one start from.
  template <class Params>
  Params start() const {
    Params params;
    params.head_dim = head_dim_;
    params.rotary_dim = count("rotary_dim", 0);
    params.partial_rotary_factor = number("partial_rotary_factor", 1);
    params.rope_theta = number("rope_theta", 10000);
    return params;
  }

  index_t head_dim() const { return head_dim_; }
  index_t max_positions() const { return count("max_position_embeddings", 0); }
  index_t original_max_positions() const { return count("original_max_position_embeddings", max_positions()); }
  // Without it, how much longer the context has become.
  double factor() const {
    if (has("factor")) return number("factor");
    return static_cast<double>(max_positions()) / static_cast<double>(original_max_positions());
  }

 private:
  bool in_rope(const char* name) const { return rope_.contains(name) && !rope_.at(name).is_null(); }

  const golden_case& one_;
  index_t head_dim_;
  json rope_ = json::object();
};

frequencies dynamic_of(const recipe& r) {
  auto params = r.start<posenc::dynamic_ntk_frequencies_params>();
  params.factor = r.number("factor");
  params.max_position_embeddings = r.max_positions();
  params.seq_len = r.count("seq_len", 0);
  return dynamic_ntk_frequencies(params);
}

frequencies llama3_of(const recipe& r) {
  auto params = r.start<posenc::llama3_frequencies_params>();
  params.factor = r.number("factor");
  params.low_freq_factor = r.number("low_freq_factor", 1);
  params.high_freq_factor = r.number("high_freq_factor", 4);
  params.original_max_position_embeddings = r.original_max_positions();
  return llama3_frequencies(params);
}

frequencies longrope_of(const recipe& r) {
  const std::vector<double> short_factor = r.numbers("short_factor");
  const std::vector<double> long_factor = r.numbers("long_factor");
  auto params = r.start<posenc::longrope_frequencies_params>();
  params.short_factor = short_factor;
  params.long_factor = long_factor;
  params.original_max_position_embeddings = r.original_max_positions();
  params.max_position_embeddings = r.max_positions();
  params.seq_len = r.count("seq_len", 0);
  if (r.has("factor")) params.factor = r.number("factor");
  if (r.has("attention_factor")) params.attention_factor = r.number("attention_factor");
  return longrope_frequencies(params);
}

frequencies yarn_of(const recipe& r) {
  auto params = r.start<posenc::yarn_frequencies_params>();
  params.factor = r.factor();
  params.original_max_position_embeddings = r.original_max_positions();
  params.beta_fast = r.number("beta_fast", 32);
  params.beta_slow = r.number("beta_slow", 1);
  params.truncate = r.flag("truncate", true);
  params.mscale = r.number("mscale", 0);
  params.mscale_all_dim = r.number("mscale_all_dim", 0);
  if (r.has("attention_factor")) params.attention_factor = r.number("attention_factor");
  return yarn_frequencies(params);
}

frequencies ntk_by_parts_of(const recipe& r) {
  auto params = r.start<posenc::ntk_by_parts_frequencies_params>();
  params.factor = r.factor();
  params.original_max_position_embeddings = r.original_max_positions();
  params.beta_fast = r.number("beta_fast", 32);
  params.beta_slow = r.number("beta_slow", 1);
  params.attention_factor = r.number("attention_factor", 1);
  return ntk_by_parts_frequencies(params);
}

template <class Params>
Params with_factor(const recipe& r) {
  Params params = r.start<Params>();
  params.factor = r.number("factor");
  return params;
}

frequencies frequencies_of(const recipe& r) {
  const std::string type = r.type();
  if (type == "default") return default_frequencies(r.start<posenc::default_frequencies_params>());
  if (type == "linear") return linear_frequencies(with_factor<posenc::linear_frequencies_params>(r));
  if (type == "ntk") return ntk_frequencies(with_factor<posenc::ntk_frequencies_params>(r));
  if (type == "dynamic") return dynamic_of(r);
  if (type == "llama3") return llama3_of(r);
  if (type == "longrope" || type == "su") return longrope_of(r);
  if (type == "yarn") return yarn_of(r);
  if (type == "ntk_by_parts") return ntk_by_parts_of(r);
  if (type == "proportional") {
    return posenc::proportional_frequencies({.head_dim = r.head_dim(),
                                             .partial_rotary_factor = r.number("partial_rotary_factor", 1),
                                             .rope_theta = r.number("rope_theta", 10000),
                                             .factor = r.number("factor", 1)});
  }
  throw not_known("the rope_type " + type + " does not exist yet");
}

// By the library's own rule from the sections; where the case lists the axes as well, they must agree.
frequencies with_axes(const golden_case& one, const frequencies& list) {
  const bool listed = one.has_parameter("axis_of_frequency");
  std::vector<index_t> axes;
  if (listed) axes = one.parameter("axis_of_frequency").get<std::vector<index_t>>();
  // Sections alone do not say how they lie.
  if (one.has_parameter("mrope_section") && (one.has_parameter("mrope_interleaved") || !listed)) {
    const auto sections = one.parameter("mrope_section").get<std::vector<index_t>>();
    const std::vector<index_t> by_rule =
        one.flag("mrope_interleaved", false) ? posenc::interleaved_axes(sections) : posenc::sectioned_axes(sections);
    one.found().expect(!listed || by_rule == axes, "axis_of_frequency is not what mrope_section gives");
    axes = by_rule;
  } else if (!listed) {
    return list;
  }
  return list.with_axes(axes);
}

posenc::pairing pairing_named(const std::string& layout) {
  if (layout == "half") return posenc::pairing::half;
  if (layout == "interleaved") return posenc::pairing::interleaved;
  throw not_known("the layout " + layout + " is not known here");
}

}  // namespace

frequencies rope_frequencies(const golden_case& one, index_t head_dim) {
  return with_axes(one, frequencies_of(recipe(one, head_dim)));
}

posenc::pairing rope_pairing(const golden_case& one) {
  return pairing_named(one.parameter("layout").get<std::string>());
}

posenc::rope rope_of(const golden_case& one, index_t head_dim) {
  const posenc::pairing read = rope_pairing(one);
  const posenc::pairing written =
      one.has_parameter("output_layout") ? pairing_named(one.text("output_layout", "")) : read;
  return posenc::rope(read, rope_frequencies(one, head_dim), {.output = written});
}

}  // namespace verify
